"""One process graph per process, each on the whole tile, and what its pixels must be, computed with plain numpy."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio.features
from affine import Affine
from archive import BANDS, DATES, EPSG, METRES, OPTICAL, Archive, Window, extent
from graphs import Graph, callback, chain, load, node, over, parameter, ref
from results import Raster
from shapely.geometry import mapping
from shapely.geometry.base import BaseGeometry

DATA, X, Y = parameter("data"), parameter("x"), parameter("y")
KERNEL = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1])
JULY = "2025-07-01"

Expect = Callable[[Archive, Window], np.ndarray]


@dataclass(frozen=True)
class Case:
    """A process on the whole tile."""

    process: str
    graph: Callable[[Archive], Graph]
    check: Callable[[Archive, Path], int]
    """Compares a result folder (or the value in `value.json`) with plain numpy; the number of values compared."""

    about: str = ""
    user: str | None = None
    """For whom it runs, where not for the operator."""


def compare(found: Any, wanted: Any, tolerance: float = 1e-5) -> int:
    """:raises AssertionError: where values differ."""
    found, wanted = np.asarray(found, "float64"), np.asarray(wanted, "float64")
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)
    return int(found.size)


def pixels(expect: Expect, tolerance: float = 1e-5, metres: float = METRES) -> Callable[[Archive, Path], int]:
    """A check of rasters on a grid that is aligned with the tile's upper left corner.

    :param expect: the planes of a part, counted from that corner in pixels of the result.
    """

    def check(archive: Archive, folder: Path) -> int:
        raster = Raster(folder)
        assert raster.transform.a == metres
        west, _, _, north = extent(archive.size)
        down, right = round((north - raster.transform.f) / metres), round((raster.transform.c - west) / metres)
        total = 0
        for window in raster.windows():
            place = Window(window.row + down, window.column + right, window.rows, window.columns)
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore", RuntimeWarning)  # means of nothing
                wanted = expect(archive, place)
            wanted = wanted.reshape(-1, window.rows, window.columns)
            total += compare(raster.planes(window), wanted, tolerance)
        return total

    return check


def s2(archive: Archive, *bands: str, id: str = OPTICAL, **more: Any) -> Graph:
    return load(id, bands or BANDS, archive.box, **more)


def steps(*nodes: Graph, bands: tuple[str, ...] = BANDS, format: str = "GTiff") -> Callable[[Archive], Graph]:
    """The graph of a load, n1, and nodes n2, n3 ..."""
    return lambda archive: chain(s2(archive, *bands), *nodes, format=format)


def reduce_t(reducer: Graph, data: str = "n1") -> Graph:
    return node("reduce_dimension", data=ref(data), dimension="t", reducer=reducer)


def along_t(name: str, *nodes: Graph, expect: Callable[[np.ndarray], np.ndarray], tolerance: float = 1e-5) -> Case:
    """A process of arrays, within a reducer along time."""

    def wanted(archive: Archive, window: Window) -> np.ndarray:
        return expect(archive.values(window))

    return Case(name, steps(reduce_t(callback(*nodes))), pixels(wanted, tolerance), "in a reducer along t")


# -- geometries -----------------------------------------------------------------------------------------


def place(archive: Archive, geometry: BaseGeometry) -> BaseGeometry:
    """A geometry in pixels of the tile (column, row) in the tile's reference system."""
    from shapely.affinity import affine_transform

    west, _, _, north = extent(archive.size)
    return affine_transform(geometry, [METRES, 0, 0, -METRES, west, north])


def collection(archive: Archive, *geometries: BaseGeometry) -> Graph:
    features = [
        {"type": "Feature", "properties": {"number": n}, "geometry": mapping(place(archive, geometry))}
        for n, geometry in enumerate(geometries)
    ]
    crs = {"type": "name", "properties": {"name": f"EPSG:{EPSG}"}}
    return {"type": "FeatureCollection", "crs": crs, "features": features}


def inside(archive: Archive, window: Window, *geometries: BaseGeometry) -> np.ndarray:
    """The pixels of a part whose centres are in geometries."""
    transform = Affine.translation(window.column, window.row)
    shape = (window.rows, window.columns)
    return ~rasterio.features.geometry_mask(geometries, shape, transform)


def within(expect: Expect, shapes: Callable[[Archive], list[BaseGeometry]]) -> Expect:
    """What is expected inside of geometries, and nothing outside."""
    return lambda archive, window: np.where(inside(archive, window, *shapes(archive)), expect(archive, window), np.nan)


# -- expectations ---------------------------------------------------------------------------------------


def raw(archive: Archive, window: Window) -> np.ndarray:
    return archive.values(window)


def kernel(archive: Archive, window: Window) -> np.ndarray:
    values = np.nan_to_num(archive.values(window.grown(2)))
    parts = [
        KERNEL[i, j] / 256 * values[..., i : i + window.rows, j : j + window.columns]
        for i in range(5)
        for j in range(5)
    ]
    return np.sum(parts, axis=0)


def masked(archive: Archive, window: Window) -> np.ndarray:
    scene = archive.stored("SCL", window)[:, None]
    return np.where(np.isin(scene, (3, 8, 9)), np.nan, archive.values(window))


def ndvi(archive: Archive, window: Window) -> np.ndarray:
    red, nir = np.moveaxis(archive.values(window), 1, 0)
    return (nir - red) / (nir + red)


def means(factor: int) -> Expect:
    """Means of squares of pixels."""

    def expect(archive: Archive, window: Window) -> np.ndarray:
        wide = Window(*(part * factor for part in (window.row, window.column, window.rows, window.columns)))
        values = archive.values(wide)
        cut = values.reshape(*values.shape[:2], window.rows, factor, window.columns, factor)
        return np.nanmean(cut, axis=(3, 5))

    return expect


def clouds(archive: Archive, window: Window) -> np.ndarray:
    scene = archive.stored("SCL", window)
    known = scene >= 2
    cloud = np.where(known, np.select([scene == 8, scene == 9], [0.5, 1.0], 0.0), np.nan)
    return np.stack([cloud, np.where(known, scene == 3, np.nan)], axis=1)


def surface(archive: Archive, window: Window) -> np.ndarray:
    """What ard_surface_reflectance makes of level 2 data."""
    values, seen = archive.values(window) * 0.0001 - 0.1, clouds(archive, window)
    clear = np.where((seen >= 0.5).any(axis=1, keepdims=True), np.nan, values)
    untested = np.isnan(values).any(axis=1, keepdims=True) | np.isnan(seen).any(axis=1, keepdims=True)
    saturated = np.where(np.isnan(seen[:, :1]), np.nan, 0.0)
    return np.concatenate([clear, untested, saturated, seen], axis=1)


# -- the processes that work on pixels one by one, or on filters ------------------------------------------


def _bad(codes: tuple[int, ...]) -> Graph:
    tests = [node("eq", x=X, y=code) for code in codes]
    return callback(*tests, node("any", data=[ref(f"n{n}") for n in range(1, len(codes) + 1)]))


def _inner_box(archive: Archive) -> dict[str, Any]:
    west, south, east, north = extent(archive.size)
    return {"west": west + 3330, "south": south + 770, "east": east - 510, "north": north - 1210, "crs": EPSG}


def _quantiles(archive: Archive, window: Window) -> np.ndarray:
    return np.nanquantile(archive.values(window), [0.1, 0.5, 0.9], axis=0)


PIXELWISE = [
    Case("load_collection", steps(), pixels(raw)),
    Case("save_result", steps(format="netCDF"), pixels(raw), "netCDF"),
    Case(
        "add_dimension",
        steps(node("add_dimension", data=ref("n1"), name="source", label="made up", type="other")),
        pixels(raw),
    ),
    Case(
        "drop_dimension",
        steps(node("drop_dimension", data=ref("n1"), name="bands"), bands=("B08",)),
        pixels(lambda a, w: a.values(w, ["B08"])),
    ),
    Case(
        "rename_dimension",
        steps(node("rename_dimension", data=ref("n1"), source="bands", target="colours")),
        pixels(raw),
    ),
    Case(
        "rename_labels",
        steps(node("rename_labels", data=ref("n1"), dimension="bands", target=["red", "nir"], source=list(BANDS))),
        pixels(raw),
    ),
    Case(
        "filter_bands",
        steps(node("filter_bands", data=ref("n1"), bands=["B08"])),
        pixels(lambda a, w: a.values(w, ["B08"])),
    ),
    Case("filter_bbox", lambda a: chain(s2(a), node("filter_bbox", data=ref("n1"), extent=_inner_box(a))), pixels(raw)),
    Case(
        "filter_temporal",
        steps(node("filter_temporal", data=ref("n1"), extent=[JULY, None])),
        pixels(lambda a, w: a.values(w)[2:]),
    ),
    Case(
        "filter_labels",
        steps(
            node(
                "filter_labels",
                data=ref("n1"),
                dimension="t",
                condition=callback(node("text_contains", data=parameter("value"), pattern="2025-07")),
            )
        ),
        pixels(lambda a, w: a.values(w)[2:]),
    ),
    Case(
        "apply",
        steps(
            node("apply", data=ref("n1"), process=callback(node("linear_scale_range", x=X, inputMin=0, inputMax=8000)))
        ),
        pixels(lambda a, w: np.clip(a.values(w), 0, 8000) / 8000),
    ),
    Case(
        "is_infinite",
        steps(node("apply", data=ref("n1"), process=callback(node("is_infinite", x=X)))),
        pixels(lambda a, w: np.zeros((8, w.rows, w.columns))),
        "in apply",
    ),
    Case("ndvi", steps(node("ndvi", data=ref("n1"))), pixels(ndvi)),
    Case(
        "mask",
        lambda a: chain(
            s2(a),
            s2(a, "SCL"),
            node("apply", data=ref("n2"), process=_bad((3, 8, 9))),
            node("mask", data=ref("n1"), mask=ref("n3")),
        ),
        pixels(masked),
    ),
    Case(
        "merge_cubes",
        lambda a: chain(
            s2(a),
            node("apply", data=ref("n1"), process=callback(node("add", x=X, y=10))),
            node("merge_cubes", cube1=ref("n1"), cube2=ref("n2"), overlap_resolver=callback(node("add", x=X, y=Y))),
        ),
        pixels(lambda a, w: 2 * a.values(w) + 10),
        "with an overlap resolver",
    ),
    Case(
        "merge_cubes_join",
        lambda a: chain(s2(a, "B08"), s2(a, "B04"), node("merge_cubes", cube1=ref("n1"), cube2=ref("n2"))),
        pixels(lambda a, w: a.values(w, ["B08", "B04"])),
        "two loads side by side",
    ),
    Case(
        "load_stac",
        lambda a: chain(
            node(
                "load_stac",
                url=f"{a.url}/{OPTICAL}/collection.json",
                spatial_extent=a.box,
                bands=list(BANDS),
            )
        ),
        pixels(raw),
        "over HTTP",
    ),
    Case(
        "flatten_dimensions",
        steps(node("flatten_dimensions", data=ref("n1"), dimensions=["t", "bands"], target_dimension="layers")),
        pixels(raw),
    ),
    Case(
        "unflatten_dimension",
        steps(
            node("flatten_dimensions", data=ref("n1"), dimensions=["t", "bands"], target_dimension="layers"),
            node("unflatten_dimension", data=ref("n2"), dimension="layers", target_dimensions=["t", "bands"]),
            reduce_t(over("max"), "n3"),
        ),
        pixels(lambda a, w: np.nanmax(a.values(w), axis=0)),
    ),
]

# -- along time -----------------------------------------------------------------------------------------

N1, N2 = ref("n1"), ref("n2")

TEMPORAL = [
    Case("reduce_dimension", steps(reduce_t(over("median"))), pixels(lambda a, w: np.nanmedian(a.values(w), axis=0))),
    Case(
        "apply_dimension",
        steps(
            node("apply_dimension", data=N1, dimension="t", process=over("quantiles", probabilities=[0.1, 0.5, 0.9]))
        ),
        pixels(_quantiles),
        "quantiles",
    ),
    Case(
        "aggregate_temporal",
        steps(
            node(
                "aggregate_temporal",
                data=N1,
                intervals=[["2025-06-01", JULY], [JULY, "2025-08-01"]],
                reducer=over("mean"),
            )
        ),
        pixels(lambda a, w: np.stack([np.nanmean(a.values(w)[part], axis=0) for part in (slice(2), slice(2, 4))])),
    ),
    Case(
        "aggregate_temporal_period",
        steps(node("aggregate_temporal_period", data=N1, period="month", reducer=over("max"))),
        pixels(lambda a, w: np.stack([np.nanmax(a.values(w)[part], axis=0) for part in (slice(2), slice(2, 4))])),
    ),
    Case(
        "resample_cube_temporal",
        lambda a: chain(
            s2(a),
            node("filter_temporal", data=N1, extent=[JULY, None]),
            node("resample_cube_temporal", data=N1, target=N2),
        ),
        pixels(lambda a, w: a.values(w)[2:]),
    ),
    *(
        along_t(
            name,
            node(name, data=DATA),
            node("array_element", data=N1, index=3),
            expect=lambda v, total=total: np.where(np.isnan(v[3]), np.nan, total(v, axis=0)),
        )
        for name, total in (
            ("cumsum", np.nansum),
            ("cumproduct", np.nanprod),
            ("cummin", np.nanmin),
            ("cummax", np.nanmax),
        )
    ),
    along_t(
        "order",
        node("order", data=DATA, nodata=True),
        node("array_element", data=N1, index=0),
        expect=lambda v: np.argsort(np.where(np.isnan(v), np.inf, v), axis=0, kind="stable")[0],
    ),
    along_t(
        "rearrange",
        node("order", data=DATA, nodata=True),
        node("rearrange", data=DATA, order=N1),
        node("array_element", data=N2, index=3),
        expect=lambda v: np.take_along_axis(
            v, np.argsort(np.where(np.isnan(v), np.inf, v), axis=0, kind="stable")[3:4], axis=0
        )[0],
    ),
    along_t(
        "array_apply",
        node("array_apply", data=DATA, process=callback(node("multiply", x=X, y=2))),
        node("max", data=N1),
        expect=lambda v: 2 * np.nanmax(v, axis=0),
    ),
    along_t(
        "array_append",
        node("array_append", data=DATA, value=5000),
        node("min", data=N1),
        expect=lambda v: np.minimum(np.nanmin(v, axis=0), 5000),
    ),
    along_t("array_contains", node("array_contains", data=DATA, value=1700), expect=lambda v: (v == 1700).any(axis=0)),
    along_t(
        "array_filter",
        node("array_filter", data=DATA, condition=callback(node("gt", x=X, y=2000))),
        node("count", data=N1),
        expect=lambda v: (v > 2000).sum(axis=0),
    ),
    along_t(
        "array_interpolate_linear",
        node("array_interpolate_linear", data=DATA),
        node("array_element", data=N1, index=1),
        expect=lambda v: np.where(np.isnan(v[1]), v[0] + (v[2] - v[0]) * 10 / 30, v[1]),
        tolerance=1e-3,
    ),
    along_t(
        "array_modify",
        node("array_modify", data=DATA, values=[1], index=2),
        node("min", data=N1),
        expect=lambda v: np.ones(v.shape[1:]),
    ),
    along_t(
        "array_create_labeled",
        node("array_create_labeled", data=DATA, labels=["a", "b", "c", "d"]),
        node("array_element", data=N1, label="c"),
        expect=lambda v: v[2],
    ),
    along_t(
        "array_find_label",
        node("array_create_labeled", data=DATA, labels=["a", "b", "c", "d"]),
        node("array_find_label", data=N1, label="d"),
        node("array_element", data=DATA, index=N2),
        expect=lambda v: v[3],
    ),
    along_t(
        "array_labels",
        node("array_labels", data=DATA),
        node("count", data=N1),
        expect=lambda v: np.full(v.shape[1:], len(DATES)),
    ),
]

ARD = [
    Case(
        "cloud_detection",
        lambda a: chain(s2(a, "SCL", "B08"), node("cloud_detection", data=N1, method=None)),
        pixels(clouds),
    ),
    Case(
        "ard_surface_reflectance",
        lambda a: chain(
            s2(a, *BANDS, "SCL"),
            node(
                "ard_surface_reflectance",
                data=N1,
                atmospheric_correction_method="iCOR",
                cloud_detection_method="Sen2Cor",
            ),
        ),
        pixels(surface),
    ),
]


def named(cases: list[Case]) -> Mapping[str, Case]:
    return {case.process: case for case in cases}
