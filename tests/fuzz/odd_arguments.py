"""What processes of cubes are given: ordinary arguments, and for each of them the edges of what descriptions admit."""

from __future__ import annotations

from typing import Any


def node(name: str) -> dict[str, str]:
    return {"from_node": name}


def parameter(name: str) -> dict[str, str]:
    return {"from_parameter": name}


def one(process: str, /, **arguments: Any) -> dict[str, Any]:
    """A callback of one process."""
    return {"process_graph": {"c": {"process_id": process, "arguments": arguments, "result": True}}}


CUBE, SECOND, SHAPES = node("cube"), node("second"), node("shapes")
DATA, X, Y, VALUE, PARAMETERS = (parameter(name) for name in ("data", "x", "y", "value", "parameters"))

CONSTANTS = [one("constant", x=x) for x in (1, "a", None, [1, 2], {"a": 1}, True, 10**30, parameter("context"))]
FIRST = one("array_element", data=PARAMETERS, index=0)
STATISTICS = (
    "mean",
    "median",
    "max",
    "min",
    "first",
    "last",
    "sum",
    "product",
    "count",
    "sd",
    "variance",
    "any",
    "all",
)
REDUCERS = [
    *(one(name, data=DATA) for name in STATISTICS),
    *(one(name, data=DATA) for name in ("cumsum", "sort", "order", "extrema", "array_labels", "text_concat")),
    *CONSTANTS,
    one("constant", x=DATA),
    one("nan"),
    one("first", data=DATA, ignore_nodata=False),
    one("array_element", data=DATA, index=0),
    one("array_element", data=DATA, index=9),
    one("array_element", data=DATA, index=9, return_nodata=True),
    one("array_element", data=DATA, label="B02", return_nodata=True),
    one("quantiles", data=DATA, probabilities=[0.1, 0.5]),
    one("rearrange", data=DATA, order=[1, 0]),
    one("array_concat", array1=DATA, array2=["a"]),
    one("array_append", data=DATA, value=1),
    one("array_find", data=DATA, value=3),
    one("array_contains", data=DATA, value=3),
    one("array_interpolate_linear", data=DATA),
    one("array_apply", data=DATA, process=one("add", x=X, y=1)),
    one("array_filter", data=DATA, condition=one("gt", x=X, y=2)),
    one("array_create", data=[]),
    one("array_create", data=DATA, repeat=2),
    one("array_create_labeled", data=DATA, labels=["a", "b", "c"]),
    one("array_modify", data=DATA, values=[7], index=0),
    one("count", data=DATA, condition=one("eq", x=X, y=1)),
    one("add", x=parameter("context"), y=1),
    one("absolute", x=DATA),
    one("if", value=DATA, accept=DATA, reject=DATA),
    one("and", x=DATA, y=True),
    one("gt", x=DATA, y=1),
    one("fit_curve", data=DATA, parameters=[1, 1], function=FIRST),
]
FUNCTIONS = [
    *CONSTANTS,
    one("constant", x=X),
    one("absolute", x=X),
    one("is_nodata", x=X),
    one("gt", x=X, y=3),
    one("eq", x=X, y="a"),
    one("and", x=X, y=True),
    one("if", value=True, accept=X, reject="a"),
    one("add", x=X, y=1e300),
    one("power", base=X, p=1000),
    one("mod", x=X, y=0),
    one("ln", x=X),
    one("int", x=X),
    one("clip", x=X, min=5, max=1),
    one("linear_scale_range", x=X, inputMin=0, inputMax=0),
    one("text_concat", data=[X, "a"]),
    one("date_shift", date=X, value=1, unit="day"),
    one("mean", data=DATA),
]
RESOLVERS = [
    *(one(name, x=X, y=Y) for name in ("add", "subtract", "divide", "and", "gt", "eq", "power")),
    *CONSTANTS,
    one("max", data=[X, Y]),
    one("text_concat", data=[X, Y]),
]
CONDITIONS = [
    *CONSTANTS,
    *(one(name, x=VALUE, y=y) for name, y in (("eq", "B04"), ("gt", 1), ("lt", 719_225), ("neq", "a"))),
    one("constant", x=False),
    one("date_between", x=VALUE, min="2025-05-01", max="2026-01-01"),
    one("text_begins", data=VALUE, pattern="B"),
]
MODELS = [
    *CONSTANTS,
    FIRST,
    one("array_element", data=PARAMETERS, index=9),
    one("sum", data=PARAMETERS),
    one("constant", x=X),
]


def features(*geometries: Any) -> dict[str, Any]:
    found = [{"type": "Feature", "properties": {"a": i}, "geometry": one} for i, one in enumerate(geometries)]
    return {"type": "FeatureCollection", "features": found}


def polygon(*places: list[float]) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": [[*places, *places[:1]]]}


AREA = polygon([11.9672, 48.519], [11.972, 48.519], [11.972, 48.5225], [11.9672, 48.5225])
POINT = {"type": "Point", "coordinates": [11.9695, 48.521]}
LINE = {"type": "LineString", "coordinates": [[11.9672, 48.519], [11.972, 48.5225]]}
GEOMETRIES = [
    SHAPES,
    AREA,
    features(AREA, POINT, LINE),
    features(),
    features(None),
    features(AREA, None),
    features(*[POINT] * 200),
    polygon(),
    polygon([0, 0], [1, 1]),
    polygon([0, 0], [1, 1], [1, 0], [0, 1]),
    polygon([-1e300, -1e300], [1e300, -1e300], [1e300, 1e300]),
    polygon([-180, -90], [180, -90], [180, 90], [-180, 90]),
    {"type": "Polygon", "coordinates": []},
    {"type": "MultiPolygon", "coordinates": []},
    {"type": "MultiPoint", "coordinates": [[11.9695, 48.521], [11.97, 48.521]]},
    {"type": "GeometryCollection", "geometries": [AREA, POINT]},
    {"type": "Feature", "geometry": AREA, "properties": None},
    {"type": "Point", "coordinates": []},
    {"type": "Point", "coordinates": [1e308, 1e308]},
    {"type": "Point", "coordinates": [None, None]},
    {"type": "Point", "coordinates": [11.9695, 48.521, 5]},
    {**AREA, "crs": {"type": "name", "properties": {"name": "EPSG:32632"}}},
]
NAMES = ["x", "y", "t", "bands", "number", "other", "geometry", "z", "time", "new", "", "a/b", "lat", "é" * 300, "\0"]
NUMBERS = [0, -1, 1, 2, 0.5, 10, 1e6, 1e308, -1e308, 5e-324, 10**30, 2**63]
WHOLE = [0, -1, 1, 2, 3, 7, 100, 10**6, 10**9, 2**31, 2**63, 10**30]
VALUES = [None, 0, -1, 255, 0.5, 1e308, 10**30, 2**63, True, False, "a"]
PERIODS = ["hour", "day", "week", "dekad", "month", "season", "tropical-season", "year", "decade", "decade-ad", "x"]
PERIODS += ["climatology-period"]
YEAR = ["2025-05-01", "2026-06-01"]
INTERVALS = [
    [YEAR], [], [[*reversed(YEAR)]], [["2025-05-01", None]], [[None, None]], [YEAR, YEAR], [["2025-05-01"] * 2],
    [["10:00:00", "12:00:00"]], [["00:00:00", "00:00:00"]], [["0001-01-01", "9999-12-31"]], [[]], [["x", "y"]],
    [["2025-05-01"]], [["1600-01-01", "2500-01-01"]], [YEAR, ["2030-01-01", "2031-01-01"]],
    [[f"{year}-01-01", f"{year + 1}-01-01"] for year in range(1900, 2020)],
]  # fmt: skip
EXTENTS = [
    YEAR, [None, None], [*reversed(YEAR)], ["2025-05-01", None], ["0001-01-01", "9999-12-31"], ["2025", "2026"],
    ["10:00:00", "12:00:00"], ["2030-01-01", None], ["x", None], [None, "1600-01-01"], ["2025-05-01", "24:00:00"],
]  # fmt: skip
SQUARE = {"west": 719_200, "south": 5_378_450, "east": 719_250, "north": 5_378_500, "crs": 32632}
BOXES = [
    SQUARE,
    {"west": 11.9672, "south": 48.519, "east": 11.972, "north": 48.5225},
    {"west": -180, "south": -90, "east": 180, "north": 90},
    {"west": 1, "south": 1, "east": 0, "north": 0},
    {"west": 170, "south": 0, "east": -170, "north": 1},
    {"west": 1e300, "south": 1e300, "east": 1e301, "north": 1e301},
    {**SQUARE, "crs": 3857},
    {**SQUARE, "crs": "EPSG:0"},
    {**SQUARE, "east": 719_200, "north": 5_378_450},
    {**SQUARE, "base": 5, "height": 1},
]
SYSTEMS = [4326, 32632, 3857, 32733, 2154, 3035, 5041, 3031, 0, -1, 4979, 5773, 10**30, "EPSG:4326", "", "x"]
CONTEXT = [None, 1, "a", [1], {"a": 1}, True, SHAPES, CUBE]
BANDS = [["B02"], [], ["B02", "B04"], ["B04", "B02"], ["x"], ["B02", "B02"], [""], ["red"], ["b1"] * 200]
METHODS = ["near", "bilinear", "cubic", "cubicspline", "lanczos", "average", "mode", "max", "min", "med", "q1", "q3"]
METHODS += ["sum", "rms", "geocode", "x"]
LABELS = [
    ["a"], [], ["a", "b"], ["a", "a"], [1, 2], [1, "a"], ["2025-01-01"], [None], [1e308], ["a", "b", "c"], [[1]],
    list(range(200)), ["2025-01-01", "2025-02-01"], [0.5, 1.5, 7], [""], [3, 2, 1], ["2025-13-01"], ["B02"], [719_200],
]  # fmt: skip
POSITIONS = ["lower-left", "upper-left", "lower-right", "upper-right", "x"]


def size(**lengths: Any) -> list[dict[str, Any]]:
    return [{"dimension": d, "value": n, **({} if isinstance(n, str) else {"unit": "px"})} for d, n in lengths.items()]


WINDOWS = [
    size(x=2, y=2), [], size(x=0), size(x=100, y=100), size(t="P1D"), size(t="P1M", x=3), size(t=2), size(bands="B02"),
    size(bands=1), size(nope=1), [*size(x=2), *size(x=2)], size(x=-1), size(x=0.5), size(x=10**30), size(t="P0D"),
    size(t="x"), size(number=2, other=1), size(geometry=1), size(x=1, y=1, t=1, bands=1), size(t="P1000Y"),
    size(t="P" + "9" * 30 + "M"), [{"dimension": "x", "value": 15, "unit": "m"}], [{"dimension": "x", "value": None}],
    [{"dimension": "x", "value": 1e300, "unit": "m"}], [{"dimension": "t", "value": 1e-300, "unit": "s"}],
]  # fmt: skip
PAIRS = [[2, 2], [1, 1], [0, 0], [100, 100], [-1, 2], [2], [], [10**30, 1], [3, 1], [1.5, 2], [1, 1, 1]]
KERNELS = [
    [[1] * 3] * 3, [[1]], [], [[]], [[1, 2], [3]], [[1, 2], [3, 4]], [[None]], [["a"]], [[1e308] * 3] * 3,
    [[0] * 3] * 3, [[1] * 51] * 51, [[1, 0, 1]], [[1], [0], [1]], [[[1]]], [1, 2], [[True]], [[10**30]],
]  # fmt: skip
RELATIONS = ["intersects", "disjoint", "equals", "touches", "crosses", "overlaps", "within", "contains", "x"]
FLAGS = [True, False]
MEAN, SUMS, ABSOLUTE = REDUCERS[0], one("cumsum", data=DATA), one("absolute", x=X)
FOREST = ({"predictors": CUBE, "target": SHAPES, "num_trees": 2},
          {"target": GEOMETRIES, "max_variables": ["all", "log2", "onethird", 1, 0, 100, 10**30, "x"],
           "num_trees": [1, 0, -1, 10**9, 10**30], "seed": [None, 0, -1, 10**30]})  # fmt: skip
CLASSES = ({"data": CUBE},
           {"scl_band_name": ["SCL", "B02", "x", None], "erosion_kernel_size": WHOLE, "kernel1_size": WHOLE,
            "kernel2_size": WHOLE, "mask1_values": [[], [1], [1e308], [-1], [10**30], [2.5]]})  # fmt: skip

#: By process: ordinary arguments, and odd ones by name.
CALLS: dict[str, tuple[dict[str, Any], dict[str, list[Any]]]] = {
    "add_dimension": (
        {"data": CUBE, "name": "new", "label": "a"},
        {"name": NAMES, "label": ["a", 1, "", 1e308, "2025-01-01", "POINT (1 2)", "POLYGON EMPTY", 10**30, "x" * 5000],
         "type": ["other", "spatial", "temporal", "bands", "geometry", "x"]},
    ),
    "aggregate_spatial": (
        {"data": CUBE, "geometries": SHAPES, "reducer": MEAN},
        {"geometries": GEOMETRIES, "reducer": REDUCERS, "target_dimension": NAMES, "context": CONTEXT},
    ),
    "aggregate_spatial_window": (
        {"data": CUBE, "reducer": MEAN, "size": [2, 2]},
        {"reducer": REDUCERS, "size": PAIRS, "boundary": ["pad", "trim", "x"], "align": POSITIONS, "context": CONTEXT},
    ),
    "aggregate_temporal": (
        {"data": CUBE, "intervals": [YEAR], "reducer": MEAN},
        {"intervals": INTERVALS, "reducer": REDUCERS, "labels": LABELS, "dimension": NAMES, "context": CONTEXT},
    ),
    "aggregate_temporal_period": (
        {"data": CUBE, "period": "month", "reducer": MEAN},
        {"period": PERIODS, "reducer": REDUCERS, "dimension": NAMES, "context": CONTEXT},
    ),
    "anomaly": ({"data": CUBE, "normals": SECOND, "period": "month"}, {"period": PERIODS}),
    "climatological_normal": (
        {"data": CUBE, "period": "month"},
        {"period": PERIODS, "climatology_period": [*EXTENTS, [], ["2025"]]},
    ),
    "apply": ({"data": CUBE, "process": ABSOLUTE}, {"process": FUNCTIONS, "context": CONTEXT}),
    "apply_dimension": (
        {"data": CUBE, "process": SUMS, "dimension": "t"},
        {"process": REDUCERS, "dimension": NAMES, "target_dimension": NAMES, "context": CONTEXT},
    ),
    "apply_kernel": (
        {"data": CUBE, "kernel": KERNELS[0]},
        {"kernel": KERNELS, "factor": NUMBERS, "replace_invalid": NUMBERS,
         "border": [0, 1e308, "replicate", "reflect", "reflect_pixel", "wrap", "x"]},
    ),
    "apply_neighborhood": (
        {"data": CUBE, "process": one("constant", x=DATA), "size": WINDOWS[0]},
        {"process": REDUCERS + FUNCTIONS, "size": WINDOWS, "overlap": [None, *WINDOWS], "context": CONTEXT},
    ),
    "apply_polygon": (
        {"data": CUBE, "geometries": SHAPES, "process": SUMS},
        {"geometries": GEOMETRIES, "process": REDUCERS + FUNCTIONS, "mask_value": VALUES, "context": CONTEXT},
    ),
    "chunk_polygon": ({"data": CUBE, "chunks": SHAPES, "process": SUMS}, {"chunks": GEOMETRIES, "mask_value": VALUES}),
    "ard_normalized_radar_backscatter": ({"data": CUBE}, {"contributing_area": FLAGS, "noise_removal": FLAGS}),
    "sar_backscatter": (
        {"data": CUBE},
        {"coefficient": ["beta0", "sigma0-ellipsoid", "gamma0-terrain", None, "x"], "mask": FLAGS,
         "noise_removal": FLAGS},
    ),
    "atmospheric_correction": ({"data": CUBE, "method": None}, {"method": ["FORCE", "iCOR", "dos1", "x"]}),
    "cloud_detection": ({"data": CUBE, "method": None}, {"method": ["Fmask", "s2cloudless", "scl", "x"]}),
    "aspect": ({"data": CUBE}, {}),
    "slope": ({"data": CUBE}, {}),
    "trim_cube": ({"data": CUBE}, {}),
    "dimension_labels": ({"data": CUBE, "dimension": "t"}, {"dimension": NAMES}),
    "drop_dimension": ({"data": CUBE, "name": "t"}, {"name": NAMES}),
    "filter_bands": ({"data": CUBE, "bands": ["B02"]}, {"bands": BANDS, "wavelengths": [[], [[0, 1]], [[1, 0]]]}),
    "filter_bbox": ({"data": CUBE, "extent": SQUARE}, {"extent": BOXES}),
    "filter_labels": (
        {"data": CUBE, "condition": one("neq", x=VALUE, y="B02"), "dimension": "bands"},
        {"condition": CONDITIONS, "dimension": NAMES, "context": CONTEXT},
    ),
    "filter_spatial": ({"data": CUBE, "geometries": SHAPES}, {"geometries": GEOMETRIES}),
    "filter_temporal": ({"data": CUBE, "extent": YEAR}, {"extent": EXTENTS, "dimension": NAMES}),
    "filter_vector": ({"data": CUBE, "geometries": SHAPES}, {"geometries": GEOMETRIES, "relation": RELATIONS}),
    "fit_class_random_forest": FOREST,
    "fit_regr_random_forest": FOREST,
    "flatten_dimensions": (
        {"data": CUBE, "dimensions": ["t", "bands"], "target_dimension": "both"},
        {"dimensions": [["bands", "t"], [], ["t"], ["t", "t"], ["x", "y"], ["x", "t"], ["geometry", "t"], [*"xyt"]],
         "target_dimension": NAMES, "label_separator": ["", "x", "a" * 300, "\0"]},
    ),
    "unflatten_dimension": (
        {"data": CUBE, "dimension": "bands", "target_dimensions": ["a", "b"]},
        {"dimension": NAMES, "target_dimensions": [[], ["a"], ["a", "a"], ["t", "x"], ["a", "b", "c"], ["", "b"]],
         "label_separator": ["", "B", "0"]},
    ),
    "mask": ({"data": CUBE, "mask": SECOND}, {"replacement": VALUES}),
    "mask_polygon": ({"data": CUBE, "mask": SHAPES}, {"mask": GEOMETRIES, "replacement": VALUES, "inside": FLAGS}),
    "mask_scl_dilation": CLASSES,
    "to_scl_dilation_mask": CLASSES,
    "merge_cubes": (
        {"cube1": CUBE, "cube2": SECOND},
        {"overlap_resolver": RESOLVERS, "context": CONTEXT},
    ),
    "ndvi": (
        {"data": CUBE, "nir": "B04", "red": "B02"},
        {"nir": ["x", "", "B02", "nir"], "red": ["x", "red"], "target_band": ["ndvi", "B02", "", "a" * 300]},
    ),
    "predict_curve": (
        {"parameters": CUBE, "function": FIRST, "dimension": "bands", "labels": YEAR},
        {"function": MODELS, "dimension": NAMES, "labels": [None, *LABELS]},
    ),
    "reduce_dimension": (
        {"data": CUBE, "reducer": MEAN, "dimension": "t"},
        {"reducer": REDUCERS, "dimension": NAMES, "context": CONTEXT},
    ),
    "reduce_spatial": ({"data": CUBE, "reducer": MEAN}, {"reducer": REDUCERS, "context": CONTEXT}),
    "rename_dimension": ({"data": CUBE, "source": "t", "target": "new"}, {"source": NAMES, "target": NAMES}),
    "rename_labels": (
        {"data": CUBE, "dimension": "bands", "target": ["a"], "source": ["B02"]},
        {"dimension": NAMES, "target": LABELS, "source": LABELS},
    ),
    "resample_cube_spatial": ({"data": CUBE, "target": SECOND}, {"method": METHODS}),
    "resample_cube_temporal": ({"data": CUBE, "target": SECOND}, {"dimension": NAMES, "valid_within": NUMBERS}),
    "resample_spatial": (
        {"data": CUBE, "resolution": 20},
        {"resolution": [*NUMBERS, 20, [20, 10], [0, 20], [1e-300, 1], [], [1]], "projection": SYSTEMS,
         "method": METHODS, "align": POSITIONS},
    ),
    "vector_buffer": ({"geometries": CUBE, "distance": 10}, {"geometries": GEOMETRIES, "distance": NUMBERS}),
    "vector_reproject": (
        {"data": CUBE, "projection": 4326},
        {"data": GEOMETRIES, "projection": SYSTEMS, "dimension": NAMES},
    ),
    "vector_to_random_points": (
        {"data": CUBE, "total_count": 3},
        {"data": GEOMETRIES, "geometry_count": WHOLE, "total_count": WHOLE, "group": FLAGS,
         "seed": [None, 0, -1, 10**30]},
    ),
    "vector_to_regular_points": (
        {"data": CUBE, "distance": 10},
        {"data": GEOMETRIES, "distance": NUMBERS, "group": FLAGS},
    ),
    "vector_to_raster": ({"data": SHAPES, "target": CUBE}, {"data": GEOMETRIES, "target": [SECOND]}),
}  # fmt: skip
FORMATS = ["GTiff", "netCDF", "PNG", "JPEG", "JSON", "CSV", "GeoJSON", "Parquet", "Zarr"]
