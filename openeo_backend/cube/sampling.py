"""Kernels that resample between the pixels of a grid, all planes of a block at once.

What counts is as GDAL has it: a pixel is without data where its centre lies outside of the source or in a source pixel
without data (NaN or infinite); elsewhere the neighbours that have data share the weight. Cubic convolution needs all
of its neighbours; where one is missing, the value is bilinear.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

#: Row and column of pixels that are outside of the source; -1 has a neighbour inside.
OUTSIDE = -2


@njit(nogil=True, cache=True, error_model="numpy")
def place(knots: Any, at: Any, line: int, share: float, out: Any) -> None:
    """Positions of the pixels of a row, between the control points above and below."""
    for cell in range(at.size - 1):
        first = knots[line, cell] * (1.0 - share) + knots[line + 1, cell] * share
        last = knots[line, cell + 1] * (1.0 - share) + knots[line + 1, cell + 1] * share
        start, stop = at[cell], at[cell + 1]
        step = (last - first) / (stop - start)
        for i in range(start, min(stop + 1, out.size)):
            out[i] = first + step * (i - start)


@njit(nogil=True, cache=True, error_model="numpy")
def patch(plane: Any, y: int, x: int, down: Any, right: Any) -> Any:
    """The bilinear value where neighbours may be missing; NaN where the nearest one is."""
    height, width = plane.shape
    near = plane[min(max(y + int(down >= 0.5), 0), height - 1), min(max(x + int(right >= 0.5), 0), width - 1)]
    total = weight = plane.dtype.type(0)
    for i in range(2):
        for j in range(2):
            value = plane[min(max(y + i, 0), height - 1), min(max(x + j, 0), width - 1)]
            if np.isfinite(value):
                own = (down if i else 1 - down) * (right if j else 1 - right)
                total += own * value
                weight += own
    return total / weight if np.isfinite(near) and weight > 0 else plane.dtype.type(np.nan)


@njit(nogil=True, cache=True, error_model="numpy")
def bilinear(flat: Any, first: Any, beside: Any, below: Any, down: Any, right: Any, out: Any) -> None:
    """Values between the pixels `first`, those `beside` and those `below`; without a jump, hence several at a time."""
    for i in range(out.size):
        place, next_, under = np.uint64(first[i]), np.uint64(beside[i]), np.uint64(below[i])
        a, b = flat[place], flat[place + next_]
        c, d = flat[place + under], flat[place + under + next_]
        high = a + right[i] * (b - a)
        low = c + right[i] * (d - c)
        out[i] = high + down[i] * (low - high)


@njit(nogil=True, cache=True, error_model="numpy")
def cubic(plane: Any, y: int, x: int, down: Any, right: Any) -> Any:
    """Cubic convolution (Keys 1981, a = -0.5) of sixteen neighbours; not finite where one is missing."""
    height, width = plane.shape
    if y < 1 or x < 1 or y + 2 >= height or x + 2 >= width:
        return plane.dtype.type(np.nan)
    total = plane.dtype.type(0)
    for i in range(4):
        row = plane[y - 1 + i]
        a, b, c, d = row[x - 1], row[x], row[x + 1], row[x + 2]
        half = plane.dtype.type(0.5)
        across = b + half * right * (c - a + right * (2 * a - 5 * b + 4 * c - d + right * (3 * (b - c) + d - a)))
        if i == 0:
            own = half * down * (-1 + down * (2 - down))
        elif i == 1:
            own = 1 + half * down * down * (3 * down - 5)
        elif i == 2:
            own = half * down * (1 + down * (4 - 3 * down))
        else:
            own = half * down * down * (down - 1)
        total += own * across
    return total


@njit(nogil=True, cache=True, error_model="numpy")
def resample(planes: Any, rows: Any, cols: Any, at_y: Any, at_x: Any, convolve: bool, out: Any) -> None:
    """Fill `out` (planes, y, x) from `planes` (the same number, source y, source x).

    :param rows, cols: fractional positions in the source of the control points at the rows and columns `at_y`, `at_x`
        of the target, 0 being the outer edge of the first pixel.
    """
    height, width = planes.shape[1:]
    size = out.shape[2]
    y_of, x_of = np.empty(size), np.empty(size)
    y, x = np.empty(size, np.int32), np.empty(size, np.int32)
    down, right = np.empty(size, planes.dtype), np.empty(size, planes.dtype)
    first, beside, below = np.empty(size, np.uint32), np.empty(size, np.uint32), np.empty(size, np.uint32)
    line = 0
    for row in range(out.shape[1]):
        while line + 2 < at_y.size and row > at_y[line + 1]:
            line += 1
        share = (row - at_y[line]) / (at_y[line + 1] - at_y[line])
        place(rows, at_x, line, share, y_of)
        place(cols, at_x, line, share, x_of)
        for i in range(size):
            inside = 0 <= y_of[i] < height and 0 <= x_of[i] < width
            top, left = np.floor(y_of[i] - 0.5), np.floor(x_of[i] - 0.5)
            down[i], right[i] = y_of[i] - 0.5 - top, x_of[i] - 0.5 - left
            y[i] = np.int32(top) if inside else OUTSIDE
            x[i] = np.int32(left) if inside else OUTSIDE
            first[i] = max(y[i], 0) * width + max(x[i], 0)
            beside[i] = 1 if 0 <= x[i] < width - 1 else 0
            below[i] = width if 0 <= y[i] < height - 1 else 0
        for number in range(planes.shape[0]):
            plane, target = planes[number], out[number, row]
            bilinear(plane.reshape(-1), first, beside, below, down, right, target)
            for i in range(size):
                if y[i] == OUTSIDE:
                    target[i] = np.nan
                    continue
                if convolve:
                    value = cubic(plane, y[i], x[i], down[i], right[i])
                    if np.isfinite(value):
                        target[i] = value
                if not np.isfinite(target[i]):
                    target[i] = patch(plane, y[i], x[i], down[i], right[i])
