"""Statistics, accumulation, order and gaps along the elements of many pixels at once, compiled where that is possible.

All take floats with their elements on the first axis, NaN being null, and return None where nothing can be compiled
for them: callers do the same with numpy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from openeo_backend.cube.compiled import kernels
from openeo_backend.cube.order import LONGEST, network

#: Accumulations by the numbers that the kernel knows them by.
_KINDS = {"sum": 0, "product": 1, "min": 2, "max": 3}


def mean(values: np.ndarray, ignore_nodata: bool) -> np.ndarray | None:
    """The mean of the elements; with `ignore_nodata` of those that are not null, else null where any is."""
    return _moments(values, ignore_nodata, False)


def variance(values: np.ndarray, ignore_nodata: bool) -> np.ndarray | None:
    """The sample variance (n - 1); NaN for one element."""
    return _moments(values, ignore_nodata, True)


def _moments(values: np.ndarray, ignore_nodata: bool, squares: bool) -> np.ndarray | None:
    flat = _flat(values)
    if flat is None:
        return None
    out = np.empty(flat.shape[1], flat.dtype)
    _kernel("moments")(flat, 1 if ignore_nodata else len(flat), squares, out)
    return out.reshape(values.shape[1:])


def accumulated(values: np.ndarray, kind: str, ignore_nodata: bool) -> np.ndarray | None:
    """The sum, product, min or max of each element and all before it; null stays null, or all after it is null."""
    flat = _flat(values)
    if flat is None:
        return None
    out = np.empty(flat.shape, flat.dtype)
    _kernel("accumulate")(flat, _KINDS[kind], not ignore_nodata, out)
    return out.reshape(values.shape)


def ranked(values: np.ndarray, ascending: bool, nulls_last: bool) -> tuple[np.ndarray, np.ndarray] | None:
    """Positions (int32) of the elements of float32 in sorted order, equal ones in their own, and the elements so."""
    flat = _flat(values)
    if flat is None or flat.dtype != np.float32 or len(flat) > LONGEST:
        return None
    order, found = np.empty(flat.shape, np.int32), np.empty(flat.shape, np.uint32)
    _kernel("rank")(flat.view(np.uint32), network(len(flat)), ascending, nulls_last, order, found)
    return order.reshape(values.shape), found.view(np.float32).reshape(values.shape)


def bridged(values: np.ndarray, places: Sequence[float] | np.ndarray) -> np.ndarray | None:
    """The values with null between two numbers replaced by the line between them, over the elements' coordinates."""
    flat = _flat(values)
    if flat is None:
        return None
    out = np.empty(flat.shape, flat.dtype)
    _kernel("bridge")(flat, np.asarray(places, "float64"), out)
    return out.reshape(values.shape)


def warm() -> None:
    """Compile, or load what was compiled before, so that children of this process need not."""
    values = np.zeros((2, 1), "float32")
    mean(values, ignore_nodata=True)
    accumulated(values, "sum", ignore_nodata=True)
    ranked(values, ascending=True, nulls_last=True)
    bridged(values, [0, 1])


def _flat(values: np.ndarray) -> np.ndarray | None:
    """The values as (elements, pixels); None where they are not what the kernels take."""
    if values.dtype not in (np.float32, np.float64) or np.ma.isMaskedArray(values) or not len(values):
        return None
    if kernels("openeo_backend.cube.series") is None:
        return None
    return np.ascontiguousarray(values.reshape(len(values), math.prod(values.shape[1:])))


def _kernel(name: str) -> Callable[..., Any]:
    found: Callable[..., Any] = getattr(kernels("openeo_backend.cube.series"), name)
    return found
