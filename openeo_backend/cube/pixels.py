"""openEO arrays and values of many pixels at once, as callbacks see them.

Inside a callback over a cube, a single value (`x`) is a numpy array with one element per pixel, of any shape;
an openEO array (`data`) is a :class:`PixelArray`, whose first axis runs over the array's elements and whose other
axes are the pixels. Outside of cubes the same processes see plain JSON values: None, bool, int, float, str, list,
dict, and :class:`LabeledList` for labelled arrays.

Missing values (null): NaN in floating point arrays; masked elements (`numpy.ma`) in integer and boolean arrays;
None in lists and object arrays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


class LabeledList(list[Any]):
    """A JSON array with a label per element."""

    def __init__(self, values: Iterable[Any], labels: Sequence[Any]) -> None:
        super().__init__(values)
        self.labels = list(labels)
        if len(self.labels) != len(self):
            raise ValueError(f"{len(self)} values but {len(self.labels)} labels")


@dataclass(frozen=True, eq=False)
class PixelArray:
    """An openEO array of `len(self)` elements for each pixel of a block."""

    values: np.ndarray
    """Shape (elements, *pixels); a masked array where integer or boolean elements are missing."""

    labels: tuple[Any, ...] | None = None
    """One label per element: band names, or dates as ISO 8601 text."""

    def __len__(self) -> int:
        return int(self.values.shape[0])

    def __getitem__(self, index: int) -> np.ndarray:
        """Element `index` of every pixel, an array shaped like the pixels."""
        return self.values[index]
