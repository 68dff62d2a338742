"""Kernels that weigh the neighbours of pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(nogil=True, cache=True, error_model="numpy")
def weigh(planes: Any, weights: Any, replacement: float, out: Any) -> None:
    """Fill `out` (planes, y, x) with the weighted sums of neighbours, in double precision.

    Rows are made doubles once and kept while a row of weights needs them.

    :param planes: with margins as wide as half the weights; what is not finite counts as `replacement`.
    """
    tall, wide = weights.shape
    height, width = out.shape[1:]
    rows = np.empty((tall, planes.shape[2]))
    sums = np.empty(width)
    for number in range(planes.shape[0]):
        plane = planes[number]
        for y in range(plane.shape[0]):
            source, row = plane[y], rows[y % tall]
            for x in range(row.size):
                value = np.float64(source[x])
                row[x] = value if np.isfinite(value) else replacement
            if y < tall - 1:
                continue
            sums[:] = 0.0
            top = y - tall + 1
            for i in range(tall):
                own = rows[(top + i) % tall]
                for j in range(wide):
                    weight = weights[i, j]
                    if weight != 0.0:
                        shifted = own[j : j + width]
                        for x in range(width):
                            sums[x] += weight * shifted[x]
            target = out[number, top]
            for x in range(width):
                target[x] = sums[x]
