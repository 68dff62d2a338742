"""Three-valued logic: true, false and null, for JSON values and for pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

from openeo_backend.cube import ternary
from openeo_backend.cube.flat import chosen, flat, logical
from openeo_backend.cube.pixels import (
    PixelArray,
    choose,
    elements,
    filled,
    is_pixels,
    missing,
    nullify,
    refuse,
    refuse_lengths,
)
from openeo_backend.graph.schema import describe
from openeo_backend.processes.registry import process

#: What an operand says: where it is true, where it is false (null: neither).
Truth = tuple[np.ndarray, np.ndarray]


def _truth(value: Any, name: str) -> Truth:
    """Booleans, or pixels of any number type of which 0 is false (stored masks)."""
    if isinstance(value, PixelArray):
        value = value.values
    if is_pixels(value):
        values = np.asanyarray(value)
        if values.dtype.kind not in "biuf":
            raise refuse(name, f"must be boolean, but is {describe(value)}")
        nulls = missing(values)
        true = filled(values, nulls, 0) != 0
        return true, ~true if nulls is None else ~true & ~nulls
    if value is not None and not isinstance(value, bool):
        raise refuse(name, f"must be a boolean or null, but is {describe(value)}", "Compare it first, e.g. with neq.")
    return np.array(value is True), np.array(value is False)


def _answer(true: np.ndarray, false: np.ndarray, *operands: Any) -> Any:
    if not is_pixels(*operands):
        return True if true else False if false else None
    result = nullify(true, ~(true | false))
    arrays = [operand for operand in operands if isinstance(operand, PixelArray)]
    return PixelArray(result, arrays[0].labels) if arrays else result


@process("and")
@flat(logical(ternary.both, "x", "y"))
def and_(x: Any, y: Any) -> Any:
    """Whether both are true; null where that is open."""
    refuse_lengths(x, y)
    (x_true, x_false), (y_true, y_false) = _truth(x, "x"), _truth(y, "y")
    return _answer(x_true & y_true, x_false | y_false, x, y)


@process("or")
@flat(logical(ternary.either, "x", "y"))
def or_(x: Any, y: Any) -> Any:
    """Whether at least one is true; null where that is open."""
    refuse_lengths(x, y)
    (x_true, x_false), (y_true, y_false) = _truth(x, "x"), _truth(y, "y")
    return _answer(x_true | y_true, x_false & y_false, x, y)


@process("xor")
@flat(logical(ternary.differ, "x", "y"))
def xor(x: Any, y: Any) -> Any:
    """Whether exactly one is true; null if either is."""
    refuse_lengths(x, y)
    (x_true, x_false), (y_true, y_false) = _truth(x, "x"), _truth(y, "y")
    return _answer(x_true & y_false | x_false & y_true, x_true & y_true | x_false & y_false, x, y)


@process("not")
@flat(logical(ternary.opposite, "x"))
def not_(x: Any) -> Any:
    """The opposite; null stays null."""
    true, false = _truth(x, "x")
    return _answer(false, true, x)


def _truths(data: Any) -> tuple[np.ndarray, np.ndarray, bool]:
    """Where the elements are true, where false (elements first), and whether they are pixels."""
    array = elements(data)
    if isinstance(array, PixelArray):
        return *_truth(array, "data"), True
    pairs = [_truth(value, "data") for value in array]
    true = np.array([pair[0] for pair in pairs], dtype=bool)
    return true, np.array([pair[1] for pair in pairs], dtype=bool), False


def _resolved(result: np.ndarray | np.bool, open_: np.ndarray | np.bool, pixels: bool) -> Any:
    if pixels:
        return nullify(np.asarray(result), open_)
    return None if open_ else bool(result)


@process("all")
def all_(data: Any, ignore_nodata: bool = True) -> Any:
    """Whether all elements are true; true without any element that is not null.

    With `ignore_nodata` false, null where only true and null elements are there.
    """
    true, false, pixels = _truths(data)
    result = ~false.any(axis=0)
    if ignore_nodata:
        return _resolved(result, np.zeros_like(result), pixels)
    nulls = ~(true | false)
    return _resolved(result, result & nulls.any(axis=0) & true.any(axis=0), pixels)


@process("any")
def any_(data: Any, ignore_nodata: bool = True) -> Any:
    """Whether any element is true; false without any element that is not null.

    With `ignore_nodata` false, null where only false and null elements are there.
    """
    true, false, pixels = _truths(data)
    result = true.any(axis=0)
    if ignore_nodata:
        return _resolved(result, np.zeros_like(result), pixels)
    nulls = ~(true | false)
    return _resolved(result, ~result & nulls.any(axis=0) & false.any(axis=0), pixels)


@process("if")
@flat(chosen)
def if_(value: Any, accept: Any, reject: Any = None) -> Any:
    """`accept` where `value` is true, `reject` where it is false or null.

    Pixels decide pixel by pixel, arrays of them element by element; `accept` and `reject` are then single values or
    arrays of numbers.
    """
    true, _ = _truth(value, "value")
    if not is_pixels(value):
        return accept if true else reject
    return choose(PixelArray(true, value.labels) if isinstance(value, PixelArray) else true, accept, reject)
