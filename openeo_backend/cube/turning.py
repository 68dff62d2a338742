"""Steps that leave values as they are and lay their axes out otherwise, so that chains need not end there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from openeo_backend.cube.flat import Value, turned
from openeo_backend.cube.storage import Storage


@dataclass(frozen=True, eq=False)
class Turn:
    """The axes in another order."""

    axes: tuple[int, ...]
    target: Storage
    nodes: tuple[Any, ...] = ()
    """Where what it turns belongs in the process graph."""

    @property
    def sources(self) -> tuple[Storage, ...]:
        """See :class:`flat.Flattening`."""
        return (self.target,)

    def __call__(self, block: np.ndarray) -> np.ndarray:
        return block.transpose(self.axes)

    def flat(self, inputs: Sequence[Value]) -> Value:
        """See :class:`flat.Flattening`."""
        return turned(inputs[0], self.axes)

    def result_shape(self, shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
        """See :class:`chain.Step`."""
        return tuple(shapes[0][axis] for axis in self.axes)

    def input_axis(self, number: int, axis: int) -> int | None:
        """See :class:`chain.Step`."""
        return self.axes[axis]


@dataclass(frozen=True, eq=False)
class Merge:
    """An axis and the next one as one axis."""

    place: int

    def __call__(self, block: np.ndarray) -> np.ndarray:
        return block.reshape(self.result_shape([block.shape]))

    def result_shape(self, shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
        """See :class:`chain.Step`."""
        shape = shapes[0]
        return (*shape[: self.place], math.prod(shape[self.place : self.place + 2]), *shape[self.place + 2 :])

    def input_axis(self, number: int, axis: int) -> int | None:
        """See :class:`chain.Step`."""
        return None if axis == self.place else axis + (axis > self.place)
