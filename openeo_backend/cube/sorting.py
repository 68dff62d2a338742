"""Kernels that sort the elements of many pixels together and take quantiles of them; see :mod:`.order`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

#: Numbers of valid elements, in the pixels that are sorted together, up to which quantiles are taken for all pixels
#: that have as many; beyond, pixel by pixel.
_NUMBERS = 16


@njit(nogil=True, cache=True, error_model="numpy")
def admit(source: Any, null: Any, marked: bool, largest: Any, target: Any, present: Any) -> None:
    """Copy an element of all pixels, and count it where it is valid; null becomes the largest."""
    for i in range(source.size):
        value = source[i]
        is_null = marked and ((value == null) | (value != value))
        target[i] = largest if is_null else value
        present[i] += 0 if is_null else 1


@njit(nogil=True, cache=True, error_model="numpy")
def exchange(low: Any, high: Any) -> None:
    """Bring two elements of all pixels into order."""
    for i in range(low.size):
        a = low[i]
        b = high[i]
        low[i] = a if a < b else b
        high[i] = b if a < b else a


@njit(nogil=True, cache=True, error_model="numpy")
def between(low: Any, high: Any, share: Any, number: int, present: Any, out: Any) -> None:
    """What lies between two elements, in those pixels of which so many elements are valid."""
    rest = out.dtype.type(1) - share
    for i in range(out.size):
        kept, one, other = out[i], out.dtype.type(low[i]), out.dtype.type(high[i])
        found = one * rest + other * share
        # an exact position must not touch an infinite neighbour (0 * infinity is NaN)
        found = one if (one == other) | (share == 0) else found
        out[i] = found if present[i] == number else kept


@njit(nogil=True, cache=True, error_model="numpy")
def pick(work: Any, present: Any, probability: float, least: int, out: Any) -> None:
    """The quantile of each pixel."""
    for i in range(out.size):
        last = max(present[i] - 1, 0)
        position = last * probability
        below = int(position)
        share = out.dtype.type(position - below)
        one = out.dtype.type(work[below, i])
        other = out.dtype.type(work[min(below + 1, last), i])
        found = one * (out.dtype.type(1) - share) + other * share
        found = one if (one == other) | (share == 0) else found
        out[i] = out.dtype.type(np.nan) if present[i] < least else found


@njit(nogil=True, cache=True, error_model="numpy")
def extent(numbers: Any) -> tuple[int, int]:
    """The smallest and the largest number."""
    low = high = numbers[0]
    for i in range(numbers.size):
        low, high = min(low, numbers[i]), max(high, numbers[i])
    return low, high


@njit(nogil=True, cache=True, error_model="numpy")
def quantiles(
    values: Any,
    null: Any,
    marked: bool,
    largest: Any,
    network: Any,
    probabilities: Any,
    least: int,
    width: int,
    out: Any,
) -> None:
    """Quantiles (probabilities, pixels) of (elements, pixels), `width` pixels at a time.

    :param null: what is null if `marked`; NaN is, too, then.
    :param largest: no value is above it; it takes the place of null.
    :param network: pairs of elements to bring into order, one after the other.
    :param least: pixels of which fewer elements are valid have none.
    """
    count, total = values.shape
    work, counts = np.empty((count, width), values.dtype), np.empty(width, np.int32)
    for start in range(0, total, width):
        size = min(width, total - start)
        present = counts[:size]
        present[:] = 0
        for element in range(count):
            admit(values[element, start : start + size], null, marked, largest, work[element, :size], present)
        for pair in range(network.shape[0]):
            exchange(work[network[pair, 0], :size], work[network[pair, 1], :size])
        fewest, most = extent(present)
        for q in range(probabilities.shape[0]):
            target = out[q, start : start + size]
            if most - fewest >= _NUMBERS:
                pick(work[:, :size], present, probabilities[q], least, target)
                continue
            target[:] = np.nan
            for number in range(max(fewest, least), most + 1):
                position = (number - 1) * probabilities[q]
                below = int(position)
                share = out.dtype.type(position - below)
                above = min(below + 1, count - 1)
                between(work[below, :size], work[above, :size], share, number, present, target)
