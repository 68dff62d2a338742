"""Sorting, accumulating and interpolating along the elements of pixel arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openeo_backend.cube.pixels import LabeledList, PixelArray
from openeo_backend.errors import OpenEOError
from openeo_backend.processes import sequences

FLOATS = PixelArray(np.array([[3.0, np.nan], [1.0, 7.0], [np.nan, 2.0], [2.0, 2.0]], dtype="float32"))
INTS = PixelArray(
    np.ma.MaskedArray(np.array([[3, 0], [1, 7], [0, 2], [2, 2]], dtype="uint8"), mask=[[0, 1], [0, 0], [1, 0], [0, 0]])
)
BOTH = pytest.mark.parametrize("data", [FLOATS, INTS], ids=["floats", "integers"])


def columns(array: Any) -> list[list[Any]]:
    """The elements of each pixel, None for null."""
    values = np.ma.masked_invalid(array.values) if array.values.dtype.kind == "f" else array.values
    return [list(column) for column in zip(*np.ma.MaskedArray(values).tolist(), strict=True)]


@BOTH
@pytest.mark.parametrize(
    ("asc", "nodata", "expected"),
    [
        (True, None, [[1, 2, 3, None], [2, 2, 7, None]]),
        (True, True, [[1, 2, 3, None], [2, 2, 7, None]]),
        (True, False, [[None, 1, 2, 3], [None, 2, 2, 7]]),
        (False, None, [[3, 2, 1, None], [7, 2, 2, None]]),
        (False, False, [[None, 3, 2, 1], [None, 7, 2, 2]]),
    ],
)
def test_sort(data: PixelArray, asc: bool, nodata: bool | None, expected: list[list[Any]]) -> None:
    result = sequences.sort(data, asc, nodata)
    assert columns(result) == expected
    assert result.values.dtype == data.values.dtype


@BOTH
@pytest.mark.parametrize(
    ("asc", "nodata", "expected"),
    [
        (True, None, [[1, 3, 0, None], [2, 3, 1, None]]),
        (True, True, [[1, 3, 0, 2], [2, 3, 1, 0]]),
        (True, False, [[2, 1, 3, 0], [0, 2, 3, 1]]),
        (False, True, [[0, 3, 1, 2], [1, 2, 3, 0]]),
    ],
)
def test_order(data: PixelArray, asc: bool, nodata: bool | None, expected: list[list[Any]]) -> None:
    result = sequences.order(data, asc, nodata)
    assert columns(result) == expected
    assert result.values.dtype == np.int32
    assert columns(sequences.rearrange(data, result)) == columns(sequences.sort(data, asc, nodata))


def test_descending_order_of_unsigned_integers() -> None:
    data = PixelArray(np.array([[0], [255], [7]], dtype="uint8"))
    assert columns(sequences.order(data, asc=False)) == [[1, 2, 0]]


def test_rearrange_by_a_constant_order_keeps_labels() -> None:
    data = PixelArray(np.array([[1, 2], [3, 4], [5, 6]]), ("a", "b", "c"))
    result = sequences.rearrange(data, [2, 0])
    assert result.labels == ("c", "a")
    np.testing.assert_array_equal(result.values, [[5, 6], [1, 2]])
    with pytest.raises(OpenEOError, match="position 3"):
        sequences.rearrange(data, [3])
    labelled = sequences.rearrange(LabeledList([1, 2], ["a", "b"]), [1, 0])
    assert (labelled, labelled.labels) == ([2, 1], ["b", "a"])


def test_dates_are_sorted_as_instants() -> None:
    dates = ["2026-06-01T00:30:00+02:00", "2026-06-01", "2026-05-31T23:00:00Z"]
    assert sequences.order(dates) == [0, 2, 1]
    assert sequences.sort(dates, asc=False) == [dates[1], dates[2], dates[0]]
    with pytest.raises(OpenEOError, match="no common order"):
        sequences.order(["2026-06-01", 1])
    with pytest.raises(OpenEOError, match="'abc'"):
        sequences.order(["abc"])


@BOTH
@pytest.mark.parametrize(
    ("name", "expected", "strict"),
    [
        ("cumsum", [[3, 4, None, 6], [None, 7, 9, 11]], [[3, 4, None, None], [None] * 4]),
        ("cumproduct", [[3, 3, None, 6], [None, 7, 14, 28]], [[3, 3, None, None], [None] * 4]),
        ("cummin", [[3, 1, None, 1], [None, 7, 2, 2]], [[3, 1, None, None], [None] * 4]),
        ("cummax", [[3, 3, None, 3], [None, 7, 7, 7]], [[3, 3, None, None], [None] * 4]),
    ],
)
def test_accumulation(data: PixelArray, name: str, expected: list[Any], strict: list[Any]) -> None:
    function = getattr(sequences, name)
    assert columns(function(data)) == expected
    assert columns(function(data, ignore_nodata=False)) == strict
    kept = data.values.dtype if name in ("cummin", "cummax") else np.float32
    assert function(data).values.dtype == kept


def test_accumulation_keeps_labels() -> None:
    data = PixelArray(np.array([[1.0], [2.0]]), ("a", "b"))
    assert sequences.cumsum(data).labels == ("a", "b")
    listed = sequences.cumsum(LabeledList([1, None], ["a", "b"]))
    assert (listed, listed.labels) == ([1, None], ["a", "b"])


def test_interpolation_over_indices_matches_numpy() -> None:
    generator = np.random.default_rng(3)
    values = generator.normal(size=(12, 5)).astype("float32")
    values[generator.random((12, 5)) < 0.5] = np.nan
    values[:, 4] = np.nan
    result = sequences.array_interpolate_linear(PixelArray(values)).values
    for pixel in range(5):
        column = values[:, pixel]
        known = np.flatnonzero(~np.isnan(column))
        expected = np.full(12, np.nan)
        if len(known):
            inner = np.arange(known[0], known[-1] + 1)
            expected[inner] = np.interp(inner, known, column[known])
        np.testing.assert_allclose(result[:, pixel], expected, rtol=1e-5, atol=1e-6)
    assert result.dtype == np.float32


def test_interpolation_over_dates_is_weighted_by_time() -> None:
    labels = ("2026-06-01T00:00:00Z", "2026-06-02T00:00:00Z", "2026-06-05T00:00:00Z")
    values = np.ma.MaskedArray(np.array([[0], [0], [8]], dtype="int16"), mask=[[0], [1], [0]])
    result = sequences.array_interpolate_linear(PixelArray(values, labels))
    np.testing.assert_allclose(result.values, [[0], [2], [8]])
    assert result.labels == labels


def test_empty_arrays() -> None:
    empty = PixelArray(np.zeros((0, 2), "float32"))
    for name in ("sort", "order", "cumsum", "array_interpolate_linear"):
        assert getattr(sequences, name)(empty).values.shape == (0, 2)
        assert getattr(sequences, name)([]) == []


NUMBERS = st.lists(st.one_of(st.none(), st.integers(-50, 50)), max_size=8)


@given(NUMBERS, st.booleans(), st.sampled_from([None, True, False]))
def test_sorting_is_rearranging_by_the_order(data: list[int | None], asc: bool, nodata: bool | None) -> None:
    assert sequences.rearrange(data, sequences.order(data, asc, nodata)) == sequences.sort(data, asc, nodata)


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=8))
def test_the_last_of_the_cumulative_values_is_the_whole(data: list[int]) -> None:
    assert sequences.cumsum(data)[-1] == sum(data)
    assert sequences.cummin(data)[-1] == min(data)
    assert sequences.cummax(data)[-1] == max(data)


def test_large_integers_are_ordered_exactly() -> None:
    large = 2**53  # from here on floats cannot tell neighbours apart
    assert sequences.sort([large + 1, large, None, large + 2]) == [large, large + 1, large + 2]
    assert sequences.order([large, large + 1, large + 2], asc=False) == [2, 1, 0]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "uint64"])
def test_the_ends_of_integer_types_are_ordered(dtype: str) -> None:
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    values = np.array([[low + 1], [high - 1], [low], [high]], dtype=dtype)
    assert sequences.order(PixelArray(values), asc=False).values.ravel().tolist() == [3, 1, 0, 2]
    masked = PixelArray(np.ma.MaskedArray(values, mask=[[False], [True], [False], [False]]))
    assert sequences.sort(masked, asc=False, nodata=True).values.ravel().tolist() == [high, low + 1, low, None]


@pytest.mark.parametrize("process", [sequences.sort, sequences.order])
@pytest.mark.parametrize("nodata", [None, True, False])
@pytest.mark.parametrize("asc", [True, False])
def test_pixels_and_dates_have_no_order(process: Any, nodata: bool | None, asc: bool) -> None:
    pixels = np.ones(3, "float32")
    with pytest.raises(OpenEOError, match="no common order"):
        process([pixels, pixels, "2025-05-01"], asc=asc, nodata=nodata)
