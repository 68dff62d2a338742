"""Reducing an array to a number: along the elements of JSON arrays, or along the first axis of pixel arrays.

Null elements are left out, or make the result null (`ignore_nodata`). NaN in JSON arrays is a number and spreads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from openeo_backend.cube import along, order
from openeo_backend.cube.elements import each
from openeo_backend.cube.flat import flat, reducer
from openeo_backend.cube.pixels import (
    PixelArray,
    elements,
    filled,
    floating,
    is_number,
    missing,
    nullify,
    refuse,
    to_float,
    valid,
    valid_json,
)
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.callback import Callback
from openeo_backend.graph.schema import describe
from openeo_backend.processes.registry import process

#: Reduces values (elements first) of which those at `nulls` (None: none) do not count, along the first axis.
#: What it says where all are null does not matter.
Kernel = Callable[[np.ndarray, np.ndarray | None], np.ndarray]


def _numbers(data: list[Any]) -> tuple[np.ndarray, np.ndarray | None]:
    """A JSON array of numbers and null as values and the mask of null."""
    for value in data:
        if value is not None and not is_number(value):
            raise refuse("data", f"must hold numbers and null, but holds {describe(value)}")
    nulls = np.array([value is None for value in data], dtype=bool)
    values = np.array([0.0 if value is None else to_float(value) for value in data])
    return values, nulls if nulls.any() else None


def _count(values: np.ndarray, nulls: np.ndarray | None) -> Any:
    """How many elements are not null, per pixel."""
    return values.shape[0] if nulls is None else np.count_nonzero(~nulls, axis=0)


def _reduce(
    data: Any,
    ignore_nodata: bool,
    kernel: Kernel,
    *,
    floats: bool = True,
    exact: Callable[[list[int]], int] | None = None,
) -> Any:
    """Apply a kernel; null where there is nothing to reduce, or any null with `ignore_nodata` false.

    :param floats: whether the kernel needs floats (`float_type`), else it gets the values as they are.
    :param exact: the same for integers of JSON, which may be too large for floats.
    """
    array = elements(data)
    if not isinstance(array, PixelArray):
        values, nulls = _numbers(array)
        if not _count(values, nulls) or (nulls is not None and not ignore_nodata):
            return None
        if exact is not None and all(value is None or isinstance(value, int) for value in array):
            return exact([value for value in array if value is not None])
        with np.errstate(all="ignore"):
            result = float(kernel(values, nulls))
        whole = result.is_integer() and all(value is None or isinstance(value, int) for value in array)
        return int(result) if whole and abs(result) < 2**53 else result
    values = floating(array.values, "data") if floats else _native(array.values)
    return _reduce_pixels(values, ignore_nodata, kernel)


def _native(values: np.ndarray) -> np.ndarray:
    """Numbers in their own type; booleans and objects as floats."""
    return values if values.dtype.kind in "iuf" else floating(values, "data")


def _reduce_pixels(values: np.ndarray, ignore_nodata: bool, kernel: Kernel) -> np.ndarray:
    shape = values.shape[1:]
    if values.shape[0] == 0:
        return nullify(np.zeros(shape, values.dtype), np.ones(shape, bool))
    nulls = missing(values)
    with np.errstate(all="ignore"):
        result = np.asarray(kernel(np.ma.getdata(values), nulls)).astype(values.dtype, copy=False)
    if nulls is None:
        return result
    return nullify(result, nulls.all(axis=0) if ignore_nodata else nulls.any(axis=0))


# -- kernels -----------------------------------------------------------------------------------------------


def _largest(dtype: np.dtype) -> Any:
    return np.inf if dtype.kind == "f" else np.iinfo(dtype).max


def _smallest(dtype: np.dtype) -> Any:
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min


def _minimum(values: np.ndarray, nulls: np.ndarray | None) -> np.ndarray:
    return np.asarray(np.min(filled(values, nulls, _largest(values.dtype)), axis=0))


def _maximum(values: np.ndarray, nulls: np.ndarray | None) -> np.ndarray:
    return np.asarray(np.max(filled(values, nulls, _smallest(values.dtype)), axis=0))


def _total(values: np.ndarray, nulls: np.ndarray | None) -> np.ndarray:
    # summed in double precision: along the first axis numpy adds one by one, which loses digits in float32
    return np.asarray(np.sum(filled(values, nulls, 0), axis=0, dtype="float64"))


def _product(values: np.ndarray, nulls: np.ndarray | None) -> np.ndarray:
    return np.asarray(np.prod(filled(values, nulls, 1), axis=0, dtype="float64"))


def _mean(values: np.ndarray, nulls: np.ndarray | None) -> np.ndarray:
    return np.asarray(_total(values, nulls) / _count(values, nulls))


def _variance(values: np.ndarray, nulls: np.ndarray | None) -> np.ndarray:
    deviation = filled(values - _mean(values, nulls).astype(values.dtype), nulls, 0)
    return np.asarray(np.sum(np.square(deviation), axis=0, dtype="float64") / (_count(values, nulls) - 1))


def _deviation(values: np.ndarray, nulls: np.ndarray | None) -> np.ndarray:
    return np.sqrt(_variance(values, nulls))


def _median(values: np.ndarray, nulls: np.ndarray | None) -> np.ndarray:
    return _quantile(values, nulls, [0.5])[0]


def _quantile(values: np.ndarray, nulls: np.ndarray | None, probabilities: list[float]) -> list[np.ndarray]:
    """Quantiles of type 7 of Hyndman and Fan: linear between the order statistics around (n - 1) p."""
    ordered = np.sort(filled(values, nulls, np.inf), axis=0)
    last = np.maximum(np.asarray(_count(values, nulls)) - 1, 0)
    spoiled = np.isnan(ordered[-1])
    results = []
    for probability in probabilities:
        position = last * probability
        below = np.floor(position).astype("intp")
        share = (position - below).astype(values.dtype)
        low = _take(ordered, below)
        high = _take(ordered, np.minimum(below + 1, last))
        between = low * (1 - share) + high * share
        # an exact position must not touch an infinite neighbour (0 * infinity is NaN)
        exact = (share == 0) | (low == high)
        results.append(np.where(spoiled, np.nan, np.where(exact, low, between)).astype(values.dtype))
    return results


def _take(values: np.ndarray, index: np.ndarray) -> np.ndarray:
    """The element at a per-pixel index (or one index for all pixels)."""
    if index.ndim == 0:
        return np.asarray(values[int(index)])
    return np.take_along_axis(values, index[np.newaxis], axis=0)[0]


# -- processes ---------------------------------------------------------------------------------------------


@process("min")
@flat(reducer(stored=True))
def min_(data: Any, ignore_nodata: bool = True) -> Any:
    """The smallest element, in the type of the elements."""
    return _reduce(data, ignore_nodata, _minimum, floats=False, exact=min)


@process("max")
@flat(reducer(stored=True))
def max_(data: Any, ignore_nodata: bool = True) -> Any:
    """The largest element, in the type of the elements."""
    return _reduce(data, ignore_nodata, _maximum, floats=False, exact=max)


@process("sum")
@flat(reducer())
def sum_(data: Any, ignore_nodata: bool = True) -> Any:
    """The sum of the elements."""
    return _reduce(data, ignore_nodata, _total, exact=sum)


@process("product")
@flat(reducer())
def product(data: Any, ignore_nodata: bool = True) -> Any:
    """The product of the elements."""
    return _reduce(data, ignore_nodata, _product)


@process("mean")
@flat(reducer())
def mean(data: Any, ignore_nodata: bool = True) -> Any:
    """The arithmetic mean of the elements."""
    found = _compiled(data, along.mean, ignore_nodata)
    return _reduce(data, ignore_nodata, _mean) if found is None else found


def _whole_median(values: np.ndarray, nodata: int | None, ignore_nodata: bool = True) -> np.ndarray | None:
    found = order.quantiles(values, [0.5], ignore_nodata, nodata)
    return None if found is None else found[0]


@process("median")
@flat(reducer(whole=_whole_median))
def median(data: Any, ignore_nodata: bool = True) -> Any:
    """The middle of the ordered elements, or the mean of the two middle ones."""
    array = elements(data)
    if isinstance(array, PixelArray) and len(array):
        return _pixel_quantiles(array, [0.5], ignore_nodata)[0]
    return _reduce(array, ignore_nodata, _median)


@process("sd")
@flat(reducer())
def sd(data: Any, ignore_nodata: bool = True) -> Any:
    """The sample standard deviation (n - 1); NaN for a single element."""
    found = _compiled(data, along.variance, ignore_nodata)
    return _reduce(data, ignore_nodata, _deviation) if found is None else np.sqrt(found)


@process("variance")
@flat(reducer())
def variance(data: Any, ignore_nodata: bool = True) -> Any:
    """The sample variance (n - 1); NaN for a single element."""
    found = _compiled(data, along.variance, ignore_nodata)
    return _reduce(data, ignore_nodata, _variance) if found is None else found


def _compiled(
    data: Any, function: Callable[[np.ndarray, bool], np.ndarray | None], ignore_nodata: bool
) -> np.ndarray | None:
    """What a compiled function makes of pixels; None for JSON, and where there is none."""
    array = elements(data)
    return function(floating(array.values, "data"), ignore_nodata) if isinstance(array, PixelArray) else None


@process("extrema")
def extrema(data: Any, ignore_nodata: bool = True) -> Any:
    """The smallest and the largest element as an array of two."""
    low = _reduce(data, ignore_nodata, _minimum, floats=False, exact=min)
    high = _reduce(data, ignore_nodata, _maximum, floats=False, exact=max)
    return elements([low, high])


def _whole_quantiles(
    values: np.ndarray, nodata: int | None, probabilities: Any = None, q: Any = None, ignore_nodata: bool = True
) -> np.ndarray | None:
    return order.quantiles(values, _wanted(probabilities, q), ignore_nodata, nodata)


@process("quantiles")
@flat(reducer(array=True, whole=_whole_quantiles))
def quantiles(data: Any, probabilities: Any = None, q: Any = None, ignore_nodata: bool = True) -> Any:
    """Quantiles for a list of probabilities, or the cut points of q equal intervals, as an array.

    :raises OpenEOError: QuantilesParameterMissing, QuantilesParameterConflict, AscendingProbabilitiesRequired.
    """
    wanted = _wanted(probabilities, q)
    array = elements(data)
    if isinstance(array, PixelArray):
        if not len(array):
            values = floating(array.values, "data")
            return PixelArray(np.full((len(wanted), *values.shape[1:]), np.nan, values.dtype))
        return PixelArray(_pixel_quantiles(array, wanted, ignore_nodata))
    numbers, nulls = _numbers(array)
    if not _count(numbers, nulls) or (nulls is not None and not ignore_nodata):
        return [None] * len(wanted)
    with np.errstate(all="ignore"):
        return [float(value) for value in _quantile(numbers, nulls, wanted)]


def _pixel_quantiles(array: PixelArray, probabilities: list[float], ignore_nodata: bool) -> np.ndarray:
    """Quantiles of at least one element of each pixel, probabilities first."""
    values = floating(array.values, "data")
    found = order.quantiles(values, probabilities, ignore_nodata)
    if found is not None:
        return found
    return _reduce_pixels(values, ignore_nodata, lambda v, nulls: np.stack(_quantile(v, nulls, probabilities)))


def _wanted(probabilities: Any, q: Any) -> list[float]:
    """The probabilities that the arguments of `quantiles` say."""
    if probabilities is not None and q is not None:
        raise OpenEOError("QuantilesParameterConflict", "Both 'probabilities' and 'q' are given.", hint="Give one.")
    if probabilities is None and q is None:
        raise OpenEOError("QuantilesParameterMissing", "Neither 'probabilities' nor 'q' is given.")
    return _probabilities(probabilities if q is None else q, "probabilities" if q is None else "q")


def _probabilities(given: Any, name: str) -> list[float]:
    if isinstance(given, int) and not isinstance(given, bool):
        if not 2 <= given <= 10_000:
            raise refuse(name, f"must be from 2 to 10000 intervals, but is {given}")
        return [index / given for index in range(1, given)]
    if not isinstance(given, list | tuple) or not all(is_number(value) and 0 <= value <= 1 for value in given):
        raise refuse(name, "must be a number of intervals or a list of numbers from 0 to 1")
    if any(first >= second for first, second in zip(given, given[1:], strict=False)):
        raise OpenEOError("AscendingProbabilitiesRequired", "The probabilities are not in ascending order.")
    return [float(value) for value in given]


@process("count")
def count(data: Any, condition: Any = None, context: Any = None) -> Any:
    """How many elements are valid, fulfil a condition, or are there at all (`condition` true)."""
    array = elements(data)
    if condition is True:
        if isinstance(array, PixelArray):
            return np.full(array.values.shape[1:], len(array), "int32")
        return len(array)
    if condition is None:
        if isinstance(array, PixelArray):
            return np.asarray(np.count_nonzero(valid(array.values), axis=0)).astype("int32")
        return sum(valid_json(value) for value in array)
    if not isinstance(condition, Callback):
        raise refuse("condition", f"must be a process graph, true or null, but is {describe(condition)}")
    found = each(array, condition, context)
    if isinstance(found, PixelArray):
        values = found.values
        return np.asarray(np.count_nonzero(filled(values, missing(values), 0), axis=0)).astype("int32")
    return sum(value is True for value in found)


@process("first")
@flat(reducer(stored=True))
def first(data: Any, ignore_nodata: bool = True) -> Any:
    """The first element, or the first that is not null; null if there is none. The type stays."""
    return _outermost(data, ignore_nodata, 0)


@process("last")
@flat(reducer(stored=True))
def last(data: Any, ignore_nodata: bool = True) -> Any:
    """The last element, or the last that is not null; null if there is none. The type stays."""
    return _outermost(data, ignore_nodata, -1)


def _outermost(data: Any, ignore_nodata: bool, end: int) -> Any:
    array = elements(data)
    if not isinstance(array, PixelArray):
        items = [value for value in array if value is not None] if ignore_nodata else array
        return items[end] if items else None
    values = array.values
    if not len(array):
        return nullify(np.zeros(values.shape[1:], values.dtype), np.ones(values.shape[1:], bool))
    nulls = missing(values)
    if nulls is None or not ignore_nodata:
        return array[end]
    present = ~nulls if end == 0 else ~nulls[::-1]
    index = present.argmax(axis=0)
    found = _take(np.ma.getdata(values), index if end == 0 else len(array) - 1 - index)
    return nullify(found, nulls.all(axis=0))
