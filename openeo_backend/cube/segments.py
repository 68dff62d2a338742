"""Applying a function to the parts of a raster cube in polygons."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, cast

import dask.array as da
import numpy as np
import shapely
import xarray as xr
from dask.highlevelgraph import HighLevelGraph

from openeo_backend.cube import spill
from openeo_backend.cube.cube import Cube
from openeo_backend.cube.grid import horizontal, need_crs, step
from openeo_backend.cube.inside import Selection, select_each, turned
from openeo_backend.cube.neighborhood import same_shape
from openeo_backend.cube.nodata import nullable, put_missing, put_value
from openeo_backend.cube.storage import Storage, restore
from openeo_backend.cube.zonal import slices_of
from openeo_backend.errors import OpenEOError
from openeo_backend.graph import trace

Function = Callable[[Cube], Any]

#: Pixels along x and y of the made-up part of a cube with which the type of results is found.
SAMPLE = 4


def apply_to_polygons(
    cube: Cube,
    polygons: np.ndarray,
    function: Function,
    mask_value: Any = None,
    scratch: Callable[[], Path] | None = None,
) -> Cube:
    """The cube with `function(part)` in polygons, and `mask_value` (None: missing) outside of all of them.

    A part has the pixels whose areas the bounds of a polygon reach; those whose centres the polygon does not intersect
    hold `mask_value`. Polygons that select no pixel are left out.

    :param polygons: object array in the reference system of the cube.
    :param scratch: makes a folder for the results of large polygons, which wait there for the blocks they are for.
    :raises OpenEOError: GeometriesOverlap where a pixel is in several polygons; DataCubePropertiesImmutable where a
        result has other dimensions or labels than its part.
    """
    need_crs(cube)
    x, y = horizontal(cube)
    order = [*(name for name in cube.names if name not in (x.name, y.name)), y.name, x.name]
    turned_cube = cube.with_data(cube.data.transpose(*order))
    windows = _windows(cube, polygons)
    _refuse_overlaps(windows)
    run = _Run(function, _bare(turned_cube), mask_value).traced(windows[0] if windows else None)
    data = turned_cube.data.data
    values = (
        _lazy(data, run, windows, scratch)
        if isinstance(data, da.Array)
        else run.assemble(
            data.shape,
            (slice(None), slice(None)),
            [(window, run(np.asarray(data)[window.index], window)) for window in windows],
        )
    )
    array = turned_cube.data.copy(data=values)
    result = restore(turned_cube, array, run.target)
    return result.with_data(result.data.transpose(*cube.names))


# -- windows of polygons ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Window:
    """The rows and columns that a polygon reaches."""

    rows: slice
    columns: slice
    ys: np.ndarray
    xs: np.ndarray
    sizes: tuple[float, float]
    polygon: Any

    @property
    def index(self) -> tuple[Any, ...]:
        return (..., self.rows, self.columns)

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    def selected(self) -> np.ndarray:
        """Which pixels of the window are in the polygon."""
        mask = np.zeros(self.shape, bool)
        mask.ravel()[self.selection().pixels] = True
        return mask

    def within(self, top: int, left: int) -> tuple[slice, slice]:
        """Its rows and columns, counted from some of the cube."""
        rows, columns = self.rows, self.columns
        return slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)

    def part(self, rows: slice, columns: slice) -> _Window:
        """What of it lies in rows and columns of the cube."""
        rows = slice(max(self.rows.start, rows.start), min(self.rows.stop, rows.stop))
        columns = slice(max(self.columns.start, columns.start), min(self.columns.stop, columns.stop))
        ys = self.ys[rows.start - self.rows.start : rows.stop - self.rows.start]
        xs = self.xs[columns.start - self.columns.start : columns.stop - self.columns.start]
        return replace(self, rows=rows, columns=columns, ys=ys, xs=xs)

    def selection(self) -> Selection:
        shapes = np.array([self.polygon], dtype=object)
        return select_each(self.ys, self.xs, shapes, np.zeros(1, int), self.sizes)

    def meet(self, other: _Window) -> bool:
        """Whether a pixel is in both polygons."""
        both = self.part(other.rows, other.columns)
        if both.rows.start >= both.rows.stop or both.columns.start >= both.columns.stop:
            return False
        shapes = np.array([self.polygon, other.polygon], dtype=object)
        pixels = select_each(both.ys, both.xs, shapes, np.arange(2), self.sizes).pixels
        return len(np.unique(pixels)) < len(pixels)


def _windows(cube: Cube, polygons: np.ndarray) -> list[_Window]:
    x, y = horizontal(cube)
    xs, ys = cube.labels(x.name).astype("float64"), cube.labels(y.name).astype("float64")
    sizes = (abs(step(cube, x) or 0.0), abs(step(cube, y) or 0.0))
    if cube.crs is not None and cube.crs.geographic:
        polygons, _ = turned(polygons, xs)
    found = []
    for polygon in polygons:
        left, bottom, right, top = polygon.bounds
        rows, columns = _reach(ys, bottom, top, sizes[1]), _reach(xs, left, right, sizes[0])
        if rows is None or columns is None:
            continue
        window = _Window(rows, columns, ys[rows], xs[columns], sizes, polygon)
        if len(window.selection().pixels):
            found.append(window)
    return found


def _reach(labels: np.ndarray, low: float, high: float, size: float) -> slice | None:
    """The pixels, with their areas, that an interval reaches; at least those whose centres it contains."""
    half = size / 2 * (1 - 1e-9)
    reached = np.flatnonzero((labels >= low) & (labels <= high) | (labels + half > low) & (labels - half < high))
    return slice(int(reached[0]), int(reached[-1]) + 1) if len(reached) else None


def _refuse_overlaps(windows: Sequence[_Window]) -> None:
    shapes = np.array([window.polygon for window in windows], dtype=object)
    first, second = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    for a, b in zip(first.tolist(), second.tolist(), strict=True):
        if a < b and windows[a].meet(windows[b]):
            raise OpenEOError(
                "GeometriesOverlap",
                "Pixels are in several of the polygons: around "
                f"{shapely.to_wkt(shapely.point_on_surface(shapes[a].intersection(shapes[b])), rounding_precision=6)}.",
                hint="Give polygons that do not overlap.",
            )


# -- work on one polygon ----------------------------------------------------------------------------------


def _bare(cube: Cube) -> Cube:
    """The cube with labels, but without values: small wherever it is sent."""
    shape = cube.data.shape
    return cube.patch(data=cube.data.copy(data=da.zeros(shape, chunks=shape, dtype=cube.data.dtype)))


@dataclass(frozen=True, eq=False)
class _Run:
    """The function, run on the part of one polygon."""

    function: Function
    cube: Cube
    """The whole cube, y and x last."""
    mask_value: Any
    target: Storage = Storage(np.dtype(np.float32))
    outside: Any = None
    """What pixels outside of all polygons hold in the result."""

    def __call__(self, values: np.ndarray, window: _Window) -> np.ndarray:
        """The result for the values of a window, stored as `target`."""
        found = self._called(values, window, window.selected())
        if Storage.of(found) == self.target:
            return np.asarray(found.data.values)
        out = self.target.empty(found.data.shape)
        self.target.close(Storage.of(found).open(np.asarray(found.data.values)), out)
        return out

    def _called(self, values: np.ndarray, window: _Window, selected: np.ndarray) -> Cube:
        names = self.cube.names
        labels = {name: self.cube.labels(name) for name in names[:-2]} | {names[-2]: window.ys, names[-1]: window.xs}
        data = xr.DataArray(
            values, dims=names, coords={k: (k, v) for k, v in labels.items()}, attrs=self.cube.data.attrs
        )
        part = _masked(self.cube.patch(data=data), ~selected, self.mask_value)
        return same_shape(part, self.function(part))

    def traced(self, window: _Window | None) -> _Run:
        """The run with the storage of its results, found with made-up values in a corner of a window."""
        if window is None:
            none = np.empty((*self.cube.data.shape[:-2], 0, 0), self.cube.data.dtype)
            empty = _masked(self.cube.patch(data=xr.DataArray(none, dims=self.cube.names)), None, self.mask_value)
            return self._with_target(empty)
        rows, columns = (min(size, SAMPLE) for size in window.shape)
        corner = replace(
            window,
            rows=slice(window.rows.start, window.rows.start + rows),
            columns=slice(window.columns.start, window.columns.start + columns),
            ys=window.ys[:rows],
            xs=window.xs[:columns],
        )
        shape = (*self.cube.data.shape[:-2], rows, columns)
        source = Storage.of(self.cube)
        numbers = np.arange(int(np.prod(shape))).reshape(shape) % 100 + 1
        sample = (numbers % 2 if source.boolean else numbers).astype(source.dtype)
        if source.nullable:
            sample.reshape(-1)[:1] = source.null
        return self._with_target(self._called(sample, corner, np.ones((rows, columns), bool)))

    def _with_target(self, found: Cube) -> _Run:
        names = found.names
        one = found.patch(
            data=xr.DataArray(
                np.zeros((1,) * len(names), found.data.dtype), dims=names, attrs=found.data.attrs
            ).assign_coords({name: (name, np.resize(self.cube.labels(name), 1)) for name in names})
        )
        masked = _masked(one, np.ones((1, 1), bool), self.mask_value)
        return replace(self, target=Storage.of(masked), outside=masked.data.values.ravel()[0])

    def assemble(
        self, shape: tuple[int, ...], place: tuple[slice, slice], results: Sequence[tuple[_Window, np.ndarray]]
    ) -> np.ndarray:
        """A block of the result: what lies in the polygons, and the value outside of them."""
        out = self.target.empty(shape)
        out[...] = self.outside
        top, left = place[0].start or 0, place[1].start or 0
        for window, values in results:
            part = window.part(slice(top, top + shape[-2]), slice(left, left + shape[-1]))
            inner = part.within(window.rows.start, window.columns.start)
            np.copyto(out[(..., *part.within(top, left))], values[(..., *inner)], where=part.selected())
        return out


def _masked(cube: Cube, where: np.ndarray | None, value: Any) -> Cube:
    """The cube with a value (None: missing) where `where`, over its last two dimensions, is true."""
    if value is None:
        cube = nullable(cube)
    if where is None:
        return cube
    mask = xr.DataArray(where, dims=cube.names[-2:], coords={name: cube.data[name] for name in cube.names[-2:]})
    return put_missing(cube, mask) if value is None else put_value(cube, mask, value)


# -- all blocks -------------------------------------------------------------------------------------------


def _lazy(data: da.Array, run: _Run, windows: Sequence[_Window], scratch: Callable[[], Path] | None) -> da.Array:
    """One task per polygon, and one per block of the result."""
    data = data.rechunk((*((size,) for size in data.shape[:-2]), *data.chunks[-2:]))
    sizes = [math.prod((*data.shape[:-2], *window.shape)) * run.target.dtype.itemsize for window in windows]
    folder = scratch() if scratch is not None and spill.is_large(max(sizes, default=0)) else None
    name = f"polygons-{uuid.uuid4().hex}"
    rows, columns = (slices_of(lengths) for lengths in data.chunks[-2:])
    lead = (0,) * (data.ndim - 2)
    tasks: dict[Any, Any] = {}
    reached: dict[tuple[int, int], list[int]] = {place: [] for place in np.ndindex(len(rows), len(columns))}
    for number, window in enumerate(windows):
        own_rows, own_columns = _touched(rows, window.rows), _touched(columns, window.columns)
        keys = [[(data.name, *lead, row, column) for column in own_columns] for row in own_rows]
        start = rows[own_rows[0]].start, columns[own_columns[0]].start
        tasks[(f"{name}-part", number)] = (trace.located(_Part(run, window, start, folder)), keys)
        for place in product(own_rows, own_columns):
            reached[place].append(number)
    for (row, column), numbers in reached.items():
        shape = (*data.shape[:-2], rows[row].stop - rows[row].start, columns[column].stop - columns[column].start)
        block = _Block(run, shape, (rows[row], columns[column]), [windows[number] for number in numbers])
        tasks[(name, *lead, row, column)] = (block, [(f"{name}-part", number) for number in numbers])
    graph = HighLevelGraph.from_collections(name, tasks, dependencies=cast(Any, [data]))
    return da.Array(graph, name, chunks=data.chunks, dtype=run.target.dtype)


@dataclass(frozen=True, eq=False)
class _Part:
    """The run on one polygon, given the blocks that it reaches."""

    run: _Run
    window: _Window
    start: tuple[int, int]
    """Row and column where the blocks begin."""
    folder: Path | None
    """For results that are large."""

    __name__ = "apply to polygon"

    def __call__(self, blocks: Sequence[Sequence[np.ndarray]]) -> np.ndarray | _Stored:
        result = self.run(self._values(blocks), self.window)
        place = spill.place_for(result.dtype, result.nbytes, self.folder)
        return result if place is None else _Stored(spill.write(result, place), result.shape, result.dtype)

    def _values(self, blocks: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
        """The values of the window."""
        first = blocks[0][0]
        values = np.empty((*first.shape[:-2], *self.window.shape), first.dtype)
        top = self.start[0]
        for row in blocks:
            left = self.start[1]
            for block in row:
                part = self.window.part(slice(top, top + block.shape[-2]), slice(left, left + block.shape[-1]))
                place = part.within(self.window.rows.start, self.window.columns.start)
                values[(..., *place)] = block[(..., *part.within(top, left))]
                left += block.shape[-1]
            top += row[0].shape[-2]
        return values


@dataclass(frozen=True)
class _Stored:
    """Values in a file."""

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype

    def open(self) -> np.ndarray:
        return np.memmap(self.path, self.dtype, "r", shape=self.shape)


@dataclass(frozen=True, eq=False)
class _Block:
    """One block of the result, given the results of the polygons that reach it."""

    run: _Run
    shape: tuple[int, ...]
    place: tuple[slice, slice]
    windows: Sequence[_Window]

    def __call__(self, results: Sequence[np.ndarray | _Stored]) -> np.ndarray:
        opened = [result.open() if isinstance(result, _Stored) else result for result in results]
        return self.run.assemble(self.shape, self.place, list(zip(self.windows, opened, strict=True)))


def _touched(parts: Sequence[slice], wanted: slice) -> list[int]:
    return [index for index, part in enumerate(parts) if part.start < wanted.stop and wanted.start < part.stop]
