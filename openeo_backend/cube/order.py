"""Order statistics of many pixels at once, compiled by numba where that is possible.

The elements of some thousand pixels are sorted together by a sorting network, whose steps are the same for all of
them, so that the processor works on several pixels at a time. Compiled code is kept on disk; where there is no place
for it nothing is compiled, and callers do the same with numpy.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np

from openeo_backend.cube.compiled import compile_loop

#: Values that are sorted together; they stay within the processor's cache.
_AT_ONCE = 32_768

#: Elements beyond which a network has more steps than a sort that looks at the values.
LONGEST = 512


def quantiles(values: np.ndarray, probabilities: Sequence[float], ignore_nodata: bool) -> np.ndarray | None:
    """Quantiles of type 7 of Hyndman and Fan along the first axis of floats, NaN being null.

    :param values: float32 or float64, at least one element.
    :param ignore_nodata: leave nulls out; otherwise the quantiles of pixels with any are null. Without elements they
        are null.
    :returns: an array of the same type with the probabilities on its first axis; None where this cannot be done here.
    """
    count = values.shape[0]
    if values.dtype not in (np.float32, np.float64) or not 1 <= count <= LONGEST:
        return None
    kernel = compile_loop(_quantiles)
    if kernel is None:
        return None
    pixels = values.shape[1:]
    flat = np.ascontiguousarray(values.reshape(count, math.prod(pixels)))
    out = np.empty((len(probabilities), flat.shape[1]), values.dtype)
    least = 1 if ignore_nodata else count
    kernel(flat, network(count), np.array(probabilities, "float64"), least, max(_AT_ONCE // count, 64), out)
    return out.reshape(len(probabilities), *pixels)


def warm() -> None:
    """Compile, or load what was compiled before, so that children of this process need not."""
    quantiles(np.zeros((2, 1), "float32"), [0.5], ignore_nodata=True)


@functools.cache
def network(count: int) -> np.ndarray:
    """Batcher's odd-even merge sort of `count` elements: the pairs to put into order, one after the other."""
    pairs = []
    size = 1
    while size < count:
        step = size
        while step:
            for start in range(step % size, count - step, 2 * step):
                for low in range(start, min(start + step, count - step)):
                    if low // (2 * size) == (low + step) // (2 * size):
                        pairs.append((low, low + step))
            step //= 2
        size *= 2
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _quantiles(
    values: np.ndarray, network: np.ndarray, probabilities: np.ndarray, least: int, width: int, out: np.ndarray
) -> None:
    """What numba compiles: (elements, pixels) to (probabilities, pixels), `width` pixels at a time."""
    count, total = values.shape
    work = np.empty((count, width), values.dtype)
    present = np.empty(width, np.int32)
    for start in range(0, total, width):
        size = min(width, total - start)
        present[:] = 0
        for element in range(count):
            source = values[element, start : start + size]
            target = work[element]
            for i in range(size):
                value = source[i]
                is_null = np.isnan(value)
                target[i] = np.inf if is_null else value
                present[i] += 0 if is_null else 1
        for pair in range(network.shape[0]):
            low = work[network[pair, 0]]
            high = work[network[pair, 1]]
            for i in range(size):
                a = low[i]
                b = high[i]
                low[i] = a if a < b else b
                high[i] = b if a < b else a
        for q in range(probabilities.shape[0]):
            for i in range(size):
                if present[i] < least:
                    out[q, start + i] = np.nan
                    continue
                last = present[i] - 1
                position = last * probabilities[q]
                below = int(position)
                share = values.dtype.type(position - below)
                one = work[below, i]
                other = work[min(below + 1, last), i]
                # an exact position must not touch an infinite neighbour (0 * infinity is NaN)
                if share == 0 or one == other:
                    out[q, start + i] = one
                else:
                    out[q, start + i] = one * (values.dtype.type(1) - share) + other * share
