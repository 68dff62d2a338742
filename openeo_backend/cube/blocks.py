"""Applying callbacks to the blocks of a cube: the one place where that happens.

A function (usually a callback bound with :func:`bind`) sees values as :mod:`.pixels` describes: one array per block
for single values, a :class:`PixelArray` for openEO arrays. It is called once per strip of a block, never per pixel.
What it returns is found out beforehand by calling it on a few made-up pixels, a missing one among them, so that lazy
cubes stay lazy. Cubes backed by numpy are computed at once and give the same values.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np

from openeo_backend.cube import chain, fusion
from openeo_backend.cube.cube import Cube
from openeo_backend.cube.dimension import relabelled
from openeo_backend.cube.flat import Unfit, Value, moved, stacked
from openeo_backend.cube.flattening import flatten
from openeo_backend.cube.labelled import labelled
from openeo_backend.cube.labels import labels_json
from openeo_backend.cube.pixels import PixelArray
from openeo_backend.cube.results import Kind, kind_of, store
from openeo_backend.cube.storage import Storage, choose, floating, widened
from openeo_backend.graph import trace
from openeo_backend.graph.callback import Callback
from openeo_backend.graph.nodes import Graph, Node

Function = Callable[..., Any]

#: Bound in megabytes (10^6 bytes) on one block of a cube along whose dimension a function works: all elements of that
#: dimension, all other dimensions' part in the block. Larger blocks are split along their longest other dimensions.
BLOCK_MB = 64

#: The same for blocks that are whole along it already: splitting these would not make what is in memory smaller.
LOADED_MB = 256

#: Pixels of the trace: ordinary, missing, zero, and partly missing ones, and one that all inputs miss.
_SAMPLE = 5

#: Processes whose results may be null for some values of pixels and not for others, whatever the trace shows.
_FICKLE = frozenset({"array_find", "array_filter"})


@dataclass(frozen=True, eq=False)
class Bound:
    """A callback with all parameters but those it gets per block; can be sent to another process."""

    callback: Callable[..., Any]
    names: tuple[str, ...]
    fixed: Mapping[str, Any]

    def __call__(self, *values: Any) -> Any:
        return self.callback(**dict(zip(self.names, values, strict=True)), **self.fixed)


def bind(callback: Callback | Callable[..., Any], *names: str, **fixed: Any) -> Bound:
    """The function of the parameters `names` that calls `callback` with `fixed` for its other parameters."""
    return Bound(callback, names, fixed)


def apply(cube: Cube, function: Function) -> Cube:
    """The cube with `function(values)` for its values; dimensions and labels stay.

    :raises OpenEOError: ProcessParameterInvalid where the function does not return a single value.
    """
    return combine([cube], function)


def combine(cubes: Sequence[Cube], function: Function) -> Cube:
    """`function(values of the first cube, of the second, ...)` on the dimensions of the first cube.

    :param cubes: cubes with the same dimensions, labels and order.
    """
    data, storage = computed([cube.data.data for cube in cubes], [Storage.of(cube) for cube in cubes], function)
    return _rebuilt(cubes[0], data, storage, cubes[0].dimensions, {})


def computed(arrays: Sequence[Any], storages: Sequence[Storage], function: Function) -> tuple[Any, Storage]:
    """`function(values of the first array, ...)` of arrays of one shape (lazy if any is), and its storage."""
    arrays = _aligned(arrays)
    task = _Task(function, tuple(storages)).traced()
    return _map(task, arrays, arrays[0].shape, getattr(arrays[0], "chunks", None)), task.target


def reduce(cube: Cube, function: Function, dimensions: Sequence[str]) -> Cube:
    """The cube without `dimensions`: `function(PixelArray)` of the values along them, labelled if it is one.

    :raises OpenEOError: DimensionNotAvailable; ProcessParameterInvalid where the function returns an array.
    """
    axes = tuple(cube.names.index(cube.dimension(name).name) for name in dimensions)
    labels = _labels(cube, dimensions[0]) if len(dimensions) == 1 else None
    data = _whole(cube.data.data, axes)
    count = math.prod(data.shape[axis] for axis in axes)
    task = _Task(function, (Storage.of(cube),), axes=axes, labels=labels).traced(count)
    kept = [axis for axis in range(data.ndim) if axis not in axes]
    shape = tuple(data.shape[axis] for axis in kept)
    chunks = tuple(data.chunks[axis] for axis in kept) if cube.is_lazy else None
    dimensions_kept = tuple(cube.dimensions[axis] for axis in kept)
    return _rebuilt(cube, _map(task, [data], shape, chunks), task.target, dimensions_kept, {})


def along(cube: Cube, function: Function, dimension: str) -> Cube:
    """The cube with the array that `function(PixelArray)` returns along `dimension`.

    Labels stay where the length does, else they are 0, 1, 2 ... A single value makes an array of one element.

    :raises OpenEOError: DimensionNotAvailable; ProcessParameterInvalid where the function returns an empty array.
    """
    axis = cube.names.index(cube.dimension(dimension).name)
    data = _whole(cube.data.data, (axis,))
    count = data.shape[axis]
    task = _Task(function, (Storage.of(cube),), axes=(axis,), labels=_labels(cube, dimension), array=True)
    task = task.traced(count)
    assert task.length is not None
    labels = None if task.length == count else np.arange(task.length)
    return _replaced(cube, task, data, axis, labels)


def grouped(
    cube: Cube, function: Function, dimension: str, groups: Sequence[Sequence[int] | np.ndarray], labels: np.ndarray
) -> Cube:
    """The cube with one value per group along `dimension`: `function(PixelArray)` of the group's elements.

    :param groups: for each new label the indices of its elements, which may overlap or be empty.
    :raises OpenEOError: DimensionNotAvailable; ProcessParameterInvalid where the function returns an array.
    """
    axis = cube.names.index(cube.dimension(dimension).name)
    data = _whole(cube.data.data, (axis,))
    members = tuple(np.asarray(group, dtype=np.intp) for group in groups)
    task = _Task(function, (Storage.of(cube),), axes=(axis,), labels=_labels(cube, dimension), groups=members)
    return _replaced(cube, task.traced(data.shape[axis]), data, axis, labels)


def _labels(cube: Cube, dimension: str) -> tuple[Any, ...]:
    return tuple(labels_json(cube.labels(dimension)))


def reduced(function: Function, source: Storage) -> Storage:
    """How results of `function(PixelArray)` of values stored as `source` are stored, if some of them are missing."""
    target = _Task(function, (source,), axes=(0,)).traced(_SAMPLE).target
    if target.nullable:
        return target
    return choose(target.dtype, True, source)


# -- what runs per block ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Task:
    """A function with all that is needed to run it on blocks."""

    function: Function
    sources: tuple[Storage, ...]
    target: Storage = Storage(np.dtype(np.float32))
    axes: tuple[int, ...] = ()
    """The axes that make up the elements; none: the function gets and returns single values."""
    labels: tuple[Any, ...] | None = None
    groups: tuple[np.ndarray, ...] | None = None
    array: bool = False
    """The function returns an array."""
    length: int | None = None
    """Elements of the result along the first of `axes`; None where the axes are removed."""

    def __call__(self, *blocks: np.ndarray) -> np.ndarray:
        arrays = [self._elements(block) for block in blocks]
        pixels = arrays[0].shape[1:] if self.axes else arrays[0].shape
        if self.length is None:
            out = writable = self.target.empty(pixels)
        else:
            shape = (*pixels[: self.axes[0]], self.length, *pixels[self.axes[0] :])
            out = self.target.empty(shape)
            writable = np.moveaxis(out, self.axes[0], 0)
        lead = (slice(None),) if self.axes else ()
        out_lead = (slice(None),) if self.length is not None else ()
        for strip in _strips(pixels, len(arrays[0]) if self.axes else 1):
            values = [source.open(array[(*lead, *strip)]) for source, array in zip(self.sources, arrays, strict=True)]
            for part, result in self._results(values):
                store(result, writable[(*out_lead, *strip, ...)][part], self.target, self.array)
        return out

    def _elements(self, block: np.ndarray) -> np.ndarray:
        """The block with all elements on its first axis."""
        if not self.axes:
            return block
        moved = np.moveaxis(block, self.axes, range(len(self.axes)))
        count = len(self.axes)
        return moved if count == 1 else moved.reshape(math.prod(moved.shape[:count]), *moved.shape[count:])

    def _results(self, values: Sequence[np.ndarray]) -> Iterator[tuple[Any, Any]]:
        """Results, each with the index of the part of the output that it fills."""
        with np.errstate(all="ignore"):
            if not self.axes:
                yield (...,), self.function(*values)
            elif self.groups is None:
                yield (...,), self.function(PixelArray(values[0], self.labels))
            else:
                for index, members in enumerate(self.groups):
                    yield (index, ...), self.function(self._group(values[0], members))

    def _group(self, values: np.ndarray, members: np.ndarray) -> PixelArray:
        labels = None if self.labels is None else tuple(self.labels[index] for index in members)
        regular = len(members) > 0 and np.array_equal(members, np.arange(members[0], members[0] + len(members)))
        return PixelArray(values[members[0] : members[-1] + 1] if regular else values[members], labels)

    def traced(self, count: int = 0) -> _Task:
        """The task with the storage and length of its results, found by calling the function on made-up pixels."""
        if self.axes and self.labels is None:
            count = min(count, _SAMPLE)
        shape = (count, _SAMPLE) if self.axes else (_SAMPLE,)
        values = [source.open(_sample(source, shape, turn)) for turn, source in enumerate(self.sources)]
        found: Kind | None = None
        for _, result in self._distinct()._results(values):
            kind = kind_of(result, (_SAMPLE,), self.array)
            found = kind if found is None else found.merge(kind)
        if found is None:  # no groups, hence no values
            found = Kind()
        dtype = found.dtype if found.dtype is not None else floating(self.sources[0].dtype)
        length = found.length if self.array else len(self.groups) if self.groups is not None else None
        target = choose(dtype, found.nullable or _is_fickle(self.function), self.sources[0])
        if target.nodata is not None and not target.boolean and _mentions(self.function, target.nodata):
            target = widened(target)
        return self._patch(target=target, length=length)

    def _distinct(self) -> _Task:
        """The task with one group of each length: groups of the same length give the same type."""
        if self.groups is None:
            return self
        return self._patch(groups=tuple({len(group): group for group in self.groups}.values()))

    def flat(self, inputs: Sequence[Value]) -> Value:
        """See :class:`flat.Flattening`."""
        bound = self.function
        if not isinstance(bound, Bound):
            bound = Bound(bound, ("data",) if self.axes else ("x",), {})
        names, fixed, function = bound.names, bound.fixed, bound.callback
        if len(names) != len(inputs):  # a function of several cubes that is no callback
            raise Unfit
        rows = [self._rows(value) for value in inputs]
        if self.groups is not None:
            parts = [flatten(function, {names[0]: self._members(rows[0], group), **fixed}) for group in self.groups]
            result = stacked(parts)
        else:
            result = flatten(function, {**dict(zip(names, rows, strict=True)), **fixed})
        if result.array != (self.length is not None):
            raise Unfit
        return result if self.length is None else moved(result, 0, self.axes[0])

    def _rows(self, value: Value) -> Value:
        """A value with all elements on its first axis."""
        if not self.axes:
            return value
        return value.then(self._elements, array=True, labels=self.labels)

    @staticmethod
    def _members(rows: Value, group: np.ndarray) -> Value:
        """Some of the elements."""
        if not len(group):
            raise Unfit
        labels = None if rows.labels is None else tuple(rows.labels[index] for index in group)
        part: Any = group
        if np.array_equal(group, np.arange(group[0], group[0] + len(group))):
            part = slice(int(group[0]), int(group[-1]) + 1)
        return rows.then(lambda values: values[part], labels=labels)

    def result_shape(self, shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
        """See :class:`chain.Step`."""
        shape = shapes[0]
        if self.length is None:
            return tuple(size for axis, size in enumerate(shape) if axis not in self.axes)
        return (*shape[: self.axes[0]], self.length, *shape[self.axes[0] + 1 :])

    def input_axis(self, number: int, axis: int) -> int | None:
        """See :class:`chain.Step`."""
        if self.length is not None:
            return None if axis == self.axes[0] else axis
        for dropped in sorted(self.axes):
            axis += dropped <= axis
        return axis

    def _patch(self, **changes: Any) -> _Task:
        return _Task(**{**self.__dict__, **changes})


def _sample(storage: Storage, shape: tuple[int, ...], turn: int) -> np.ndarray:
    """Stored values of a few pixels: ordinary, missing, zero, partly missing (`turn` shifts these), and missing."""
    if storage.dtype.kind not in "biuf":
        return np.full(shape, None, dtype=object)
    count = shape[0] if len(shape) > 1 else 1
    ordinary = np.arange(count) % 100 + 1
    table = np.stack([ordinary, ordinary, np.zeros(count, int), ordinary[::-1] + 1], axis=-1)
    table = np.where(table == storage.nodata, table + 1, table) if storage.nodata is not None else table
    if storage.boolean or storage.dtype.kind == "b":
        table = table % 2
    values = table.astype(storage.dtype)
    if storage.nullable:
        values[:, 1] = storage.null
        values[::2, 3] = storage.null
    values = np.concatenate([np.roll(values, turn, axis=-1), values[:, 1:2]], axis=-1)
    return values if len(shape) > 1 else values[0]


def _nodes(function: Function) -> Iterator[Node]:
    """The nodes of a bound callback, those of callbacks inside it included."""
    callback = function.callback if isinstance(function, Bound) else None
    graphs = [callback.graph] if isinstance(callback, Callback) else []
    while graphs:
        for node in graphs.pop():
            yield node
            graphs += [reference for reference in node.references() if isinstance(reference, Graph)]


def _is_fickle(function: Function) -> bool:
    """Whether a callback may return null depending on values, by its graph: `if` without one of its branches ..."""
    for node in _nodes(function):
        if node.process in _FICKLE:
            return True
        if node.process == "if" and (node.arguments.get("accept") is None or node.arguments.get("reject") is None):
            return True
    return False


def _mentions(function: Function, number: int) -> bool:
    """Whether a number is written in the callback or given to it, so that it may well become a value."""
    values = [value for node in _nodes(function) for value in node.arguments.values()]
    values += list(function.fixed.values()) if isinstance(function, Bound) else []
    while values:
        value = values.pop()
        if isinstance(value, Mapping):
            values += value.values()
        elif isinstance(value, list | tuple):
            values += value
        elif isinstance(value, int | float) and value == number:
            return True
    return False


def _strips(pixels: tuple[int, ...], elements: int) -> Iterator[tuple[slice, ...]]:
    """Slices that cut a block of pixels along its longest axis into strips of about `chain.STRIP` values."""
    if not pixels:
        yield ()
        return
    total = math.prod(pixels)
    if total == 0:
        return
    axis = int(np.argmax(pixels))
    step = max(1, chain.STRIP * pixels[axis] // (total * max(elements, 1)))
    before = (slice(None),) * axis
    for start in range(0, pixels[axis], step):
        yield (*before, slice(start, start + step))


# -- mapping over blocks ------------------------------------------------------------------------------------


def _map(task: _Task, arrays: Sequence[Any], shape: tuple[int, ...], chunks: Any) -> Any:
    """The task over all blocks; at once for numpy arrays."""
    if chunks is None:
        return task(*(np.asarray(array) for array in arrays))
    return fusion.mapped(f"callback-{uuid.uuid4().hex}", trace.located(task), arrays, chunks, task.target.dtype)


def _aligned(arrays: Sequence[Any]) -> list[Any]:
    """Arrays with the same chunks if any of them is lazy."""
    lazy = next((array for array in arrays if isinstance(array, da.Array)), None)
    if lazy is None:
        return list(arrays)
    return [
        array.rechunk(lazy.chunks) if isinstance(array, da.Array) else da.from_array(array, chunks=lazy.chunks)
        for array in arrays
    ]


def _whole(data: Any, axes: Sequence[int]) -> Any:
    """The array with `axes` in one chunk each and blocks within BLOCK_MB, split only within existing chunks."""
    if not isinstance(data, da.Array):
        return data
    chunks = list(data.chunks)
    largest = math.prod(max(chunk) for chunk in chunks) * data.dtype.itemsize
    if all(len(chunks[axis]) == 1 for axis in axes) and largest <= LOADED_MB * 1e6:
        return data
    for axis in axes:
        chunks[axis] = (data.shape[axis],)
    others = [axis for axis in range(data.ndim) if axis not in axes]
    size = max(data.dtype.itemsize, 4)
    while others and math.prod(max(chunk) for chunk in chunks) * size > BLOCK_MB * 1e6:
        longest = max(others, key=lambda axis: max(chunks[axis]))
        if max(chunks[longest]) <= 1:
            break
        halves = [(length - length // 2, length // 2) for length in chunks[longest]]
        chunks[longest] = tuple(length for pair in halves for length in pair if length)
    return data.rechunk(tuple(chunks))


def _replaced(cube: Cube, task: _Task, data: Any, axis: int, labels: np.ndarray | None) -> Cube:
    """The cube with the task's results along `axis`, under new labels unless None."""
    assert task.length is not None
    shape = (*data.shape[:axis], task.length, *data.shape[axis + 1 :])
    chunks = None
    if isinstance(data, da.Array):
        chunks = (*data.chunks[:axis], (task.length,), *data.chunks[axis + 1 :])
    values = _map(task, [data], shape, chunks)
    dimensions = list(cube.dimensions)
    if labels is not None:
        dimensions[axis] = relabelled(dimensions[axis])
    new = {} if labels is None else {cube.dimensions[axis].name: labels}
    return _rebuilt(cube, values, task.target, tuple(dimensions), new)


def _rebuilt(cube: Cube, data: Any, storage: Storage, dimensions: Sequence[Any], labels: Mapping[str, Any]) -> Cube:
    """`cube` with other values on some of its dimensions, and other labels on those in `labels`."""
    names = [dimension.name for dimension in dimensions]
    attrs = {key: value for key, value in cube.data.attrs.items() if key != "boolean"} | storage.attributes
    array = labelled(data, names, labels, cube.data, attrs)
    changes: dict[str, Any] = {}
    types = {dimension.type for dimension in dimensions}
    if "geometry" not in types:
        changes["properties"] = None
    if "bands" not in types:
        changes["bands"] = {}
    return cube.patch(data=array, dimensions=tuple(dimensions), nodata=storage.nodata, **changes)
