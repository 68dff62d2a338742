"""Ordering arrays, accumulating along them and filling their gaps: JSON arrays and arrays of pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cmp_to_key
from typing import Any

import numpy as np

from openeo_backend.cube import along
from openeo_backend.cube.labels import instant, number
from openeo_backend.cube.pixels import (
    LabeledList,
    PixelArray,
    elements,
    filled,
    floating,
    is_number,
    labels_of,
    missing,
    nullify,
    refuse,
    stack,
    to_float,
)
from openeo_backend.graph.schema import describe
from openeo_backend.processes.registry import process

# -- order -------------------------------------------------------------------------------------------------


@process("order")
def order(data: Any, asc: bool = True, nodata: bool | None = None) -> Any:
    """The positions of the elements in sorted order; equal elements keep their order.

    Null elements are left out, or come last (`nodata` true) or first (false). Arrays of pixels keep their length:
    positions of elements left out are null, at the end.
    """
    array = elements(data)
    if isinstance(array, PixelArray):
        found = _ranked(array.values, asc, nodata)
        if found is not None:
            return PixelArray(nullify(found[0], np.isnan(found[1]) if nodata is None else None))
        positions, nulls = _order_pixels(array.values, asc, nodata)
        return PixelArray(nullify(positions, nulls if nodata is None else None))
    _refuse_mixtures(array)
    keys = [None if value is None else _key(value) for value in array]
    present = [index for index, key in enumerate(keys) if key is not None]

    def before(first: int, second: int) -> int:
        a, b = keys[first], keys[second]
        return (a > b) - (a < b) if asc else (a < b) - (a > b)  # type: ignore[operator]

    ranked = sorted(present, key=cmp_to_key(before))
    absent = [index for index, key in enumerate(keys) if key is None]
    return ranked if nodata is None else ranked + absent if nodata else absent + ranked


def _refuse_mixtures(values: Iterable[Any]) -> None:
    if len({isinstance(value, str) for value in values if value is not None}) == 2:
        raise refuse("data", "mixes numbers with dates, which have no common order")


def _key(value: Any) -> float:
    if is_number(value):
        return value
    if isinstance(value, str) and instant(value) is not None:
        return number(value)
    raise refuse("data", f"must hold numbers, dates and null, but holds {describe(value)}")


def _ranked(values: np.ndarray, asc: bool, nodata: bool | None) -> tuple[np.ndarray, np.ndarray] | None:
    """Positions in sorted order and the sorted values as floats by compiled code; None where there is none."""
    if not _is_exact(values):
        return None
    return along.ranked(floating(values, "data"), ascending=asc, nulls_last=nodata is not False)


def _is_exact(values: np.ndarray) -> bool:
    """Whether values are numbers that floats of :func:`float_type` hold exactly."""
    return values.dtype.kind == "f" or (values.dtype.kind in "iu" and values.dtype.itemsize <= 2)


def _restored(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Floats in the type that they were taken from, NaN as null."""
    if values.dtype == dtype:
        return values
    with np.errstate(invalid="ignore"):
        return nullify(values.astype(dtype), np.isnan(values) if dtype.kind != "f" else None)


def _order_pixels(values: np.ndarray, asc: bool, nodata: bool | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Positions in sorted order per pixel, and where those of null elements are."""
    if values.dtype.kind == "O":
        _refuse_mixtures(np.ma.getdata(values).ravel())
    if values.dtype.kind not in "iufb":
        values = floating(values, "data")
    nulls = missing(values)
    data = filled(values, nulls, 0)
    ranks = data if asc else _reversed(data)
    if nulls is None:
        return np.argsort(ranks, axis=0, kind="stable").astype("int32"), None
    positions = np.lexsort((ranks, nulls if nodata is not False else ~nulls), axis=0)
    return positions.astype("int32"), np.take_along_axis(nulls, positions, axis=0)


def _reversed(data: np.ndarray) -> np.ndarray:
    """Values in the opposite order; unlike the negative, the complement of an integer never overflows."""
    return -data if data.dtype.kind == "f" else ~data


@process("sort")
def sort(data: Any, asc: bool = True, nodata: bool | None = None) -> Any:
    """The elements in ascending (or descending) order; null as in :func:`order`. Labels go with their elements."""
    array = elements(data)
    if not isinstance(array, PixelArray):
        return rearrange(array, order(array, asc, nodata))
    found = _ranked(array.values, asc, nodata)
    if found is not None:
        return PixelArray(_restored(found[1], array.values.dtype))
    gaps = missing(array.values)
    simple = gaps is None and array.values.dtype.kind != "O"
    if simple or (asc and nodata is not False and array.values.dtype.kind == "f"):
        ascending = np.sort(np.ma.getdata(array.values), axis=0)  # NaN comes last
        return PixelArray(ascending if asc else ascending[::-1])
    positions, nulls = _order_pixels(array.values, asc, nodata)
    values = np.take_along_axis(np.ma.getdata(array.values), positions, axis=0)
    return PixelArray(nullify(values, nulls))


@process("rearrange")
def rearrange(data: Any, order: Any) -> Any:
    """The elements at the given positions, with their labels; null where a position is null."""
    array, positions = elements(data), elements(order, "order")
    if isinstance(positions, PixelArray):
        return _rearrange_pixels(array, positions)
    for position in positions:
        if not is_number(position) or position != int(position) or not 0 <= position < len(array):
            raise refuse("order", f"has the position {describe(position)} for an array of {len(array)} elements")
    index = [int(position) for position in positions]
    labels = labels_of(array)
    names = None if labels is None else [labels[position] for position in index]
    if isinstance(array, PixelArray):
        return PixelArray(array.values[index], None if names is None else tuple(names))
    values = [array[position] for position in index]
    return values if names is None or len(set(index)) < len(index) else LabeledList(values, names)


def _rearrange_pixels(array: PixelArray | list[Any], order: PixelArray) -> PixelArray:
    pixels = array if isinstance(array, PixelArray) else stack(array)
    values = pixels.lift(order.values.ndim - 1)
    wanted = floating(order.values, "order") if order.values.dtype.kind == "O" else order.values
    unknown = missing(wanted)
    known = filled(wanted, unknown, 0)
    if known.size and (known.min() < 0 or known.max() >= values.shape[0]):
        raise refuse("order", f"has positions outside of the array of {values.shape[0]} elements")
    positions = known.astype("intp")
    shape = np.broadcast_shapes(values.shape[1:], positions.shape[1:])
    positions = np.broadcast_to(PixelArray(positions).lift(len(shape)), (len(order), *shape))
    found = np.take_along_axis(np.broadcast_to(np.ma.getdata(values), (values.shape[0], *shape)), positions, axis=0)
    nulls = missing(values)
    if nulls is not None:
        gaps = np.take_along_axis(np.broadcast_to(nulls, (values.shape[0], *shape)), positions, axis=0)
        unknown = gaps if unknown is None else gaps | unknown
    return PixelArray(nullify(found, unknown))


# -- accumulation ------------------------------------------------------------------------------------------

#: Accumulates values along the first axis.
Accumulate = Callable[[np.ndarray], np.ndarray]


def _accumulate(
    data: Any, ignore_nodata: bool, function: Accumulate, neutral: Callable[[np.dtype], Any], kind: str
) -> Any:
    """Accumulate with `neutral` in the place of null, which stays null; or lets all after it be null."""
    array = elements(data)
    labels = labels_of(array)
    if isinstance(array, PixelArray):
        pixels = array.values
        if kind in ("sum", "product") or pixels.dtype.kind not in "iuf":
            pixels = floating(pixels, "data")
        compiled = along.accumulated(floating(pixels, "data"), kind, ignore_nodata) if _is_exact(pixels) else None
        if compiled is not None:
            return PixelArray(_restored(compiled, pixels.dtype), labels)
        return PixelArray(_accumulated(pixels, missing(pixels), ignore_nodata, function, neutral), labels)
    for value in array:
        if value is not None and not is_number(value):
            raise refuse("data", f"must hold numbers and null, but holds {describe(value)}")
    nulls = np.array([value is None for value in array], dtype=bool)
    values = np.array([0.0 if value is None else to_float(value) for value in array])
    found = _accumulated(values, nulls, ignore_nodata, function, neutral)
    if not ignore_nodata:
        nulls = np.logical_or.accumulate(nulls)
    result = [None if null else _whole(value) for value, null in zip(found.tolist(), nulls, strict=True)]
    return result if labels is None else LabeledList(result, labels)


def _whole(value: float) -> float | int:
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def _accumulated(
    values: np.ndarray,
    nulls: np.ndarray | None,
    ignore_nodata: bool,
    function: Accumulate,
    neutral: Callable[[np.dtype], Any],
) -> np.ndarray:
    if not values.shape[0]:
        return values
    with np.errstate(all="ignore"):
        result = function(filled(values, nulls, neutral(values.dtype))).astype(values.dtype, copy=False)
    if nulls is None:
        return result
    return nullify(result, nulls if ignore_nodata else np.logical_or.accumulate(nulls, axis=0))


@process("cumsum")
def cumsum(data: Any, ignore_nodata: bool = True) -> Any:
    """The sums of each element and all before it."""
    return _accumulate(data, ignore_nodata, lambda v: np.cumsum(v, axis=0, dtype="float64"), lambda _: 0, "sum")


@process("cumproduct")
def cumproduct(data: Any, ignore_nodata: bool = True) -> Any:
    """The products of each element and all before it."""
    return _accumulate(data, ignore_nodata, lambda v: np.cumprod(v, axis=0, dtype="float64"), lambda _: 1, "product")


@process("cummin")
def cummin(data: Any, ignore_nodata: bool = True) -> Any:
    """The smallest of each element and all before it, in the type of the elements."""
    return _accumulate(data, ignore_nodata, lambda v: np.minimum.accumulate(v, axis=0), _top, "min")


@process("cummax")
def cummax(data: Any, ignore_nodata: bool = True) -> Any:
    """The largest of each element and all before it, in the type of the elements."""
    return _accumulate(data, ignore_nodata, lambda v: np.maximum.accumulate(v, axis=0), _bottom, "max")


def _top(dtype: np.dtype) -> Any:
    return np.inf if dtype.kind == "f" else np.iinfo(dtype).max


def _bottom(dtype: np.dtype) -> Any:
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min


# -- interpolation -----------------------------------------------------------------------------------------


@process("array_interpolate_linear")
def array_interpolate_linear(data: Any) -> Any:
    """The array with null and NaN between two numbers replaced by the line between them.

    The line runs over the labels where they are numbers or dates, else over the indices. What comes before the first
    number and after the last stays.
    """
    array = elements(data)
    labels = labels_of(array)
    places = _places(labels, len(array))
    if isinstance(array, PixelArray):
        values = floating(array.values, "data")
        compiled = along.bridged(values, places)
        return PixelArray(_interpolated(values, np.isnan(values), places) if compiled is None else compiled, labels)
    for value in array:
        if value is not None and not is_number(value):
            raise refuse("data", f"must hold numbers and null, but holds {describe(value)}")
    numbers = np.array([np.nan if value is None else to_float(value) for value in array])
    gaps = np.isnan(numbers)
    found = _interpolated(numbers, gaps, places)
    result = [old if not gap or np.isnan(new) else float(new) for old, gap, new in zip(array, gaps, found, strict=True)]
    return result if labels is None else LabeledList(result, labels)


def _places(labels: Sequence[Any] | None, count: int) -> np.ndarray:
    """The x coordinates of the elements."""
    if labels and all(is_number(label) or instant(label) is not None for label in labels):
        return np.array([number(label) for label in labels], dtype="float64")
    return np.arange(count, dtype="float64")


def _interpolated(values: np.ndarray, gaps: np.ndarray, places: np.ndarray) -> np.ndarray:
    count = values.shape[0]
    if not gaps.any():
        return values
    index = np.arange(count).reshape(-1, *(1,) * (values.ndim - 1))
    before = np.maximum.accumulate(np.where(gaps, -1, index), axis=0)
    after = np.minimum.accumulate(np.where(gaps, count, index)[::-1], axis=0)[::-1]
    inner = gaps & (before >= 0) & (after < count)
    before, after = np.where(inner, before, 0), np.where(inner, after, 0)
    start, end = places[before], places[after]
    with np.errstate(all="ignore"):
        share = ((places.reshape(index.shape) - start) / (end - start)).astype(values.dtype)
        low, high = np.take_along_axis(values, before, axis=0), np.take_along_axis(values, after, axis=0)
        line = low * (1 - share) + high * share
    return np.where(inner, line, values)
