"""Compiled loops of the floor: each does in one pass over rows what a workload needs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

ABSENT = 65535


def network(count: int) -> np.ndarray:
    """Batcher's odd-even merge sort as pairs to compare."""
    pairs = []
    p = 1
    while p < count:
        k = p
        while k >= 1:
            for j in range(k % p, count - k, 2 * k):
                for i in range(min(k, count - j - k)):
                    if (i + j) // (p * 2) == (i + j + k) // (p * 2):
                        pairs.append((i + j, i + j + k))
            k //= 2
        p *= 2
    return np.array(pairs, np.int64).reshape(-1, 2)


@njit(nogil=True, cache=True, error_model="numpy")
def _sort(rows: Any, pairs: Any) -> None:
    """Sort (elements, pixels) along the elements."""
    for number in range(pairs.shape[0]):
        low, high = rows[pairs[number, 0]], rows[pairs[number, 1]]
        for x in range(low.size):
            a, b = low[x], high[x]
            low[x] = min(a, b)
            high[x] = max(a, b)


@njit(nogil=True, cache=True, error_model="numpy")
def _pick(rows: Any, present: Any, share: float, out: Any) -> None:
    """The quantile of the first `present` elements of sorted rows."""
    for x in range(out.size):
        last = present[x] - 1
        if last < 0:
            out[x] = np.nan
        else:
            place = last * share
            below = int(place)
            part = np.float32(place - below)
            one, two = np.float32(rows[below, x]), np.float32(rows[min(below + 1, last), x])
            between = one * (np.float32(1) - part) + two * part
            out[x] = one if one == two else between


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "arcp", "nsz"})
def _difference(red: Any, nir: Any, out: Any, present: Any) -> None:
    for x in range(out.size):
        r, n = np.float32(red[x]), np.float32(nir[x])
        fine = (red[x] != 0) & (nir[x] != 0)
        out[x] = (n - r) / (n + r) if fine else np.float32(np.inf)
        present[x] += np.int32(fine)


@njit(nogil=True, cache=True, error_model="numpy")
def ndvi_median(red: Any, nir: Any, pairs: Any, out: Any) -> None:
    """The median over dates (dates, y, x) of stored numbers, 0 for no data."""
    count, height, width = red.shape
    rows, present = np.empty((count, width), np.float32), np.empty(width, np.int32)
    for y in range(height):
        present[:] = 0
        for t in range(count):
            _difference(red[t, y], nir[t, y], rows[t], present)
        _sort(rows, pairs)
        _pick(rows, present, 0.5, out[y])


@njit(nogil=True, cache=True, error_model="numpy")
def _admit(values: Any, clear: Any, out: Any, present: Any) -> None:
    for x in range(out.size):
        fine = (values[x] != 0) & (clear[x] != 0)
        out[x] = values[x] if fine else np.uint16(ABSENT)
        present[x] += np.int32(fine)


@njit(nogil=True, cache=True, error_model="numpy")
def _clear(scene: Any, out: Any) -> None:
    for x in range(scene.size):
        code = scene[x]
        fine = np.uint8((code != 3) & (code != 8) & (code != 9))
        out[2 * x] = fine
        out[2 * x + 1] = fine


@njit(nogil=True, cache=True, error_model="numpy")
def clear_quantiles(values: Any, scene: Any, pairs: Any, shares: Any, out: Any) -> None:
    """Quantiles of stored numbers (dates, y, x) where the scene of half the resolution is clear; out (q, y, x).

    A scene of no dates counts as clear.
    """
    count, height, width = values.shape
    rows, present = np.empty((count, width), np.uint16), np.empty(width, np.int32)
    clear = np.ones((count, width + 1), np.uint8)
    for y in range(height):
        present[:] = 0
        for t in range(count):
            if scene.shape[0] and y % 2 == 0:
                _clear(scene[t, y // 2], clear[t])
            _admit(values[t, y], clear[t], rows[t], present)
        _sort(rows, pairs)
        for q in range(shares.size):
            _pick(rows, present, shares[q], out[q, y])


@njit(nogil=True, cache=True, error_model="numpy")
def smooth(values: Any, out: Any) -> None:
    """The separable kernel 1 4 6 4 1 over (y + 4, x + 4)."""
    height, width = out.shape
    w0, w1, w2 = np.float32(1 / 16), np.float32(4 / 16), np.float32(6 / 16)
    across = np.empty((5, width), np.float32)
    for y in range(height + 4):
        r, line = values[y], across[y % 5]
        for x in range(width):
            line[x] = w0 * (r[x] + r[x + 4]) + w1 * (r[x + 1] + r[x + 3]) + w2 * r[x + 2]
        if y >= 4:
            a, b, c, d, e = across[(y - 4) % 5], across[(y - 3) % 5], across[(y - 2) % 5], across[(y - 1) % 5], line
            for x in range(width):
                out[y - 4, x] = w0 * (a[x] + e[x]) + w1 * (b[x] + d[x]) + w2 * c[x]


@njit(nogil=True, cache=True, error_model="numpy")
def shuffle(chunk: Any, out: Any) -> None:
    """Bytes of equal significance together, as HDF5's filter does: (n, 4) to (4, n)."""
    for i in range(chunk.shape[0]):
        for k in range(4):
            out[k, i] = chunk[i, k]


@njit(nogil=True, cache=True, error_model="numpy")
def predict_floats(tile: Any, out: Any) -> None:
    """TIFF's predictor 3: (y, x, 4 bytes) to rows of differences, most significant bytes first."""
    height, width, _ = tile.shape
    line = np.empty(4 * width, np.uint8)
    for y in range(height):
        for k in range(4):
            for x in range(width):
                line[k * width + x] = tile[y, x, 3 - k]
        out[y, 0] = line[0]
        for x in range(1, 4 * width):
            out[y, x] = line[x] - line[x - 1]


@njit(nogil=True, cache=True, error_model="numpy")
def halve(values: Any, out: Any) -> None:
    """Means of 2 x 2 pixels without NaN; the sides of `values` are even."""
    for y in range(out.shape[0]):
        above, below = values[2 * y], values[2 * y + 1]
        for x in range(out.shape[1]):
            a, b, c, d = above[2 * x], above[2 * x + 1], below[2 * x], below[2 * x + 1]
            total = np.float32(0)
            total += a if a == a else np.float32(0)
            total += b if b == b else np.float32(0)
            total += c if c == c else np.float32(0)
            total += d if d == d else np.float32(0)
            out[y, x] = total / np.float32((a == a) + (b == b) + (c == c) + (d == d))


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "nsz", "contract"})
def figures(values: Any, nodata: Any) -> tuple[int, float, float, float, float]:
    """Count, smallest, largest, sum and sum of squares of what is neither NaN nor `nodata`."""
    count, low, high, total, squares = 0, np.inf, -np.inf, 0.0, 0.0
    for y in range(values.shape[0]):
        for x in range(values.shape[1]):
            each = values[y, x]
            if each == each and each != nodata:
                wide = np.float64(each)
                count += 1
                low, high = min(low, wide), max(high, wide)
                total += wide
                squares += wide * wide
    return count, low, high, total, squares
