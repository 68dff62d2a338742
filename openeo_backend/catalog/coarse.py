"""Means over larger pixels instead of all pixels, where nothing else of a load is needed.

Overviews of files hold such means. They are not exactly those of the pixels: see docs/collections.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from openeo_backend.catalog.layer import Layer
from openeo_backend.catalog.raster import Raster
from openeo_backend.cube.extent import parse_crs
from openeo_backend.cube.pixels import float_type
from openeo_backend.cube.regrid import regrid
from openeo_backend.cube.warp import scale
from openeo_backend.graph.effects import Means

#: Pixels that are read at a time to make means of them.
_AT_ONCE = 2**20

#: How many times smaller pixels are than those asked for that are not made of them.
_SMALLER = 4

#: Most pixels along a side that become one.
_MOST = 1024


@dataclass(frozen=True)
class Coarse:
    """What is read instead of a grid, and what becomes of it."""

    grid: GeoBox
    """Pixels of so many pixels of the finest band that overviews have them."""

    target: GeoBox
    """The grid that the graph asks for."""

    factor: int
    """Pixels of the finest band along a side of one of the grid."""


def coarsen(
    grid: GeoBox, lattice: GeoBox, layers: Iterable[Layer], means: Means, has_overviews: Callable[[GeoBox], bool]
) -> Coarse | None:
    """What may be read instead of a grid where means are needed; None where it has to be the grid.

    The larger pixels lie on those of all files. Either those asked for are made of them, or they are at most a quarter
    as large.

    :param lattice: the grid of files of the finest band, on which `grid` lies.
    :param has_overviews: whether files have means of the size of a grid's pixels.
    """
    crs = parse_crs(means.projection) if means.projection is not None else None
    target = regrid(grid, means.resolution, crs, means.align)
    ratio = 1 / max(scale(grid, target))
    kinds = {(id(layer.grid), layer.kind): layer for layer in layers}.values()
    best, factor = None, 2
    while factor <= min(ratio, _MOST) and all(_fits(layer, lattice, factor) for layer in kinds):
        larger = _around(grid, lattice, factor)
        if (factor <= ratio / _SMALLER or _is_made_of(target, larger)) and has_overviews(larger):
            best = Coarse(larger, target, factor)
        factor *= 2
    return best


def _is_made_of(target: GeoBox, grid: GeoBox) -> bool:
    """Whether each pixel of a grid is a whole number of pixels of another one."""
    if target.crs != grid.crs:
        return False
    own, other = target.affine, grid.affine
    steps = own.a / other.a, own.e / other.e
    return all(map(_is_whole, (*steps, (own.c - other.c) / other.a, (own.f - other.f) / other.e))) and min(steps) >= 1


def reduction(layer: Layer, grid: GeoBox) -> int:
    """How many pixels of a layer along a side become one of the grid; 1 where its pixels are as large or larger."""
    assert layer.grid is not None
    return max(1, round(abs(grid.affine.a / layer.grid.affine.a)))


def _fits(layer: Layer, lattice: GeoBox, factor: int) -> bool:
    """Whether each pixel of a layer lies within one of so many times larger pixels, or has several of them."""
    own = layer.grid
    if layer.kind is not None or own is None or own.crs != lattice.crs:
        return False
    if any((own.affine.b, own.affine.d, lattice.affine.b, lattice.affine.d)):
        return False
    sides = ((own.affine.a, own.affine.c, lattice.affine.a, lattice.affine.c, own.shape[1]),
             (own.affine.e, own.affine.f, lattice.affine.e, lattice.affine.f, own.shape[0]))  # fmt: skip
    for step, start, other, origin, size in sides:
        large = other * factor
        ratio = large / step
        inner = ratio >= 1 and not _is_whole(size / round(ratio))
        if ratio <= 0 or inner or not _is_whole(ratio if ratio >= 1 else 1 / ratio):
            return False
        if not _is_whole((start - origin) / (large if ratio >= 1 else step)):
            return False
        if ratio < 1 and not _is_whole((start - origin) / large):
            return False
    return True


def _is_whole(value: float) -> bool:
    return abs(value - round(value)) < 1e-6 and math.isfinite(value)


def _around(grid: GeoBox, lattice: GeoBox, factor: int) -> GeoBox:
    """The larger pixels of a lattice that cover a grid."""
    own = grid.affine
    step_x, step_y = abs(lattice.affine.a) * factor, abs(lattice.affine.e) * factor
    left = math.floor((own.c - lattice.affine.c) / step_x + 1e-6)
    right = math.ceil((own.c + grid.shape[1] * own.a - lattice.affine.c) / step_x - 1e-6)
    top = math.floor((lattice.affine.f - own.f) / step_y + 1e-6)
    bottom = math.ceil((lattice.affine.f - own.f - grid.shape[0] * own.e) / step_y - 1e-6)
    affine = Affine(step_x, 0, lattice.affine.c + left * step_x, 0, -step_y, lattice.affine.f - top * step_y)
    return GeoBox((bottom - top, right - left), affine, grid.crs)


class MeanRaster:
    """A file as if its pixels were means over larger ones: those of an overview, or made of its pixels.

    Missing values are NaN; means are over the others.

    :param file: the file.
    :param overview: its overview with pixels that are `factor` times as large, if there is one that holds means.
    """

    def __init__(self, file: Raster, overview: Raster | None, factor: int) -> None:
        self.file, self.factor = file, factor
        self.overview = overview
        self.shape = (file.shape[0] // factor, file.shape[1] // factor)
        self.transform = file.transform @ Affine.scale(factor)
        self.crs: CRS | None = file.crs

    def read(self, index: int, window: tuple[slice, slice], nodata: float | None) -> np.ndarray:
        """Means in a window of rows and columns."""
        if self.overview is not None:
            return valid_or_nan(self.overview.read(index, window), nodata)
        rows, columns = window
        wide = slice(columns.start * self.factor, columns.stop * self.factor)
        height = max(1, _AT_ONCE // ((wide.stop - wide.start) * self.factor))
        parts = []
        for top in range(rows.start, rows.stop, height):
            tall = slice(top * self.factor, min(top + height, rows.stop) * self.factor)
            parts.append(means(valid_or_nan(self.file.read(index, (tall, wide)), nodata), self.factor))
        return np.concatenate(parts)


def valid_or_nan(values: np.ndarray, nodata: float | None) -> np.ndarray:
    """Values as floating point numbers, NaN where they are missing."""
    found = values.astype(float_type(values.dtype))
    if nodata is not None and not math.isnan(nodata):
        found[values == nodata] = math.nan
    return found


def means(values: np.ndarray, factor: int) -> np.ndarray:
    """The means of squares of pixels, of those that are not NaN; NaN where all are."""
    height, width = values.shape
    squares = values.reshape(height // factor, factor, width // factor, factor)
    valid = ~np.isnan(squares)
    sums = np.where(valid, squares, 0).sum(axis=(1, 3), dtype="float64")
    counts = valid.sum(axis=(1, 3))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sums / counts, dtype=values.dtype)
