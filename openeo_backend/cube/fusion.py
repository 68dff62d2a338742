"""Tasks on blocks that run strip by strip through several steps, so that what lies between is never a whole block.

A lazy cube is a Dask graph with one task per block and step. :func:`fuse` is the optimisation layer on top of it:
chains of steps of callbacks become one task that takes strips which stay within the processor's cache through all
steps. Blocks that only such a chain needs are loaded into memory that each thread uses again. Without it the same
tasks run one after the other and give the same values.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, product
from typing import Any, Protocol, runtime_checkable

import dask.array as da
import numpy as np
from dask._task_spec import Task, TaskRef, convert_legacy_graph
from dask.highlevelgraph import HighLevelGraph

from openeo_backend.cube import ternary
from openeo_backend.cube.flat import Flattening, Leaf, Program, Unfit, Value, agree, close, load
from openeo_backend.cube.pixels import float_type
from openeo_backend.errors import OpenEOError

#: Values that a step gets at once; its intermediate results stay within the processor's cache.
STRIP = 262_144

#: Bytes of the blocks of a chain above which they are filled plane by plane, where the chain allows it.
PLANES_BYTES = 32 * 2**20

Graph = dict[Hashable, Any]
Place = tuple[slice, ...]


@runtime_checkable
class Step(Protocol):
    """A function of blocks that works on each of their pixels by itself."""

    def result_shape(self, shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
        """The shape of the result for blocks of some shapes."""
        ...

    def input_axis(self, number: int, axis: int) -> int | None:
        """The axis of an input that an axis of the result comes from; None where there is none, or where a part of
        the result along it needs more than the same part of the input."""
        ...


class HasShape(Protocol):
    """A block, or what is known of it."""

    @property
    def shape(self) -> tuple[int, ...]: ...


@dataclass(frozen=True, eq=False)
class Fill:
    """A task that makes a block by filling an array."""

    fill: Callable[[Place, np.ndarray], None]
    place: Place
    dtype: np.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(part.stop - part.start for part in self.place)

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def part(self, axis: int, part: slice) -> Fill:
        """The task for a part of the block."""
        place = list(self.place)
        start = place[axis].start
        place[axis] = slice(start + part.start, start + part.stop)
        return replace(self, place=tuple(place))

    def __call__(self) -> np.ndarray:
        out = np.empty(self.shape, self.dtype)
        self.fill(self.place, out)
        return out


def filled(
    name: str, chunks: tuple[tuple[int, ...], ...], dtype: np.dtype, fill: Callable[[Place, np.ndarray], None]
) -> da.Array:
    """A lazy array whose blocks `fill(place, out)` fills."""
    layer: dict[Any, Any] = {}
    starts = [np.concatenate([[0], np.cumsum(sizes)]).astype(int).tolist() for sizes in chunks]
    for index in product(*(range(len(sizes)) for sizes in chunks)):
        place = tuple(slice(start[i], start[i + 1]) for start, i in zip(starts, index, strict=True))
        layer[name, *index] = Task((name, *index), Fill(fill, place, dtype))
    graph = HighLevelGraph.from_collections(name, layer, dependencies=())
    return da.Array(graph, name, chunks, dtype=dtype, meta=np.empty((0,) * len(chunks), dtype))


def mapped(
    name: str,
    function: Callable[..., np.ndarray],
    arrays: Sequence[da.Array],
    chunks: tuple[tuple[int, ...], ...],
    dtype: np.dtype,
) -> da.Array:
    """A lazy array whose blocks are a step's results for the blocks of `arrays` at the same place.

    Axes of the arrays that do not go along with one of the result have one chunk.

    :param function: a :class:`Step`, or one that is wrapped.
    """
    step = bare(function)
    axes = [[step.input_axis(number, axis) for axis in range(len(chunks))] for number in range(len(arrays))]
    layer: dict[Any, Any] = {}
    for index in product(*(range(len(sizes)) for sizes in chunks)):
        key = (name, *index)
        layer[key] = Task(
            key,
            function,
            *(TaskRef((array.name, *_source(index, own, array.ndim))) for array, own in zip(arrays, axes, strict=True)),
        )
    graph = HighLevelGraph.from_collections(name, layer, dependencies=list[Any](arrays))
    return da.Array(graph, name, chunks, dtype=dtype, meta=np.empty((0,) * len(chunks), dtype))


def _source(index: Sequence[int], axes: Sequence[int | None], ndim: int) -> list[int]:
    """Where the block of an array is that goes into a block of the result."""
    found = [0] * ndim
    for position, axis in zip(index, axes, strict=True):
        if axis is not None:
            found[axis] = position
    return found


def fuse(graph: Mapping[Hashable, Any], keys: Sequence[Hashable]) -> Graph:
    """The graph with chains of steps in single tasks.

    A task goes into the chain of the only task that needs it; what several need is computed once, on its own.

    :param keys: what is asked for, which stays.
    """
    fused: Graph = dict(convert_legacy_graph(graph))
    uses: Counter[Hashable] = Counter(keys)
    for node in fused.values():
        uses.update(set(node.dependencies))
        if isinstance(node, Task):  # one that takes a block twice uses it twice
            taken = [argument.key for argument in node.args if isinstance(argument, TaskRef)]
            uses.update(taken)
            uses.subtract(set(taken))
    buffers = Buffers()
    for key in _ordered(fused):
        node = fused[key]
        if not isinstance(node, Task) or not isinstance(bare(node.func), Step) or node.kwargs:
            continue
        chain, leaves = _chained(node, fused, uses, buffers)
        fused[key] = Task(key, chain, *leaves)
    compiler = Compiler()
    for key, node in fused.items():
        if isinstance(node, Task) and isinstance(node.func, Chain):
            fused[key] = Task(key, compiler.compiled(node.func), *node.args)
    return fused


def _chained(node: Task, graph: Graph, uses: Mapping[Hashable, int], buffers: Buffers) -> tuple[Chain, list[TaskRef]]:
    """The chain that ends with a task, and the blocks it takes; tasks that went into it are removed from the graph."""
    inputs: list[Chain | Fill | int] = []
    leaves: list[TaskRef] = []
    for reference in node.args:
        before = graph[reference.key]
        function = before.func if isinstance(before, Task) and uses[reference.key] == 1 else None
        if isinstance(function, Chain):
            inputs.append(function.shifted(len(leaves)))
            leaves += before.args
            del graph[reference.key]
        elif isinstance(bare(function), Fill):
            inputs.append(bare(function))
            del graph[reference.key]
        else:
            inputs.append(len(leaves))
            leaves.append(reference)
    return Chain(node.func, bare(node.func), tuple(inputs), buffers), leaves


def bare(function: Any) -> Any:
    """A function without what notes the place in the graph around it."""
    return getattr(function, "__wrapped__", function)


def _ordered(graph: Graph) -> list[Hashable]:
    """The keys of a graph, each behind those it needs."""
    found: dict[Hashable, None] = {}
    for start in graph:
        todo = [start]
        while todo:
            key = todo[-1]
            missing = [need for need in graph[key].dependencies if need in graph and need not in found]
            if missing and key not in found:
                todo += missing
            else:
                found.setdefault(todo.pop())
    return list(found)


class Buffers:
    """Memory for blocks that each thread uses again and again."""

    def __init__(self) -> None:
        self._local = threading.local()

    def __reduce__(self) -> tuple[type[Buffers], tuple[()]]:
        return Buffers, ()

    def take(self, number: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """An array whose values are whatever was there; valid until this thread asks for the same number again."""
        kept: dict[int, np.ndarray] = self._local.__dict__.setdefault("kept", {})
        size = math.prod(shape) * dtype.itemsize
        if number not in kept or kept[number].nbytes < size:
            kept.pop(number, None)
            kept[number] = np.empty(size, np.uint8)
        return kept[number][:size].view(dtype).reshape(shape)


@dataclass(frozen=True, eq=False)
class Chain:
    """A step and the steps that make its inputs."""

    call: Callable[..., np.ndarray]
    step: Step
    inputs: tuple[Chain | Fill | int, ...]
    """What makes each input: a chain, a task that fills a block, or the number of a block that is given."""
    buffers: Buffers
    program: Program | None = None
    """Flat operations that give the same, where they are known."""

    def shifted(self, by: int) -> Chain:
        """The chain for blocks whose numbers are higher."""
        if not by:
            return self
        moved = [i.shifted(by) if isinstance(i, Chain) else i + by if isinstance(i, int) else i for i in self.inputs]
        return replace(self, inputs=tuple(moved))

    def loaded(self, blocks: Sequence[HasShape] | None) -> int:
        """Bytes that are filled at a time, for blocks of known shapes (None: of any)."""
        together = sum(fill.nbytes for fill in self.fills())
        shape = None if blocks is None else self.result_shape(blocks)
        axis = None if shape is None else self._planes(shape)
        return together if axis is None or shape is None else math.ceil(together / shape[axis])

    def __call__(self, *blocks: np.ndarray) -> np.ndarray:
        shape = self.result_shape(blocks)
        axis = self._planes(shape)
        if axis is None:
            chain, blocks = self._prepared(blocks)
            return chain._bind(blocks, count()).run()
        parts = (slice(start, start + 1) for start in range(shape[axis]))
        return _joined(shape, axis, parts, lambda part, out: self._bind(blocks, count(), axis, part).run(out))

    def result_shape(self, blocks: Sequence[HasShape]) -> tuple[int, ...]:
        """The shape of the result for blocks of some shapes."""
        shapes = []
        for one in self.inputs:
            if isinstance(one, Chain):
                shapes.append(one.result_shape(blocks))
            else:
                shapes.append(one.shape if isinstance(one, Fill) else blocks[one].shape)
        return self.step.result_shape(shapes)

    def _planes(self, shape: tuple[int, ...]) -> int | None:
        """The axis of the result along which large blocks are filled one plane after the other."""
        if sum(fill.nbytes for fill in self.fills()) <= PLANES_BYTES:
            return None
        fitting = [axis for axis in range(len(shape)) if shape[axis] > 1 and self._goes_by_planes(axis)]
        return max(fitting, key=lambda axis: shape[axis], default=None)

    def fills(self) -> Iterator[Fill]:
        """What is filled for it."""
        for one in self.inputs:
            if isinstance(one, Chain):
                yield from one.fills()
            elif isinstance(one, Fill):
                yield one

    def _goes_by_planes(self, axis: int) -> bool:
        """Whether an axis of the result is one of dates, bands ... of all blocks that are filled, so that each plane
        is filled once. Files are read in tiles: rows and columns stay together."""
        for number, one in enumerate(self.inputs):
            own = self.step.input_axis(number, axis)
            if isinstance(one, Fill) and (own is None or own >= len(one.shape) - 2):
                return False
            if isinstance(one, Chain) and not (one._goes_by_planes(own) if own is not None else not any(one.fills())):
                return False
        return True

    def _prepared(self, blocks: tuple[np.ndarray, ...]) -> tuple[Chain, tuple[np.ndarray, ...]]:
        """The chain and its blocks with the results of chains in it that take less memory than what they are made of.

        These are computed plane by plane, before any other block is filled.
        """
        if self.program is not None:
            return self, blocks
        inputs: list[Chain | Fill | int] = []
        for one in self.inputs:
            if isinstance(one, Chain) and one._shrinks(blocks):
                inputs.append(len(blocks))
                blocks = (*blocks, one(*blocks))
            elif isinstance(one, Chain):
                prepared, blocks = one._prepared(blocks)
                inputs.append(prepared)
            else:
                inputs.append(one)
        return replace(self, inputs=tuple(inputs)), blocks

    def _shrinks(self, blocks: Sequence[np.ndarray]) -> bool:
        """Whether the result, which can be computed plane by plane, takes less memory than what it is made of."""
        shape = self.result_shape(blocks)
        if not isinstance(self.step, Flattening) or self._planes(shape) is None:
            return False
        size = math.prod(shape) * self.step.target.dtype.itemsize
        return size < sum(fill.nbytes for fill in self.fills())

    def _bind(
        self, blocks: Sequence[np.ndarray], numbers: Iterator[int], axis: int | None = None, part: slice = slice(None)
    ) -> Bound:
        """The chain with its blocks, or with their part along an axis of the result."""
        inputs: list[Bound | np.ndarray] = []
        for number, one in enumerate(self.inputs):
            own = None if axis is None else self.step.input_axis(number, axis)
            if isinstance(one, Chain):
                inputs.append(one._bind(blocks, numbers, own, part))
            elif isinstance(one, Fill):
                fill = one if own is None else one.part(own, part)
                block = self.buffers.take(next(numbers), fill.shape, fill.dtype)
                fill.fill(fill.place, block)
                inputs.append(block)
            else:
                inputs.append(blocks[one] if own is None else blocks[one][(*(slice(None),) * own, part)])
        shape = self.step.result_shape([one.shape for one in inputs])
        return Bound(self.call, self.step, inputs, shape, self.program)


def _joined(
    shape: tuple[int, ...],
    axis: int,
    parts: Iterator[slice],
    compute: Callable[[slice, np.ndarray | None], np.ndarray],
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Parts along an axis as one array.

    :param compute: makes a part, in the array that it is given, if any and if it can.
    :param out: the array, if there is one.
    """
    for place in parts:
        where = (*(slice(None),) * axis, place)
        target = None if out is None else out[where]
        values = compute(place, target)
        if out is None:
            out = np.empty(shape, values.dtype)
        if values is not target:
            out[where] = values
        del values
    assert out is not None
    return out


class Compiler:
    """Finds the flat operations of chains; chains of different blocks that are made of the same steps share them."""

    def __init__(self) -> None:
        self._known: dict[Any, Program | None] = {}
        self._works = ternary.available()

    def compiled(self, chain: Chain) -> Chain:
        """The chain with its operations, or with those of the chains in it."""
        if not self._works:
            return chain
        form = _form(chain)
        if form not in self._known:
            self._known[form] = self._program(chain)
        program = self._known[form]
        if program is not None:
            return replace(chain, program=program)
        inputs = tuple(self.compiled(one) if isinstance(one, Chain) else one for one in chain.inputs)
        return replace(chain, inputs=inputs)

    def _program(self, chain: Chain) -> Program | None:
        types: set[np.dtype] = set()
        try:
            value = self._value(chain, (), types)
            step = chain.step
            assert isinstance(step, Flattening)
            return Program(close(value, step.target)) if len(types) < 2 else None
        except Unfit:
            return None

    def _value(self, chain: Chain, path: tuple[int, ...], types: set[np.dtype]) -> Value:
        step = chain.step
        if not isinstance(step, Flattening) or len(step.sources) != len(chain.inputs):
            raise Unfit
        inputs = []
        for number, one in enumerate(chain.inputs):
            here = (*path, number)
            inputs.append(
                self._value(one, here, types) if isinstance(one, Chain) else load(Leaf(path=here), step.sources[number])
            )
        types |= {float_type(one.dtype) for one in (*step.sources, step.target) if one.dtype.kind == "f"}
        types |= {float_type(one.dtype) for one in step.sources if one.dtype.kind in "iu" and not one.boolean}
        value = step.flat(inputs)
        agree(value, step.target)
        return value


def _form(chain: Chain) -> Any:
    """What tells chains of other steps apart."""
    return id(chain.step), tuple(_form(one) if isinstance(one, Chain) else None for one in chain.inputs)


@dataclass(frozen=True, eq=False)
class Bound:
    """A chain with its blocks."""

    call: Callable[..., np.ndarray]
    step: Step
    inputs: Sequence[Bound | np.ndarray]
    shape: tuple[int, ...]
    program: Program | None = None

    def run(self, out: np.ndarray | None = None) -> np.ndarray:
        """The result, strip by strip.

        :param out: where to put it; then this is what is returned, or not, where the result is made at once.
        """
        axis = max(
            (axis for axis in range(len(self.shape)) if self.goes_along(axis)),
            key=lambda axis: self.shape[axis],
            default=None,
        )
        if axis is None or self.values <= STRIP or not math.prod(self.shape):
            return self.part(None, slice(None))
        length = self.shape[axis]
        rows = max(1, STRIP * length // self.values)
        parts = (slice(start, min(start + rows, length)) for start in range(0, length, rows))
        return _joined(self.shape, axis, parts, lambda part, _: self.part(axis, part), out)

    @property
    def values(self) -> int:
        """The most values that any of its steps takes or makes."""
        below = [one.values if isinstance(one, Bound) else one.size for one in self.inputs]
        return max(math.prod(self.shape), *below)

    def goes_along(self, axis: int) -> bool:
        """Whether parts along an axis of the result can be computed from the same parts of all blocks."""
        for number, one in enumerate(self.inputs):
            own = self.step.input_axis(number, axis)
            if own is None or (isinstance(one, Bound) and not one.goes_along(own)):
                return False
        return True

    def part(self, axis: int | None, place: slice) -> np.ndarray:
        """The values in a part along an axis of the result; None: all of them."""
        if self.program is not None:
            try:
                return self.program(*(self._leaf(leaf.path, axis, place) for leaf in self.program.leaves))
            except (Unfit, OpenEOError):
                pass  # the general way gives the result, or says where the mistake is
        return self.call(*(self._input(number, axis, place) for number in range(len(self.inputs))))

    def _leaf(self, path: Sequence[int], axis: int | None, place: slice) -> np.ndarray:
        """The part of a block that a way through the inputs leads to."""
        number, *further = path
        if not further:
            return self._input(number, axis, place)
        one = self.inputs[number]
        assert isinstance(one, Bound)
        return one._leaf(further, None if axis is None else self.step.input_axis(number, axis), place)

    def _input(self, number: int, axis: int | None, place: slice) -> np.ndarray:
        one = self.inputs[number]
        own = None if axis is None else self.step.input_axis(number, axis)
        if isinstance(one, Bound):
            return one.part(own, place)
        return one if own is None else one[(*(slice(None),) * own, place)]
