"""Reductions of pixel arrays, compared with numpy on the valid values of each pixel."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openeo_backend.cube.pixels import LabeledList, PixelArray
from openeo_backend.errors import OpenEOError
from openeo_backend.processes import statistics

RANDOM = np.random.default_rng(7)
SHAPE = (7, 3, 4)
NULLS = RANDOM.random(SHAPE) < 0.3
NULLS[:, 0, 0] = True  # a pixel without any value
NULLS[:, 0, 1] = False
FLOATS = np.where(NULLS, np.nan, RANDOM.normal(100, 50, SHAPE)).astype("float32")
INTS = np.ma.MaskedArray(RANDOM.integers(0, 60000, SHAPE, dtype="uint16"), mask=NULLS)

REFERENCES: dict[str, Callable[[np.ndarray], Any]] = {
    "min_": np.min,
    "max_": np.max,
    "sum_": np.sum,
    "mean": np.mean,
    "median": np.median,
    "sd": lambda values: np.std(values, ddof=1) if len(values) > 1 else np.nan,
    "variance": lambda values: np.var(values, ddof=1) if len(values) > 1 else np.nan,
}


def per_pixel(values: np.ndarray, nulls: np.ndarray, function: Callable[[np.ndarray], Any], ignore: bool) -> np.ndarray:
    """The reference for every pixel's valid values in double precision; NaN for null."""
    expected = np.full(values.shape[1:], np.nan)
    for pixel in np.ndindex(expected.shape):
        valid = np.ma.getdata(values)[(slice(None), *pixel)][~nulls[(slice(None), *pixel)]].astype("float64")
        if len(valid) and (ignore or len(valid) == len(values)):
            expected[pixel] = function(valid)
    return expected


def floats(values: np.ndarray) -> np.ndarray:
    return np.ma.filled(values.astype("float64"), np.nan)


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("ignore", [True, False])
@pytest.mark.parametrize("values", [FLOATS, INTS], ids=["floats", "integers"])
def test_reductions(name: str, ignore: bool, values: np.ndarray) -> None:
    result = getattr(statistics, name)(PixelArray(values), ignore_nodata=ignore)
    np.testing.assert_allclose(floats(result), per_pixel(values, NULLS, REFERENCES[name], ignore), rtol=2e-6)


def test_types_of_reductions() -> None:
    for name in ("min_", "max_", "first", "last"):
        result = getattr(statistics, name)(PixelArray(INTS))
        assert result.dtype == np.uint16
        assert result.mask[0, 0]
    for name in ("mean", "median", "sd", "sum_", "product"):
        assert getattr(statistics, name)(PixelArray(INTS)).dtype == np.float32
        assert getattr(statistics, name)(PixelArray(INTS.astype("int32"))).dtype == np.float64


def test_a_long_sum_of_float32_keeps_its_digits() -> None:
    values = np.full((20000, 2), 16777.217, dtype="float32")
    exact = float(values[0, 0]) * 20000
    np.testing.assert_allclose(statistics.sum_(PixelArray(values)), [exact, exact], rtol=1e-7)


def test_product_and_extrema() -> None:
    values = PixelArray(np.array([[2.0, np.nan], [3.0, np.nan], [-1.0, 5.0]]))
    np.testing.assert_array_equal(statistics.product(values), [-6, 5])
    both = statistics.extrema(values)
    np.testing.assert_array_equal(both.values, [[-1, 5], [3, 5]])
    strict = statistics.extrema(values, ignore_nodata=False)
    np.testing.assert_array_equal(strict.values, [[-1, np.nan], [3, np.nan]])


@pytest.mark.parametrize("probabilities", [[0.0, 0.1, 0.5, 0.95, 1.0], 4])
@pytest.mark.parametrize("values", [FLOATS, INTS], ids=["floats", "integers"])
def test_quantiles_are_of_type_7(probabilities: Any, values: np.ndarray) -> None:
    listed = probabilities if isinstance(probabilities, list) else [0.25, 0.5, 0.75]
    result = statistics.quantiles(PixelArray(values), probabilities)
    assert len(result) == len(listed)
    for found, p in zip(result, listed, strict=True):
        reference = per_pixel(values, NULLS, lambda valid, p=p: np.quantile(valid, p, method="linear"), True)
        np.testing.assert_allclose(floats(found), reference, rtol=1e-5)


def test_quantiles_beside_infinity() -> None:
    values = PixelArray(np.array([[1.0, 1.0], [3.0, 3.0], [np.inf, np.nan]]))
    found = statistics.quantiles(values, [0.5, 1])
    np.testing.assert_array_equal(found.values, [[3, 2], [np.inf, 3]])


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({}, "QuantilesParameterMissing"),
        ({"probabilities": [0.5], "q": 2}, "QuantilesParameterConflict"),
        ({"probabilities": [0.5, 0.2]}, "AscendingProbabilitiesRequired"),
        ({"probabilities": [1.5]}, "ProcessParameterInvalid"),
        ({"q": 1}, "ProcessParameterInvalid"),
    ],
)
def test_quantiles_refuse(arguments: dict[str, Any], code: str) -> None:
    with pytest.raises(OpenEOError) as caught:
        statistics.quantiles([1, 2], **arguments)
    assert caught.value.code == code


def test_deprecated_q_is_the_number_of_intervals() -> None:
    assert statistics.quantiles([1, 2, 3], q=2) == [2]


@pytest.mark.parametrize("name", ["first", "last"])
@pytest.mark.parametrize("values", [FLOATS, INTS], ids=["floats", "integers"])
def test_first_and_last(name: str, values: np.ndarray) -> None:
    end = 0 if name == "first" else -1
    function = getattr(statistics, name)
    expected = per_pixel(values, NULLS, lambda valid: valid[end], True)
    np.testing.assert_allclose(floats(function(PixelArray(values))), expected)
    np.testing.assert_array_equal(floats(function(PixelArray(values), ignore_nodata=False)), floats(values[end]))


def test_single_pixels_and_empty_arrays() -> None:
    flat = PixelArray(np.ma.MaskedArray([4, 8, 6], mask=[1, 0, 0], dtype="int16"))
    assert statistics.min_(flat) == 6
    assert statistics.first(flat).dtype == np.int16
    assert statistics.mean(flat) == 7
    empty = PixelArray(np.zeros((0, 2), "float32"))
    for name in ("mean", "min_", "first", "sd", "sum_"):
        result = getattr(statistics, name)(empty)
        assert result.shape == (2,)
        assert np.isnan(result).all()
    assert len(statistics.quantiles(empty, 4)) == 3


def test_lists_of_pixels_and_numbers() -> None:
    x = np.array([1, 2], dtype="int16")
    result = statistics.mean([x, 5, None, np.array([np.nan, 11], dtype="float32")])
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, [3, 6])


def test_count(callback: Any) -> None:
    values = PixelArray(np.array([[1, np.nan], [5, np.inf], [7, 2]], dtype="float32"))
    np.testing.assert_array_equal(statistics.count(values), [3, 1])
    np.testing.assert_array_equal(statistics.count(values, True), [3, 3])
    above = callback("gt", x={"from_parameter": "x"}, y={"from_parameter": "context"})
    np.testing.assert_array_equal(statistics.count(values, above, context=4), [2, 1])
    assert statistics.count([1, None, 5, "a"], above, context=4) == 1
    assert statistics.count(values, True).dtype.kind == "i"


@pytest.mark.parametrize("data", [5, "abc", np.array([1.0, 2.0]), {"a": 1}])
def test_only_arrays_are_reduced(data: Any) -> None:
    with pytest.raises(OpenEOError, match="must be an array"):
        statistics.mean(data)


def test_json_arrays_with_other_values_are_refused() -> None:
    with pytest.raises(OpenEOError, match="'2'"):
        statistics.sum_([1, "2"])


NUMBERS = st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6, width=32)), min_size=1, max_size=8)


@given(NUMBERS)
def test_json_and_pixel_arrays_agree(data: list[float | None]) -> None:
    column = np.array([[math.nan if value is None else value] for value in data])
    for name in (*REFERENCES, "product", "first", "last"):
        function = getattr(statistics, name)
        alone, pixels = function(data), function(PixelArray(column))[0]
        np.testing.assert_allclose(pixels, math.nan if alone is None else alone, rtol=1e-9)


@given(NUMBERS)
def test_median_is_the_quantile_of_one_half(data: list[float | None]) -> None:
    half = statistics.quantiles(data, [0.5])[0]
    assert half == pytest.approx(statistics.median(data)) if half is not None else statistics.median(data) is None


def test_labelled_lists_are_arrays() -> None:
    assert statistics.max_(LabeledList([1, None, 3], ["a", "b", "c"])) == 3


def test_large_integers_of_json_stay_exact() -> None:
    large = 2**53 + 1
    assert statistics.max_([large, None, 1]) == large
    assert statistics.min_([-large, 1]) == -large
    assert statistics.sum_([large, 1, None]) == large + 1
    assert statistics.extrema([large, 5, -large]) == [-large, large]
