"""Compiled loops of the writers: they go once over pixels where numpy goes a dozen times."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(nogil=True, cache=True, error_model="numpy")
def measure(values: Any, nodata: Any, marked: bool) -> tuple[int, int, float, float, float, float]:
    """Valid and finite numbers in (rows, columns), and of the latter the smallest, largest, sum and squared deviations.

    :param nodata: not valid if `marked`; NaN never is.
    """
    valid, count, total = 0, 0, 0.0
    low, high = np.inf, -np.inf
    for y in range(values.shape[0]):
        for x in range(values.shape[1]):
            value = values[y, x]
            if value != value or (marked and value == nodata):
                continue
            valid += 1
            number = float(value)
            if number - number != 0:
                continue
            count += 1
            total += number
            low = min(low, number)
            high = max(high, number)
    mean = total / count
    squares = 0.0
    for y in range(values.shape[0]):
        for x in range(values.shape[1]):
            value = values[y, x]
            number = float(value)
            if number - number == 0 and not (marked and value == nodata):
                squares += (number - mean) * (number - mean)
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


def warm() -> None:
    """Compile, or load what was compiled before, so that children of this process need not."""
    pixels = np.ones((1, 2, 2), "float32")
    measure(pixels[0], np.float32(0), False)
    average(pixels, np.float32(0), False, np.empty((1, 1, 1), "float32"))
    predict(pixels[0].view("uint32"), np.empty((2, 8), "uint8"))
