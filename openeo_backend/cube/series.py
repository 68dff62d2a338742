"""Kernels along the elements of arrays of pixels: (elements, pixels) of floats, NaN being null.

Some thousand pixels are worked on together, element by element, so that the processor takes several at a time and what
is carried along stays in its cache. Sums are those of numpy along the first axis, step by step.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

#: Pixels that are worked on together.
TOGETHER = 2048

_TOP = np.uint32(0x80000000)
_LAST = np.uint64(0xFFFFFFFF)


@njit(nogil=True, cache=True, error_model="numpy")
def moments(values: Any, least: int, squares: bool, out: Any) -> None:
    """Means, or variances (n - 1), of the elements that are not null; null where there are fewer than `least`."""
    count, total = values.shape
    sums, present = np.empty(TOGETHER), np.empty(TOGETHER, np.int32)
    means = np.empty(TOGETHER, values.dtype)
    for start in range(0, total, TOGETHER):
        size = min(TOGETHER, total - start)
        sums[:] = 0.0
        present[:] = 0
        for element in range(count):
            own = values[element, start : start + size]
            for i in range(size):
                known = own[i] == own[i]
                sums[i] += own[i] if known else 0.0
                present[i] += 1 if known else 0
        target = out[start : start + size]
        for i in range(size):
            means[i] = sums[i] / present[i]
        if squares:
            sums[:] = 0.0
            for element in range(count):
                own = values[element, start : start + size]
                for i in range(size):
                    off = own[i] - means[i]
                    sums[i] += np.float64(off * off) if own[i] == own[i] else 0.0
            for i in range(size):
                means[i] = sums[i] / (present[i] - 1)
        for i in range(size):
            target[i] = means[i] if present[i] >= least else np.nan


@njit(nogil=True, cache=True, error_model="numpy")
def accumulate(values: Any, kind: int, spread: bool, out: Any) -> None:
    """Sums (0), products (1), minima (2) or maxima (3) of each element and all before it; null stays null.

    :param spread: whether what comes after a null is null.
    """
    count, total = values.shape
    held = np.empty(TOGETHER)
    first = 0.0 if kind == 0 else 1.0 if kind == 1 else np.inf if kind == 2 else -np.inf
    for start in range(0, total, TOGETHER):
        size = min(TOGETHER, total - start)
        held[:] = first
        for element in range(count):
            own, target = values[element, start : start + size], out[element, start : start + size]
            for i in range(size):
                value = np.float64(own[i])
                if kind == 0:
                    new = held[i] + value
                elif kind == 1:
                    new = held[i] * value
                elif kind == 2:
                    new = value if value < held[i] else held[i]
                else:
                    new = value if value > held[i] else held[i]
                known = value == value
                held[i] = new if known or spread else held[i]
                target[i] = new if known else np.nan
        if spread and kind > 1:
            gone = np.zeros(size, np.bool_)
            for element in range(count):
                own, target = values[element, start : start + size], out[element, start : start + size]
                for i in range(size):
                    gone[i] |= own[i] != own[i]
                    target[i] = np.nan if gone[i] else target[i]


@njit(nogil=True, cache=True, error_model="numpy")
def rank(bits: Any, network: Any, ascending: bool, nulls_last: bool, order: Any, ranked: Any) -> None:
    """Positions of the elements in sorted order, equal ones in their own, and the elements in that order.

    A key of 64 bits holds a number so that it compares as an integer does, and its position.

    :param bits: those of float32 values, as uint32.
    """
    count, total = bits.shape
    keys = np.empty((count, TOGETHER), np.uint64)
    nothing = _LAST if nulls_last else np.uint64(0)
    for start in range(0, total, TOGETHER):
        size = min(TOGETHER, total - start)
        for element in range(count):
            own, target = bits[element, start : start + size], keys[element]
            for i in range(size):
                value = own[i] if own[i] != _TOP else np.uint32(0)
                key = ~value if value & _TOP else value | _TOP
                key = key if ascending else ~key
                is_null = (value & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000)
                target[i] = ((nothing if is_null else np.uint64(np.uint32(key))) << np.uint64(32)) | np.uint64(element)
        for pair in range(network.shape[0]):
            low, high = keys[network[pair, 0]], keys[network[pair, 1]]
            for i in range(size):
                a, b = low[i], high[i]
                low[i] = min(a, b)
                high[i] = max(a, b)
        for element in range(count):
            own, place = keys[element], order[element, start : start + size]
            target = ranked[element, start : start + size]
            for i in range(size):
                place[i] = np.int32(own[i] & _LAST)
                high_bits = own[i] >> np.uint64(32)
                key = np.uint32(high_bits) if ascending else ~np.uint32(high_bits)
                value = key & np.uint32(0x7FFFFFFF) if key & _TOP else ~key
                target[i] = np.uint32(0x7FC00000) if high_bits == nothing else np.uint32(value)


@njit(nogil=True, cache=True, error_model="numpy")
def bridge(values: Any, places: Any, out: Any) -> None:
    """Replace null between two numbers by the line between them, over the coordinates `places`."""
    count, total = values.shape
    after = np.empty((count, TOGETHER), np.int32)
    before = np.empty(TOGETHER, np.int32)
    for start in range(0, total, TOGETHER):
        size = min(TOGETHER, total - start)
        before[:] = count
        for element in range(count - 1, -1, -1):
            for i in range(size):
                before[i] = element if values[element, start + i] == values[element, start + i] else before[i]
                after[element, i] = before[i]
        before[:] = -1
        for element in range(count):
            for i in range(size):
                value = values[element, start + i]
                if value == value:
                    before[i] = element
                elif before[i] >= 0 and after[element, i] < count:
                    one, two = before[i], after[element, i]
                    share = values.dtype.type((places[element] - places[one]) / (places[two] - places[one]))
                    value = values[one, start + i] * (1 - share) + values[two, start + i] * share
                out[element, start + i] = value
