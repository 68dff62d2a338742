"""openEO arrays and values of many pixels at once, as callbacks see them.

Inside a callback over a cube, a single value (`x`) is a numpy array with one element per pixel, of any shape;
an openEO array (`data`) is a :class:`PixelArray`, whose first axis runs over the array's elements and whose other
axes are the pixels. Outside of cubes the same processes see plain JSON values: None, bool, int, float, str, list,
dict, and :class:`LabeledList` for labelled arrays.

Missing values (null): NaN in floating point arrays; masked elements (`numpy.ma`) in integer and boolean arrays;
None in lists and object arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from openeo_backend.cube.blank import blank
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.schema import describe


class LabeledList(list[Any]):
    """A JSON array with a label per element."""

    def __init__(self, values: Iterable[Any], labels: Sequence[Any]) -> None:
        super().__init__(values)
        self.labels = list(labels)
        if len(self.labels) != len(self):
            raise ValueError(f"{len(self)} values but {len(self.labels)} labels")


@dataclass(frozen=True, eq=False)
class PixelArray:
    """An openEO array of `len(self)` elements for each pixel of a block."""

    values: np.ndarray
    """Shape (elements, *pixels); a masked array where integer or boolean elements are missing."""

    labels: tuple[Any, ...] | None = None
    """One label per element: band names, or dates as ISO 8601 text."""

    def __len__(self) -> int:
        return int(self.values.shape[0])

    def __getitem__(self, index: int) -> np.ndarray:
        """Element `index` of every pixel, an array shaped like the pixels (also where that is no dimension)."""
        return np.asanyarray(self.values[index, ...])

    def lift(self, dims: int) -> np.ndarray:
        """The values with at least `dims` pixel dimensions (new ones first), to be combined with single values."""
        pixels = self.values.shape[1:]
        return self.values.reshape(len(self), *(1,) * (dims - len(pixels)), *pixels)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[index] for index in range(len(self)))


# -- telling values apart ----------------------------------------------------------------------------------


def is_pixels(*values: Any) -> bool:
    """Whether any of the values is one of many pixels (a numpy array or scalar, a PixelArray) and not JSON."""
    return any(isinstance(value, np.ndarray | np.generic | PixelArray) for value in values)


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number; booleans are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def to_float(value: int | float) -> float:
    """A JSON number as a float; infinite where it is too large for one."""
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def refuse(parameter: str, reason: str, hint: str | None = None) -> OpenEOError:
    """The error for an argument that its process cannot take."""
    return OpenEOError("ProcessParameterInvalid", f"The value passed for parameter '{parameter}' {reason}.", hint=hint)


def elements(data: Any, parameter: str = "data") -> PixelArray | list[Any]:
    """`data` as an openEO array: a PixelArray as soon as any element is pixels, else a list (labels kept).

    :raises OpenEOError: ProcessParameterInvalid for anything that is not an array.
    """
    if isinstance(data, PixelArray):
        return data
    if isinstance(data, list | tuple):
        values = data if isinstance(data, list) else list(data)
        if is_pixels(*values):
            return stack(values, labels=labels_of(values), parameter=parameter)
        return values
    raise refuse(
        parameter,
        f"must be an array, but is {describe(data)}",
        "Arrays of cubes are given to callbacks, e.g. of reduce_dimension or apply_dimension.",
    )


def labels_of(array: Any) -> tuple[Any, ...] | None:
    """The labels of a labelled array, None for an array without labels."""
    if isinstance(array, PixelArray):
        return array.labels
    if isinstance(array, LabeledList):
        return tuple(array.labels)
    return None


# -- no-data -----------------------------------------------------------------------------------------------


def missing(values: np.ndarray) -> np.ndarray | None:
    """Where values are null, as booleans of the same shape; None where nothing is."""
    values = np.asanyarray(values)
    kind = values.dtype.kind
    if kind == "f":
        nulls = np.isnan(np.ma.getdata(values))
    elif kind in "OM":
        nulls = np.asarray(pd.isnull(np.ma.getdata(values)))
    else:
        nulls = None
    if np.ma.is_masked(values):
        mask = np.ma.getmaskarray(values)
        nulls = mask if nulls is None else nulls | mask
    return nulls if nulls is not None and nulls.any() else None


def nullify(values: np.ndarray, nulls: np.ndarray | np.bool | None) -> np.ndarray:
    """The values with null where `nulls` says so: NaN for floats, None for objects, else a masked array."""
    if nulls is None or not nulls.any():
        return values
    shape = np.broadcast_shapes(values.shape, nulls.shape)
    nulls = np.broadcast_to(nulls, shape)
    data = np.array(np.broadcast_to(np.ma.getdata(values), shape), order="C")
    if data.dtype.kind == "f":
        blank(data, nulls)
        return data
    if data.dtype.kind == "O":
        data[nulls] = None
        return data
    old = np.broadcast_to(np.ma.getmaskarray(values), shape)
    return np.ma.MaskedArray(data, mask=nulls | old)


def filled(values: np.ndarray, nulls: np.ndarray | None, value: Any) -> np.ndarray:
    """The bare values with `value` where `nulls` says so."""
    data = np.ma.getdata(values)
    return data if nulls is None else np.where(nulls, np.asarray(value, data.dtype), data)


def unite(*nulls: np.ndarray | None) -> np.ndarray | None:
    """Null where any of the masks is (broadcast against each other)."""
    found: np.ndarray | None = None
    for mask in nulls:
        if mask is not None:
            found = mask if found is None else found | mask
    return found


# -- types -------------------------------------------------------------------------------------------------


def float_type(dtype: np.dtype) -> np.dtype:
    """The floating point type to compute in: float32 unless the values are float64 or integers of 32 bits or more."""
    if dtype.kind == "f":
        return np.dtype("float32") if dtype.itemsize < 4 else dtype
    if dtype.kind in "iu" and dtype.itemsize > 2:
        return np.dtype("float64")
    return np.dtype("float32")


def floating(values: Any, parameter: str = "x") -> np.ndarray:
    """Pixels as floats by :func:`float_type`, NaN for null.

    :raises OpenEOError: ProcessParameterInvalid where the pixels are not numbers.
    """
    values = np.asanyarray(values)
    if values.dtype.kind == "O":
        values = _numbers_of_objects(values, parameter)
    if values.dtype.kind not in "fiub":
        raise refuse(parameter, f"must be numeric, but is {describe(values)}")
    nulls = np.ma.getmask(values)
    data = np.ma.getdata(values).astype(float_type(values.dtype), copy=nulls is not np.ma.nomask)
    if nulls is not np.ma.nomask:
        blank(data, nulls)
    return data


def _numbers_of_objects(values: np.ndarray, parameter: str) -> np.ndarray:
    try:
        return np.where(pd.isnull(values), np.nan, values).astype("float64")
    except (TypeError, ValueError) as error:
        raise refuse(parameter, "must be numeric, but holds other values") from error


def common_type(values: Sequence[Any]) -> np.dtype:
    """The type that holds pixels and JSON scalars together without loss; JSON scalars do not widen floats."""
    arrays = [np.asanyarray(value).dtype for value in values if is_pixels(value)]
    scalars = [value for value in values if not is_pixels(value) and value is not None]
    if any(dtype.kind in "OUSM" for dtype in arrays) or any(isinstance(value, str) for value in scalars):
        return np.dtype(object)
    dtype = np.result_type(*arrays) if arrays else None
    for scalar in scalars:
        dtype = _widened(dtype, scalar)
    return np.dtype("float32") if dtype is None else dtype


def _widened(dtype: np.dtype | None, scalar: Any) -> np.dtype:
    if isinstance(scalar, bool):
        return np.dtype(bool) if dtype is None else dtype
    if isinstance(scalar, int) and (dtype is None or dtype.kind in "iub"):
        smallest = np.min_scalar_type(scalar)
        if smallest.kind != "O":
            return smallest if dtype is None else np.result_type(dtype, smallest)
        scalar = float(scalar)
    if not isinstance(scalar, int | float):
        raise refuse("data", f"mixes pixels with {describe(scalar)}")
    dtype = np.dtype("float32") if dtype is None else float_type(dtype)
    fits = scalar in (math.inf, -math.inf) or scalar != scalar or abs(scalar) <= float(np.finfo(dtype).max)
    return dtype if fits else np.dtype("float64")


# -- building ----------------------------------------------------------------------------------------------


def stack(values: Sequence[Any], labels: Sequence[Any] | None = None, parameter: str = "data") -> PixelArray:
    """An array with the given elements: pixels of any broadcastable shapes, JSON scalars and None.

    The type is the common one of the elements (:func:`common_type`); None becomes null.
    """
    for value in values:
        if isinstance(value, PixelArray | list | tuple | dict):
            raise refuse(
                parameter,
                f"has {describe(value)} as an element, but arrays of pixels cannot be nested",
                "Use array_concat to join arrays.",
            )
    dtype = common_type(values)
    shape = np.broadcast_shapes(*(np.shape(value) for value in values))
    data = np.empty((len(values), *shape), dtype)
    nulls = np.zeros(data.shape, bool)
    for index, value in enumerate(values):
        if value is None:
            data[index] = np.zeros((), dtype)
            nulls[index] = True
        elif is_pixels(value):
            found = missing(value)
            data[index] = np.ma.getdata(value)
            nulls[index] = False if found is None else found
        else:
            data[index] = value
    return PixelArray(nullify(data, nulls), None if labels is None else tuple(labels))


def as_pixels(value: Any, shape: tuple[int, ...]) -> np.ndarray:
    """A single value (pixels, a JSON scalar or None) as pixels of the given shape."""
    if isinstance(value, PixelArray | list | tuple | dict):
        raise refuse("process", f"must return a single value, but returned {describe(value)}")
    values = np.asarray(value, _wide_type(value)) if is_number(value) else stack([value])[0]
    data = np.broadcast_to(np.ma.getdata(values), shape)
    return nullify(data, None if missing(values) is None else np.broadcast_to(_mask(values), shape))


def _wide_type(number: int | float) -> np.dtype:
    """A type for a number that other elements and blocks, with other numbers, probably need as well."""
    if isinstance(number, float):
        return common_type([number])
    return np.dtype(next((name for name in ("int16", "int32") if abs(number) < np.iinfo(name).max), "int64"))


def _mask(values: np.ndarray) -> np.ndarray:
    nulls = missing(values)
    return np.zeros(values.shape, bool) if nulls is None else nulls


def choose(chosen: np.ndarray | PixelArray, accept: Any, reject: Any) -> Any:
    """`accept` where `chosen` (booleans) is true, else `reject`; both pixels, PixelArrays, JSON scalars or None."""
    if isinstance(accept, dict) or isinstance(reject, dict):
        raise refuse("accept", "must be a single value or an array where the condition differs from pixel to pixel")
    stacked = [stack(v, labels=labels_of(v)) if isinstance(v, list | tuple) else v for v in (accept, reject)]
    (where, *parts), labels, arrays = _plain([chosen, *stacked])
    dtype = common_type(parts)
    data, nulls = [], []
    for value in parts:
        data.append(np.zeros((), dtype) if value is None else np.ma.getdata(value))
        nulls.append(np.array(value is None) if not is_pixels(value) else _mask(np.asanyarray(value)))
    values = np.where(where, *(np.asarray(part).astype(dtype, copy=False) for part in data))
    values = nullify(values, np.where(where, *nulls))
    return PixelArray(values, labels) if arrays else values


def refuse_lengths(*values: Any) -> None:
    """:raises OpenEOError: ProcessParameterInvalid for arrays of pixels that have not equally many elements."""
    lengths = sorted({len(value) for value in values if isinstance(value, PixelArray)} - {1})
    if len(lengths) > 1:
        raise refuse("y", f"goes with an array of another length: {lengths[0]} and {lengths[-1]} elements")


def _plain(values: Sequence[Any]) -> tuple[list[Any], tuple[Any, ...] | None, bool]:
    """The values with PixelArrays as arrays that broadcast with the others, their labels, and whether there are any."""
    refuse_lengths(*values)
    arrays = [value for value in values if isinstance(value, PixelArray)]
    dims = max(value.values.ndim - 1 if isinstance(value, PixelArray) else np.ndim(value) for value in values)
    labels = next((array.labels for array in arrays if array.labels is not None), None)
    return [value.lift(dims) if isinstance(value, PixelArray) else value for value in values], labels, bool(arrays)


# -- computing ---------------------------------------------------------------------------------------------


def compute(function: Callable[..., Any], **operands: Any) -> Any:
    """A function of numbers, element by element; null if any operand is null.

    :param function: works on numpy floats, arrays and scalars alike.
    :param operands: the numbers by parameter name: JSON numbers and None, pixels, or PixelArrays (whose labels stay).
    :returns: a Python float for JSON operands; pixels as floats by :func:`float_type`.
    :raises OpenEOError: ProcessParameterInvalid for other values.
    """
    if not is_pixels(*operands.values()):
        for name, value in operands.items():
            if value is not None and not is_number(value):
                raise refuse(name, f"must be a number or null, but is {describe(value)}")
        if any(value is None for value in operands.values()):
            return None
        with np.errstate(all="ignore"):
            return float(function(*(np.float64(to_float(value)) for value in operands.values())))
    plain, labels, arrays = _plain(list(operands.values()))
    values = [_operand(name, value) for name, value in zip(operands, plain, strict=True)]
    dtype = np.result_type(*(value.dtype for value in values if isinstance(value, np.ndarray)))
    with np.errstate(all="ignore"):
        result = np.asarray(function(*values)).astype(dtype, copy=False)
    return PixelArray(result, labels) if arrays else result


def _operand(name: str, value: Any) -> Any:
    if value is None:
        return np.nan
    if is_pixels(value):
        return floating(value, name)
    if is_number(value):
        return to_float(value)
    raise refuse(name, f"must be a number or null, but is {describe(value)}")


def valid(values: np.ndarray) -> np.ndarray:
    """Where pixels are valid in the sense of is_valid: neither null nor infinite."""
    if values.dtype.kind == "f":
        return np.isfinite(np.ma.getdata(values)) & ~np.ma.getmaskarray(values)
    return ~_mask(values)


def valid_json(value: Any) -> bool:
    """Whether a JSON value is valid in the sense of is_valid: neither null nor NaN nor infinite."""
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def equal(x: Any, y: Any, delta: float | None = None, case_sensitive: bool = True) -> Any:
    """Equality as `eq` defines it: a boolean or None for JSON values, booleans (masked where null) for pixels.

    JSON values of different types are never equal. Boolean pixels count as the numbers 0 and 1, because cubes store
    them as such.
    """
    if is_pixels(x, y):
        return compare(np.equal, x, y) if delta is None else compare(lambda a, b: _near(a, b, delta), x, y)
    if x is None or y is None:
        return None
    if is_number(x) and is_number(y):
        return bool(x == y if delta is None else abs(x - y) <= delta)
    if isinstance(x, str) and isinstance(y, str):
        return x == y if case_sensitive else x.lower() == y.lower()
    return isinstance(x, bool) and isinstance(y, bool) and x == y


def _near(x: Any, y: Any, delta: float) -> Any:
    return np.abs(np.subtract(x, y, dtype="float64")) <= delta


def compare(function: Callable[[Any, Any], Any], x: Any, y: Any) -> Any:
    """A comparison of pixels with pixels or JSON scalars: booleans, masked where any operand is null.

    Numbers never compare with texts: the answer is false.
    """
    for value in (x, y):
        if isinstance(value, list | tuple | dict):
            raise refuse("x", f"must be a single value, but is {describe(value)}")
    plain, labels, arrays = _plain([x, y])
    nulls = [_mask(np.asanyarray(value)) if is_pixels(value) else np.array(value is None) for value in plain]
    values = [0 if value is None else np.ma.getdata(value) if is_pixels(value) else value for value in plain]
    shape = np.broadcast_shapes(*(np.shape(value) for value in values))
    with np.errstate(all="ignore"):
        result = _compared(function, values, shape)
    result = nullify(result, np.broadcast_to(nulls[0] | nulls[1], shape))
    return PixelArray(result, labels) if arrays else result


def _compared(function: Callable[[Any, Any], Any], values: Sequence[Any], shape: tuple[int, ...]) -> np.ndarray:
    kinds = [_kind_of(value) for value in values]
    known = {kind for kind in kinds if kind is not None}
    if len(known) == 2 or (None in kinds and "date" in known):
        return np.zeros(shape, bool)
    if None in kinds and "text" in known:
        one_by_one = np.frompyfunc(partial(_compared_objects, function), 2, 1)
        return np.asarray(one_by_one(*values), dtype=bool)
    if None in kinds:
        values = [floating(value) if kind is None else value for value, kind in zip(values, kinds, strict=True)]
    return np.asarray(function(*values), dtype=bool)


def _kind_of(value: Any) -> str | None:
    """What a value is among those that are compared with their like only; None for objects, which may be anything."""
    if not isinstance(value, np.ndarray):
        return "text" if isinstance(value, str) else "number"
    return {"O": None, "U": "text", "S": "text", "M": "date"}.get(value.dtype.kind, "number")


def _compared_objects(function: Callable[[Any, Any], Any], x: Any, y: Any) -> bool:
    return isinstance(x, str) == isinstance(y, str) and None not in (x, y) and bool(function(x, y))
