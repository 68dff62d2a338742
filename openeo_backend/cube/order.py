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

from openeo_backend.cube.compiled import kernels

#: Bytes of the values that are sorted together; they stay within the processor's cache.
_AT_ONCE = 131_072

#: Elements beyond which a network has more steps than a sort that looks at the values.
LONGEST = 512

#: Integers that are sorted as they are; float32 holds all of them.
INTEGERS = frozenset(map(np.dtype, ("int8", "uint8", "int16", "uint16")))

_FLOATS = frozenset(map(np.dtype, ("float32", "float64")))


def quantiles(
    values: np.ndarray, probabilities: Sequence[float], ignore_nodata: bool, nodata: int | None = None
) -> np.ndarray | None:
    """Quantiles of type 7 of Hyndman and Fan along the first axis of numbers.

    :param values: float32 or float64, whose NaN is null, or integers of 8 or 16 bits; at least one element.
    :param ignore_nodata: leave nulls out; otherwise the quantiles of pixels with any are null. Without elements they
        are null.
    :param nodata: the integer that is null, if any.
    :returns: an array of the same type (float32 for integers) with the probabilities on its first axis; None where
        this cannot be done here.
    """
    count, dtype = values.shape[0], values.dtype
    if (dtype not in _FLOATS and dtype not in INTEGERS) or not 1 <= count <= LONGEST:
        return None
    compiled = kernels("openeo_backend.cube.sorting")
    if compiled is None:
        return None
    pixels = values.shape[1:]
    flat = np.ascontiguousarray(values.reshape(count, math.prod(pixels)))
    out = np.empty((len(probabilities), flat.shape[1]), dtype if dtype.kind == "f" else "float32")
    least, wanted = 1 if ignore_nodata else count, np.array(probabilities, "float64")
    null, last = (np.nan, np.inf) if dtype.kind == "f" else (0 if nodata is None else nodata, np.iinfo(dtype).max)
    marked, width = dtype.kind == "f" or nodata is not None, max(_AT_ONCE // (count * dtype.itemsize), 64)
    compiled.quantiles(flat, dtype.type(null), marked, dtype.type(last), network(count), wanted, least, width, out)
    return out.reshape(len(probabilities), *pixels)


def warm() -> None:
    """Compile, or load what was compiled before, so that children of this process need not."""
    for dtype in ("float32", "uint8", "int16", "uint16"):
        quantiles(np.zeros((2, 1), dtype), [0.5], ignore_nodata=True)


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
