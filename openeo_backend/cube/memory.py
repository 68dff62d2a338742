"""How much memory an evaluation may plan with, and how much computing a part of its graph takes.

The amount is a setting, or a job's option, which :mod:`openeo_backend.run.compute` puts into Dask's configuration.
Loads choose their blocks by it, results the number of windows that are computed side by side; what does not fit even
alone is refused before it starts.
"""

from __future__ import annotations

import math
import operator
from collections import Counter, deque
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import dask
import numpy as np
from dask._task_spec import Alias, DataNode, Task, TaskRef
from dask.array.chunk import getitem
from dask.array.core import concatenate3, concatenate_shaped, getter
from dask.order import order
from dask.system import CPU_COUNT

from openeo_backend.cube.chain import Chain, Fill, bare
from openeo_backend.errors import NodeRef, OpenEOError

#: Where the MB that an evaluation may take are in Dask's configuration, and how many there are without it.
CONFIG, USUAL_MB = "openeo.memory-mb", 2048

#: MB that a process takes whatever it computes: imported code, open files, decoded tiles, writers.
BASE_MB = 350

#: Tasks of one window up to which its memory is estimated.
MOST_TASKS = 50_000

Graph = Mapping[Hashable, Any]


def planned() -> int:
    """Bytes that blocks may take together."""
    return max(_given_mb() - BASE_MB, 0) * 10**6


def _given_mb() -> int:
    return int(dask.config.get(CONFIG, None) or USUAL_MB)


def threads() -> int:
    """How many compute at the same time."""
    return int(dask.config.get("num_workers", None) or CPU_COUNT)


@dataclass(frozen=True)
class Shape:
    """What is known of a value: an array of some shape and type."""

    shape: tuple[int, ...]
    dtype: np.dtype
    is_guess: bool = False
    """Whether only its size is likely, and its axes may be others."""

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class Need:
    """Bytes that computing some keys of a graph takes in one thread."""

    least: int
    """What is sure: blocks that are loaded and what callbacks make of them."""

    likely: int
    """With what other functions make of arrays taken for as large as what they get."""

    task: int = 0
    """Of the largest task alone."""

    nodes: tuple[NodeRef, ...] = ()
    """Where in the process graph that task, or what needs it, belongs."""

    shape: tuple[int, ...] = ()
    """The shape of its largest block."""


def need(graph: Graph, keys: Sequence[Hashable]) -> Need:
    """What computing keys of a (fused) graph takes, found by going through its tasks in Dask's order."""
    if len(graph) > MOST_TASKS:
        return Need(0, 0)
    places: Mapping[Any, int] = order(cast(Any, dict(graph))) if len(graph) > 1 else dict.fromkeys(graph, 0)
    uses: Counter[Hashable] = Counter(one for node in graph.values() for one in set(node.dependencies))
    uses.update(keys)
    sure, guessed = _Held(guess=False), _Held(guess=True)
    found, largest = Need(0, 0), None
    views: dict[Hashable, Any] = {}

    def release(key: Hashable) -> None:
        uses[key] -= 1
        if not uses[key]:
            sure.drop(key)
            guessed.drop(key)
            for base in views.pop(key, ()):
                release(base)

    for key in sorted(graph, key=lambda key: places[key]):
        node = graph[key]
        sure.add(key, node)
        task = guessed.add(key, node)
        if task > found.task:
            largest, found = key, replace(found, task=task, shape=_widest(node, guessed.known[key]))
        if not guessed.own[key] and _is_cut(node):  # the array that it shows a part of stays as long
            views[key] = node.dependencies
            continue
        for one in node.dependencies:
            release(one)
    return replace(found, least=sure.most, likely=guessed.most, nodes=_place(graph, largest))


class _Held:
    """What one thread holds while it goes through tasks.

    :param guess: whether results of unknown functions of arrays are taken for as large as what they get.
    """

    def __init__(self, *, guess: bool) -> None:
        self.guess = guess
        self.known: dict[Hashable, Shape | None] = {}
        self.own: dict[Hashable, int] = {}
        self.bytes = self.buffers = self.most = 0

    def add(self, key: Hashable, node: Any) -> int:
        """Take in the result of a task, and tell what the task takes by itself."""
        loaded = _loaded(node, self.known)
        self.known[key] = made = _made(node, self.known, guess=self.guess)
        self.own[key] = 0 if _is_view(node, made, self.known) else _bytes(made)
        self.buffers = max(self.buffers, loaded)
        self.bytes += self.own[key]
        self.most = max(self.most, self.bytes + self.buffers)
        return loaded + sum(self.own.get(one, 0) for one in {*node.dependencies, key})

    def drop(self, key: Hashable) -> None:
        """Let go of a result that nothing needs any more."""
        self.bytes -= self.own[key]


def refuse_larger(found: Need) -> None:
    """:raises OpenEOError: ProcessGraphComplexity where a part of a result takes more than may be planned with."""
    what = " x ".join(f"{size:,}" for size in found.shape)
    where = f" Most of it is for '{found.nodes[-1].node_id}' ({found.nodes[-1].process_id})" if found.nodes else ""
    block = f"{where or ' Most of it is'}: blocks of {what} values." if what else f"{where}." if where else ""
    hint = "Use fewer dates or bands at a time, smaller neighbourhoods"
    refuse_more(found.least, "A part of the result", hint, block)


def refuse_more(size: int, what: str, hint: str, where: str = "") -> None:
    """:raises OpenEOError: ProcessGraphComplexity where something takes more bytes than may be planned with.

    :param hint: what else than more memory helps.
    :param where: sentences about what it is needed for.
    """
    if size > planned():
        raise OpenEOError(
            "ProcessGraphComplexity",
            f"{what} needs at least {_mb(size):,} MB of memory at a time, beside the {BASE_MB} MB that every run "
            f"takes; this one may take {_given_mb():,} MB.{where}",
            hint=f"{hint}, or more memory (the job option 'memory').",
        )


def fitting(size: int, most: int, held: int = 0) -> int:
    """How many of at most so many threads may work on parts that take some bytes; at least one.

    :param held: bytes that are held besides.
    """
    return max(min(most, (planned() - held) // max(size, 1)), 1)


def _mb(size: int) -> int:
    return math.ceil(size / 1e6)


def _bytes(shape: Shape | None) -> int:
    return 0 if shape is None else shape.nbytes


def _chain(node: Any) -> Chain | None:
    """The chain that a task runs, if it is one."""
    return node.func if isinstance(node, Task) and isinstance(node.func, Chain) else None


def _nodes(node: Any) -> tuple[NodeRef, ...]:
    """Where a task belongs in the process graph."""
    chain = _chain(node)
    function = chain.call if chain is not None else getattr(node, "func", None)
    return tuple(getattr(function, "nodes", ()))


def _together(node: Any, known: Mapping[Hashable, Shape | None]) -> Shape | None:
    """The shape of blocks that are put together; where some are not known, only how much the others are."""
    parts = [known.get(one) for one in node.dependencies]
    dtype = next((part.dtype for part in parts if part), np.dtype("u1"))
    counts = node.args[1] if len(node.args) > 1 else ()  # how many blocks there are along each axis
    keys = [getattr(one, "key", None) for one in getattr(node.args[0], "args", ())]
    sure = all(part is not None and not part.is_guess for part in parts)
    if sure and math.prod(counts) == len(keys) == len(parts):
        places = np.arange(len(keys)).reshape(counts)
        shape = []
        for axis in range(places.ndim):
            along = np.moveaxis(places, axis, 0).reshape(places.shape[axis], -1)[:, 0]
            shape.append(sum(cast(Shape, known[keys[place]]).shape[axis] for place in along))
        return Shape(tuple(shape), dtype)
    return Shape((sum(map(_bytes, parts)) // dtype.itemsize,), dtype, is_guess=True)


def _is_cut(node: Any) -> bool:
    """Whether a task takes a part of an array."""
    return isinstance(node, Task) and bare(node.func) in (operator.getitem, getter, getitem)


def _is_view(node: Any, made: Shape | None, known: Mapping[Hashable, Shape | None]) -> bool:
    """Whether a task shows a part of an array without copying it."""
    if not _is_cut(node):
        return False
    whole = max((_bytes(known.get(one)) for one in node.dependencies), default=0)
    return bare(node.func) is not getitem or 2 * _bytes(made) > whole  # Dask's own copies what is less than half


def _part(node: Any, known: Mapping[Hashable, Shape | None]) -> Shape | None:
    """The shape of a part of an array."""
    base, index = (_taken(node, known)[0] if node.args else None), node.args[1] if len(node.args) > 1 else None
    if base is None or base.is_guess or not isinstance(index, tuple):
        return None
    if not all(isinstance(part, slice) for part in index):
        return None
    cut = tuple(len(range(*part.indices(size))) for part, size in zip(index, base.shape, strict=False))
    return Shape((*cut, *base.shape[len(cut) :]), base.dtype)


def _made(node: Any, known: Mapping[Hashable, Shape | None], *, guess: bool) -> Shape | None:
    """The shape of what a task makes; None where it is not known."""
    if isinstance(node, DataNode):
        return Shape(node.value.shape, node.value.dtype) if isinstance(node.value, np.ndarray) else None
    if not isinstance(node, Task) or isinstance(node, Alias):
        return None
    function = bare(node.func)
    if isinstance(function, Fill):
        return Shape(function.shape, function.dtype)
    if isinstance(function, Chain):
        return _of_chain(function, node, known)
    if _is_cut(node):
        return _part(node, known)
    if function in (concatenate3, concatenate_shaped):
        return _together(node, known)
    if getattr(node.func, "method", None) == "reshape" and len(node.args) > 1 and (blocks := _taken(node, known)[:1]):
        return None if blocks[0] is None else replace(blocks[0], shape=tuple(node.args[1]), is_guess=False)
    if guess and str(getattr(function, "__module__", "")).partition(".")[0] in ("dask", "numpy", "xarray"):
        largest = max((known.get(one) for one in node.dependencies), key=_bytes, default=None)
        return largest and replace(largest, is_guess=True)
    return None


def _place(graph: Graph, key: Hashable) -> tuple[NodeRef, ...]:
    """Where a task belongs, or the first one that it is for; tasks that only cut and join belong nowhere."""
    if nodes := _nodes(graph.get(key)):
        return nodes
    users: dict[Hashable, list[Hashable]] = {}
    for user, node in graph.items():
        for used in node.dependencies:
            users.setdefault(used, []).append(user)
    todo, seen = deque([key]), {key}
    while todo:
        one = todo.popleft()
        if nodes := _nodes(graph.get(one)):
            return nodes
        later = [key for key in users.get(one, ()) if key not in seen]
        seen.update(later)
        todo += later
    return ()


def _taken(node: Task, known: Mapping[Hashable, Shape | None]) -> list[Shape | None]:
    """What is known of the blocks that a chain is given."""
    return [known.get(one.key) if isinstance(one, TaskRef) else None for one in node.args]


def _of_chain(chain: Chain, node: Task, known: Mapping[Hashable, Shape | None]) -> Shape | None:
    """The result of a chain."""
    target, blocks = getattr(chain.step, "target", None), [one for one in _taken(node, known) if one is not None]
    if target is None or len(blocks) < len(node.args):
        return None
    if any(block.is_guess for block in blocks):
        return replace(max(blocks, key=_bytes), is_guess=True)
    return Shape(chain.result_shape(blocks), target.dtype)


def _loaded(node: Any, known: Mapping[Hashable, Shape | None]) -> int:
    """Bytes that a task loads at a time, into memory that its thread uses again."""
    chain = _chain(node)
    if chain is None:
        return 0
    blocks = [one for one in _taken(node, known) if one is not None and not one.is_guess]
    return chain.loaded(blocks if len(blocks) == len(node.args) else None)


def _widest(node: Any, made: Shape | None) -> tuple[int, ...]:
    """The shape of the largest block that a task loads or makes."""
    chain = _chain(node)
    found = [(fill.nbytes, fill.shape) for fill in (chain.fills() if chain is not None else ())]
    return max([*found, (_bytes(made), made.shape if made else ())])[1]
