"""Arithmetic on numbers: each process takes JSON numbers and null, or pixels inside callbacks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from openeo_backend.cube.flat import elementwise, flat
from openeo_backend.cube.pixels import PixelArray, compute, is_number, is_pixels, refuse, to_float
from openeo_backend.errors import OpenEOError
from openeo_backend.processes.registry import process

#: Integers beyond this size become floats, which bounds what a chain of multiplications can cost.
LARGEST = 2**63


def _exact(x: Any, y: Any) -> bool:
    return isinstance(x, int) and isinstance(y, int) and is_number(x) and is_number(y)


def _bounded(value: int) -> int | float:
    return value if abs(value) < LARGEST else to_float(value)


def _whole(value: float | None) -> Any:
    """A number of JSON that is whole, as an integer; infinities, NaN and null as they are."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


@process("add")
@flat(elementwise(np.add, "x", "y"))
def add(x: Any, y: Any) -> Any:
    """x + y, null if either is."""
    if _exact(x, y):
        return _bounded(x + y)
    return compute(np.add, x=x, y=y)


@process("subtract")
@flat(elementwise(np.subtract, "x", "y"))
def subtract(x: Any, y: Any) -> Any:
    """x - y, null if either is."""
    if _exact(x, y):
        return _bounded(x - y)
    return compute(np.subtract, x=x, y=y)


@process("multiply")
@flat(elementwise(np.multiply, "x", "y"))
def multiply(x: Any, y: Any) -> Any:
    """x * y, null if either is."""
    if _exact(x, y):
        return _bounded(x * y)
    return compute(np.multiply, x=x, y=y)


@process("divide")
@flat(elementwise(np.divide, "x", "y"))
def divide(x: Any, y: Any) -> Any:
    """x / y by IEEE 754: division by zero gives an infinity or NaN."""
    return compute(np.divide, x=x, y=y)


def _modulo(x: Any, y: Any) -> Any:
    remainder = np.where(np.isinf(y) & np.isfinite(x), x, np.mod(x, y))
    return np.where(y == 0, np.divide(x, y), remainder)


@process("mod")
def mod(x: Any, y: Any) -> Any:
    """The remainder of x / y with the sign of y; for y = 0 as :func:`divide`."""
    value = compute(_modulo, x=x, y=y)
    return _whole(value) if _exact(x, y) else value


def _power(base: Any, p: Any) -> Any:
    # numpy gives 1 for NaN ** 0 and 1 ** NaN; NaN is null in pixels, and the process says null
    return np.where(np.isnan(base) | np.isnan(p), np.nan, np.power(base, p))


@process("power")
@flat(elementwise(_power, "base", "p"))
def power(base: Any, p: Any) -> Any:
    """`base` to the power of `p`, null if either is."""
    value = compute(_power, base=base, p=p)
    return _whole(value) if _exact(base, p) and value is not None and abs(value) < 2**53 else value


@process("exp")
@flat(elementwise(np.exp, "p"))
def exp(p: Any) -> Any:
    """e to the power of `p`."""
    return compute(np.exp, p=p)


@process("ln")
@flat(elementwise(np.log, "x"))
def ln(x: Any) -> Any:
    """The natural logarithm; -infinity for 0, NaN below."""
    return compute(np.log, x=x)


def _logarithm(x: Any, base: Any) -> Any:
    if np.ndim(base) == 0 and base in (2, 10):
        return np.log2(x) if base == 2 else np.log10(x)
    return np.log(x) / np.log(base)


@process("log")
@flat(elementwise(_logarithm, "x", "base"))
def log(x: Any, base: Any) -> Any:
    """The logarithm of x to a base; -infinity for 0, NaN below."""
    return compute(_logarithm, x=x, base=base)


@process("sqrt")
@flat(elementwise(np.sqrt, "x"))
def sqrt(x: Any) -> Any:
    """The square root; NaN for negative numbers."""
    return compute(np.sqrt, x=x)


def _keeps(x: Any, kinds: str = "iub") -> bool:
    """Whether pixels are integers, which the process leaves as they are."""
    values = x.values if isinstance(x, PixelArray) else x
    return is_pixels(values) and np.asanyarray(values).dtype.kind in kinds


@process("absolute")
def absolute(x: Any) -> Any:
    """The distance from zero."""
    if isinstance(x, int) and is_number(x):
        return abs(x)
    return x if _keeps(x, "ub") else compute(np.abs, x=x)


@process("sgn")
def sgn(x: Any) -> Any:
    """-1, 0 or 1 by the sign of x; NaN for NaN."""
    return _whole(compute(np.sign, x=x)) if not is_pixels(x) else compute(np.sign, x=x)


@process("ceil")
def ceil(x: Any) -> Any:
    """The next integer upwards; integer pixels keep their type."""
    return _integral(np.ceil, x)


@process("floor")
def floor(x: Any) -> Any:
    """The next integer downwards; integer pixels keep their type."""
    return _integral(np.floor, x)


@process("int")
def int_(x: Any) -> Any:
    """The integer part (towards zero); null for NaN, which has none."""
    if isinstance(x, float) and math.isnan(x):
        return None
    return _integral(np.trunc, x)


def _integral(function: Any, x: Any) -> Any:
    if _keeps(x) or (isinstance(x, int) and is_number(x)):
        return x
    value = compute(function, x=x)
    return value if is_pixels(value) else _whole(value)


@process("round")
def round_(x: Any, p: int = 0) -> Any:
    """x to `p` digits after the point (before it for negative p), halves to even."""
    if not is_number(p) or p != int(p):
        raise refuse("p", "must be an integer")
    digits = int(p)
    if digits >= 0 and (_keeps(x) or (isinstance(x, int) and is_number(x))) or digits > 300:
        return x
    if digits < -300:
        return compute(lambda values: np.where(np.isfinite(values), values * 0, values), x=x)
    value = compute(lambda values: np.round(values, digits), x=x)
    return value if is_pixels(value) or digits > 0 else _whole(value)


@process("clip")
def clip(x: Any, min: Any, max: Any) -> Any:
    """x, but not below `min` nor above `max`; integer pixels with integer bounds keep their type.

    :raises OpenEOError: MinMaxSwapped if `min` is above `max`.
    """
    for name, bound in (("min", min), ("max", max)):
        if not is_number(bound) and not is_pixels(bound):
            raise refuse(name, "must be a number")
    if not is_pixels(min, max) and min > max:
        raise OpenEOError("MinMaxSwapped", f"The minimum ({min}) is above the maximum ({max}).", hint="Swap them.")
    if _keeps(x, "iu") and isinstance(min, int) and isinstance(max, int):
        values = x.values if isinstance(x, PixelArray) else np.asanyarray(x)
        info = np.iinfo(values.dtype)
        if min <= info.max and max >= info.min:
            low, high = (min if min > info.min else info.min), (max if max < info.max else info.max)
            clipped = np.ma.clip(values, low, high) if np.ma.isMaskedArray(values) else np.clip(values, low, high)
            return PixelArray(clipped, x.labels) if isinstance(x, PixelArray) else clipped
    value = compute(np.clip, x=x, min=min, max=max)
    return _whole(value) if all(isinstance(bound, int) for bound in (x, min, max)) else value


def _scale(*of: Any) -> Any:
    values, in_min, in_max, out_min, out_max = of
    clipped = np.clip(values, np.minimum(in_min, in_max), np.maximum(in_min, in_max))  # bounds that make doubles
    scaled = (clipped - in_min) / (in_max - in_min) * (out_max - out_min) + out_min
    arrays = [each.dtype for each in of if isinstance(each, np.ndarray)]
    return scaled.astype(np.result_type(*arrays), copy=False) if arrays else scaled


@process("linear_scale_range")
@flat(elementwise(_scale, "x", "inputMin", "inputMax", "outputMin", "outputMax", outputMin=0, outputMax=1))
def linear_scale_range(x: Any, inputMin: Any, inputMax: Any, outputMin: Any = 0, outputMax: Any = 1) -> Any:  # noqa: N803
    """x moved linearly from the input range, to which it is clipped, to the output range."""
    return compute(_scale, x=x, inputMin=inputMin, inputMax=inputMax, outputMin=outputMin, outputMax=outputMax)


def _normalized(x: Any, y: Any) -> Any:
    return (x - y) / (x + y)


@process("normalized_difference")
@flat(elementwise(_normalized, "x", "y"))
def normalized_difference(x: Any, y: Any) -> Any:
    """(x - y) / (x + y)."""
    return compute(_normalized, x=x, y=y)


@process("e")
def e() -> float:
    """Euler's number."""
    return math.e


@process("pi")
def pi() -> float:
    """The number pi."""
    return math.pi


@process("nan")
def nan() -> float:
    """Not a number."""
    return math.nan


@process("constant")
def constant(x: Any) -> Any:
    """The value given."""
    return x
