"""Chains of steps on blocks: what runs strip by strip through several steps as one task."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count, pairwise
from typing import Any, Protocol, TypeGuard

import numpy as np

from openeo_backend.cube.flat import Unfit, is_flattening
from openeo_backend.cube.program import Program
from openeo_backend.errors import OpenEOError

#: Values that a step gets at once; its intermediate results stay within the processor's cache.
STRIP = 524_288

#: Bytes of the blocks of a chain above which they are filled plane by plane, where the chain allows it.
PLANES_BYTES = 32 * 2**20

Place = tuple[slice, ...]


class Step(Protocol):
    """A function of blocks that works on each of their pixels by itself."""

    def result_shape(self, shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
        """The shape of the result for blocks of some shapes."""
        ...

    def input_axis(self, number: int, axis: int) -> int | None:
        """The axis of an input that an axis of the result comes from; None where there is none, or where a part of
        the result along it needs more than the same part of the input."""
        ...


def is_step(function: Any) -> TypeGuard[Step]:
    """Whether a function is a step."""
    return hasattr(function, "result_shape") and hasattr(function, "input_axis")


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


def bare(function: Any) -> Any:
    """A function without what notes the place in the graph around it."""
    return getattr(function, "__wrapped__", function)


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
class Planes:
    """A result that is computed plane by plane as it is taken, in the thread that takes it."""

    chain: Chain
    blocks: tuple[np.ndarray, ...]
    axis: int
    count: int

    def parts(self, place: Place, apart: Mapping[int, int]) -> Iterator[tuple[Place, np.ndarray]]:
        """Parts of the result with where they lie, as they are computed.

        :param place: where the whole of it lies.
        :param apart: axes along which a plane may be cut, at multiples of which numbers.
        """
        first = place[self.axis].start
        for number in range(self.count):
            plane = slice(number, number + 1)
            where = (*place[: self.axis], slice(first + number, first + number + 1), *place[self.axis + 1 :])
            bound = self.chain.bind(self.blocks, self.axis, plane)
            cut = bound.along
            if cut is None or cut == self.axis or cut not in apart:
                yield where, bound.run()
                continue
            start, stop = where[cut].start, where[cut].stop
            edges = [start, *range(start // apart[cut] * apart[cut] + apart[cut], stop, apart[cut]), stop]
            for top, bottom in pairwise(edges):
                rows = slice(top, bottom)
                yield (*where[:cut], rows, *where[cut + 1 :]), bound.strips(cut, slice(top - start, bottom - start))


@dataclass(frozen=True, eq=False)
class ByPlanes:
    """A chain whose result comes in planes, if it is filled by planes along one of some axes."""

    chain: Chain
    axes: frozenset[int]

    def __call__(self, *blocks: np.ndarray) -> np.ndarray | Planes:
        shape = self.chain.result_shape(blocks)
        axis = self.chain.planes(shape)
        return Planes(self.chain, blocks, axis, shape[axis]) if axis in self.axes else self.chain(*blocks)


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
        """Bytes that are filled at a time, and that are computed of them before the rest, for blocks of known shapes
        (None: of any)."""
        together = self.filled
        if blocks is None:
            return together
        shape = self.result_shape(blocks)
        axis = self.planes(shape)
        if axis is not None:
            return math.ceil(together / shape[axis])
        kept = most = 0
        for one in self._shrinking(blocks):
            own = one._bytes(blocks)
            most = max(most, kept + own + one.loaded(blocks))
            kept, together = kept + own, together - one.filled
        return max(most, kept + together)

    def __call__(self, *blocks: np.ndarray) -> np.ndarray:
        shape = self.result_shape(blocks)
        axis = self.planes(shape)
        if axis is None:
            chain, blocks = self._prepared(blocks)
            return chain._bind(blocks, count()).run()
        parts = (slice(start, start + 1) for start in range(shape[axis]))
        return _joined(shape, axis, parts, lambda part, out: self.plane(blocks, axis, part, out))

    def plane(self, blocks: Sequence[np.ndarray], axis: int, part: slice, out: np.ndarray | None) -> np.ndarray:
        """A part of the result along an axis.

        :param out: see :meth:`Bound.run`.
        """
        return self.bind(blocks, axis, part).run(out)

    def bind(self, blocks: Sequence[np.ndarray], axis: int, part: slice) -> Bound:
        """The chain with the parts of blocks that a part of the result along an axis needs; those are filled."""
        return self._bind(blocks, count(), axis, part)

    def result_shape(self, blocks: Sequence[HasShape]) -> tuple[int, ...]:
        """The shape of the result for blocks of some shapes."""
        shapes = []
        for one in self.inputs:
            if isinstance(one, Chain):
                shapes.append(one.result_shape(blocks))
            else:
                shapes.append(one.shape if isinstance(one, Fill) else blocks[one].shape)
        return self.step.result_shape(shapes)

    def planes(self, shape: tuple[int, ...]) -> int | None:
        """The axis of the result along which large blocks are filled one plane after the other."""
        if self.filled <= PLANES_BYTES:
            return None
        fitting = [axis for axis in range(len(shape)) if shape[axis] > 1 and self._goes_by_planes(axis)]
        return max(fitting, key=lambda axis: shape[axis], default=None)

    @property
    def filled(self) -> int:
        """Bytes of all that is filled for it."""
        return sum(fill.nbytes for fill in self.fills())

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

    def _shrinks(self, blocks: Sequence[HasShape]) -> bool:
        """Whether the result, which can be computed plane by plane, takes less memory than what it is made of."""
        if not is_flattening(self.step) or self.planes(self.result_shape(blocks)) is None:
            return False
        return self._bytes(blocks) < self.filled

    def _bytes(self, blocks: Sequence[HasShape]) -> int:
        """Of the result, where it is known how it is stored."""
        size = self.step.target.dtype.itemsize if is_flattening(self.step) else 0
        return math.prod(self.result_shape(blocks)) * size

    def _shrinking(self, blocks: Sequence[HasShape]) -> Iterator[Chain]:
        """The chains in it that are computed before the rest."""
        chains = [one for one in self.inputs if isinstance(one, Chain)] if self.program is None else []
        for one in chains:
            if one._shrinks(blocks):
                yield one
            else:
                yield from one._shrinking(blocks)

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
    """Parts along an axis that follow each other as one array.

    :param compute: makes a part, in the array that it is given, if any and if it can.
    :param out: the array, if there is one.
    """
    first = None
    for place in parts:
        first = place.start if first is None else first
        where = (*(slice(None),) * axis, slice(place.start - first, place.stop - first))
        target = None if out is None else out[where]
        values = compute(place, target)
        if out is None:
            out = np.empty(shape, values.dtype)
        if values is not target:
            out[where] = values
        del values
    assert out is not None
    return out


@dataclass(frozen=True, eq=False)
class Bound:
    """A chain with its blocks."""

    call: Callable[..., np.ndarray]
    step: Step
    inputs: Sequence[Bound | np.ndarray]
    shape: tuple[int, ...]
    program: Program | None = None

    @property
    def along(self) -> int | None:
        """The axis of the result along which it is computed in strips."""
        fitting = [axis for axis in range(len(self.shape)) if self.goes_along(axis)]
        return max(fitting, key=lambda axis: self.shape[axis], default=None)

    def run(self, out: np.ndarray | None = None) -> np.ndarray:
        """The result, strip by strip.

        :param out: where to put it; then this is what is returned, or not, where the result is made at once.
        """
        axis = self.along
        if axis is None or self.values <= STRIP or not math.prod(self.shape):
            return self.part(None, slice(None))
        return self.strips(axis, slice(0, self.shape[axis]), out)

    def strips(self, axis: int, part: slice, out: np.ndarray | None = None) -> np.ndarray:
        """The values in a part along an axis, strip by strip.

        :param out: see :meth:`run`.
        """
        length = part.stop - part.start
        count = max(1, min(length, round(self.values * length / (STRIP * self.shape[axis]))))
        edges = [part.start + length * number // count for number in range(count + 1)]
        shape = (*self.shape[:axis], length, *self.shape[axis + 1 :])
        if out is None and self.program is not None and is_flattening(self.step):
            out = np.empty(shape, self.step.target.dtype)
        return _joined(shape, axis, map(slice, edges, edges[1:]), partial(self.part, axis), out)

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

    def part(self, axis: int | None, place: slice, out: np.ndarray | None = None) -> np.ndarray:
        """The values in a part along an axis of the result; None: all of them.

        :param out: see :meth:`run`.
        """
        if self.program is not None:
            try:
                return self.program(*(self._leaf(leaf.path, axis, place) for leaf in self.program.leaves), out=out)
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
