"""Flat operations (:mod:`.flat`) in an order in which they can be carried out."""

from __future__ import annotations

from typing import Any

import numpy as np

from openeo_backend.cube.flat import Function, Leaf, Value


class Program:
    """Operations in an order in which each comes after those it needs."""

    def __init__(self, result: Value) -> None:
        self.leaves: list[Leaf] = []
        self._steps: list[tuple[Function, tuple[int | None, ...], tuple[Any, ...], tuple[int, ...]]] = []
        places: dict[Value, int] = {}
        self._place(result, places)
        self._result = places[result]
        self._into = result.into
        self._forget()

    def _place(self, value: Value, places: dict[Value, int]) -> None:
        todo = [value]
        order: list[Value] = []
        while todo:
            one = todo[-1]
            missing = [i for i in one.inputs if isinstance(i, Value) and i not in places]
            if missing:
                todo += missing
                continue
            todo.pop()
            if one not in places:
                places[one] = len(places)
                order.append(one)
        for one in order:
            if isinstance(one, Leaf):
                self.leaves.append(one)
            numbers = tuple(places[i] if isinstance(i, Value) else None for i in one.inputs)
            self._steps.append((one.function, numbers, one.inputs, ()))
        self._leaf_numbers = [number for number, one in enumerate(order) if isinstance(one, Leaf)]

    def _forget(self) -> None:
        """Note with each operation which values nothing needs after it."""
        needed = {self._result}
        for number in reversed(range(len(self._steps))):
            function, numbers, inputs, _ = self._steps[number]
            last = {i for i in numbers if i is not None and i not in needed}
            needed |= last
            constants = tuple(None if i is not None else c for i, c in zip(numbers, inputs, strict=True))
            self._steps[number] = (function, numbers, constants, tuple(last))

    def __call__(self, *blocks: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """The result for the blocks of the leaves.

        :param out: where to put it; then this is what is returned, or not, where the result is made elsewhere.
        :raises Unfit: where values turn up that the operations do not know.
        """
        values: list[Any] = [None] * len(self._steps)
        leaves = dict(zip(self._leaf_numbers, blocks, strict=True))
        with np.errstate(all="ignore"):
            for number, (function, numbers, constants, last) in enumerate(self._steps):
                if number in leaves:
                    values[number] = leaves[number]
                    continue
                inputs = (c if i is None else values[i] for i, c in zip(numbers, constants, strict=True))
                if number == self._result and self._into is not None and out is not None:
                    self._into(out, *inputs)
                    return out
                values[number] = function(*inputs)
                for used in last:
                    values[used] = None
        return values[self._result]
