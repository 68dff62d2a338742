"""Callbacks as flat lists of operations on rows of numbers.

A callback is evaluated once per strip of a block, and in general with everything that values may be: integers with
missing ones, booleans, objects, texts. Where all inputs are numbers that a floating point type holds exactly, the same
follows from a flat list of operations on floats (NaN is null) and on truth values (:mod:`.ternary`), without masked
arrays and without walking through the graph again. A :class:`Value` is one such operation; what the processes
contribute is noted on their functions by :func:`flat`, and put together by :mod:`.flattening`. What is not known here
raises :class:`Unfit`, and is computed in the general way, which is the reference in tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol, TypeGuard

import numpy as np

from openeo_backend.cube import ternary
from openeo_backend.cube.order import INTEGERS
from openeo_backend.cube.pixels import PixelArray, float_type, is_number
from openeo_backend.cube.storage import Storage
from openeo_backend.graph.callback import Callback

Function = Callable[..., Any]


class Unfit(Exception):
    """Something that flat operations do not know."""


@dataclass(frozen=True, eq=False)
class Value:
    """An operation: a function of arrays and constants that gives an array."""

    function: Function
    inputs: tuple[Any, ...] = ()
    """Values, and constants."""
    truth: bool = False
    """Truth values as bytes, instead of floats."""
    stored: bool = False
    """All numbers are ones that the cube has stored, so that they fit into its type."""
    integers: Storage | None = None
    """How the values are stored, where they are small integers, instead of floats."""
    array: bool = False
    """An openEO array, its elements on the first axis."""
    labels: tuple[Any, ...] | None = None
    into: Callable[..., None] | None = None
    """The same function that puts the result into an array, which is its first argument."""

    def then(self, function: Function, *others: Any, **changes: Any) -> Value:
        """What a function makes of this value and others; of the same kind but for the changes."""
        kept = {name: getattr(self, name) for name in ("truth", "stored", "integers", "array", "labels")}
        return Value(function, (self, *others), **(kept | changes))

    @cached_property
    def floats(self) -> Value:
        """The same with floats instead of integers."""
        storage = self.integers
        if storage is None:
            return self
        target = float_type(storage.dtype)
        return self.then(lambda block: ternary.numbers(block, storage.nodata, target), integers=None)


@dataclass(frozen=True, eq=False)
class Leaf(Value):
    """A block that is given."""

    function: Function = field(default=lambda: None)
    path: tuple[int, ...] = ()
    """Numbers of the inputs from step to step."""


class Flattening(Protocol):
    """A step that knows its flat operations."""

    sources: tuple[Storage, ...]

    def flat(self, inputs: Sequence[Value]) -> Value:
        """The operations for values of its inputs.

        :raises Unfit: where they are not known.
        """
        ...

    @property
    def target(self) -> Storage:
        """How its results are stored."""
        ...


def is_flattening(step: Any) -> TypeGuard[Flattening]:
    """Whether a step knows its flat operations."""
    return hasattr(step, "flat")


def load(leaf: Leaf, storage: Storage) -> Value:
    """Stored values as rows.

    :raises Unfit: for types that no floating point type holds exactly.
    """
    dtype = storage.dtype
    if storage.boolean or dtype.kind == "b":
        return Value(_as_truth, (leaf,), truth=True)
    if dtype.kind == "f" and dtype.itemsize in (4, 8):
        return leaf
    if dtype.kind not in "iu" or dtype.itemsize > 4:
        raise Unfit
    whole = Value(_as_it_is, (leaf,), stored=True, integers=storage)
    return whole if dtype in INTEGERS else whole.floats


def _as_it_is(block: np.ndarray) -> np.ndarray:
    return block


def _as_truth(block: np.ndarray) -> np.ndarray:
    return block.view(np.uint8)


def numeric(value: Value) -> Value:
    """Truth values as the numbers 0 and 1."""
    if not value.truth:
        return value.floats
    return Value(lambda truth: ternary.numbers(truth, ternary.NULL, np.dtype("float32")), (value,), array=value.array)


def agree(value: Value, target: Storage) -> None:
    """Check that values are what a step is known to give.

    :raises Unfit: otherwise.
    """
    truth = target.boolean or target.dtype.kind == "b"
    if truth != value.truth or (not truth and target.dtype.kind != "f" and not value.stored):
        raise Unfit
    if not truth and target.dtype.kind not in "fiu":
        raise Unfit


def close(value: Value, target: Storage) -> Value:
    """Rows as they are stored."""
    if target.boolean:
        return value
    if target.dtype.kind == "b":
        return value.then(_as_booleans)
    if target.dtype.kind == "f":
        return _typed(value.floats, target.dtype)
    if value.integers == target:
        return value
    return value.floats.then(lambda numbers: _as_integers(numbers, target))


def _as_booleans(truth: np.ndarray) -> np.ndarray:
    if (truth == ternary.NULL).any():
        raise Unfit
    return truth.view(bool)


def _typed(value: Value, dtype: np.dtype) -> Value:
    if value.into is None:
        return value.then(lambda numbers: _of_type(numbers, dtype))
    return replace(value, function=lambda *inputs: _of_type(value.function(*inputs), dtype))


def _of_type(numbers: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if numbers.dtype != dtype:
        raise Unfit
    return numbers


def _as_integers(numbers: np.ndarray, target: Storage) -> np.ndarray:
    missing = np.isnan(numbers)
    if missing.any():
        if target.nodata is None:
            raise Unfit
        numbers = np.where(missing, target.nodata, numbers)
    return numbers.astype(target.dtype)


# -- what processes note ---------------------------------------------------------------------------------------

Rule = Callable[[Function, Mapping[str, Any]], Value]
"""The operation for a process and its arguments (values and constants, at least one value)."""

Whole = Callable[..., np.ndarray | None]
"""What a reducer makes of integers (elements first), the one that is null (or None), and its other arguments; None
where it needs floats."""


def flat(rule: Rule) -> Callable[[Function], Function]:
    """Note how a process or function is computed by flat operations."""

    def mark(function: Function) -> Function:
        function.flat = rule  # type: ignore[attr-defined]
        return function

    return mark


def elementwise(function: Function, *names: str, **defaults: float) -> Rule:
    """A function of floats, null where an operand is, that gives floats of the same type."""

    def rule(process: Function, arguments: Mapping[str, Any]) -> Value:
        arguments = {**defaults, **arguments}
        if set(arguments) != set(names):
            raise Unfit
        return Value(function, tuple(_number(arguments[name]) for name in names))

    return rule


def comparison(ufunc: np.ufunc) -> Rule:
    """A comparison of the numbers x and y."""

    def rule(process: Function, arguments: Mapping[str, Any]) -> Value:
        if set(arguments) != {"x", "y"}:
            raise Unfit
        return compared(ufunc, arguments["x"], arguments["y"])

    return rule


def compared(ufunc: np.ufunc, x: Any, y: Any) -> Value:
    """A comparison of two operands."""
    for operand in (x, y):
        # Types that integers are compared in hold more digits than the floats here.
        if not isinstance(operand, Value) and not (is_number(operand) and float(np.float32(operand)) == operand):
            raise Unfit
    storage = next((operand.integers for operand in (x, y) if isinstance(operand, Value) and not operand.array), None)
    fixed = [operand for operand in (x, y) if not isinstance(operand, Value)]
    if storage is not None and len(fixed) == 1 and _is_one_of(fixed[0], storage.dtype):
        stored = tuple(operand if isinstance(operand, Value) else storage.dtype.type(operand) for operand in (x, y))
        return Value(lambda a, b: ternary.compare(ufunc, a, b, storage.nodata), stored, truth=True)
    operands = tuple(_number(operand) for operand in (x, y))
    return Value(lambda a, b: ternary.compare(ufunc, a, b), operands, truth=True)


def _is_one_of(number: float, dtype: np.dtype) -> bool:
    """Whether an integer type has a number."""
    limits = np.iinfo(dtype)
    return float(number).is_integer() and limits.min <= number <= limits.max


def logical(function: Callable[..., np.ndarray], *names: str) -> Rule:
    """A function of truth values."""

    def rule(process: Function, arguments: Mapping[str, Any]) -> Value:
        if set(arguments) != set(names):
            raise Unfit
        return Value(function, tuple(truth(arguments[name]) for name in names), truth=True)

    return rule


def truth(operand: Any) -> Value:
    """An operand as truth values."""
    if not isinstance(operand, Value) or operand.array:
        raise Unfit
    return operand if operand.truth else Value(ternary.truths, (operand.floats,), truth=True)


def is_set(function: Function, arguments: Mapping[str, Any]) -> Value:
    """Whether the value `x` is true; null is not."""
    return truth(arguments["x"]).then(lambda v: (v == 1).view(np.uint8))


def reducer(*, stored: bool = False, array: bool = False, whole: Whole | None = None) -> Rule:
    """A process that makes one number (or with `array` several) of the array `data`, whatever its other arguments.

    :param stored: the number is one of the elements.
    :param whole: the same of integers as they are stored.
    """

    def rule(process: Function, arguments: Mapping[str, Any]) -> Value:
        data = arguments.get("data")
        others = {name: value for name, value in arguments.items() if name != "data"}
        if not isinstance(data, Value) or not data.array or data.truth:
            raise Unfit
        if any(isinstance(value, Value | Callback) for value in others.values()):
            raise Unfit
        reduced = _reduced_array if array else _reduced
        storage = data.integers
        if whole is not None and storage is not None:
            return Value(lambda v: _whole(whole, process, v, storage, others, reduced), (data,), array=array)
        return Value(lambda v: reduced(process, v, others), (data.floats,), stored=stored and data.stored, array=array)

    return rule


def _whole(
    whole: Whole, process: Function, values: np.ndarray, storage: Storage, others: Mapping[str, Any], reduced: Function
) -> Any:
    found = whole(values, storage.nodata, **others) if len(values) else None
    if found is None:
        return reduced(process, ternary.numbers(values, storage.nodata, float_type(storage.dtype)), others)
    return found


def _reduced(process: Function, values: np.ndarray, others: Mapping[str, Any]) -> Any:
    if not len(values):
        raise Unfit
    return process(PixelArray(values), **others)


def _reduced_array(process: Function, values: np.ndarray, others: Mapping[str, Any]) -> Any:
    return _reduced(process, values, others).values


def element(process: Function, arguments: Mapping[str, Any]) -> Value:
    """The element of an array at an index or with a label."""
    data, index = arguments.get("data"), arguments.get("index")
    if not isinstance(data, Value) or not data.array or not set(arguments) <= {"data", "index", "label"}:
        raise Unfit
    if arguments.get("label") is not None:
        if index is not None or data.labels is None or arguments["label"] not in data.labels:
            raise Unfit
        index = data.labels.index(arguments["label"])
    if not isinstance(index, int) or isinstance(index, bool) or index < 0:
        raise Unfit
    return data.then(lambda v: _element(v, index), array=False, labels=None)


def _element(values: np.ndarray, index: int) -> np.ndarray:
    if index >= len(values):
        raise Unfit
    return values[index]


def chosen(process: Function, arguments: Mapping[str, Any]) -> Value:
    """One or another number by a truth value."""
    if not {"value", "accept"} <= set(arguments) <= {"value", "accept", "reject"}:
        raise Unfit
    options = [_number(arguments.get(name)) for name in ("accept", "reject")]
    values = [option for option in options if isinstance(option, Value)]
    if not values or any(isinstance(arguments.get(n), Value) and arguments[n].truth for n in ("accept", "reject")):
        raise Unfit
    fixed = [option for option in options if not isinstance(option, Value)]
    if any(math.isfinite(number) and abs(number) > np.finfo(np.float32).max for number in fixed):
        raise Unfit
    kept = all(value.stored for value in values) and all(math.isnan(number) for number in fixed)
    return Value(_choose, (truth(arguments["value"]), *options), stored=kept)


def _choose(condition: np.ndarray, accept: Any, reject: Any) -> np.ndarray:
    return np.where(condition == 1, accept, reject)


def _number(operand: Any) -> Any:
    if isinstance(operand, Value):
        if operand.array:
            raise Unfit
        return numeric(operand)
    if operand is None:
        return math.nan
    if not is_number(operand):
        raise Unfit
    try:
        return float(operand)
    except OverflowError:
        raise Unfit from None


def stacked(parts: Sequence[Value]) -> Value:
    """Single values as the elements of an array."""
    if any(part.array or part.truth != parts[0].truth for part in parts):
        raise Unfit
    if any(part.integers != parts[0].integers for part in parts):
        parts = [part.floats for part in parts]
    stored, integers = all(part.stored for part in parts), parts[0].integers
    return Value(lambda *rows: np.stack(rows), tuple(parts), parts[0].truth, stored, integers, True, into=_stack_into)


def _stack_into(out: np.ndarray, *rows: np.ndarray) -> None:
    for target, row in zip(out, rows, strict=True):
        target[...] = _of_type(row, out.dtype)


def moved(value: Value, source: int, target: int) -> Value:
    """A value with an axis at another place."""
    return _viewed(value, lambda v: np.moveaxis(v, source, target), lambda v: np.moveaxis(v, target, source))


def turned(value: Value, axes: Sequence[int]) -> Value:
    """A value with its axes in another order."""
    back = tuple(int(place) for place in np.argsort(axes))
    return _viewed(value, lambda v: v.transpose(axes), lambda v: v.transpose(back))


def _viewed(value: Value, there: Function, back: Function) -> Value:
    """What a function makes of a value by laying out its axes; another one undoes it."""
    into = value.into
    if into is None:
        return value.then(there, array=False, labels=None)
    return replace(
        value,
        function=lambda *inputs: there(value.function(*inputs)),
        into=lambda out, *inputs: into(back(out), *inputs),
        array=False,
        labels=None,
    )
