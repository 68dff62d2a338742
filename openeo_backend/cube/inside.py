"""Which pixels geometries select, block by block.

Polygons select the pixels whose centres they intersect, edges included; points the pixel with the nearest centre;
lines every pixel whose area they touch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
import shapely
import xarray as xr

from openeo_backend.cube.cube import Cube
from openeo_backend.cube.grid import Bounds, horizontal, need_crs, step
from openeo_backend.errors import OpenEOError

POLYGONS = (3, 6)
"""GEOS type ids of Polygon and MultiPolygon."""

COLLECTION = 7
"""GEOS type id of GeometryCollection, which mending invalid polygons may give."""


def type_ids(geometries: np.ndarray) -> np.ndarray:
    """GEOS type ids of geometries."""
    return np.asarray(shapely.get_type_id(geometries))


def inside(cube: Cube, geometries: np.ndarray) -> xr.DataArray:
    """A boolean array over y and x of a raster cube, true where a geometry selects the pixel; lazy as the cube.

    :param geometries: object array, in the reference system of the cube.
    """
    need_crs(cube)
    x, y = horizontal(cube)
    xs, ys = cube.labels(x.name).astype("float64"), cube.labels(y.name).astype("float64")
    if cube.crs is not None and cube.crs.geographic:
        geometries, _ = turned(geometries, xs)
    sizes = (abs(step(cube, x) or 0.0), abs(step(cube, y) or 0.0))
    data: Any
    if cube.is_lazy and len(xs) and len(ys):
        chunks = dict(zip(cube.data.dims, cube.data.chunks or (), strict=True))
        rows = da.from_array(ys, chunks=(chunks[y.name],), name=False)[:, None]
        columns = da.from_array(xs, chunks=(chunks[x.name],), name=False)[None, :]
        shape = (chunks[y.name], chunks[x.name])  # dask does not broadcast where each is one block
        data = da.map_blocks(
            _select_block, rows, columns, geometries=geometries, sizes=sizes, dtype=bool, meta=_META, chunks=shape
        )
    else:
        data = _select_block(ys[:, None], xs[None, :], geometries, sizes)
    return xr.DataArray(data, dims=(y.name, x.name), coords={y.name: cube.data[y.name], x.name: cube.data[x.name]})


_META = np.empty((0, 0), dtype=bool)


def selected_bounds(cube: Cube, geometries: np.ndarray) -> list[Bounds]:
    """The rectangle around the centres of all pixels that geometries may select; empty for no geometries."""
    if not len(geometries):
        return []
    x, y = horizontal(cube)
    half_x, half_y = abs(step(cube, x) or 0.0) / 2, abs(step(cube, y) or 0.0) / 2
    loose = ~np.isin(shapely.get_type_id(geometries), POLYGONS)
    bounds = shapely.bounds(geometries)
    grow = np.where(loose[:, None], [-half_x, -half_y, half_x, half_y], 0.0)
    bounds = bounds + grow
    return [Bounds(bounds[:, 0].min(), bounds[:, 1].min(), bounds[:, 2].max(), bounds[:, 3].max())]


def turned(geometries: np.ndarray, xs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The geometries, and their copies 360 degrees around where the labels of x go there; and each one's position."""
    positions = np.arange(len(geometries))
    if not len(geometries) or not len(xs):
        return geometries, positions
    bounds = shapely.bounds(geometries)
    found, places = [geometries], [positions]
    for turn in (-360.0, 360.0):
        reach = (bounds[:, 2] + turn >= xs.min()) & (bounds[:, 0] + turn <= xs.max())
        if reach.any():
            found.append(shapely.transform(geometries[reach], lambda points, turn=turn: points + [turn, 0.0]))
            places.append(positions[reach])
    return np.concatenate(found), np.concatenate(places)


@dataclass(frozen=True, eq=False)
class Selection:
    """The pixels of a block that each of several geometries selects."""

    ids: np.ndarray
    """Ids of the geometries that select any, ascending."""
    starts: np.ndarray
    """Where the pixels of each geometry begin in `pixels`; one more at the end."""
    pixels: np.ndarray
    """Positions in the block, counted row by row."""


def select_each(
    ys: np.ndarray, xs: np.ndarray, geometries: np.ndarray, ids: np.ndarray, sizes: tuple[float, float]
) -> Selection:
    """What each geometry selects of a block with the labels `ys` and `xs`.

    :param ids: one id per geometry; those with the same id select together.
    :param sizes: width and height of a pixel; 0 where they are not known.
    """
    rows, columns = np.argsort(ys), np.argsort(xs)
    block = _Block(ys[rows], xs[columns], sizes)
    found: dict[int, np.ndarray] = {}
    for geometry, id in zip(geometries, ids.tolist(), strict=True):
        row, column = block.pixels(geometry)
        pixels = rows[row] * len(xs) + columns[column]
        if len(pixels):
            found[id] = np.union1d(found[id], pixels) if id in found else pixels
    chosen = sorted(found)
    lengths = [len(found[id]) for id in chosen]
    pixels = np.concatenate([found[id] for id in chosen]) if chosen else np.zeros(0, int)
    return Selection(
        np.array(chosen, int), np.concatenate([[0], np.cumsum(lengths, dtype=int)]), pixels.astype("int32")
    )


def _select_block(ys: np.ndarray, xs: np.ndarray, geometries: np.ndarray, sizes: tuple[float, float]) -> np.ndarray:
    """The pixels of one block, given the labels of its rows (n, 1) and columns (1, m)."""
    selected = np.zeros((ys.shape[0], xs.shape[1]), dtype=bool)
    if not selected.size or not len(geometries):
        return selected
    rows, columns = np.argsort(ys[:, 0]), np.argsort(xs[0, :])
    block = _Block(ys[rows, 0], xs[0, columns], sizes)
    ascending = np.zeros_like(selected)
    window = shapely.box(*block.reach)
    for geometry in geometries[shapely.intersects(shapely.envelope(geometries), window)]:
        block.select(geometry, ascending)
    selected[np.ix_(rows, columns)] = ascending
    return selected


@dataclass(frozen=True, eq=False)
class _Block:
    """Rows and columns of a block in ascending order."""

    ys: np.ndarray
    xs: np.ndarray
    sizes: tuple[float, float]
    """Width and height of a pixel; 0 where they are not known."""

    @property
    def reach(self) -> tuple[float, float, float, float]:
        """The bounds of the block, with a pixel around."""
        width, height = self.sizes
        return self.xs[0] - width, self.ys[0] - height, self.xs[-1] + width, self.ys[-1] + height

    def pixels(self, geometry: Any) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of the pixels that a geometry selects."""
        if not len(self.ys) or not len(self.xs):
            return np.zeros(0, int), np.zeros(0, int)
        left, bottom, right, top = geometry.bounds
        width, height = self.sizes
        slack_x, slack_y = width + self._slack(0), height + self._slack(1)
        first, last = np.searchsorted(self.ys, [bottom - slack_y, top + slack_y])
        west, east = np.searchsorted(self.xs, [left - slack_x, right + slack_x])
        if first >= last or west >= east:
            return np.zeros(0, int), np.zeros(0, int)
        window = _Block(self.ys[first:last], self.xs[west:east], self.sizes)
        selected = np.zeros((last - first, east - west), dtype=bool)
        window.select(geometry, selected)
        rows, columns = np.nonzero(selected)
        return rows + first, columns + west

    def select(self, geometry: Any, selected: np.ndarray) -> None:
        """Mark the pixels that a geometry selects."""
        dimension = shapely.get_dimensions(geometry)
        if shapely.get_type_id(geometry) == COLLECTION:
            for part in geometry.geoms:
                self.select(part, selected)
        elif dimension == 2:
            self._fill(geometry, selected)
        elif not all(self.sizes):
            raise OpenEOError(
                "ProcessParameterInvalid", "Points and lines cannot be found among pixels of unknown size."
            )
        elif dimension == 1:
            self._trace(geometry, selected)
        else:
            self._place(geometry, selected)

    def _fill(self, polygon: Any, selected: np.ndarray) -> None:
        """Centres in a polygon: even-odd along the rows, and exact tests for centres close to an edge."""
        bounds = polygon.bounds
        top, bottom = np.searchsorted(self.ys, [bounds[1] - self._slack(1), bounds[3] + self._slack(1)])
        left, right = np.searchsorted(self.xs, [bounds[0] - self._slack(0), bounds[2] + self._slack(0)])
        if top >= bottom or left >= right:
            return
        ys, xs = self.ys[top:bottom], self.xs[left:right]
        edges = _Edges.of(polygon)
        found = edges.parity(ys, xs)
        rows, columns = np.nonzero(edges.close(ys, xs, self._slack(0), self._slack(1)))
        if len(rows):
            found[rows, columns] = shapely.intersects_xy(_prepared(polygon), xs[columns], ys[rows])
        selected[top:bottom, left:right] |= found

    def _slack(self, axis: int) -> float:
        """The distance from an edge within which rounding may decide."""
        labels = (self.xs, self.ys)[axis]
        return max(self.sizes[axis] * 1e-6, float(np.abs(labels[[0, -1]]).max()) * 1e-12)

    def _trace(self, line: Any, selected: np.ndarray) -> None:
        """Pixels whose area a line touches: those around short pieces of it, each tested exactly."""
        width, height = self.sizes
        near = np.zeros_like(selected)
        pieces = shapely.get_coordinates(shapely.get_parts(shapely.segmentize(line, 8 * min(width, height))))
        rows = np.searchsorted(self.ys, pieces[:, 1])
        columns = np.searchsorted(self.xs, pieces[:, 0])
        length = 8 * min(width, height)
        reach_y, reach_x = math.ceil(length / height) + 2, math.ceil(length / width) + 2
        for row, column in set(zip(rows.tolist(), columns.tolist(), strict=True)):
            near[max(row - reach_y, 0) : row + reach_y, max(column - reach_x, 0) : column + reach_x] = True
        found_rows, found_columns = np.nonzero(near & ~selected)
        xs, ys = self.xs[found_columns], self.ys[found_rows]
        cells = shapely.box(xs - width / 2, ys - height / 2, xs + width / 2, ys + height / 2)
        selected[found_rows, found_columns] |= shapely.intersects(_prepared(line), cells)

    def _place(self, points: Any, selected: np.ndarray) -> None:
        """Pixels nearest to points; half-open cells: a point between two pixels selects one, whatever the blocks."""
        width, height = self.sizes
        for px, py in shapely.get_coordinates(points):
            in_row = (py - self.ys >= -height / 2) & (py - self.ys < height / 2)
            in_column = (px - self.xs >= -width / 2) & (px - self.xs < width / 2)
            selected |= in_row[:, None] & in_column[None, :]


def _prepared(geometry: Any) -> Any:
    """A prepared copy: blocks of several threads share geometries, and preparing a shared one ends the process."""
    own = shapely.force_2d(geometry)
    shapely.prepare(own)
    return own


@dataclass(frozen=True, eq=False)
class _Edges:
    """The edges of all rings of a polygon."""

    x0: np.ndarray
    y0: np.ndarray
    x1: np.ndarray
    y1: np.ndarray

    @classmethod
    def of(cls, polygon: Any) -> _Edges:
        points, ring = shapely.get_coordinates(shapely.get_rings(shapely.get_parts(polygon)), return_index=True)
        same = ring[1:] == ring[:-1]
        start, end = points[:-1][same], points[1:][same]
        return cls(start[:, 0], start[:, 1], end[:, 0], end[:, 1])

    def _rows(self, first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Each edge repeated for the rows from `first` to before `last`, with the rows."""
        counts = np.maximum(last - first, 0)
        edge = np.repeat(np.arange(len(counts)), counts)
        return edge, first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts)

    def _crossings(self, edge: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Where edges cross rows."""
        rise = self.y1[edge] - self.y0[edge]
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(rise == 0, 0.0, (y - self.y0[edge]) / rise)
        return self.x0[edge] + np.clip(share, 0.0, 1.0) * (self.x1[edge] - self.x0[edge])

    def parity(self, ys: np.ndarray, xs: np.ndarray) -> np.ndarray:
        """Which centres have an odd number of edges to their left."""
        low, high = np.minimum(self.y0, self.y1), np.maximum(self.y0, self.y1)
        edge, row = self._rows(np.searchsorted(ys, low), np.searchsorted(ys, high))
        column = np.searchsorted(xs, self._crossings(edge, ys[row]))
        size = len(xs) + 1
        counts = np.bincount(row * size + column, minlength=len(ys) * size).reshape(len(ys), size)
        return np.cumsum(counts[:, :-1], axis=1) % 2 == 1

    def close(self, ys: np.ndarray, xs: np.ndarray, slack_x: float, slack_y: float) -> np.ndarray:
        """Which centres may lie on an edge, up to the slack."""
        low, high = np.minimum(self.y0, self.y1), np.maximum(self.y0, self.y1)
        edge, row = self._rows(np.searchsorted(ys, low - slack_y), np.searchsorted(ys, high + slack_y, side="right"))
        x = self._crossings(edge, ys[row])
        rise = np.abs(self.y1[edge] - self.y0[edge])
        with np.errstate(divide="ignore", invalid="ignore"):
            around = slack_x + 2 * slack_y * np.abs(self.x1[edge] - self.x0[edge]) / rise
        around = np.where(rise <= 2 * slack_y, np.inf, around)
        left = np.maximum(x - around, np.minimum(self.x0[edge], self.x1[edge]) - slack_x)
        right = np.minimum(x + around, np.maximum(self.x0[edge], self.x1[edge]) + slack_x)
        size = len(xs) + 1
        begin = np.bincount(row * size + np.searchsorted(xs, left), minlength=len(ys) * size)
        end = np.bincount(row * size + np.searchsorted(xs, right, side="right"), minlength=len(ys) * size)
        return np.cumsum((begin - end).reshape(len(ys), size)[:, :-1], axis=1) > 0
