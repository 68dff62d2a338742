"""Comparisons and logic on pixels: real booleans, null where an operand is."""

from __future__ import annotations

import itertools
import operator
from typing import Any

import numpy as np
import pytest

from openeo_backend.cube.pixels import PixelArray
from openeo_backend.errors import OpenEOError
from openeo_backend.processes import comparison, logic

INTS = np.ma.MaskedArray(np.array([0, 5, 250, 7], dtype="uint8"), mask=[0, 0, 0, 1])
FLOATS = np.array([0.0, 5.0, np.nan, np.inf], dtype="float32")


def listed(values: Any) -> list[Any]:
    """Booleans as true, false and None."""
    assert values.dtype == bool
    return list(np.ma.MaskedArray(values).tolist())


@pytest.mark.parametrize(
    ("name", "reference"),
    [("gt", operator.gt), ("gte", operator.ge), ("lt", operator.lt), ("lte", operator.le), ("eq", operator.eq)],
)
@pytest.mark.parametrize("bound", [5, 4.5, -1, 300])
def test_order_with_numbers(name: str, reference: Any, bound: float) -> None:
    compare = getattr(comparison, name)
    assert listed(compare(INTS, bound)) == [reference(0, bound), reference(5, bound), reference(250, bound), None]
    assert listed(compare(FLOATS, bound))[2] is None
    assert listed(compare(FLOATS, bound))[3] == reference(np.inf, bound)


def test_null_scalars_texts_and_differences() -> None:
    assert listed(comparison.eq(INTS, None)) == [None] * 4
    assert listed(comparison.eq(INTS, "5")) == [False, False, False, None]
    assert listed(comparison.gt(INTS, "5")) == [False, False, False, None]
    assert listed(comparison.neq(INTS, 5)) == [True, False, True, None]
    assert listed(comparison.eq(INTS, 4, delta=1)) == [False, True, False, None]
    assert listed(comparison.eq(INTS, 252, delta=2)) == [False, False, True, None]


def test_stored_masks_compare_with_numbers_and_booleans() -> None:
    mask = np.array([True, False])
    assert listed(comparison.eq(mask, 1)) == [True, False]
    assert listed(comparison.eq(mask.astype("uint8"), True)) == [True, False]


def test_between() -> None:
    assert listed(comparison.between(INTS, 0, 250)) == [True, True, True, None]
    assert listed(comparison.between(INTS, 0, 250, exclude_max=True)) == [True, True, False, None]
    assert listed(comparison.between(INTS, 250, 0)) == [False, False, False, None]


def test_examining_pixels() -> None:
    assert listed(comparison.is_nodata(INTS)) == [False, False, False, True]
    assert listed(comparison.is_valid(INTS)) == [True, True, True, False]
    assert listed(comparison.is_nan(INTS)) == [False] * 4
    assert listed(comparison.is_nodata(FLOATS)) == [False, False, True, False]
    assert listed(comparison.is_nan(FLOATS)) == [False, False, True, False]
    assert listed(comparison.is_valid(FLOATS)) == [True, True, False, False]
    assert listed(comparison.is_infinite(FLOATS)) == [False, False, False, True]


def test_labels_stay() -> None:
    result = comparison.gt(PixelArray(FLOATS.reshape(2, 2), ("a", "b")), 1)
    assert isinstance(result, PixelArray)
    assert result.labels == ("a", "b")


def test_delta_must_be_positive() -> None:
    with pytest.raises(OpenEOError, match="delta"):
        comparison.eq(1, 1, delta=0)


TRUTHS = [True, False, None]


def pixels(values: list[Any]) -> np.ndarray:
    return np.ma.MaskedArray([bool(value) for value in values], mask=[value is None for value in values])


def known_and(x: Any, y: Any) -> Any:
    return False if x is False or y is False else None if x is None or y is None else True


@pytest.mark.parametrize("name", ["and_", "or_", "xor"])
def test_pixels_follow_the_truth_tables_of_scalars(name: str) -> None:
    function = getattr(logic, name)
    pairs = list(itertools.product(TRUTHS, TRUTHS))
    xs, ys = (pixels(list(side)) for side in zip(*pairs, strict=True))
    assert listed(function(xs, ys)) == [function(x, y) for x, y in pairs]
    for y in TRUTHS:
        assert listed(function(pixels(TRUTHS), y)) == [function(x, y) for x in TRUTHS]


def test_truth_table_of_and_or_by_de_morgan() -> None:
    for x, y in itertools.product(TRUTHS, TRUTHS):
        assert logic.and_(x, y) is known_and(x, y)
        assert logic.not_(logic.or_(x, y)) is known_and(logic.not_(x), logic.not_(y))


def test_numbers_as_masks_only_in_pixels() -> None:
    assert listed(logic.not_(np.array([0.0, 2.0, np.nan]))) == [True, False, None]
    with pytest.raises(OpenEOError, match="boolean"):
        logic.and_(1, True)


@pytest.mark.parametrize("name", ["all_", "any_"])
@pytest.mark.parametrize("ignore", [True, False])
def test_all_and_any_along_elements(name: str, ignore: bool) -> None:
    function = getattr(logic, name)
    columns = list(itertools.product(TRUTHS, repeat=3))
    stacked = np.ma.stack([pixels(list(row)) for row in zip(*columns, strict=True)])
    expected = [function(list(column), ignore_nodata=ignore) for column in columns]
    assert listed(function(PixelArray(stacked), ignore_nodata=ignore)) == expected


def test_if_chooses_per_pixel() -> None:
    condition = pixels([True, False, None])
    assert logic.if_(condition, 1, 0).tolist() == [1, 0, 0]
    result = logic.if_(condition, np.array([10, 20, 30], dtype="uint8"))
    assert result.dtype == np.uint8
    assert result.tolist() == [10, None, None]
    mixed = logic.if_(condition, np.array([1, 2, 3], dtype="int16"), 0.5)
    assert mixed.dtype == np.float32
    assert mixed.tolist() == [1, 0.5, 0.5]
    nulls = logic.if_(condition, None, np.ma.MaskedArray([1, 2, 3], mask=[0, 1, 0]))
    assert nulls.tolist() == [None, None, 3]


def test_if_broadcasts_and_chooses_arrays() -> None:
    condition = np.array([[True], [False]])
    np.testing.assert_array_equal(logic.if_(condition, np.array([1.0, 2.0]), -1), [[1, 2], [-1, -1]])
    array = PixelArray(np.array([[1.0, 2.0], [3.0, 4.0]]), ("a", "b"))
    chosen = logic.if_(np.array([True, False]), array, None)
    assert isinstance(chosen, PixelArray)
    assert chosen.labels == ("a", "b")
    np.testing.assert_array_equal(chosen.values, [[1, np.nan], [3, np.nan]])


def test_if_of_scalars_takes_anything() -> None:
    assert logic.if_(None, "a", "b") == "b"
    pixels_ = np.array([1, 2])
    assert logic.if_(True, pixels_, None) is pixels_
