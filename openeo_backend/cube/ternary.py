"""Compiled loops over rows of numbers (NaN is null) and of truth values (1 true, 0 false, 255 null).

They serve :mod:`.flat`: a masked array of numpy is a hundred times slower to make than what it holds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from openeo_backend.cube.compiled import compile_loop

#: The truth value that is neither true nor false; that of booleans in storage, too.
NULL = 255


def numbers(stored: np.ndarray, nodata: int | None, dtype: np.dtype) -> np.ndarray:
    """Stored integers as floats, NaN where they are the no-data value."""
    out = np.empty(stored.shape, dtype)
    flat = np.ascontiguousarray(stored).reshape(-1)
    marker = stored.dtype.type(0 if nodata is None else nodata)
    _run(_numbers, flat, marker, nodata is not None, out.reshape(-1))
    return out


def compare(comparison: np.ufunc, x: Any, y: Any, nodata: int | None = None) -> np.ndarray:
    """Truth values of a comparison of numbers, at least one of them an array; null where a number is.

    :param nodata: the integer that is null in arrays of integers.
    """
    found = np.ascontiguousarray(comparison(x, y)).view(np.uint8)
    for operand in (x, y):
        if np.ndim(operand):
            same = np.ascontiguousarray(np.broadcast_to(operand, found.shape))
            if same.dtype.kind == "f":
                _run(_mark, same.reshape(-1), found.reshape(-1))
            elif nodata is not None:
                _run(_mark_stored, same.reshape(-1), same.dtype.type(nodata), found.reshape(-1))
        elif np.isnan(operand):
            found.fill(NULL)
    return found


def truths(values: np.ndarray) -> np.ndarray:
    """Truth values of numbers: 0 is false, all others are true."""
    return compare(np.not_equal, values, 0.0)


def both(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """True where both are, false where one is false, else null."""
    return _pairs(_both, x, y)


def either(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """True where one is, false where both are false, else null."""
    return _pairs(_either, x, y)


def differ(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """True where exactly one is true, null where one is null."""
    return _pairs(_differ, x, y)


def opposite(x: np.ndarray) -> np.ndarray:
    """True for false, false for true; null stays null."""
    return _pairs(_differ, x, np.ones(x.shape, np.uint8))


def _pairs(loop: Callable[..., None], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    out = np.empty(x.shape, np.uint8)
    _run(loop, np.ascontiguousarray(x).reshape(-1), np.ascontiguousarray(y).reshape(-1), out.reshape(-1))
    return out


def available() -> bool:
    """Whether compiled code can be kept, so that children need not compile it again."""
    return compile_loop(_differ) is not None


def _run(loop: Callable[..., None], *arguments: Any) -> None:
    compiled = compile_loop(loop)
    assert compiled is not None, "callers ask `available` first"
    compiled(*arguments)


def warm() -> None:
    """Compile, or load what was compiled before, so that children of this process need not."""
    if not available():
        return
    for kind in ("uint8", "int16", "uint16"):
        numbers(np.zeros(1, kind), 0, np.dtype("float32"))
        compare(np.equal, np.zeros(1, kind), 0, 0)
    truth = truths(np.zeros(1, "float32"))
    for function in (both, either, differ):
        function(truth, truth)


def _numbers(stored: np.ndarray, nodata: Any, marked: bool, out: np.ndarray) -> None:
    if marked:
        for i in range(stored.size):
            out[i] = np.nan if stored[i] == nodata else stored[i]
    else:
        for i in range(stored.size):
            out[i] = stored[i]


def _mark(values: np.ndarray, out: np.ndarray) -> None:
    for i in range(values.size):
        out[i] |= np.uint8(255) * np.uint8(values[i] != values[i])


def _mark_stored(values: np.ndarray, nodata: Any, out: np.ndarray) -> None:
    for i in range(values.size):
        out[i] |= np.uint8(255) * np.uint8(values[i] == nodata)


def _both(x: np.ndarray, y: np.ndarray, out: np.ndarray) -> None:
    for i in range(x.size):
        # 255 & 1 is 1 and 255 & 0 is 0: only true with null is not what the bits say
        out[i] = (x[i] & y[i]) | (np.uint8(255) * np.uint8((x[i] | y[i]) == 255 and x[i] != 0 and y[i] != 0))


def _either(x: np.ndarray, y: np.ndarray, out: np.ndarray) -> None:
    for i in range(x.size):
        true = x[i] == 1 or y[i] == 1
        out[i] = np.uint8(1) if true else x[i] | y[i]


def _differ(x: np.ndarray, y: np.ndarray, out: np.ndarray) -> None:
    for i in range(x.size):
        null = np.uint8(255) * np.uint8((x[i] | y[i]) == 255)
        out[i] = (x[i] ^ y[i]) | null
