"""Tasks on blocks that run strip by strip through several steps, so that what lies between is never a whole block.

A lazy cube is a Dask graph with one task per block and step. :func:`fuse` is the optimisation layer on top of it:
chains of steps of callbacks become one task that takes strips which stay within the processor's cache through all
steps. Blocks that only such a chain needs are loaded into memory that each thread uses again. Without it the same
tasks run one after the other and give the same values.
"""

from __future__ import annotations

import math
import operator
import uuid
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import dask.array as da
import numpy as np
from dask._task_spec import Task, TaskRef, convert_legacy_graph
from dask.highlevelgraph import HighLevelGraph

from openeo_backend.cube import ternary
from openeo_backend.cube.chain import Buffers, Chain, Fill, Place, bare, is_step
from openeo_backend.cube.flat import Leaf, Unfit, Value, agree, close, is_flattening, load
from openeo_backend.cube.pixels import float_type
from openeo_backend.cube.program import Program
from openeo_backend.cube.turning import Merge, Turn

Graph = dict[Hashable, Any]


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


def recut(array: da.Array, chunks: tuple[tuple[int, ...], ...]) -> da.Array | None:
    """An array made by :func:`filled` with other blocks from the start; None for other arrays."""
    first = (array.name, *(0,) * array.ndim)
    node = dict(array.dask.layers[array.name]).get(first) if array.name in array.dask.layers else None
    if not isinstance(node, Task) or not isinstance(node.func, Fill):
        return None
    return filled(f"{array.name}-{uuid.uuid4().hex}", chunks, array.dtype, node.func.fill)


def lifted(array: da.Array) -> da.Array:
    """The array with a further axis of length 1, the first: Dask's own way takes long for small arrays."""
    name = f"lifted-{array.name}"
    layer: dict[Any, Any] = {}
    for index in product(*(range(len(sizes)) for sizes in array.chunks)):
        key = (name, 0, *index)
        layer[key] = Task(key, operator.getitem, TaskRef((array.name, *index)), (None,))
    graph = HighLevelGraph.from_collections(name, layer, dependencies=list[Any]([array]))
    meta = np.empty((0,) * (array.ndim + 1), array.dtype)
    return da.Array(graph, name, ((1,), *array.chunks), dtype=array.dtype, meta=meta)


def mapped(
    name: str,
    function: Callable[..., np.ndarray],
    arrays: Sequence[da.Array],
    chunks: tuple[tuple[int, ...], ...],
    dtype: np.dtype,
) -> da.Array:
    """A lazy array whose blocks are a step's results for the blocks of `arrays` at the same place.

    Axes of the arrays that do not go along with one of the result have one chunk.

    :param function: a step (:func:`is_step`), or one that is wrapped.
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


def merge_axes(array: Any, place: int) -> Any:
    """A numpy or Dask array with an axis and the next one as one axis, the next one running faster."""
    step = Merge(place)
    if not isinstance(array, da.Array) or array.numblocks[place] != 1 or array.numblocks[place + 1] != 1:
        return reshaped(array, step.result_shape([array.shape]))
    sizes = tuple((array.shape[axis],) if axis in (place, place + 1) else own for axis, own in enumerate(array.chunks))
    together = (math.prod(array.shape[place : place + 2]),)
    chunks = (*sizes[:place], together, *sizes[place + 2 :])
    return mapped(f"merge-axes-{uuid.uuid4().hex}", step, [array], chunks, array.dtype)


def reshaped(array: Any, shape: Sequence[int]) -> Any:
    """A numpy or Dask array in another shape. Dask does not reshape what is empty."""
    return np.empty(shape, array.dtype) if 0 in array.shape else array.reshape(tuple(shape))


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
    buffers, turns = Buffers(), _Turns()
    for key in _ordered(fused):
        node = turns.seen(fused[key], fused, uses)
        if not isinstance(node, Task) or not is_step(bare(node.func)) or node.kwargs:
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


class _Turns:
    """Finds where the result of a chain gets its axes in another order, which makes a step of the chain."""

    def __init__(self) -> None:
        self._known: dict[Any, Turn] = {}

    def seen(self, node: Any, graph: Graph, uses: Mapping[Hashable, int]) -> Any:
        """The task as a step; as it is where it is another."""
        if not isinstance(node, Task) or node.func is not np.transpose or set(node.kwargs) != {"axes"}:
            return node
        before = graph.get(node.args[0].key) if isinstance(node.args[0], TaskRef) else None
        chain = before.func if isinstance(before, Task) else None
        if not isinstance(chain, Chain) or not is_flattening(chain.step) or uses[node.args[0].key] != 1:
            return node
        form = (id(chain.step), tuple(node.kwargs["axes"]))  # of all blocks the same, so that they share a program
        if form not in self._known:
            self._known[form] = Turn(form[1], chain.step.target, getattr(chain.call, "nodes", ()))
        return Task(node.key, self._known[form], node.args[0])


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
            assert is_flattening(step)
            return Program(close(value, step.target)) if len(types) < 2 else None
        except Unfit:
            return None

    def _value(self, chain: Chain, path: tuple[int, ...], types: set[np.dtype]) -> Value:
        step = chain.step
        if not is_flattening(step) or len(step.sources) != len(chain.inputs):
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
