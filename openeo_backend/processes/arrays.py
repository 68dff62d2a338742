"""Making arrays, taking them apart and changing them: JSON arrays (labelled or not) and arrays of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from openeo_backend.cube.bounds import refuse_many
from openeo_backend.cube.elements import each, uses
from openeo_backend.cube.flat import element, flat
from openeo_backend.cube.pixels import (
    LabeledList,
    PixelArray,
    elements,
    equal,
    filled,
    floating,
    is_number,
    is_pixels,
    labels_of,
    missing,
    nullify,
    refuse,
    stack,
)
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.callback import Callback
from openeo_backend.graph.schema import describe
from openeo_backend.processes.environment import Env
from openeo_backend.processes.registry import process

#: Most elements of arrays that are put together.
MOST_JOINED = 2_000_000

Array = PixelArray | list[Any]


def _labelled(values: Array, labels: Sequence[Any] | None) -> Array:
    """The array with other labels (None: without)."""
    if isinstance(values, PixelArray):
        return PixelArray(values.values, None if labels is None else tuple(labels))
    return list(values) if labels is None else LabeledList(values, labels)


def _join(parts: Sequence[Array], labels: Sequence[Any] | None) -> Array:
    """The elements of all parts, one after the other."""
    if not any(isinstance(part, PixelArray) for part in parts):
        return _labelled([value for part in parts for value in part], labels)
    items = [value for part in parts for value in part]
    if not items:
        return next(part for part in parts if isinstance(part, PixelArray))
    return stack(items, labels)


def _slice(array: Array, start: int, stop: int) -> Array:
    if isinstance(array, PixelArray):
        return PixelArray(array.values[start:stop])
    return list(array[start:stop])


def _conflict(first: Sequence[Any], second: Sequence[Any]) -> None:
    taken = {_key(label) for label in first}
    both = [label for label in second if _key(label) in taken]
    if both:
        raise OpenEOError(
            "ArrayLabelConflict",
            f"Both arrays have the label {describe(both[0])}.",
            hint="Rename labels beforehand, e.g. with array_create_labeled.",
        )


def _key(label: Any) -> tuple[bool, Any]:
    """The same for labels that are equal: 1 and 1.0, but not 1 and '1'."""
    return isinstance(label, str), label


def _position(labels: Sequence[Any] | None, label: Any) -> int | None:
    for index, candidate in enumerate(labels or ()):
        if equal(candidate, label):
            return index
    return None


def _integer(value: Any, name: str, least: int | None = None) -> int:
    if not is_number(value) or value != int(value) or (least is not None and value < least):
        wanted = "an integer" if least is None else f"an integer of {least} or more"
        raise refuse(name, f"must be {wanted}, but is {describe(value)}")
    return int(value)


# -- making ------------------------------------------------------------------------------------------------


@process("array_create")
def array_create(data: Any = (), repeat: int = 1, *, env: Env) -> Any:
    """An array with the elements of `data`, `repeat` times over.

    Arrays of pixels among the elements (e.g. of quantiles) are taken apart: along a dimension, arrays cannot be nested.
    Graphs in use also write elements as process graphs of their own; each stands for its value.
    """
    array = elements(_spliced(data))
    times = _integer(repeat, "repeat", 1)
    pixels = array.values[0].size if isinstance(array, PixelArray) and len(array) else 1
    if len(array) * times * pixels > env.limits.elements:
        raise refuse("repeat", f"would make an array of more than {env.limits.elements} elements")
    if times == 1 and isinstance(array, PixelArray):
        return array
    return _join([array] * times, None)


def _spliced(data: Any) -> Any:
    if not isinstance(data, list):
        return data
    values = [value() if isinstance(value, Callback) else value for value in data]
    if not any(isinstance(value, PixelArray) for value in values):
        return values if any(isinstance(value, Callback) for value in data) else data
    return [item for value in values for item in (value if isinstance(value, PixelArray) else [value])]


@process("array_create_labeled")
def array_create_labeled(data: Any, labels: Any) -> Any:
    """A labelled array.

    :raises OpenEOError: ArrayLengthMismatch if there are more or fewer labels than values.
    """
    array = elements(data)
    names = elements(labels, "labels")
    if isinstance(names, PixelArray) or not all(is_number(name) or isinstance(name, str) for name in names):
        raise refuse("labels", "must be an array of numbers and texts")
    if len(array) != len(names):
        raise OpenEOError("ArrayLengthMismatch", f"There are {len(array)} values, but {len(names)} labels.")
    seen = set()
    for name in names:
        if _key(name) in seen:
            raise refuse("labels", f"must be unique, but {describe(name)} occurs twice")
        seen.add(_key(name))
    return _labelled(array, names)


@process("array_append")
def array_append(data: Any, value: Any, label: Any = None) -> Any:
    """The array with one more element at the end; in a labelled array its label is by default its index.

    :raises OpenEOError: LabelExists, ArrayNotLabeled.
    """
    array = elements(data)
    labels = labels_of(array)
    if labels is None:
        if label is not None:
            raise OpenEOError("ArrayNotLabeled", f"The label {describe(label)} is given, but the array has no labels.")
        return _join([array, [value]], None) if not is_pixels(value) else _join([array, stack([value])], None)
    new = len(array) if label is None else label
    if _position(labels, new) is not None:
        raise OpenEOError("LabelExists", f"The array has an element labelled {describe(new)} already.")
    return _join([array, elements([value])], (*labels, new))


@process("array_concat")
def array_concat(array1: Any, array2: Any) -> Any:
    """The elements of both arrays; labels stay if both have them.

    In callbacks over cubes a single value counts as an array of one element: workflows add a value that they
    computed (`array_concat(data, ndvi)`) to an array, and the official suite expects that.

    :raises OpenEOError: ArrayLabelConflict for a label in both.
    """
    first, second = _several(array1, "array1"), _several(array2, "array2")
    refuse_many(len(first) + len(second), MOST_JOINED, "elements of an array")
    names = labels_of(first), labels_of(second)
    if names[0] is None or names[1] is None:
        return _join([first, second], None)
    _conflict(names[0], names[1])
    return _join([first, second], (*names[0], *names[1]))


def _several(value: Any, parameter: str) -> Array:
    single = is_pixels(value) and not isinstance(value, PixelArray)
    return elements([value] if single else value, parameter)


@process("array_modify")
def array_modify(data: Any, values: Any, index: int, length: int | None = None) -> Any:
    """The array with `length` elements from `index` on replaced by `values`.

    Without a length nothing is replaced; but with nothing to insert, either, one element is removed, as in the
    example "Remove a single value" of the specification.

    :raises OpenEOError: ArrayElementNotAvailable for an index beyond the end, ArrayLabelConflict.
    """
    array, inserted = elements(data), elements(values, "values")
    start = _integer(index, "index", 0)
    count = _integer(length, "length", 0) if length is not None else int(not len(inserted))
    if start > len(array):
        raise OpenEOError("ArrayElementNotAvailable", f"The index {start} is beyond the {len(array)} elements.")
    parts = [_slice(array, 0, start), inserted, _slice(array, start + count, len(array))]
    old, new = labels_of(array), labels_of(inserted)
    if (old is None and len(array)) or (new is None and len(inserted)) or (old is None and new is None):
        return _join(parts, None)
    old, new = old or (), new or ()
    kept = (*old[:start], *old[start + count :])
    _conflict(kept, new)
    return _join(parts, (*old[:start], *new, *old[start + count :]))


# -- looking up --------------------------------------------------------------------------------------------


@process("array_element")
@flat(element)
def array_element(data: Any, index: Any = None, label: Any = None, return_nodata: bool = False) -> Any:
    """The element at an index (which may differ from pixel to pixel) or with a label.

    :raises OpenEOError: ArrayElementNotAvailable unless `return_nodata`, ArrayElementParameterMissing,
        ArrayElementParameterConflict, ArrayNotLabeled.
    """
    array = elements(data)
    if index is None and label is None:
        raise OpenEOError("ArrayElementParameterMissing", "Neither 'index' nor 'label' is given.")
    if index is not None and label is not None:
        raise OpenEOError("ArrayElementParameterConflict", "Both 'index' and 'label' are given.", hint="Give one.")
    if is_pixels(index):
        return _pick(array, np.asanyarray(index), return_nodata)
    position: int | None
    labels = labels_of(array)
    if label is not None:
        if labels is None:
            raise OpenEOError("ArrayNotLabeled", "The array has no labels.", hint="Use 'index'.")
        position = _position(labels, label)
    else:
        position = _integer(index, "index")
        position = position if 0 <= position < len(array) else None
    if position is not None:
        return array[position]
    if return_nodata:
        return _nothing(array)
    raise _unavailable(array, index, label)


def _nothing(array: Array) -> Any:
    if not isinstance(array, PixelArray):
        return None
    shape = array.values.shape[1:]
    return nullify(np.zeros(shape, array.values.dtype), np.ones(shape, bool))


def _unavailable(array: Array, index: Any, label: Any) -> OpenEOError:
    wanted = f"index {describe(index)}" if label is None else f"label {describe(label)}"
    names = labels_of(array)
    known = "" if names is None else f" Labels: {', '.join(map(str, names[:50]))}."
    return OpenEOError("ArrayElementNotAvailable", f"The array of {len(array)} elements has no {wanted}.{known}")


def _pick(array: Array, index: np.ndarray, return_nodata: bool) -> np.ndarray:
    """The element at each pixel's own index; null where the index is."""
    pixels = array if isinstance(array, PixelArray) else stack(array)
    index = floating(index, "index") if index.dtype.kind == "O" else index
    nulls = missing(index)
    wanted = filled(index, nulls, 0)
    outside = (wanted < 0) | (wanted >= len(pixels))
    if outside.any() and not return_nodata:
        raise _unavailable(pixels, wanted[outside][0].item(), None)
    position = np.where(outside, 0, wanted).astype("intp")
    shape = np.broadcast_shapes(position.shape, pixels.values.shape[1:])
    unknown = np.broadcast_to(outside if nulls is None else outside | nulls, shape)
    if not len(pixels):
        return nullify(np.zeros(shape, pixels.values.dtype), unknown)
    position = np.broadcast_to(position, shape)[np.newaxis]
    lifted = pixels.lift(len(shape))
    values = np.broadcast_to(np.ma.getdata(lifted), (len(pixels), *shape))
    found = np.take_along_axis(values, position, axis=0)[0]
    gaps = missing(lifted)
    if gaps is not None:
        unknown = unknown | np.take_along_axis(np.broadcast_to(gaps, values.shape), position, axis=0)[0]
    return nullify(found, unknown)


@process("array_labels")
def array_labels(data: Any) -> Any:
    """The labels of the array, or its indices where it has none."""
    array = elements(data)
    labels = labels_of(array)
    return list(range(len(array))) if labels is None else list(labels)


@process("array_find_label")
def array_find_label(data: Any, label: Any) -> Any:
    """The index of the element with a label, null if there is none."""
    return _position(labels_of(elements(data)), label)


def _matches(array: Array, value: Any) -> np.ndarray:
    """Where elements equal the value (null never does)."""
    if isinstance(array, PixelArray) or is_pixels(value):
        pixels = array if isinstance(array, PixelArray) else stack(array)
        found = equal(pixels.lift(np.ndim(value)), value)
        return np.asarray(filled(found, missing(found), False))
    return np.array([equal(element, value) is True for element in array], dtype=bool)


@process("array_find")
def array_find(data: Any, value: Any, reverse: bool = False) -> Any:
    """The index of the first (or last) element that equals the value by eq; null if there is none."""
    array = elements(data)
    if isinstance(value, list | tuple | dict | PixelArray):
        return None
    found = _matches(array, value)
    if not isinstance(array, PixelArray) and not is_pixels(value):
        hits = np.flatnonzero(found)
        return None if not hits.size else int(hits[-1 if reverse else 0])
    if not found.shape[0]:
        return nullify(np.zeros(found.shape[1:], "int32"), np.ones(found.shape[1:], bool))
    index = len(array) - 1 - found[::-1].argmax(axis=0) if reverse else found.argmax(axis=0)
    return nullify(np.asarray(index).astype("int32"), ~found.any(axis=0))


@process("array_contains")
def array_contains(data: Any, value: Any) -> Any:
    """Whether any element equals the value by eq."""
    array = elements(data)
    if isinstance(value, list | tuple | dict | PixelArray):
        return False
    found = _matches(array, value).any(axis=0)
    return found if isinstance(array, PixelArray) or is_pixels(value) else bool(found)


# -- callbacks ---------------------------------------------------------------------------------------------


@process("array_apply")
def array_apply(data: Any, process: Callback, context: Any = None) -> Any:
    """What a callback makes of each element (`x`, `index`, `label`), with the labels of the array."""
    return each(elements(data), process, context)


@process("array_filter")
def array_filter(data: Any, condition: Callback, context: Any = None) -> Any:
    """The elements for which a callback (`x`, `index`, `label`) returns true, in order.

    Where the answer can differ from pixel to pixel, each pixel's array keeps the full length, so that all pixels have
    the same: its chosen elements come first, null fills the rest, and labels are lost.
    """
    array = elements(data)
    labels = labels_of(array)
    if isinstance(array, PixelArray) and not uses(condition.graph, {"x"}):
        names = labels or [None] * len(array)
        chosen: Array = elements(
            [condition(x=None, index=index, label=name, context=context) for index, name in enumerate(names)]
        )
    else:
        chosen = each(array, condition, context)
    if isinstance(chosen, PixelArray):
        return _filter_pixels(array if isinstance(array, PixelArray) else stack(array), chosen)
    keep = [index for index, value in enumerate(chosen) if value is True]
    kept = PixelArray(array.values[keep]) if isinstance(array, PixelArray) else [array[index] for index in keep]
    return _labelled(kept, None if labels is None else [labels[index] for index in keep])


def _filter_pixels(pixels: PixelArray, chosen: PixelArray) -> PixelArray:
    """The chosen elements first, null after them."""
    keeps = filled(chosen.values, missing(chosen.values), 0) != 0
    dims = max(keeps.ndim, pixels.values.ndim) - 1
    values, keeps = pixels.lift(dims), PixelArray(keeps).lift(dims)
    shape = np.broadcast_shapes(keeps.shape, values.shape)
    keeps, gaps = np.broadcast_to(keeps, shape), missing(values)
    order = np.argsort(~keeps, axis=0, kind="stable")
    found = np.take_along_axis(np.broadcast_to(np.ma.getdata(values), shape), order, axis=0)
    nulls = ~np.take_along_axis(keeps, order, axis=0)
    if gaps is not None:
        nulls = nulls | np.take_along_axis(np.broadcast_to(gaps, shape), order, axis=0)
    return PixelArray(nullify(found, nulls))
