"""Joining the labels of two cubes, and putting arrays together accordingly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import dask.array as da
import numpy as np
import shapely

from openeo_backend.cube.cube import Cube
from openeo_backend.cube.dimension import Dimension
from openeo_backend.cube.labels import coordinate, labels_json
from openeo_backend.cube.storage import Storage

#: Part of a pixel by which two grids may be shifted against each other and still be the same.
SHIFT = 0.01


@dataclass(frozen=True, eq=False)
class Join:
    """How the labels of one dimension of two cubes go together."""

    dimension: Dimension
    labels: np.ndarray
    """All labels in the order of the result."""

    only1: np.ndarray
    """Indices of the first cube's labels that the second lacks."""

    both1: np.ndarray
    """Indices of the shared labels in the first cube."""

    both2: np.ndarray
    """Indices of the shared labels in the second cube."""

    only2: np.ndarray
    """Indices of the second cube's labels that the first lacks."""

    order: np.ndarray
    """Index of each label of the result in the sequence: only1, both, only2."""

    @classmethod
    def of(cls, dimension: Dimension, first: np.ndarray, second: np.ndarray) -> Join:
        """Join the labels that two cubes have on the same dimension.

        Temporal labels are sorted, spatial ones in the direction of the first cube; others keep the first cube's
        order, with the second's appended.
        """
        if first.dtype != second.dtype and {"O", "M"} & {first.dtype.kind, second.dtype.kind}:
            first, second = (coordinate(labels_json(labels)) for labels in (first, second))
        at2 = match(dimension, first, second)
        shared = at2 >= 0
        only1, both1, both2 = np.flatnonzero(~shared), np.flatnonzero(shared), at2[shared]
        only2 = np.setdiff1d(np.arange(len(second)), both2)
        united = _concatenated([first, second[only2]])
        rank = _sorted(dimension, united, first, second)
        sequence = np.concatenate([only1, both1, len(first) + np.arange(len(only2))])
        position = np.empty(len(sequence), dtype=np.intp)
        position[sequence] = np.arange(len(sequence))
        return cls(dimension, united[rank], only1, both1, both2, only2, position[rank])

    @classmethod
    def whole(cls, dimension: Dimension, labels: np.ndarray) -> Join:
        """For a dimension that only one cube has: the other one's values hold for all its labels."""
        every, none = np.arange(len(labels)), np.arange(0)
        return cls(dimension, labels, none, every, every, none, every)

    @property
    def at1(self) -> np.ndarray:
        """For each label of the result its index in the first cube, or -1."""
        found = np.concatenate([self.only1, self.both1, np.full(len(self.only2), -1)])
        return np.asarray(found[self.order])

    @property
    def at2(self) -> np.ndarray:
        """For each label of the result its index in the second cube, or -1."""
        found = np.concatenate([np.full(len(self.only1), -1), self.both2, self.only2])
        return np.asarray(found[self.order])


def _concatenated(parts: Sequence[np.ndarray]) -> np.ndarray:
    if any(part.dtype.kind == "O" for part in parts):
        parts = [part.astype(object) for part in parts]
    return np.concatenate(parts)


def _sorted(dimension: Dimension, united: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The order of the united labels."""
    natural = dimension.type in ("temporal", "spatial") and united.dtype.kind in "Mifu"
    if not natural and not (dimension.type == "temporal" and all(isinstance(label, str) for label in united)):
        return np.arange(len(united))
    rank = np.argsort(united, kind="stable")
    leader = first if len(first) > 1 else second
    falls = dimension.type == "spatial" and (len(leader) > 1 and leader[0] > leader[-1])
    if dimension.type == "spatial" and len(leader) < 2 and dimension.step is not None:
        falls = dimension.step < 0
    return rank[::-1] if falls else rank


def match(dimension: Dimension, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """For each label of `first` its index in `second`, or -1.

    Numbers on spatial dimensions are equal within SHIFT pixels, geometries if they cover the same points.
    """
    if dimension.type == "geometry":
        return _match_geometries(first, second)
    if dimension.type == "spatial":
        return _match_numbers(first.astype("float64"), second.astype("float64"), dimension.step)
    known = {label: index for index, label in reversed(list(enumerate(second.tolist())))}
    return np.asarray([known.get(label, -1) for label in first.tolist()], dtype=np.intp)


def _match_numbers(first: np.ndarray, second: np.ndarray, step: float | None) -> np.ndarray:
    if not len(first) or not len(second):
        return np.full(len(first), -1, dtype=np.intp)
    steps = [abs(np.diff(labels)).min() for labels in (first, second) if len(labels) > 1]
    slack = SHIFT * min([*steps, *([abs(step)] if step else [])], default=0.0)
    order = np.argsort(second)
    ranked = second[order]
    right = np.clip(np.searchsorted(ranked, first), 0, len(ranked) - 1)
    left = np.maximum(right - 1, 0)
    nearest = np.where(abs(ranked[left] - first) <= abs(ranked[right] - first), left, right)
    return np.where(abs(ranked[nearest] - first) <= slack, order[nearest], -1)


def _match_geometries(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    candidates: dict[tuple[float, ...], list[int]] = {}
    for index, geometry in enumerate(second):
        if geometry is not None:
            candidates.setdefault(tuple(geometry.bounds), []).append(index)
    found = []
    for geometry in first:
        near = [] if geometry is None else candidates.get(tuple(geometry.bounds), [])
        found.append(next((index for index in near if shapely.equals(geometry, second[index])), -1))
    return np.asarray(found, dtype=np.intp)


# -- arrays -------------------------------------------------------------------------------------------------


def spread(cube: Cube, joins: Sequence[Join], like: Cube) -> Any:
    """The cube's array with the dimensions of `joins`, repeated along those that it lacks.

    :param like: the other cube, whose chunks are used for repeated dimensions.
    """
    array = cube.data.transpose(*[join.dimension.name for join in joins if cube.has(join.dimension.name)]).data
    missing = [not cube.has(join.dimension.name) for join in joins]
    if not any(missing):
        return array
    array = array[tuple(None if absent else slice(None) for absent in missing)]
    shape = tuple(
        len(join.labels) if absent else size for join, absent, size in zip(joins, missing, array.shape, strict=True)
    )
    if not isinstance(array, da.Array):
        return np.broadcast_to(array, shape)
    chunks = tuple(
        _chunks_of(like, join) if absent else own
        for join, absent, own in zip(joins, missing, array.chunks, strict=True)
    )
    return da.broadcast_to(array, shape, chunks=chunks)


def _chunks_of(cube: Cube, join: Join) -> tuple[int, ...]:
    name = join.dimension.name
    if cube.is_lazy:
        return tuple(cube.data.chunksizes[name])
    return (cube.data.sizes[name],)


def take(array: Any, axis: int, indices: np.ndarray) -> Any:
    """Elements of an axis, lazily, by slices where indices follow each other."""
    if len(indices) == array.shape[axis] and np.array_equal(indices, np.arange(len(indices))):
        return array
    lead = (slice(None),) * axis
    if not isinstance(array, da.Array):
        return array[(*lead, indices)]
    if len(indices) == 0:
        return array[(*lead, slice(0, 0))]
    return joined([array[(*lead, run)] for run in _runs(indices)], axis)


def _runs(indices: np.ndarray) -> list[slice]:
    """Slices that select the indices in order."""
    steps = np.diff(indices)
    direction = -1 if len(steps) and (steps == -1).all() else 1
    breaks = np.flatnonzero(steps != direction) + 1
    edges = [0, *breaks.tolist(), len(indices)]
    runs = []
    for start, stop in pairwise(edges):
        low, high = int(indices[start]), int(indices[stop - 1]) + direction
        runs.append(slice(low, None if high < 0 else high, direction))
    return runs


def joined(parts: Sequence[Any], axis: int) -> Any:
    """Arrays one after another along an axis; empty ones are left out."""
    filled = [part for part in parts if part.shape[axis]] or list(parts[:1])
    if len(filled) == 1:
        return filled[0]
    if not any(isinstance(part, da.Array) for part in filled):
        return np.concatenate(filled, axis=axis)
    return da.concatenate(filled, axis=axis)


def convert(array: Any, source: Storage, target: Storage) -> Any:
    """An array stored as `source`, stored as `target`."""
    if source == target:
        return array
    if not isinstance(array, da.Array):
        return source.convert(np.asarray(array), target)
    meta = np.empty((0,) * array.ndim, target.dtype)
    return da.map_blocks(source.convert, array, target, dtype=target.dtype, meta=meta)


def assemble(first: Any, second: Any, both: Any, joins: Sequence[Join], null: Any, axis: int = 0) -> Any:
    """One array over all joined labels.

    :param first: values of the first cube on all its labels, `second` those of the second.
    :param both: values for the labels that both share on all dimensions; None where there are none.
    :param null: what fills labels that neither cube has.
    """
    if axis == len(joins):
        return both
    join, parts = joins[axis], []
    if len(join.only1):
        parts.append(_padded(take(first, axis, join.only1), joins, null, axis + 1, 1))
    if len(join.both1):
        shared1, shared2 = take(first, axis, join.both1), take(second, axis, join.both2)
        parts.append(assemble(shared1, shared2, both, joins, null, axis + 1))
    if len(join.only2):
        parts.append(_padded(take(second, axis, join.only2), joins, null, axis + 1, 2))
    if not parts:  # no labels on this axis, hence no values
        shape = (*first.shape[:axis], 0, *(len(later.labels) for later in joins[axis + 1 :]))
        return (da if isinstance(first, da.Array) else np).empty(shape, first.dtype)
    return take(joined(parts, axis), axis, join.order)


def _padded(array: Any, joins: Sequence[Join], null: Any, start: int, side: int) -> Any:
    """Values of one cube on all joined labels of the axes from `start` on, null where it has none."""
    for axis in range(start, len(joins)):
        join = joins[axis]
        if side == 1:
            parts = [take(array, axis, join.only1), take(array, axis, join.both1)]
            parts.append(_nulls(array, axis, len(join.only2), null))
        else:
            parts = [_nulls(array, axis, len(join.only1), null)]
            parts += [take(array, axis, join.both2), take(array, axis, join.only2)]
        array = take(joined(parts, axis), axis, join.order)
    return array


def _nulls(array: Any, axis: int, count: int, null: Any) -> Any:
    shape = (*array.shape[:axis], count, *array.shape[axis + 1 :])
    if not isinstance(array, da.Array):
        return np.full(shape, null, dtype=array.dtype)
    size = max(max(array.chunks[axis], default=1), 1)
    chunks = (*array.chunks[:axis], min(size, max(count, 1)), *array.chunks[axis + 1 :])
    return da.full(shape, null, dtype=array.dtype, chunks=chunks)
