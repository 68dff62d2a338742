"""Cubes that graphs rarely have, but can: without pixels, labels or dimensions, of all types, on all kinds of grids."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import shapely
import xarray as xr
from odc.geo.crs import CRS
from shapely.geometry import GeometryCollection, LineString, MultiPoint, Point, Polygon

from openeo_backend.cube import Band, Cube, Dimension, Provenance

DEGREES, METRES = CRS("EPSG:4326"), CRS("EPSG:32632")

FULL = ("t", "bands", "y", "x")
SIZES = {"x": 6, "y": 5, "t": 3, "bands": 2, "z": 2, "number": 3, "other": 2, "time": 2, "geometry": 3}
DIMENSIONS = {
    "x": Dimension("x", "spatial", "x", 10.0),
    "y": Dimension("y", "spatial", "y", -10.0),
    "z": Dimension("z", "spatial", "z"),
    "t": Dimension("t", "temporal"),
    "time": Dimension("time", "temporal"),
    "bands": Dimension("bands", "bands"),
    "number": Dimension("number", "other"),
    "other": Dimension("other", "other"),
    "geometry": Dimension("geometry", "geometry"),
}


def objects(*values: Any) -> np.ndarray:
    found = np.empty(len(values), dtype=object)
    found[:] = list(values)
    return found


def labels(name: str, count: int) -> np.ndarray:
    """Ordinary labels of a dimension."""
    index = np.arange(count)
    if name == "geometry":
        west = 719_200 + 10 * index
        return objects(*shapely.box(west, 5_378_450, west + 30, 5_378_480))
    if name in ("t", "time"):
        return np.datetime64("2025-05-01T10:10:31", "ns") + index * np.timedelta64(10, "D")
    if name == "bands":
        return objects(*["B02", "B04", "B08", "SCL", *(f"b{i}" for i in index)][:count])
    if name == "other":
        return objects(*(f"o{i}" for i in index))
    numbers = {"x": 719_200 + 10.0 * index, "y": 5_378_500 - 10.0 * index, "z": 1.0 * index, "number": 0.5 * index}
    return numbers[name]


def values(shape: tuple[int, ...], dtype: np.dtype, kind: str) -> np.ndarray:
    """Numbers, texts or truth values, some of them missing (`mixed`), all (`missing`), infinite or the largest."""
    numbers = np.random.default_rng(1).random(math.prod(shape)) * 10
    if dtype.kind == "O":
        found = objects(*(["a", None, "2025-01-01", "b"][int(number) % 4] for number in numbers))
    elif dtype.kind == "b":
        found = numbers > 5
    else:
        found = numbers.astype(dtype)
    if dtype.kind == "f":
        found[{"mixed": slice(0, None, 3), "missing": slice(None)}.get(kind, slice(0, 0))] = np.nan
        if kind == "infinite":
            found[::2], found[1::4] = np.inf, -np.inf
        elif kind == "huge":
            found[:] = np.finfo(dtype).max / 1e8
    elif kind == "missing":
        found[:] = 0
    elif kind == "huge":
        found[:], found[::2] = np.iinfo(dtype).max, np.iinfo(dtype).min
    return found.reshape(shape)


def make(
    dims: tuple[str, ...] = FULL,
    *,
    lazy: bool,
    dtype: str = "float32",
    kind: str = "mixed",
    crs: CRS | None = METRES,
    sizes: Mapping[str, int] | None = None,
    own: Mapping[str, Any] | None = None,
    regular: bool = True,
    **fields: Any,
) -> Cube:
    """:param own: labels of some dimensions."""
    lengths = {**SIZES, **(sizes or {}), **{name: len(found) for name, found in (own or {}).items()}}
    coords = {name: (name, np.asarray((own or {}).get(name, labels(name, lengths[name])))) for name in dims}
    array = xr.DataArray(values(tuple(lengths[d] for d in dims), np.dtype(dtype), kind), dims=dims, coords=coords)
    if lazy:
        array = array.chunk({name: max(-(-lengths[name] // 2), 1) for name in dims})
    described = tuple(DIMENSIONS[name] if regular else DIMENSIONS[name].patch(step=None) for name in dims)
    return Cube(array, described, crs if {"x", "y", "geometry"} & {*dims} else None, **fields)


TABLE = pd.DataFrame({"a": [1, 2, 3], "b": ["x", None, "y"], "c": [1.5, None, 2], "d": [True, False, True]})
ODD_TABLE = pd.DataFrame(
    {
        "a": [None, 1, "x", 2.5, True, [], {}, math.nan],
        "": [1] * 8,
        "geometry": [1] * 8,
        "B02": ["x"] * 8,
        "n/b": ["a\0b"] * 8,
        "big": [10**30] * 8,
    }
)
PLACES = objects(
    Point(719_210, 5_378_470),
    LineString([(719_200, 5_378_470), (719_240, 5_378_490)]),
    Polygon(),
    None,
    MultiPoint([(719_210, 5_378_470), (719_250, 5_378_490)]),
    GeometryCollection([Point(719_210, 5_378_470), shapely.box(719_200, 5_378_450, 719_220, 5_378_480)]),
    Polygon([(719_200, 5_378_450), (719_250, 5_378_490), (719_250, 5_378_450), (719_200, 5_378_490)]),
    Point(719_210, 5_378_470, 5),
)
TYPES = [("uint8", 0), ("uint8", None), ("int8", -128), ("int16", -1), ("uint32", 7), ("int64", None), ("int64", 0)]
TYPES += [("uint64", None), ("float64", None), ("bool", None), ("object", None)]
EXTREMES = [("missing", "float32"), ("infinite", "float32"), ("huge", "float32"), ("huge", "float64")]
EXTREMES += [("huge", "int64"), ("huge", "uint64"), ("infinite", "float64")]

#: Rasters and tables: keyword arguments of `make`.
RASTERS: dict[str, dict[str, Any]] = {
    "full": {},
    **{f"without {name}": {"dims": tuple(d for d in FULL if d != name)} for name in FULL},
    **{f"no {name}": {"sizes": {name: 0}} for name in FULL},
    **{f"one {name}": {"sizes": {name: 1}} for name in FULL},
    **{f"only {name}": {"dims": (name,)} for name in FULL},
    **{f"{dtype} {nodata}": {"dtype": dtype, "nodata": nodata} for dtype, nodata in TYPES},
    **{f"{kind} {dtype}": {"dtype": dtype, "kind": kind} for kind, dtype in EXTREMES},
    "plane": {"dims": ("y", "x")},
    "series": {"dims": ("t", "y", "x")},
    "bare": {"dims": ()},
    "bare number": {"dims": (), "dtype": "uint8", "nodata": 0},
    "bare text": {"dims": (), "dtype": "object"},
    "one pixel": {"sizes": {"x": 1, "y": 1}},
    "one value": {"sizes": dict.fromkeys(FULL, 1)},
    "one value of unknown size": {"sizes": dict.fromkeys(FULL, 1), "regular": False},
    "nothing": {"sizes": dict.fromkeys(FULL, 0)},
    "all missing": {"dtype": "uint8", "kind": "missing", "nodata": 0},
    "no system": {"crs": None},
    "irregular": {"own": {"x": [719_200.0, 719_201, 719_230, 719_240]}, "regular": False},
    "unordered": {"own": {"x": [5.0, 1, 3, 2, 9, 4]}, "regular": False},
    "same places": {"own": {"x": [5.0] * 6}, "regular": False},
    "counted": {"own": {"x": np.arange(6), "y": np.arange(5)}, "regular": False},
    "turned": {"own": {"x": 719_250 - 10.0 * np.arange(6), "y": 5_378_450 + 10.0 * np.arange(5)}, "regular": False},
    "degrees": {"crs": DEGREES, "own": {"x": 11.968 + 0.001 * np.arange(6), "y": 48.523 - 0.001 * np.arange(5)}},
    "world": {"crs": DEGREES, "own": {"x": -180 + 60.0 * np.arange(6), "y": 90 - 45.0 * np.arange(5)}},
    "beyond the world": {"crs": DEGREES, "own": {"x": 1e6 + np.arange(6.0), "y": 1e6 - np.arange(5.0)}},
    "far": {"own": {"x": 9e13 + 10 * np.arange(6), "y": 9e13 - 10 * np.arange(5)}},
    "tiny": {"own": {"x": 1e-300 * np.arange(6), "y": -1e-300 * np.arange(5)}, "regular": False},
    "other order": {"dims": ("x", "y", "bands", "t")},
    "more": {"dims": (*FULL, "number", "other")},
    "others first": {"dims": ("number", "other", "y", "x")},
    "heights": {"dims": ("z", "y", "x")},
    "two times": {"dims": ("t", "time", "y", "x")},
    "only times": {"dims": ("t", "time")},
    "seasons": {"own": {"t": objects("winter", "summer", "x")}},
    "months": {"own": {"t": objects("2025-05", "2025-06", "2025-07")}},
    "same dates": {"own": {"t": np.array(["2025-05-01"] * 3, "M8[ns]")}},
    "backwards": {"own": {"t": np.array(["2025-07-01", "2025-06-01", "2024-05-01"], "M8[ns]")}},
    "far dates": {"own": {"t": np.array(["1678-01-01", "2025-06-01", "2262-01-01"], "M8[ns]")}},
    "odd bands": {"own": {"bands": objects("", "é/\x00:" + "n" * 300)}},
    "many bands": {"sizes": {"bands": 30, "t": 1, "x": 2, "y": 2}},
    "scaled": {"dtype": "uint16", "nodata": 0, "bands": {"B02": Band("blue", 0.49, 1e-4, -0.1, nodata=math.nan)}},
    "radar": {"own": {"bands": objects("VV", "VH")}, "provenance": Provenance(coefficients=("beta0",))},
    "optical": {
        "own": {"bands": objects("red", "nir", "SCL")},
        "bands": {"red": Band("red"), "nir": Band("nir")},
        "provenance": Provenance(levels=("L1",), sun=(("2025-05-01T10:10:31Z", 30.0),)),
    },
    "classes": {"dtype": "uint8", "nodata": 0, "own": {"bands": objects("SCL")}},
}
VECTORS: dict[str, dict[str, Any]] = {
    "features": {"dims": ("geometry",), "properties": TABLE},
    "shapes": {"dims": ("geometry",)},
    "no features": {"dims": ("geometry",), "sizes": {"geometry": 0}, "properties": TABLE.iloc[:0]},
    "feature series": {"dims": ("t", "geometry", "bands"), "properties": TABLE},
    "features without dates": {"dims": ("geometry", "t"), "sizes": {"t": 0}, "properties": TABLE},
    "feature pixels": {"dims": ("geometry", "y", "x"), "properties": TABLE},
    "odd features": {"dims": ("geometry", "bands"), "own": {"geometry": PLACES}, "properties": ODD_TABLE},
    "no geometry": {"dims": ("geometry",), "own": {"geometry": objects(None)}},
    "empty geometry": {"dims": ("geometry",), "own": {"geometry": objects(Polygon())}},
    "points": {"dims": ("geometry",), "own": {"geometry": PLACES[[0, 0]]}, "properties": TABLE.iloc[:2]},
    "lines": {"dims": ("geometry",), "own": {"geometry": PLACES[1:2]}},
    "shapes without system": {"dims": ("geometry",), "crs": None},
    "in degrees": {
        "dims": ("geometry",),
        "crs": DEGREES,
        "own": {"geometry": objects(shapely.box(11.9672, 48.519, 11.972, 48.5225), shapely.box(0, 0, 1, 1))},
    },
    "numbers": {"dims": ("geometry",), "dtype": "int64", "nodata": 0, "properties": TABLE},
    "texts": {"dims": ("geometry",), "dtype": "object", "properties": TABLE},
    "truth": {"dims": ("geometry",), "dtype": "bool", "properties": TABLE},
}

#: Makers of all of them by name, each at once and lazy.
CUBES: dict[str, Callable[[], Cube]] = {
    f"{name}{', lazy' * lazy}": partial(make, lazy=lazy, **given)
    for lazy in (False, True)
    for name, given in {**RASTERS, **VECTORS}.items()
}
