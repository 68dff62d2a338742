"""Compiled loops of the writers: they go once over pixels where numpy goes a dozen times."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

#: Sums may be taken in any order, several at a time; NaN and infinity stay what they are.
_SUMS = {"reassoc", "nsz", "contract"}


@njit(nogil=True, cache=True, error_model="numpy")
def pivot(values: Any, nodata: Any, marked: bool) -> float:
    """The first number of (rows, columns) that is valid and finite; NaN where there is none."""
    for y in range(values.shape[0]):
        for x in range(values.shape[1]):
            value = values[y, x]
            number = float(value)
            if number - number == 0 and not (marked and value == nodata):
                return number
    return np.nan


@njit(nogil=True, cache=True, error_model="numpy", fastmath=_SUMS)
def measure(values: Any, nodata: Any, marked: bool, zero: float) -> tuple[int, int, float, float, float, float]:
    """How many of (rows, columns) are valid and how many of them finite; of these the smallest and the largest, their
    sum, and the sum of the squares of their distances from `zero`, which is one of them.

    :param nodata: not valid if `marked`; NaN never is.
    """
    valid, count, total, squares = 0, 0, 0.0, 0.0
    low, high = np.inf, -np.inf
    for y in range(values.shape[0]):
        row = values[y]
        for x in range(row.size):
            value = row[x]
            number = float(value)
            known = (value == value) & ((not marked) | (value != nodata))
            finite = known & (number - number == 0)
            distance = number - zero if finite else 0.0
            valid += known
            count += finite
            total += number if finite else 0.0
            squares += distance * distance
            low = min(low, number if finite else np.inf)
            high = max(high, number if finite else -np.inf)
    return valid, count, low, high, total, squares


@njit(nogil=True, cache=True, error_model="numpy")
def average(values: Any, nodata: Any, marked: bool, out: Any) -> None:
    """Means of the valid ones of every four floats of (planes, rows, columns); NaN where there is none.

    :param nodata: neither valid, and instead of NaN, if `marked`.
    """
    planes, height, width = values.shape
    zero, missing = values.dtype.type(0), nodata if marked else values.dtype.type(np.nan)
    for plane in range(planes):
        for y in range(out.shape[1]):
            above, below = values[plane, 2 * y], values[plane, min(2 * y + 1, height - 1)]
            for x in range(out.shape[2]):
                left, right = 2 * x, min(2 * x + 1, width - 1)
                total, count = zero, zero
                for value in (above[left], above[right], below[left], below[right]):
                    if value == value and not (marked and value == nodata):
                        total += value
                        count += 1
                out[plane, y, x] = total / count if count > 0 else missing


@njit(nogil=True, cache=True)
def predict(bits: Any, out: Any) -> None:
    """Predictor 3 of 32 bit floats (rows, columns) as unsigned numbers: the bytes of a row side by side by their
    significance, highest first, each less the one before it."""
    rows, columns = bits.shape
    for y in range(rows):
        row = bits[y]
        for plane in range(4):
            shift = np.uint32(24 - 8 * plane)
            start = plane * columns
            before = np.uint32(0) if plane == 0 else row[columns - 1] >> (shift + np.uint32(8))
            out[y, start] = np.uint8(row[0] >> shift) - np.uint8(before)
            for x in range(1, columns):
                out[y, start + x] = np.uint8(row[x] >> shift) - np.uint8(row[x - 1] >> shift)


@njit(nogil=True, cache=True, error_model="numpy")
def shuffle4(bits: Any, out: Any) -> None:
    """The bytes of 32 bit numbers by their significance, lowest first: (n) to (4, n)."""
    first, second, third, fourth = out[0], out[1], out[2], out[3]
    for i in range(bits.size):
        number = bits[i]
        first[i] = np.uint8(number)
        second[i] = np.uint8(number >> np.uint32(8))
        third[i] = np.uint8(number >> np.uint32(16))
        fourth[i] = np.uint8(number >> np.uint32(24))


@njit(nogil=True, cache=True, error_model="numpy")
def shuffle2(bits: Any, out: Any) -> None:
    """The same for 16 bit numbers."""
    first, second = out[0], out[1]
    for i in range(bits.size):
        number = bits[i]
        first[i] = np.uint8(number)
        second[i] = np.uint8(number >> np.uint16(8))


def warm() -> None:
    """Compile, or load what was compiled before, so that children of this process need not."""
    pixels = np.ones((1, 2, 2), "float32")
    measure(pixels[0], np.float32(0), False, pivot(pixels[0], np.float32(0), False))
    average(pixels, np.float32(0), False, np.empty((1, 1, 1), "float32"))
    predict(pixels[0].view("uint32"), np.empty((2, 8), "uint8"))
    shuffle4(np.zeros(1, "uint32"), np.empty((4, 1), "uint8"))
    shuffle2(np.zeros(1, "uint16"), np.empty((2, 1), "uint8"))
