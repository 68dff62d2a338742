"""Arithmetic on pixels: types, missing values, and the same results as numpy in double precision."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openeo_backend.cube.pixels import PixelArray
from openeo_backend.errors import OpenEOError
from openeo_backend.processes import math as processes
from openeo_backend.processes import trigonometry

FLOATS = np.array([[1.5, -2.25, np.nan], [0.0, 1e6, -0.5]], dtype="float32")
INTS = np.ma.MaskedArray(np.array([[30000, -5, 7], [1, 2, 3]], dtype="int16"), mask=[[0, 0, 1], [0, 0, 0]])

BINARY = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / y,
    "normalized_difference": lambda x, y: (x - y) / (x + y),
}


@pytest.mark.parametrize("name", BINARY)
def test_small_integers_become_float32_without_wrapping(name: str) -> None:
    result = getattr(processes, name)(INTS, 30000)
    expected = BINARY[name](INTS.data.astype("float64"), 30000.0)
    assert result.dtype == np.float32
    assert np.isnan(result[0, 2])
    assert not np.ma.isMaskedArray(result)
    valid = ~INTS.mask
    np.testing.assert_allclose(result[valid], expected[valid], rtol=1e-6)


@pytest.mark.parametrize(
    ("given_type", "expected"),
    [("uint8", "float32"), ("uint16", "float32"), ("int32", "float64"), ("float32", "float32"), ("float64", "float64")],
)
def test_type_of_arithmetic(given_type: str, expected: str) -> None:
    values = np.array([1, 2, 250], dtype=given_type)
    assert processes.multiply(values, 0.5).dtype == expected
    assert processes.add(values, values).dtype == expected
    np.testing.assert_array_equal(processes.add(values, 10), [11, 12, 260])


def test_null_scalars_make_all_null() -> None:
    assert np.isnan(processes.add(FLOATS, None)).all()
    assert np.isnan(processes.power(None, np.array([0.0, 1.0]))).all()


def test_power_of_null_is_null_although_numpy_says_one() -> None:
    base = np.array([np.nan, 2.0, 1.0], dtype="float32")
    result = processes.power(base, np.array([0.0, 3.0, np.nan], dtype="float32"))
    np.testing.assert_array_equal(result, [np.nan, 8.0, np.nan])
    assert result.dtype == np.float32


def test_division_by_zero() -> None:
    np.testing.assert_array_equal(processes.divide(np.array([1.0, -1.0, 0.0]), 0), [np.inf, -np.inf, np.nan])
    np.testing.assert_array_equal(processes.mod(np.array([1.0, -1.0, 0.0]), 0), [np.inf, -np.inf, np.nan])


def test_mod_has_the_sign_of_the_divisor() -> None:
    x = np.array([27, -27, 27, -27], dtype="int16")
    np.testing.assert_array_equal(processes.mod(x, np.array([5, 5, -5, -5], dtype="int8")), [2, 3, -3, -2])


def test_integers_stay_where_nothing_is_computed() -> None:
    for name in ("ceil", "floor", "int_", "round_"):
        result = getattr(processes, name)(INTS)
        assert result.dtype == np.int16
        assert result.mask[0, 2]
    clipped = processes.clip(INTS, 0, 10000)
    assert clipped.dtype == np.int16
    np.testing.assert_array_equal(clipped.compressed(), [10000, 0, 1, 2, 3])
    assert processes.absolute(np.array([200], "uint8")).dtype == np.uint8


def test_clip_to_bounds_outside_of_the_type() -> None:
    values = np.array([0, 100, 255], dtype="uint8")
    np.testing.assert_array_equal(processes.clip(values, -5, 1000), values)
    assert processes.clip(values, -5, 1000).dtype == np.uint8
    np.testing.assert_array_equal(processes.clip(values, 300, 400), [300, 300, 300])
    np.testing.assert_array_equal(processes.clip(values, 0.5, 99.5), [0.5, 99.5, 99.5])


def test_absolute_of_the_smallest_integer_does_not_wrap() -> None:
    np.testing.assert_array_equal(processes.absolute(np.array([-128, 5], dtype="int8")), [128, 5])


def test_rounding_of_pixels() -> None:
    x = np.array([2.5, 3.5, -2.5, 1234.56, np.nan])
    np.testing.assert_array_equal(processes.round_(x), [2, 4, -2, 1235, np.nan])
    np.testing.assert_allclose(processes.round_(x, -2), [0, 0, 0, 1200, np.nan])
    np.testing.assert_array_equal(processes.round_(x, 400), x)
    np.testing.assert_array_equal(processes.int_(np.array([-1.7, 1.7])), [-1, 1])


def test_linear_scale_range_clips() -> None:
    x = np.array([-5, 0, 50, 100, 300], dtype="int16")
    result = processes.linear_scale_range(x, 0, 100, 0, 255)
    np.testing.assert_allclose(result, [0, 0, 127.5, 255, 255])
    assert result.dtype == np.float32


@pytest.mark.parametrize(("base", "expected"), [(10, [0, 1, 3]), (2, [0, math.log2(10), math.log2(1000)])])
def test_logarithms(base: int, expected: list[float]) -> None:
    np.testing.assert_allclose(processes.log(np.array([1.0, 10.0, 1000.0]), base), expected, rtol=1e-15)
    np.testing.assert_allclose(processes.log(1000.0, base), expected[2], rtol=1e-15)


def test_arrays_are_computed_element_by_element_and_keep_labels() -> None:
    result = processes.multiply(PixelArray(FLOATS, ("a", "b")), 2)
    assert isinstance(result, PixelArray)
    assert result.labels == ("a", "b")
    np.testing.assert_array_equal(result.values, FLOATS * 2)


@pytest.mark.parametrize("value", ["5", True, [1], {"a": 1}])
def test_other_types_are_refused(value: Any) -> None:
    for x in (1, FLOATS):
        with pytest.raises(OpenEOError, match=r"ProcessParameterInvalid.*'y'"):
            processes.add(x, value)


def test_json_integers_are_exact_but_bounded() -> None:
    assert processes.multiply(2**31, 3) == 3 * 2**31
    assert isinstance(processes.multiply(2**31, 3), int)
    assert isinstance(processes.multiply(2**62, 4), float)
    assert processes.power(2, 5) == 32
    assert processes.power(10, 10**6) == math.inf
    assert processes.divide(10**400, 10) == math.inf


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_pixels_and_scalars_agree(x: float, y: float) -> None:
    for name in (*BINARY, "mod"):
        alone = getattr(processes, name)(x, y)
        pixels = getattr(processes, name)(np.array([x]), np.array([y]))
        np.testing.assert_array_equal(pixels, [alone])


@pytest.mark.parametrize(
    ("name", "reference"),
    [("sin", math.sin), ("cosh", math.cosh), ("arctan", math.atan), ("arsinh", math.asinh), ("tanh", math.tanh)],
)
def test_trigonometry(name: str, reference: Any) -> None:
    values = np.array([0.3, -0.7], dtype="float32")
    result = getattr(trigonometry, name)(values)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, [reference(0.3), reference(-0.7)], rtol=1e-6)
    assert getattr(trigonometry, name)(0.3) == pytest.approx(reference(0.3))


def test_angles_outside_of_the_domain_are_null() -> None:
    assert np.isnan(trigonometry.arcsin(np.array([2.0]))).all()
    np.testing.assert_allclose(trigonometry.arctan2(np.array([1, -1], "int8"), -1), [0.75 * math.pi, -0.75 * math.pi])


def test_integers_beyond_all_floats_become_infinite() -> None:
    assert processes.add(10**400, 1) == math.inf
    assert processes.multiply(-(10**400), 5) == -math.inf
