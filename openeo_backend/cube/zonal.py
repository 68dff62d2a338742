"""Statistics of the pixels that geometries select, in one pass over the blocks of a cube.

Each block is visited once. Geometries within one block are finished there; of the others each block hands on what is
needed to finish them: partial sums for statistics that can be combined, else the values of their pixels, which wait
in files where they are many (:mod:`.gathered`).
"""

from __future__ import annotations

import math
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import dask.array as da
import numpy as np
import shapely
import xarray as xr
from dask.highlevelgraph import HighLevelGraph

from openeo_backend.cube import gathered, memory, spill
from openeo_backend.cube.blocks import Function, reduced
from openeo_backend.cube.cube import Cube
from openeo_backend.cube.dimension import Dimension
from openeo_backend.cube.geometry import project
from openeo_backend.cube.grid import horizontal, need_crs, step
from openeo_backend.cube.inside import Selection, select_each, turned
from openeo_backend.cube.moments import Moments, Statistic, combinable, finish, measure_zones
from openeo_backend.cube.pixels import PixelArray, float_type, valid
from openeo_backend.cube.results import store
from openeo_backend.cube.storage import Storage
from openeo_backend.errors import OpenEOError
from openeo_backend.graph import trace

#: Labels of the dimension that tells how many pixels there are.
COUNTS = ("value", "total_count", "valid_count")


def aggregate(
    cube: Cube, zones: Cube, function: Function, counts: str | None = None, scratch: Callable[[], Path] | None = None
) -> Cube:
    """The vector cube of `function(PixelArray of the selected pixels)` for each geometry of `zones`.

    Dimensions: the geometry dimension of `zones`, then those of `cube` without x and y, then `counts`, if it is given,
    with the labels `value`, `total_count` and `valid_count`. Geometries that select no pixel get missing values, and
    counts of 0.

    :param cube: raster cube.
    :param scratch: makes a folder for pixels of large geometries.
    :raises OpenEOError: ProcessGraphComplexity for a geometry of which one plane does not fit into memory.
    """
    x, y = horizontal(cube)
    others = [name for name in cube.names if name not in (x.name, y.name)]
    if cube.is_vector or zones.of_type("geometry")[0].name in others:
        raise OpenEOError(
            "DimensionExists",
            f"The data cube has {', '.join(cube.names)}: besides x and y there can be no other geometries.",
            hint="Remove or rename that dimension before.",
        )
    data = cube.data.transpose(y.name, x.name, *others).data
    source = Storage.of(cube)
    target = reduced(function, source)
    statistic = combinable(function, source)
    places = Places.of(cube, zones.geometries())
    folder = None
    if statistic is None and isinstance(data, da.Array):
        pixels = places.most()
        _refuse_larger(pixels, source)
        size = pixels * math.prod(data.shape[2:]) * data.dtype.itemsize
        folder = scratch() if scratch is not None and spill.is_large(size) else None
    work = _Work(function, statistic, source, target, counts is not None, folder)
    size = len(zones.labels(zones.of_type("geometry")[0].name))
    values = _lazy(data, work, places, size) if isinstance(data, da.Array) else _at_once(data, work, places, size)
    return _vector_cube(cube, zones, others, values, work, counts)


def _refuse_larger(pixels: int, source: Storage) -> None:
    size = pixels * (source.dtype.itemsize + float_type(source.dtype).itemsize)
    if source.dtype.kind != "O":
        hint = "Use mean, sum, min, max, count, sd or variance, smaller geometries, a coarser resolution"
        memory.refuse_more(size, f"A geometry of {pixels:,} pixels", hint)


# -- which block concerns which geometry ------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Places:
    """Geometries in the reference system of the cube, with the labels of its rows and columns."""

    ys: np.ndarray
    xs: np.ndarray
    sizes: tuple[float, float]
    geometries: np.ndarray
    ids: np.ndarray
    """Position in the geometry dimension of the zones; may repeat."""

    @classmethod
    def of(cls, cube: Cube, shapes: Any) -> Places:
        """The places of geometries (a GeoSeries) on the pixels of a raster cube; empty ones have none."""
        x, y = horizontal(cube)
        crs = need_crs(cube)
        xs, ys = cube.labels(x.name).astype("float64"), cube.labels(y.name).astype("float64")
        found = shapes.to_numpy(dtype=object)
        ids = np.flatnonzero(~(shapely.is_missing(found) | shapely.is_empty(found)))
        geometries = project(shapes, crs)
        if crs.geographic:
            geometries, which = turned(geometries, xs)
            ids = ids[which]
        return cls(ys, xs, (abs(step(cube, x) or 0.0), abs(step(cube, y) or 0.0)), geometries, ids)

    def most(self) -> int:
        """Pixels of the cube that the largest geometry covers, about."""
        area = self.sizes[0] * self.sizes[1]
        if not (len(self.ids) and len(self.ys) and len(self.xs) and area):
            return 0
        x, y = (size / 2 for size in self.sizes)
        edges = (self.xs.min() - x, self.ys.min() - y, self.xs.max() + x, self.ys.max() + y)
        return int(shapely.area(shapely.clip_by_rect(self.geometries, *edges)).max() / area)

    def touched(self, rows: Sequence[slice], columns: Sequence[slice]) -> dict[tuple[int, int], np.ndarray]:
        """Positions of the geometries that may select pixels, by block."""
        if not len(self.ids) or not len(self.ys) or not len(self.xs):
            return {}
        bounds = shapely.bounds(self.geometries).reshape(-1, 4)
        in_rows = _overlaps(self.ys, rows, bounds[:, 1], bounds[:, 3], self.sizes[1])
        in_columns = _overlaps(self.xs, columns, bounds[:, 0], bounds[:, 2], self.sizes[0])
        found = {}
        for row in np.flatnonzero(in_rows.any(axis=0)).tolist():
            for column in np.flatnonzero(in_columns[in_rows[:, row]].any(axis=0)).tolist():
                found[row, column] = np.flatnonzero(in_rows[:, row] & in_columns[:, column])
        return found

    def select(self, chosen: np.ndarray, rows: slice, columns: slice) -> Callable[[], Selection]:
        """What the chosen geometries select of a block, to be called later."""
        geometries, ids = self.geometries[chosen], self.ids[chosen]
        return trace.located(partial(select_each, self.ys[rows], self.xs[columns], geometries, ids, self.sizes))


def _overlaps(labels: np.ndarray, parts: Sequence[slice], low: np.ndarray, high: np.ndarray, size: float) -> np.ndarray:
    """Which intervals reach which parts of an axis: (intervals, parts)."""
    first = np.array([labels[part].min() for part in parts]) - size
    last = np.array([labels[part].max() for part in parts]) + size
    return (low[:, None] <= last) & (high[:, None] >= first)


# -- work on one block ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Rows:
    """Results of some geometries: (geometries, other dimensions, columns)."""

    ids: np.ndarray
    values: np.ndarray
    counts: np.ndarray | None
    """Total and valid counts on a last axis."""


@dataclass(frozen=True, eq=False)
class _Work:
    """What is computed for each geometry."""

    function: Function
    statistic: Statistic | None
    source: Storage
    target: Storage
    counting: bool
    folder: Path | None

    def block(self, values: np.ndarray, selection: Selection, groups: Mapping[Any, np.ndarray]) -> dict[Any, Any]:
        """Of one block (rows, columns, others), the parts of the geometries of each group, finished in group None.

        :param groups: ids of geometries by group.
        """
        flat = np.asarray(values).reshape(math.prod(values.shape[:2]), *values.shape[2:])
        found = {}
        for name, ids in groups.items():
            chosen = np.flatnonzero(np.isin(selection.ids, ids))
            if self.statistic is not None:
                part: Any = measure_zones(flat, selection, chosen, self.source, self.statistic)
            else:
                part = gathered.gather(flat, selection, chosen, None if name is None else self.folder)
            found[name] = self.finish([part]) if name is None else part
        return found

    def finish(self, parts: Sequence[Any]) -> _Rows:
        """The results of all geometries in `parts`, which hold all that blocks know of them."""
        if self.statistic is not None:
            return self._finish_moments(parts)
        return self._finish_pixels(parts)

    def _finish_pixels(self, parts: Sequence[gathered.Gathered]) -> _Rows:
        ids = np.unique(np.concatenate([part.ids for part in parts])) if parts else np.empty(0, int)
        out = self.target.empty((len(ids), *(parts[0].others if parts else ())))
        counts = np.zeros((*out.shape, 2), int) if self.counting else None
        for row, (count, planes) in enumerate(gathered.join(parts)):
            for place, found in planes:
                opened, into = self.source.open(found), (slice(row, row + 1), *place)
                with np.errstate(all="ignore"):
                    store(self.function(PixelArray(opened)), out[into][0, ...], self.target, False)
                if counts is not None:
                    counts[into][0, ..., 0] = count
                    counts[into][0, ..., 1] = np.count_nonzero(valid(opened), axis=0)
        for part in parts:
            part.forget()
        return _Rows(ids, out, counts)

    def _finish_moments(self, parts: Sequence[Moments]) -> _Rows:
        assert self.statistic is not None
        joined, out = finish(parts, self.statistic, self.source, self.target)
        counts = None
        if self.counting:
            total = np.broadcast_to(joined.total[(..., *(np.newaxis,) * (joined.valid.ndim - 1))], joined.valid.shape)
            counts = np.stack([total, joined.finite], axis=-1)
        return _Rows(joined.ids, out, counts)

    @property
    def result(self) -> Storage:
        """How results are stored: with counts, in a type that holds both."""
        if not self.counting or self.target.dtype.kind == "O":
            return self.target
        return Storage(np.dtype(np.float64)) if self.target.dtype.kind == "f" else Storage(np.dtype(np.int64), -(2**63))

    def assemble(self, size: int, others: tuple[int, ...], rows: Sequence[_Rows]) -> np.ndarray:
        """The values of all geometries, missing where `rows` have none: (geometries, others, columns)."""
        target = self.result
        out = target.empty((size, *others, 3) if self.counting else (size, *others))
        out[...] = target.null
        if self.counting:
            out[..., 1:] = 0
        for part in rows:
            if self.counting:
                out[part.ids, ..., 0] = self.target.convert(part.values, target)
                out[part.ids, ..., 1:] = part.counts
            else:
                out[part.ids] = part.values
        return out


# -- all blocks -------------------------------------------------------------------------------------------


def _at_once(data: Any, work: _Work, places: Places, size: int) -> np.ndarray:
    data = np.asarray(data)
    others = data.shape[2:]
    if not data.shape[0] or not data.shape[1]:
        return work.assemble(size, others, [])
    selection = places.select(np.arange(len(places.ids)), slice(None), slice(None))()
    found = work.block(data, selection, {None: selection.ids})
    return work.assemble(size, others, list(found.values()))


def _lazy(data: da.Array, work: _Work, places: Places, size: int) -> da.Array:
    """One task per block and one per group of geometries that share several blocks, for each chunk of the others."""
    name = f"zones-{uuid.uuid4().hex}"
    rows, columns = (slices_of(chunks) for chunks in data.chunks[:2])
    touched = places.touched(rows, columns)
    groups = _groups(places.ids, touched)
    block, finish, extra = trace.located(work.block), trace.located(work.finish), (0,) * work.counting
    tasks: dict[Any, Any] = {}
    for place, chosen in touched.items():
        row, column = place
        tasks[(f"{name}-select", *place)] = (places.select(chosen, rows[row], columns[column]),)
    for index in np.ndindex(*(len(chunks) for chunks in data.chunks[2:])):
        lengths = tuple(chunks[i] for chunks, i in zip(data.chunks[2:], index, strict=True))
        finished: list[Any] = []
        for place in touched:
            own = {None if len(key) == 1 else key: ids for key, ids in groups.items() if place in key}
            key = (f"{name}-block", *place, *index)
            tasks[key] = (_Bound(block, own), (data.name, *place, *index), (f"{name}-select", *place))
            if None in own:
                tasks[(f"{name}-done", *place, *index)] = (_Entry(None), key)
                finished.append((f"{name}-done", *place, *index))
        for number, shared in enumerate(shared for shared in groups if len(shared) > 1):
            parts = []
            for place in shared:
                part = (f"{name}-part", number, *place, *index)
                tasks[part] = (_Entry(shared), (f"{name}-block", *place, *index))
                parts.append(part)
            tasks[(f"{name}-join", number, *index)] = (finish, parts)
            finished.append((f"{name}-join", number, *index))
        tasks[(name, 0, *index, *extra)] = (_Assemble(work, size, lengths), finished)
    graph = HighLevelGraph.from_collections(name, tasks, dependencies=cast(Any, [data]))
    chunks = ((size,), *data.chunks[2:], *((3,),) * work.counting)
    return da.Array(graph, name, chunks=chunks, dtype=work.result.dtype)


def _groups(ids: np.ndarray, touched: Mapping[tuple[int, int], np.ndarray]) -> dict[Any, np.ndarray]:
    """Ids of geometries by the blocks that may know of them."""
    blocks: dict[int, set[tuple[int, int]]] = defaultdict(set)
    for place, chosen in touched.items():
        for id in ids[chosen].tolist():
            blocks[id].add(place)
    groups: dict[Any, list[int]] = defaultdict(list)
    for id, places in blocks.items():
        groups[tuple(sorted(places))].append(id)
    return {key: np.array(members) for key, members in groups.items()}


@dataclass(frozen=True, eq=False)
class _Bound:
    """The work on a block for given groups."""

    block: Callable[..., dict[Any, Any]]
    groups: Mapping[Any, np.ndarray]

    def __call__(self, values: np.ndarray, selection: Selection) -> dict[Any, Any]:
        return self.block(values, selection, self.groups)


@dataclass(frozen=True, eq=False)
class _Entry:
    """One group's part of a block's results, so that the others can be freed."""

    group: Any

    def __call__(self, found: Mapping[Any, Any]) -> Any:
        return found[self.group]


@dataclass(frozen=True, eq=False)
class _Assemble:
    work: _Work
    size: int
    others: tuple[int, ...]

    def __call__(self, rows: Sequence[_Rows]) -> np.ndarray:
        return self.work.assemble(self.size, self.others, rows)


def slices_of(chunks: tuple[int, ...]) -> list[slice]:
    """Where the chunks of an axis lie."""
    ends = np.cumsum(chunks).tolist()
    return [slice(end - length, end) for end, length in zip(ends, chunks, strict=True)]


def _vector_cube(cube: Cube, zones: Cube, others: Sequence[str], values: Any, work: _Work, counts: str | None) -> Cube:
    geometry = zones.of_type("geometry")[0]
    dimensions = [geometry, *(cube.dimension(name) for name in others)]
    coords: dict[str, Any] = {geometry.name: (geometry.name, zones.labels(geometry.name))}
    coords |= {name: (name, cube.labels(name)) for name in others}
    if counts is not None:
        dimensions.append(Dimension(counts, "other"))
        coords[counts] = (counts, np.array(COUNTS, dtype=object))
    array = xr.DataArray(values, dims=[d.name for d in dimensions], coords=coords, attrs=work.result.attributes)
    return cube.patch(
        data=array,
        dimensions=tuple(dimensions),
        crs=zones.crs,
        nodata=work.result.nodata,
        properties=zones.properties,
    )
