"""The one way results are computed: window by window, side by side, in order, with bounded memory."""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise, product
from math import prod
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import dask
import dask.array as da
import numpy as np
from dask._task_spec import Alias, DataNode, Task
from dask.array.optimization import optimize
from dask.core import flatten
from dask.highlevelgraph import MaterializedLayer
from dask.local import get_sync
from dask.optimization import cull
from dask.threaded import get as get_threaded

from openeo_backend.cube import memory
from openeo_backend.cube.chain import ByPlanes, Chain, Planes
from openeo_backend.cube.fusion import fuse
from openeo_backend.formats.asset import Progress
from openeo_backend.formats.shared import Shared
from openeo_backend.formats.waiting import Told, Waiting
from openeo_backend.observe.share import Share

T = TypeVar("T")

#: Pixels along a side that a window of small chunks is merged to, and that arrays in memory are cut into.
WINDOW = 1024

#: Bytes that the windows in flight may hold together (what computing them takes comes on top).
BUDGET = 256 * 2**20

#: Streams of a single window that compute at the same time; one within another needs a thread of its own.
_MOST_STREAMS = 64

#: Most bytes that computing an only window takes where the caller's thread does that.
SMALL = 16 * 2**20


@dataclass(frozen=True)
class Block(Generic[T]):
    """One computed window of an array."""

    place: tuple[slice, ...]
    """Where it lies, one slice per axis."""

    result: T
    """What `finish` made of its values."""


def stream(
    array: Any,
    finish: Callable[[np.ndarray, tuple[slice, ...]], T],
    progress: Progress,
    *,
    threads: int | None = None,
    budget: int = BUDGET,
    kept: int | None = None,
    apart: Mapping[int, int] | None = None,
    order: Literal["rows", "shared", "squares"] = "rows",
    folder: Path | None = None,
    sources: Sources | None = None,
) -> Iterator[Block[T]]:
    """Computes every chunk of `array` exactly once and yields its windows.

    A window holds all other axes whole (so that what their chunks share is computed once) unless that exceeds
    the budget; then they are split at their chunk borders. `finish(values, place)` runs where a window is computed,
    so it should make little of much (compress, for example), and hold little itself. `progress` is called in the
    caller's thread after each window was consumed, and every second while it waits for one; what it raises ends the
    stream.

    Dask's configuration decides where windows are computed: by the callable `scheduler` (a cluster, which `finish`
    is sent to), which the threads then wait for, else in the threads; `num_workers` is their number.

    :param array: numpy array or dask array with at least two axes.
    :param kept: bytes of what several windows need up to which it is kept for them; by default a third of the memory
        that is planned with.
    :param apart: axes along which a window may come in parts, of which each is finished before the next is computed,
        and at multiples of which numbers it may be cut.
    :param order: `rows`: windows come row by row of the last two axes; `shared`: those that share much follow each
        other; `squares`: likewise, else four that lie in a square do, and four of such squares, and so on.
    :param folder: where results of windows wait that overtook others; None: in memory.
    :param sources: where it is kept how a small array is computed, for the next time. It belongs to the array.
    """
    threads, planned = threads or memory.threads(), memory.planned()
    conditions = (
        threads,
        budget,
        planned,
        kept,
        tuple((apart or {}).items()),
        order,
        dask.config.get("scheduler", None),
    )
    if sources is not None and conditions in sources:
        yield from _whole(*sources[conditions], finish, progress)
        return
    budget = min(budget, planned // 4)
    side = _side(array, budget // (threads + 1))
    rows, columns = _chunks(array)[-2:]
    axes = [_merge(rows, side * side // max(side, *columns)), _merge(columns, side)]  # low where chunks are wide
    others = _split(_chunks(array)[:-2], _area(axes) * array.dtype.itemsize, budget // (threads + 1))
    places = list(product(*map(enumerate, axes)))
    if order == "squares":
        places.sort(key=lambda place: _nested(place[0][0], place[1][0]))
    windows = [(*rest, y, x) for (_, y), (_, x) in places for rest in others]
    inner = max(threads // max(len(windows), 1), 1)
    source = _Source(array, windows, inner, planned // 3 if kept is None else kept, apart or {})
    if source.shared is not None and order != "rows":
        windows = [windows[number] for number in source.shared.order()]
    threads = source.fit(threads, windows, budget)
    if source.is_small:
        if sources is not None:
            sources[conditions] = source, windows[0]
        yield from _whole(source, windows[0], finish, progress)
        return

    def compute(place: tuple[slice, ...], share: Share, found: Waiting[Block[T]]) -> None:
        try:
            with share.told():
                for block in source.finish(place, finish, share):
                    found.put(block)
                    del block
        finally:
            found.end()

    def tell() -> None:
        progress(done + sum(share.value for share, _, _ in pending), len(windows))

    done, pending = 0, deque[tuple[Share, Waiting[Block[T]], Future[None]]]()
    largest = max((prod(s.stop - s.start for s in place) * array.dtype.itemsize for place in windows), default=1)
    flight = int(min(max(budget // max(largest, 1), 1), threads + 1))
    with _pool(threads, len(windows)) as pool:
        todo = iter(windows)
        try:
            while done < len(windows):
                while len(pending) < flight and (place := next(todo, None)) is not None:
                    share, found = Share(), Waiting[Block[T]](folder)
                    pending.append((share, found, pool.submit(compute, place, share, found)))
                _, found, future = pending[0]
                yield from found.taken(tell)
                future.result()
                found.close()
                pending.popleft()
                done += 1
                progress(done, len(windows))
        finally:
            for _, _, future in pending:
                future.cancel()
            wait_for([future for _, _, future in pending])
            for _, found, _ in pending:
                found.close()


def _whole(
    source: _Source, window: tuple[slice, ...], finish: Callable[[np.ndarray, tuple[slice, ...]], T], progress: Progress
) -> Iterator[Block[T]]:
    """The only window of an array, computed in this thread."""
    whole = Told(progress)
    with whole.told():
        parts = list(source.finish(window, finish, whole))
    yield from parts
    progress(1, 1)


@contextmanager
def _pool(threads: int, windows: int) -> Iterator[ThreadPoolExecutor]:
    """Threads to compute windows in. A single window gets one that is there, with the files that it has open."""
    if windows == 1:
        yield _standing()
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="block", initializer=_be_quiet) as pool:
        yield pool


def _be_quiet() -> None:
    """In this thread, numbers that are none, or too large, are values like others."""
    np.seterr(all="ignore")


@cache
def _standing() -> ThreadPoolExecutor:
    """Threads that stay, as many as there were streams at the same time."""
    return ThreadPoolExecutor(_MOST_STREAMS, thread_name_prefix="block", initializer=_be_quiet)


class _Source:
    """Reads windows of a numpy or dask array; the graph is optimised once for all windows.

    Each window is computed in the caller's thread, or in `threads` of its own: statistics of geometries for example
    have few windows, but need many blocks. What several windows need is computed once.
    """

    def __init__(
        self, array: Any, windows: Sequence[tuple[slice, ...]], threads: int, kept: int, apart: Mapping[int, int]
    ) -> None:
        self.apart = apart
        self.array, self.inner, self.is_single, self.is_small = array, threads, False, False
        self.lazy = isinstance(array, da.Array)
        self.shared: Shared | None = None
        if self.lazy:
            keys = list(flatten(array.__dask_keys__()))
            self.chained = fuse(_culled(array.__dask_graph__(), keys), keys)
            self.starts = [_starts(sizes) for sizes in array.chunks]
            scheduler = dask.config.get("scheduler", None)
            axes = frozenset(axis for axis, step in apart.items() if step == 1)
            parted = self._parted(windows, axes) if axes and not callable(scheduler) else {}
            chained = self.chained | parted
            single = self.is_single = sum(map(_works, chained.values())) == 1
            self.graph = chained if single else dict(optimize(chained, keys))
            if single or sum(map(_works, self.graph.values())) == 1:
                self.inner = 1
            own = get_sync if self.inner == 1 else partial(get_threaded, num_workers=threads)
            self.get: Callable[..., Any] = scheduler if callable(scheduler) else _get_single if single else own
            if len(windows) > 1 and self.get is get_sync:
                self.shared = Shared(self.graph, [self._keys(place)[1] for place in windows], kept)

    def fit(self, threads: int, windows: Sequence[tuple[slice, ...]], held: int) -> int:
        """How many of at most so many threads may compute windows side by side; those within windows are chosen, too.

        :param held: bytes that are held besides.
        :raises OpenEOError: ProcessGraphComplexity where a window takes more memory than there is.
        """
        if not self.lazy or not windows or callable(dask.config.get("scheduler", None)):
            return threads
        sizes = [prod(part.stop - part.start for part in place) for place in windows]
        largest = [place for place, size in zip(windows, sizes, strict=True) if size == max(sizes)]
        keys = self._keys(largest[len(largest) // 2])[1]  # in the middle, where most is needed
        found = memory.need(cull(self.chained, keys)[0], keys)
        memory.refuse_larger(found)
        most = max(found.likely, max(sizes) * self.array.dtype.itemsize)
        self.is_small = len(windows) == 1 and self.is_single and most <= SMALL
        if self.inner > 1:
            self.inner = 1 + memory.fitting(found.task, self.inner - 1, held + found.likely)
            self.get = partial(get_threaded, num_workers=self.inner)
        return memory.fitting(found.likely, threads, held)

    def _keys(self, place: tuple[slice, ...]) -> tuple[list[tuple[int, ...]], list[tuple[Any, ...]]]:
        """Indices and keys of the chunks in a window."""
        ranges = [
            range(starts.index(part.start), starts.index(part.stop))
            for starts, part in zip(self.starts, place, strict=True)
        ]
        indices = list(product(*ranges))
        return indices, [(self.array.name, *index) for index in indices]

    def read(self, place: tuple[slice, ...], share: Share) -> np.ndarray | Planes:
        """Values of a window whose edges are chunk borders."""
        if not self.lazy:
            return np.asarray(self.array[place])
        indices, keys = self._keys(place)
        graph = cull(self.graph, keys)[0]
        tasks = {key for key, task in graph.items() if _works(task)}
        share.plan(len(tasks))

        def count(key: Any, *of_it: Any) -> None:
            if key in tasks:
                share.count()

        get = partial(self.get, callbacks=[(None, None, None, count, None)])
        parts = self.shared.compute(keys, get) if self.shared else get(graph, keys)
        return _assemble(self._shape(place), self.array.dtype, self._places(place, indices), parts)

    def _parted(self, windows: Sequence[tuple[slice, ...]], axes: frozenset[int]) -> dict[Any, Task]:
        """The tasks of windows of one chunk each that are chains, as ones that give their results in planes."""
        keys = [own[0] for own in (self._keys(place)[1] for place in windows) if len(own) == 1]
        tasks = [(key, self.chained[key]) for key in keys]
        return {
            key: Task(key, ByPlanes(task.func, axes), *task.args)
            for key, task in tasks
            if isinstance(task, Task) and isinstance(task.func, Chain)
        }

    def finish(
        self, place: tuple[slice, ...], finish: Callable[[np.ndarray, tuple[slice, ...]], T], share: Share
    ) -> Iterator[Block[T]]:
        """What `finish` makes of a window; a cluster runs it as well, and tells nothing meanwhile.

        :param share: told how much of the window is done.
        """
        if not self.lazy or not callable(dask.config.get("scheduler", None)):
            values = self.read(place, share)
            if not isinstance(values, Planes):
                yield Block(place, finish(values, place))
                return
            for own, part in values.parts(place, self.apart):
                found = Block(own, finish(part, own))
                del part  # else there were two while the next is computed
                yield found
                del found
            return
        indices, keys = self._keys(place)
        graph = dict(cull(self.graph, keys)[0])
        # Two tasks, so that the chunks are let go of before the window is finished.
        assemble = partial(_assemble, self._shape(place), self.array.dtype, self._places(place, indices))
        graph[_WINDOW] = (assemble, keys)
        graph[_FINISHED] = (partial(_apply, finish, place), _WINDOW)
        yield Block(place, self.get(graph, _FINISHED))

    def _shape(self, place: tuple[slice, ...]) -> tuple[int, ...]:
        return tuple(part.stop - part.start for part in place)

    def _places(self, place: tuple[slice, ...], indices: list[tuple[int, ...]]) -> list[tuple[slice, ...]]:
        """Where the chunks lie in a window."""
        return [
            tuple(
                slice(starts[i] - window.start, starts[i + 1] - window.start)
                for starts, i, window in zip(self.starts, index, place, strict=True)
            )
            for index in indices
        ]


def _culled(graph: Any, keys: list[Any]) -> dict[Any, Any]:
    """What keys need of the graph of an array, in single tasks."""
    if all(isinstance(layer, MaterializedLayer) for layer in graph.layers.values()):
        return dict(cull(graph.to_dict(), keys)[0])
    with dask.config.set({"optimization.fuse.active": False}):
        return dict(optimize(graph, keys))


def _works(task: Any) -> bool:
    """Whether a task does more than to look at what others made."""
    return not isinstance(task, DataNode | Alias) and getattr(task, "func", None) is not operator.getitem


def _get_single(graph: Mapping[Any, Any], keys: list[Any], callbacks: Sequence[Any] = ()) -> list[Any]:
    """The values of keys of a graph of a single task, without what Dask does so that many take turns well."""
    values: dict[Any, Any] = {}
    todo = list(keys)
    while todo:
        key = todo[-1]
        missing = [need for need in graph[key].dependencies if need not in values]
        if missing:
            todo += missing
        else:
            values[todo.pop()] = graph[key](values)
            for _, _, _, done, _ in callbacks:
                done(key)
    return [values[key] for key in keys]


#: How small arrays are computed, by what decides on that.
Sources = dict[tuple[Any, ...], tuple[_Source, tuple[slice, ...]]]

#: Keys of the tasks that a window adds to the graph of its chunks.
_WINDOW, _FINISHED = "openeo-window", "openeo-finished"


def _assemble(
    shape: tuple[int, ...], dtype: np.dtype, places: list[tuple[slice, ...]], parts: list[Any]
) -> np.ndarray | Planes:
    """The chunks of a window as one array."""
    if len(parts) == 1:
        return parts[0] if isinstance(parts[0], Planes) else np.asanyarray(parts[0])
    out = np.empty(shape, dtype)
    for place, part in zip(places, parts, strict=True):
        out[place] = part
    return out


def _apply(finish: Callable[[np.ndarray, tuple[slice, ...]], T], place: tuple[slice, ...], values: np.ndarray) -> T:
    return finish(values, place)


def _chunks(array: Any) -> list[Sequence[int]]:
    if isinstance(array, da.Array):
        return list(array.chunks)
    cut = [(*[WINDOW] * (size // WINDOW), *([size % WINDOW] if size % WINDOW else [])) for size in array.shape[-2:]]
    return [*[(1,) * size for size in array.shape[:-2]], *cut]


def _starts(sizes: Sequence[int]) -> list[int]:
    starts = [0]
    for size in sizes:
        starts.append(starts[-1] + int(size))
    return starts


def _nested(row: int, column: int) -> int:
    """The place of a window among all of them, from square to larger square: the bits of both numbers in turns."""
    bits = range(max(row, column).bit_length())
    return sum((row >> bit & 1) << 2 * bit + 1 | (column >> bit & 1) << 2 * bit for bit in bits)


def _merge(sizes: Sequence[int], largest: int) -> list[slice]:
    """Neighbouring chunks joined as long as they stay within `largest`."""
    edges = [0]
    starts = _starts(sizes)
    for start, stop in pairwise(starts):
        if stop - edges[-1] > largest and start > edges[-1]:
            edges.append(start)
    if starts[-1] > edges[-1]:
        edges.append(starts[-1])
    return [slice(start, stop) for start, stop in pairwise(edges)]


def _split(chunks: Sequence[Sequence[int]], pixel_bytes: int, budget: int) -> list[tuple[slice, ...]]:
    """All other axes whole if that fits the budget, else cut along them from the first on."""
    lengths = [sum(sizes) for sizes in chunks]
    parts: list[list[slice]] = []
    for axis, sizes in enumerate(chunks):
        rest = pixel_bytes * prod(lengths[axis + 1 :])
        parts.append(_merge(sizes, max(budget // max(rest, 1), 1)))
    return list(product(*parts))


def _side(array: Any, budget: int) -> int:
    """Pixels along a side up to which chunks are merged, so that windows of chunks with all dates stay small."""
    pixel = prod(max(sizes, default=1) for sizes in _chunks(array)[:-2]) * array.dtype.itemsize
    side = WINDOW
    while side > 1 and pixel * side**2 > budget:
        side //= 2
    return side


def _area(axes: list[list[slice]]) -> int:
    return prod(max((part.stop - part.start for part in axis), default=1) for axis in axes)
