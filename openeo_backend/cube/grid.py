"""Extents and grids: what bounding boxes select, and where the pixels of a cube lie.

A pixel stands for the point at its centre: a box or polygon selects the pixels whose centres it intersects.
Boxes given in another reference system are projected with densified edges to their envelope.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from pyproj.exceptions import ProjError

from openeo_backend.cube.bounds import refuse_large
from openeo_backend.cube.cube import Cube
from openeo_backend.cube.dimension import Dimension
from openeo_backend.cube.extent import Area, parse_crs
from openeo_backend.errors import OpenEOError

#: Part of a pixel by which a centre may miss the edge of an extent and still count: rounding of projections.
TOLERANCE = 1e-6

#: Points per edge when boxes are projected.
DENSIFY = 51


class Bounds(NamedTuple):
    """A rectangle in the units of some reference system."""

    left: float
    bottom: float
    right: float
    top: float


def transformer(source: CRS, target: CRS) -> Transformer:
    """The transformation between two systems, x before y on both sides."""
    return _transformer(str(source), str(target))  # to hash a system takes longer than to compare its text


@lru_cache(maxsize=64)
def _transformer(source: str, target: str) -> Transformer:
    return Transformer.from_crs(CRS(source).proj, CRS(target).proj, always_xy=True)


def rectangles(area: Area, crs: CRS) -> list[Bounds]:
    """The extent of an area in another reference system: one rectangle, or several where it crosses the antimeridian.

    :raises OpenEOError: ProcessParameterInvalid where the area has no image in that system.
    """
    own = _turns(Bounds(*area.geometry.bounds)) if area.crs.geographic else [Bounds(*area.geometry.bounds)]
    return own if crs == area.crs else [part for bounds in own for part in project_bounds(bounds, area.crs, crs)]


def _turns(bounds: Bounds) -> list[Bounds]:
    """Bounds in degrees, cut where they leave the range from -180 to 180."""
    if bounds.right <= 180.0 or bounds.left >= 180.0 or bounds.right - bounds.left > 360.0:
        return [bounds]
    return [bounds._replace(right=180.0), bounds._replace(left=-180.0, right=bounds.right - 360.0)]


def project_bounds(bounds: Bounds, source: CRS, target: CRS) -> list[Bounds]:
    """The envelope of a rectangle in another reference system; two across the antimeridian.

    :raises OpenEOError: ProcessParameterInvalid where it has no image there.
    """
    try:
        result = transformer(source, target).transform_bounds(*bounds, densify_pts=DENSIFY)
    except ProjError as error:
        raise _unprojectable(bounds, source, target) from error
    if not all(math.isfinite(value) for value in result):
        raise _unprojectable(bounds, source, target)
    left, bottom, right, top = result
    if left > right and target.geographic:
        return [Bounds(left, bottom, 180.0, top), Bounds(-180.0, bottom, right, top)]
    return [Bounds(left, bottom, right, top)]


def _unprojectable(bounds: Bounds, source: CRS, target: CRS) -> OpenEOError:
    return OpenEOError(
        "ProcessParameterInvalid",
        f"The bounding box {tuple(bounds)} in {describe_crs(source)} has no image in {describe_crs(target)}.",
        hint="Give a box within the area that the reference system of the data is made for.",
    )


def describe_crs(crs: CRS | None) -> str:
    """The name of a reference system for messages."""
    if crs is None:
        return "no reference system"
    return f"EPSG:{crs.epsg}" if crs.epsg else str(crs)[:60]


def choose_utm(lon: float, lat: float) -> CRS:
    """The UTM zone (WGS 84) of a place, without the exceptions around Norway."""
    zone = min(int((lon + 180.0) % 360.0 // 6) + 1, 60)
    return parse_crs((32600 if lat >= 0 else 32700) + zone)


# -- axes of a cube -------------------------------------------------------------------------------------


def horizontal(cube: Cube) -> tuple[Dimension, Dimension]:
    """The x and y dimensions of a raster cube.

    :raises OpenEOError: DimensionMissing where one of them is missing.
    """
    x, y = cube.axis("x"), cube.axis("y")
    if x is None or y is None:
        raise OpenEOError(
            "DimensionMissing",
            f"The data cube lacks spatial dimensions with the axes x and y; it has: {', '.join(cube.names) or 'none'}.",
        )
    return x, y


def need_crs(cube: Cube) -> CRS:
    """The reference system of a cube.

    :raises OpenEOError: ProcessParameterInvalid where it has none.
    """
    if cube.crs is None:
        raise OpenEOError(
            "ProcessParameterInvalid",
            "The data cube has no spatial reference system, so places cannot be found in it.",
        )
    return cube.crs


def need_geobox(cube: Cube) -> GeoBox:
    """The regular grid of a raster cube.

    :raises OpenEOError: ProcessParameterInvalid where x or y is irregular or of unknown step.
    """
    horizontal(cube)
    need_crs(cube)
    found = cube.geobox
    if found is None:
        raise OpenEOError(
            "ProcessParameterInvalid",
            "The spatial dimensions of the data cube have no regular grid of known resolution.",
        )
    return found


def step(cube: Cube, dimension: Dimension) -> float | None:
    """Signed mean distance of the labels of an axis; None for a single label of unknown step."""
    labels = cube.labels(dimension.name)
    if len(labels) < 2:
        return dimension.step
    return (float(labels[-1]) - float(labels[0])) / (len(labels) - 1)


def pixel_centers(geobox: GeoBox) -> tuple[np.ndarray, np.ndarray]:
    """x and y labels of a grid that is parallel to its axes."""
    rows, columns = geobox.shape
    affine = geobox.affine
    return affine.c + (np.arange(columns) + 0.5) * affine.a, affine.f + (np.arange(rows) + 0.5) * affine.e


def take(cube: Cube, name: str, chosen: np.ndarray) -> Cube:
    """The cube with some labels of a dimension.

    :param chosen: booleans, one per label, or positions in the wanted order.
    """
    dimension = cube.dimension(name)
    positions = np.flatnonzero(chosen) if chosen.dtype == bool else chosen.astype("int64")
    total = cube.data.sizes[name]
    if len(positions) == total and np.array_equal(positions, np.arange(total)):
        return cube
    index: Any = positions
    if len(positions) and np.array_equal(positions, np.arange(positions[0], positions[0] + len(positions))):
        index = slice(int(positions[0]), int(positions[-1]) + 1)
    elif not len(positions):
        index = slice(0, 0)
    changes: dict[str, Any] = {"data": cube.data.isel({name: index})}
    if dimension.type == "geometry" and cube.properties is not None:
        changes["properties"] = cube.properties.iloc[positions].reset_index(drop=True)
    if dimension.type == "spatial" and isinstance(index, slice):
        kept = dimension.patch(step=step(cube, dimension))
        changes["dimensions"] = tuple(kept if d.name == name else d for d in cube.dimensions)
    return cube.patch(**changes)


def within(labels: np.ndarray, low: float, high: float, size: float | None, wrap: bool = False) -> np.ndarray:
    """Which labels (pixel centres) lie between `low` and `high`, edges included.

    :param size: distance of the labels, for the tolerance.
    :param wrap: labels are longitudes, equal modulo 360.
    """
    slack = TOLERANCE * abs(size) if size else TOLERANCE * max(abs(low), abs(high), 1.0) * 1e-3
    values = labels.astype("float64")
    turns = (-360.0, 0.0, 360.0) if wrap else (0.0,)
    found = np.zeros(values.shape, dtype=bool)
    for turn in turns:
        found |= (values >= low + turn - slack) & (values <= high + turn + slack)
    return found


def crop(cube: Cube, parts: list[Bounds]) -> Cube:
    """The pixels whose centres lie in the columns and rows of the given rectangles (in the cube's system)."""
    x, y = horizontal(cube)
    wrap = cube.crs is not None and bool(cube.crs.geographic)
    xs, ys = cube.labels(x.name), cube.labels(y.name)
    columns, rows = np.zeros(xs.shape, dtype=bool), np.zeros(ys.shape, dtype=bool)
    for part in parts:
        columns |= within(xs, part.left, part.right, step(cube, x), wrap)
        rows |= within(ys, part.bottom, part.top, step(cube, y))
    return take(take(cube, x.name, columns), y.name, rows)


# -- target grids ---------------------------------------------------------------------------------------


def snap(bounds: Bounds, resolution: tuple[float, float]) -> Bounds:
    """The smallest bounds around `bounds` whose edges are multiples of the resolution."""
    width, height = resolution
    return Bounds(
        math.floor(bounds.left / width + TOLERANCE) * width,
        math.floor(bounds.bottom / height + TOLERANCE) * height,
        math.ceil(bounds.right / width - TOLERANCE) * width,
        math.ceil(bounds.top / height - TOLERANCE) * height,
    )


def align_grid(
    bounds: Bounds, resolution: tuple[float, float], crs: CRS, align: str, ascending_y: bool = False
) -> GeoBox:
    """The grid of a resolution that covers `bounds` and shares the corner `align` with them.

    :param align: lower-left, upper-left, lower-right or upper-right.
    :param ascending_y: whether the first row is the southernmost one.
    :raises OpenEOError: ProcessGraphComplexity for more columns or rows than dimensions have labels.
    """
    width, height = resolution
    columns, rows = (bounds.right - bounds.left) / width, (bounds.top - bounds.bottom) / height
    refuse_large({"columns": columns, "rows": rows}, "A grid of this resolution")
    columns, rows = (max(1, math.ceil(count - TOLERANCE)) for count in (columns, rows))
    left = bounds.left if align.endswith("left") else bounds.right - columns * width
    top = bounds.top if align.startswith("upper") else bounds.bottom + rows * height
    if ascending_y:
        return GeoBox((rows, columns), Affine(width, 0, left, 0, height, top - rows * height), crs)
    return GeoBox((rows, columns), Affine(width, 0, left, 0, -height, top), crs)


def grid_bounds(geobox: GeoBox) -> Bounds:
    """The outer edges of a grid, pixels included."""
    box = geobox.boundingbox
    return Bounds(box.left, box.bottom, box.right, box.top)


def with_grid(cube: Cube, data: xr.DataArray, geobox: GeoBox, **changes: Any) -> Cube:
    """A cube whose x and y dimensions follow another grid; `data` has the dims of `cube`, without labels for them."""
    x, y = horizontal(cube)
    xs, ys = pixel_centers(geobox)
    steps = {x.name: geobox.affine.a, y.name: geobox.affine.e}
    dimensions = tuple(d.patch(step=steps[d.name]) if d.name in steps else d for d in cube.dimensions)
    return cube.patch(
        data=data.assign_coords({x.name: xs, y.name: ys}), dimensions=dimensions, crs=geobox.crs, **changes
    )
