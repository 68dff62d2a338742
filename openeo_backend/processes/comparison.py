"""Comparisons: booleans or null for JSON values; booleans, masked where null, for pixels."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from openeo_backend.cube.flat import comparison, flat
from openeo_backend.cube.pixels import (
    PixelArray,
    compare,
    equal,
    is_number,
    is_pixels,
    missing,
    refuse,
    valid,
    valid_json,
)
from openeo_backend.graph.schema import describe
from openeo_backend.processes.registry import process


@process("eq")
@flat(comparison(np.equal))
def eq(x: Any, y: Any, delta: float | None = None, case_sensitive: bool = True) -> Any:
    """Whether x and y are of the same type and equal; null if either is."""
    _check_delta(delta)
    return equal(x, y, delta, case_sensitive)


@process("neq")
@flat(comparison(np.not_equal))
def neq(x: Any, y: Any, delta: float | None = None, case_sensitive: bool = True) -> Any:
    """Whether x and y differ in type or value; null if either is."""
    _check_delta(delta)
    same = equal(x, y, delta, case_sensitive)
    if same is None:
        return None
    if isinstance(same, PixelArray):
        return PixelArray(np.logical_not(same.values), same.labels)
    return np.logical_not(same) if is_pixels(same) else not same


def _check_delta(delta: Any) -> None:
    if delta is not None and not (is_number(delta) and delta > 0):
        raise refuse("delta", f"must be a number above 0, but is {delta!r}")


def _ordered(x: Any, y: Any, numpy: Callable[[Any, Any], Any], plain: Callable[[Any, Any], bool], ties: bool) -> Any:
    if is_pixels(x, y):
        return compare(numpy, x, y)
    if x is None or y is None:
        return None
    if is_number(x) and is_number(y):
        return plain(x, y)
    return ties and bool(equal(x, y))


@process("gt")
@flat(comparison(np.greater))
def gt(x: Any, y: Any) -> Any:
    """Whether the number x is greater than the number y; false for other types, null if either is."""
    return _ordered(x, y, np.greater, operator.gt, ties=False)


@process("gte")
@flat(comparison(np.greater_equal))
def gte(x: Any, y: Any) -> Any:
    """Whether x equals y or is the greater number; null if either is."""
    return _ordered(x, y, np.greater_equal, operator.ge, ties=True)


@process("lt")
@flat(comparison(np.less))
def lt(x: Any, y: Any) -> Any:
    """Whether the number x is less than the number y; false for other types, null if either is."""
    return _ordered(x, y, np.less, operator.lt, ties=False)


@process("lte")
@flat(comparison(np.less_equal))
def lte(x: Any, y: Any) -> Any:
    """Whether x equals y or is the smaller number; null if either is."""
    return _ordered(x, y, np.less_equal, operator.le, ties=True)


@process("between")
def between(x: Any, min: Any, max: Any, exclude_max: bool = False) -> Any:
    """Whether x is a number from `min` to `max` (the latter optionally excluded); null if x is null."""
    for name, bound in (("min", min), ("max", max)):
        if isinstance(bound, PixelArray) or not (is_number(bound) or is_pixels(bound)):
            raise refuse(name, f"must be a number, but is {describe(bound)}")
    if x is None:
        return None
    if not is_pixels(x) and not is_number(x):
        return False
    above = gte(x, min)
    below = lt(x, max) if exclude_max else lte(x, max)
    if isinstance(above, PixelArray):
        return PixelArray(np.logical_and(above.values, below.values), above.labels)
    return np.logical_and(above, below) if is_pixels(above, below) else above and below


def _examine(x: Any, of_pixels: Callable[[np.ndarray], np.ndarray], of_json: Callable[[Any], bool]) -> Any:
    if isinstance(x, PixelArray):
        return of_json(list(x.values))
    return of_pixels(np.asanyarray(x)) if is_pixels(x) else of_json(x)


@process("is_nan")
def is_nan(x: Any) -> Any:
    """Whether x is the number NaN; for floating point pixels that is the same as null."""
    return _examine(x, _nan_pixels, lambda value: isinstance(value, float) and math.isnan(value))


def _nan_pixels(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind == "f":
        return np.isnan(np.ma.filled(values, np.nan))
    return np.zeros(values.shape, bool)


@process("is_nodata")
def is_nodata(x: Any) -> Any:
    """Whether x is null."""
    return _examine(x, _null_pixels, lambda value: value is None)


def _null_pixels(values: np.ndarray) -> np.ndarray:
    nulls = missing(values)
    return np.zeros(values.shape, bool) if nulls is None else nulls


@process("is_valid")
def is_valid(x: Any) -> Any:
    """Whether x is neither null nor a number that is NaN or infinite."""
    return _examine(x, valid, valid_json)


@process("is_infinite")
def is_infinite(x: Any) -> Any:
    """Whether x is an infinite number."""
    return _examine(x, _infinite_pixels, lambda value: isinstance(value, float) and math.isinf(value))


def _infinite_pixels(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind == "f":
        return np.isinf(np.ma.filled(values, 0))
    return np.zeros(values.shape, bool)
