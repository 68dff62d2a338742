"""The grid of a loaded cube."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import shapely
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from shapely.geometry.base import BaseGeometry

from openeo_backend.catalog.item import Item
from openeo_backend.cube.crs import read_crs
from openeo_backend.errors import OpenEOError

#: Rounding of pixel centres onto the edge of an extent, in pixels.
_EDGE = 1e-6

#: Members that name a reference system.
_SYSTEMS = ("proj:code", "proj:epsg", "proj:wkt2", "proj:projjson")

Bounds = tuple[float, float, float, float]


def crs_of(grid: GeoBox) -> CRS:
    """The reference system of a grid; all grids here have one."""
    if grid.crs is None:
        raise ValueError("a grid without reference system")
    return grid.crs


def placing_key(item: Item) -> str:
    """What is the same for items of one form of which :func:`asset_grid` and :func:`asset_crs` are the same."""
    return repr([item.properties.get(name) for name in (*_SYSTEMS, "proj:transform", "proj:shape")])


def asset_crs(item: Item, asset: Mapping[str, Any]) -> CRS | None:
    """The reference system that the metadata give for an asset.

    :raises OpenEOError: FileContentInvalid for one that does not exist.
    """
    for members in (asset, item.properties):
        for name in _SYSTEMS:
            value = members.get(name)
            if value:
                try:
                    return _crs(value) if isinstance(value, int | str) else read_crs(value)
                except ValueError as error:
                    told = f"The {name} of the STAC item '{item.id}' is no reference system: {str(value)[:80]!r}."
                    raise OpenEOError("FileContentInvalid", told) from error
    return None


@lru_cache(maxsize=1024)
def _crs(code: int | str) -> CRS:
    return read_crs(code)


class _System:
    """A reference system to look things up by: hashing a CRS writes all of its text each time."""

    def __init__(self, crs: CRS) -> None:
        self.crs = crs

    def __hash__(self) -> int:
        return hash(str(self.crs))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _System) and self.crs == other.crs


@lru_cache(maxsize=1024)
def _grid(shape: tuple[int, int], transform: tuple[float, ...], system: _System) -> GeoBox:
    """A grid; one object for all that are the same, which are many."""
    return GeoBox(shape, Affine(*transform), system.crs)


def asset_grid(item: Item, asset: Mapping[str, Any]) -> GeoBox | None:
    """The grid that the metadata give for an asset, or None where they do not give it completely."""
    crs = asset_crs(item, asset)
    for members in (asset, item.properties):
        transform, shape = members.get("proj:transform"), members.get("proj:shape")
        if transform and shape and crs is not None and _spans(transform):
            return _grid((int(shape[0]), int(shape[1])), tuple(float(v) for v in transform[:6]), _System(crs))
        if transform or shape:
            return None
    return None


def _spans(transform: Sequence[float]) -> bool:
    """Whether the sides of pixels lie in two directions; else they have no area, and no place is in any of them."""
    a, b, _, d, e, _ = (float(part) for part in transform[:6])
    return abs(a * e - b * d) > 1e-7 * (a * a + b * b + d * d + e * e)


def choose_crs(footprints: Mapping[CRS, Sequence[BaseGeometry]], area: BaseGeometry | None) -> CRS:
    """The reference system whose items cover most of the extent.

    Where several cover the same, the one in whose area of use most of the extent lies, then the one with most
    items, then the first by name.

    :param footprints: longitude and latitude of the items, by reference system; not empty.
    """
    if len(footprints) == 1:
        return next(iter(footprints))
    covered_by = {crs: _union(parts) for crs, parts in footprints.items()}
    everything = area if area is not None else _union(list(covered_by.values()))

    def rank(crs: CRS) -> tuple[float, float, int, str]:
        covered = shapely.intersection(covered_by[crs], everything)
        use = crs.proj.area_of_use
        zone = shapely.box(*use.bounds) if use and use.west <= use.east else shapely.box(-180, -90, 180, 90)
        share = _size(covered) / max(_size(everything), 1e-12)
        return (
            -round(share, 3),
            -round(_size(shapely.intersection(zone, everything)), 9),
            -len(footprints[crs]),
            str(crs),
        )

    return min(footprints, key=rank)


def _union(geometries: Iterable[BaseGeometry]) -> BaseGeometry:
    return shapely.union_all(list({geometry.wkb: geometry for geometry in geometries}.values()))


def _size(geometry: BaseGeometry) -> float:
    """An area in longitude and latitude made comparable: equal areas count equally."""

    def equal_area(points: np.ndarray) -> np.ndarray:
        return np.column_stack([points[:, 0], np.degrees(np.sin(np.radians(points[:, 1])))])

    return float(shapely.area(shapely.transform(geometry, equal_area)))


def common_grid(grids: Iterable[GeoBox]) -> GeoBox:
    """The grid that most of the given ones lie on (position and shape aside); the first one wins ties."""
    given = list(grids)
    known = {id(grid): grid for grid in given}  # many are one object
    lattices = {number: _lattice(grid) for number, grid in known.items()}
    counts = Counter(lattices[id(grid)] for grid in given)
    return max(known.values(), key=lambda grid: counts[lattices[id(grid)]])


def _lattice(grid: GeoBox) -> tuple[float, ...]:
    """Resolution and origin of a grid modulo its pixels."""
    a, b, c, d, e, f = tuple(grid.affine)[:6]
    if not a or not e:
        return a, b, c, d, e, f
    return round(a, 9), round(e, 9), round(c / a % 1, 3) % 1, round(f / e % 1, 3) % 1, b, d


def pixel_area(grid: GeoBox) -> float:
    """The area of a pixel in squared units of the reference system."""
    return abs(float(grid.affine.determinant))


def lay(grid: GeoBox, bounds: Bounds) -> GeoBox:
    """The pixels of the lattice of `grid` whose centres lie within `bounds`, x ascending and y descending.

    Rotated grids have no such lattice: there, pixels of the same area are anchored to the origin.

    :raises OpenEOError: NoDataAvailable where no centre lies within, or the bounds are not finite.
    """
    a, b, c, d, e, f = tuple(grid.affine)[:6]
    if b or d:
        a = math.sqrt(pixel_area(grid))
        e, c, f = -a, 0.0, 0.0
    if not np.isfinite(bounds).all():
        raise OpenEOError(
            "NoDataAvailable",
            f"The data cannot be put on one grid in {grid.crs}.",
            hint="Give a spatial extent within the area in which the reference system is valid.",
        )
    left, right = _centres(c, abs(a), bounds[0], bounds[2])
    bottom, top = _centres(f, abs(e), bounds[1], bounds[3])
    if right <= left or top <= bottom:
        raise OpenEOError(
            "NoDataAvailable",
            f"No pixel centre lies within the spatial extent: it measures {bounds[2] - bounds[0]:.6g} x "
            f"{bounds[3] - bounds[1]:.6g} and pixels are {abs(a):.6g} x {abs(e):.6g} ({grid.crs}).",
            hint="Widen the spatial extent to at least one pixel.",
        )
    affine = Affine(abs(a), 0, c + left * abs(a), 0, -abs(e), f + top * abs(e))
    return GeoBox((top - bottom, right - left), affine, grid.crs)


def _centres(origin: float, step: float, low: float, high: float) -> tuple[int, int]:
    """First (included) and last (excluded) pixel whose centre is within [low, high]."""
    first = math.ceil((low - origin) / step - 0.5 - _EDGE)
    last = math.floor((high - origin) / step - 0.5 + _EDGE)
    return first, last + 1
