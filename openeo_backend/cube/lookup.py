"""Nearest neighbours: which source pixel lies under each pixel of a block."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from openeo_backend.cube.positions import Exact, control

#: Distance of control points in pixels; between them coordinates are interpolated.
_STEP = 16

#: Largest error of interpolated coordinates in source pixels; beyond it all are computed exactly.
_ERROR = 1e-3

#: Centres on the edge between two source pixels belong to the second, whatever the rounding of coordinates.
_TIE = 1e-7


@dataclass(frozen=True, eq=False)
class Lookup:
    """Source pixels under the pixels of a block."""

    rows: np.ndarray
    cols: np.ndarray
    """Row and column in the source: one per row and column of the block where the grids are parallel, else one per
    pixel. Outside of the source they are -1."""

    window: tuple[slice, slice]
    """The part of the source to read."""

    place: tuple[slice, slice]
    """The part of the block that lies within the source; elsewhere there is nothing."""

    parallel: bool

    @cached_property
    def is_copy(self) -> bool:
        """Whether the window is the block's part pixel by pixel."""
        height, width = (part.stop - part.start for part in self.window)
        tall, wide = (part.stop - part.start for part in self.place)
        if not self.parallel or (height, width) != (tall, wide):
            return False
        rows, cols = self.rows[self.place[0]], self.cols[self.place[1]]
        return bool(np.all(np.diff(rows) == 1) and np.all(np.diff(cols) == 1))

    def take(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Pixels (..., y, x) of the window as the block's part sees them; where there are any (None: everywhere)."""
        if self.is_copy:
            return pixels, None
        if self.parallel:
            rows = self.rows[self.place[0]] - self.window[0].start
            cols = self.cols[self.place[1]] - self.window[1].start
            out = np.empty((*pixels.shape[:-2], len(rows), len(cols)), pixels.dtype)
            for plane in np.ndindex(*pixels.shape[:-2]):  # what lies between is no larger than a plane
                out[plane] = _picked(pixels[plane], rows, cols)
            return out, None
        rows, cols = self.rows[self.place], self.cols[self.place]
        inside = (rows >= 0) & (cols >= 0)
        rows = np.where(inside, rows - self.window[0].start, 0)
        cols = np.where(inside, cols - self.window[1].start, 0)
        return pixels[..., rows, cols], inside


def _picked(plane: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """Rows and columns of a plane. Rows are copied as a whole, columns number by number: of as few rows as possible."""
    if len(rows) > plane.shape[0]:
        return plane.take(cols, axis=1).take(rows, axis=0)
    return plane.take(rows, axis=0).take(cols, axis=1)


def find(block: GeoBox, transform: Affine, shape: tuple[int, int], crs: CRS) -> Lookup | None:
    """The lookup from a block into a source, or None where they do not meet."""
    if crs == block.crs and not transform.b and not transform.d:
        return _parallel(block, transform, shape, crs)
    rows, cols = _positions(block, ~transform, crs)
    inside = (rows >= 0) & (rows < shape[0]) & (cols >= 0) & (cols < shape[1])
    if not inside.any():
        return None
    rows, cols = (np.where(inside, np.nan_to_num(index), -1).astype("int64") for index in (rows, cols))
    return Lookup(
        rows,
        cols,
        window=(_span(rows[inside]), _span(cols[inside])),
        place=(_span(np.flatnonzero(inside.any(axis=1))), _span(np.flatnonzero(inside.any(axis=0)))),
        parallel=False,
    )


def _span(indices: np.ndarray) -> slice:
    return slice(int(indices.min()), int(indices.max()) + 1)


def _centres(block: GeoBox) -> tuple[np.ndarray, np.ndarray]:
    a, _, c, _, e, f = tuple(block.affine)[:6]
    return c + (np.arange(block.shape[1]) + 0.5) * a, f + (np.arange(block.shape[0]) + 0.5) * e


def _wrap(x: np.ndarray, left: float, crs: CRS) -> np.ndarray:
    """Longitudes as the source counts them, from its west edge eastwards."""
    return left + (x - left) % 360 if crs.geographic else x


def _parallel(block: GeoBox, transform: Affine, shape: tuple[int, int], crs: CRS) -> Lookup | None:
    x, y = _centres(block)
    x = _wrap(x, min(transform.c, transform.c + transform.a * shape[1]), crs)
    cols = np.floor((x - transform.c) / transform.a + _TIE).astype("int64")
    rows = np.floor((y - transform.f) / transform.e + _TIE).astype("int64")
    within_rows, within_cols = (rows >= 0) & (rows < shape[0]), (cols >= 0) & (cols < shape[1])
    if not within_rows.any() or not within_cols.any():
        return None
    place = (_span(np.flatnonzero(within_rows)), _span(np.flatnonzero(within_cols)))
    if not within_cols[place[1]].all():
        return _around_the_world(rows, cols, within_rows, within_cols)
    return Lookup(rows, cols, (_span(rows[within_rows]), _span(cols[within_cols])), place, parallel=True)


def _around_the_world(rows: np.ndarray, cols: np.ndarray, tall: np.ndarray, wide: np.ndarray) -> Lookup:
    """A block that leaves a source at one edge and enters it again at the other."""
    inside = tall[:, None] & wide[None, :]
    return Lookup(
        np.where(inside, rows[:, None], -1),
        np.where(inside, cols[None, :], -1),
        window=(_span(rows[tall]), _span(cols[wide])),
        place=(slice(0, len(rows)), slice(0, len(cols))),
        parallel=False,
    )


def _positions(block: GeoBox, inverse: Affine, crs: CRS) -> tuple[np.ndarray, np.ndarray]:
    """Fractional source rows and columns of all pixel centres, floored; infinite where there are none."""
    assert block.crs is not None
    convert = block.crs.transformer_to_crs(crs)
    left = (~inverse).c

    def exact(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            far, up = convert(x.ravel(), y.ravel())
            far = _wrap(np.asarray(far), left, crs)
            a, b, c, d, e, f = tuple(inverse)[:6]
            col, row = a * far + b * np.asarray(up) + c, d * far + e * np.asarray(up) + f
        return np.stack([row, col]).reshape((2, *x.shape))

    x, y = _centres(block)
    grid_x, grid_y = np.meshgrid(x, y)
    rough = _interpolated(x, y, exact)
    if rough is None:
        found = exact(grid_x, grid_y)
    else:
        found = rough
        fraction = (found + _TIE) % 1
        near = (np.minimum(fraction, 1 - fraction) < 2 * _ERROR).any(axis=0)
        found[:, near] = exact(grid_x[near], grid_y[near])
    rows, cols = np.floor(found + _TIE)
    return rows, cols


def _interpolated(x: np.ndarray, y: np.ndarray, exact: Exact) -> np.ndarray | None:
    """Source positions interpolated between control points, or None where that is not exact enough."""
    if len(x) <= 2 * _STEP or len(y) <= 2 * _STEP:
        return None
    found = control(x, y, exact, _ERROR, (_STEP,))
    if found is None:
        return None
    return np.stack([_bilinear(plane, found.at_x, found.at_y, len(x), len(y)) for plane in (found.rows, found.cols)])


def _bilinear(plane: np.ndarray, at_x: np.ndarray, at_y: np.ndarray, width: int, height: int) -> np.ndarray:
    index, weight = _weights(at_x, width)
    across = plane[:, index] * (1 - weight) + plane[:, index + 1] * weight
    index, weight = _weights(at_y, height)
    return across[index] * (1 - weight[:, None]) + across[index + 1] * weight[:, None]


def _weights(knots: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    positions = np.arange(length)
    index = np.clip(np.searchsorted(knots, positions, side="right") - 1, 0, len(knots) - 2)
    return index, (positions - knots[index]) / (knots[index + 1] - knots[index])
