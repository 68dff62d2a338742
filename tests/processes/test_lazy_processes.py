"""Lazy in, lazy out: all processes of cubes, on dask arrays that must not be computed while a graph is built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dask
import dask.array as da
import numpy as np
import pandas as pd
import pytest
import shapely
import xarray as xr
from odc.geo.crs import CRS

from openeo_backend.cube import Band, Cube, Dimension, Provenance
from openeo_backend.graph.callback import Scope
from openeo_backend.graph.evaluate import evaluate
from openeo_backend.graph.parse import parse
from openeo_backend.processes.environment import Env
from openeo_backend.processes.registry import Registry

CORNER = (500_000.0, 5_700_000.0)
BANDS = ("B02", "B03", "B04", "B08", "B11", "B12", "SCL")
DATES = ("1990-01-05", "1990-07-05", "1991-02-05", "1991-08-05")
CUBES = {"datacube", "raster-cube", "vector-cube"}

#: Processes that cannot be lazy or that this test cannot call, each with the reason.
EXEMPT = {
    "create_data_cube": "its single value is a constant",
    "create_raster_cube": "its single value is a constant",
    "trim_cube": "which labels stay depends on the values; tested in cubes/test_dimensions_cubes.py",
    "fit_class_random_forest": "training makes a model, not a cube",
    "fit_regr_random_forest": "training makes a model, not a cube",
    "load_collection": "takes no cube of pixels; loads are tested in tests/catalog",
    "load_stac": "takes no cube of pixels; loads are tested in tests/catalog",
    "load_result": "takes no cube of pixels; loads are tested in tests/catalog",
    "load_geojson": "takes no cube; the values are part of the graph",
    "load_url": "takes no cube; vector files are read as a whole",
    "load_uploaded_files": "takes no cube; vector files are read as a whole",
    "ard_normalized_radar_backscatter": "needs radar images; tested in ard/test_radar_images.py",
    "export_collection": "hands over what save_result made; tested in platform/test_exports.py",
    "export_workspace": "hands over what save_result made; tested in platform/test_exports.py",
    "stac_modify": "changes documents, not cubes; tested in platform/test_exports.py",
    "run_ogcapi": "a server needs the values; tested in platform/test_ogcapi.py",
    "run_ogcapi_externally": "a server needs the values; tested in platform/test_ogcapi.py",
}


def callback(process: str, **arguments: Any) -> dict[str, Any]:
    return {"process_graph": {"only": {"process_id": process, "arguments": arguments, "result": True}}}


DATA, X, Y = ({"from_parameter": name} for name in ("data", "x", "y"))
MEAN = callback("mean", data=DATA)
ADD = callback("add", x=X, y=Y)
HALF = callback("divide", x=X, y=2)
LINE = callback("add", x={"from_parameter": "x"}, y=1)
POLYGON = {
    "type": "Feature",
    "properties": {},
    "geometry": {"type": "Polygon", "coordinates": [[[3.0, 51.4], [3.001, 51.4], [3.001, 51.46], [3.0, 51.4]]]},
}
CUBE, SECOND, MONO, ZONES = ({"from_parameter": name} for name in ("cube", "second", "mono", "zones"))


def case(**arguments: Any) -> dict[str, Any]:
    return arguments


#: Arguments by process; several where a process has ways of its own.
CASES: dict[str, list[dict[str, Any]]] = {
    "add_dimension": [case(data=CUBE, name="source", label="a")],
    "aggregate_spatial": [
        case(data=CUBE, geometries=POLYGON, reducer=MEAN),
        case(data=CUBE, geometries=ZONES, reducer=callback("median", data=DATA)),
        case(data=CUBE, geometries=ZONES, reducer=callback("array_element", data=DATA, index=0)),
    ],
    "aggregate_spatial_window": [case(data=CUBE, reducer=MEAN, size=[3, 2])],
    "aggregate_temporal": [case(data=CUBE, intervals=[["1990-01-01", "1990-08-01"]], reducer=MEAN)],
    "aggregate_temporal_period": [
        case(data=CUBE, period=period, reducer=MEAN) for period in ("month", "season", "decade-ad")
    ],
    "anomaly": [case(data=CUBE, normals={"from_node": "normals"}, period="month")],
    "apply": [case(data=CUBE, process=HALF), case(data=CUBE, process=callback("is_valid", x=X))],
    "apply_dimension": [
        case(data=CUBE, dimension="t", process=callback("array_interpolate_linear", data=DATA)),
        case(data=CUBE, dimension="t", process=callback("sort", data=DATA)),
        case(data=CUBE, dimension="t", process=callback("quantiles", data=DATA, q=4), target_dimension="q"),
        case(
            data=CUBE,
            dimension="t",
            process=callback("fit_curve", data=DATA, parameters=[1], function=LINE),
            target_dimension="parameters",
        ),
    ],
    "apply_kernel": [case(data=CUBE, kernel=[[1, 1, 1]], border="reflect")],
    "apply_neighborhood": [
        case(
            data=CUBE,
            process=callback("apply_kernel", data=DATA, kernel=[[2]]),
            size=[{"dimension": name, "value": 4, "unit": "px"} for name in ("x", "y")],
            overlap=[{"dimension": "x", "value": 1, "unit": "px"}],
        )
    ],
    "apply_polygon": [case(data=CUBE, geometries=POLYGON, process=callback("apply_kernel", data=DATA, kernel=[[2]]))],
    "ard_surface_reflectance": [
        case(data=CUBE, atmospheric_correction_method="iCOR", cloud_detection_method="Sen2Cor")
    ],
    "aspect": [case(data=MONO)],
    "atmospheric_correction": [case(data={"from_parameter": "toa"}, method=None)],
    "chunk_polygon": [case(data=CUBE, chunks=POLYGON, process=callback("apply_kernel", data=DATA, kernel=[[2]]))],
    "climatological_normal": [case(data=CUBE, period="month", climatology_period=[1990, 1991])],
    "cloud_detection": [case(data={"from_parameter": "toa"}, method=None)],
    "constant": [case(x=CUBE)],
    "dimension_labels": [case(data=CUBE, dimension="t")],
    "drop_dimension": [case(data=MONO, name="t")],
    "filter_bands": [case(data=CUBE, bands=["B03"])],
    "filter_bbox": [
        case(data=CUBE, extent={"west": 500_020, "south": 5_699_900, "east": 500_060, "north": 5_699_990, "crs": 32631})
    ],
    "filter_labels": [
        case(data=CUBE, dimension="bands", condition=callback("eq", x={"from_parameter": "value"}, y="B02"))
    ],
    "filter_spatial": [case(data=CUBE, geometries=POLYGON)],
    "filter_temporal": [case(data=CUBE, extent=["1990-03-01", None])],
    "filter_vector": [case(data=ZONES, geometries=POLYGON)],
    "flatten_dimensions": [case(data=CUBE, dimensions=["t", "bands"], target_dimension="all")],
    "if": [case(value=True, accept=CUBE, reject=SECOND)],
    "inspect": [case(data=CUBE)],
    "mask": [case(data=CUBE, mask={"from_parameter": "where"})],
    "mask_polygon": [case(data=CUBE, mask=POLYGON), case(data=CUBE, mask=ZONES, inside=True, replacement=7)],
    "mask_scl_dilation": [case(data=CUBE)],
    "merge_cubes": [
        case(cube1=CUBE, cube2=SECOND, overlap_resolver=ADD),
        case(cube1=CUBE, cube2=MONO, overlap_resolver=callback("max", data=[X, Y])),
        case(cube1=ZONES, cube2=ZONES, overlap_resolver=ADD),
    ],
    "ndvi": [case(data=CUBE), case(data=CUBE, target_band="ndvi")],
    "predict_curve": [
        case(parameters={"from_parameter": "coefficients"}, function=LINE, dimension="t", labels=["2020-01-01"])
    ],
    "reduce_dimension": [
        case(data=CUBE, dimension=dimension, reducer=callback(reducer, data=DATA))
        for dimension, reducer in (("t", "median"), ("bands", "first"), ("x", "sd"), ("t", "count"))
    ],
    "reduce_spatial": [case(data=CUBE, reducer=MEAN)],
    "rename_dimension": [case(data=CUBE, source="bands", target="variable")],
    "rename_labels": [case(data=CUBE, dimension="bands", target=["blue"], source=["B02"])],
    "resample_cube_spatial": [case(data=CUBE, target={"from_parameter": "coarse"}, method="bilinear")],
    "resample_cube_temporal": [case(data=CUBE, target=SECOND), case(data=CUBE, target=SECOND, valid_within=300)],
    "resample_spatial": [
        case(data=CUBE, resolution=20, method="average"),
        case(data=CUBE, projection=4326, resolution=0.0002, method="cubic"),
    ],
    "sar_backscatter": [case(data={"from_parameter": "radar"}, coefficient="sigma0-ellipsoid", noise_removal=False)],
    "save_result": [case(data=CUBE, format="netCDF")],
    "slope": [case(data=MONO)],
    "to_scl_dilation_mask": [case(data=CUBE)],
    "unflatten_dimension": [
        case(data={"from_parameter": "flat"}, dimension="bands", target_dimensions=["level", "number"])
    ],
    "vector_buffer": [case(geometries=ZONES, distance=5)],
    "vector_reproject": [case(data=ZONES, projection=3035)],
    "vector_to_random_points": [case(data=ZONES, geometry_count=2, seed=1)],
    "vector_to_raster": [case(data=ZONES, target=MONO)],
    "vector_to_regular_points": [case(data=ZONES, distance=10)],
}


def raster(
    bands: tuple[str, ...] = BANDS, dates: tuple[str, ...] = DATES, step: float = 10.0, dtype: Any = "float32",
    **more: Any,
) -> Cube:  # fmt: skip
    """A cube of dask blocks of 8 pixels."""
    coords = {
        "t": np.array(dates, dtype="datetime64[ns]"),
        "bands": np.array(bands, dtype=object),
        "y": CORNER[1] - (np.arange(16) + 0.5) * step,
        "x": CORNER[0] + (np.arange(16) + 0.5) * step,
    }
    dimensions = (
        Dimension("t", "temporal"),
        Dimension("bands", "bands"),
        Dimension("y", "spatial", "y", -step),
        Dimension("x", "spatial", "x", step),
    )
    values = da.ones((len(dates), len(bands), 16, 16), chunks=(1, 1, 8, 8), dtype=dtype)
    return Cube(xr.DataArray(values, coords, tuple(coords)), dimensions, CRS("EPSG:32631"), **more)


def zones() -> Cube:
    """Two polygons with a lazy value per date."""
    west, north = CORNER
    boxes = [shapely.box(west + 11, north - 60, west + 47, north - 12), shapely.box(west, north - 99, west + 99, north)]
    geometries = np.empty(2, dtype=object)
    geometries[:] = boxes
    coords = {"geometry": geometries, "t": np.array(DATES, dtype="datetime64[ns]")}
    values = xr.DataArray(da.ones((2, len(DATES)), chunks=1, dtype="float32"), coords, tuple(coords))
    dimensions = (Dimension("geometry", "geometry"), Dimension("t", "temporal"))
    return Cube(values, dimensions, CRS("EPSG:32631"), properties=pd.DataFrame({"number": [1, 2]}))


def given() -> dict[str, Any]:
    """The cubes that the cases name."""
    names = {"B02": "blue", "B03": "green", "B04": "red", "B08": "nir", "B11": "swir16", "B12": "swir22"}
    reflectances = {label: Band(common_name=name, wavelength=0.5) for label, name in names.items()}
    hollstein = ("B01", "B02", "B03", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11")
    coefficients = raster(("b",), ("1990-01-01",))
    data = coefficients.data.rename({"t": "parameters"}).assign_coords(parameters=[0])
    coefficients = coefficients.patch(
        data=data, dimensions=(Dimension("parameters", "other"), *coefficients.dimensions[1:])
    )
    return {
        "cube": raster().patch(bands=reflectances, provenance=Provenance(levels=("L2",))),
        "second": raster(dates=("1990-07-05", "1992-01-01")),
        "mono": raster(("height",), ("1990-01-05",)),
        "coarse": raster(step=20.0),
        "where": raster(dtype=bool),
        "flat": raster(("a~1", "a~2", "b~1", "b~2")),
        "radar": raster(("VV", "VH")).patch(provenance=Provenance(coefficients=("sigma0-ellipsoid",))),
        "toa": raster(hollstein, ("2023-06-21T10:50:31",)).patch(
            bands={label: Band(wavelength=0.5) for label in hollstein}, provenance=Provenance(levels=("L1",))
        ),
        "coefficients": coefficients,
        "zones": zones(),
    }


def takes_cubes(spec: Mapping[str, Any]) -> bool:
    """Whether a specification has data cubes among the parameters or as the return value."""
    schemas = [entry["schema"] for entry in [*spec.get("parameters", ()), spec["returns"]]]
    flat = [schema for entry in schemas for schema in (entry if isinstance(entry, list) else [entry])]
    return any(schema.get("subtype") in CUBES for schema in flat)


@contextmanager
def nothing_computed() -> Iterator[None]:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a lazy cube was computed while the graph was built")

    with dask.config.set(scheduler=refuse):
        yield


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.predefined(lambda name: True)


def test_every_process_of_cubes_is_tried_or_exempt(registry: Registry) -> None:
    found = {id for id in registry.ids() if takes_cubes(registry[id].spec)}
    assert found <= CASES.keys() | EXEMPT.keys()
    assert not CASES.keys() & EXEMPT.keys()
    assert set(registry.ids()) >= CASES.keys() | EXEMPT.keys()


@pytest.mark.parametrize(
    ("process", "arguments"), [pytest.param(id, arguments, id=id) for id, cases in CASES.items() for arguments in cases]
)
def test_lazy_cubes_stay_lazy(registry: Registry, process: str, arguments: dict[str, Any]) -> None:
    graph: dict[str, Any] = {"tried": {"process_id": process, "arguments": arguments, "result": True}}
    if process == "anomaly":
        normals = {"data": CUBE, "period": "month", "climatology_period": [1990, 1991]}
        graph["normals"] = {"process_id": "climatological_normal", "arguments": normals}
    env = Env(log=lambda level, message, **_: None)
    with nothing_computed():
        value = evaluate(parse(graph), registry, Scope(given()), env)
    value = env.saved[0].value if env.saved else value
    if process == "dimension_labels":
        assert len(value) == len(DATES)
        return
    assert isinstance(value, Cube)
    if process.startswith("vector_to_") and process.endswith("_points"):
        assert value.is_vector  # points, without values
        return
    assert value.is_lazy
    assert np.asarray(value.data.compute(scheduler="synchronous")).dtype == value.data.dtype
