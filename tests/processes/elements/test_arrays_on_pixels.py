"""Making, joining and searching arrays, of pixels and of JSON values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from openeo_backend.cube.pixels import LabeledList, PixelArray
from openeo_backend.errors import OpenEOError
from openeo_backend.processes import arrays

RED = np.array([[1, 2], [3, 4]], dtype="int16")
NIR = np.ma.MaskedArray(np.array([[10, 20], [30, 40]], dtype="int16"), mask=[[0, 1], [0, 0]])
BANDS = PixelArray(np.ma.stack([RED, NIR]), ("B04", "B08"))


def code_of(function: Any, *arguments: Any, **named: Any) -> str:
    with pytest.raises(OpenEOError) as caught:
        function(*arguments, **named)
    return caught.value.code


def test_array_create_stacks_pixels_with_the_common_type(env: Any) -> None:
    made = arrays.array_create([RED, NIR], env=env)
    assert isinstance(made, PixelArray)
    assert made.values.dtype == np.int16
    assert made.values[1].tolist() == [[10, None], [30, 40]]
    assert arrays.array_create([RED, 40000], env=env).values.dtype == np.int32
    assert arrays.array_create([RED, 0.5], env=env).values.dtype == np.float32
    assert arrays.array_create([RED, np.array(1.5)], env=env).values.dtype == np.float64
    nulls = arrays.array_create([RED, None], env=env)
    assert nulls.values.dtype == np.int16
    assert nulls.values[1].mask.all()


def test_array_create_repeats_within_bounds(env: Any) -> None:
    np.testing.assert_array_equal(arrays.array_create([RED], 3, env=env).values, [RED] * 3)
    assert code_of(arrays.array_create, [1, 2], 501, env=env) == "ProcessParameterInvalid"
    assert code_of(arrays.array_create, [1], 0, env=env) == "ProcessParameterInvalid"
    assert len(arrays.array_create([1, 2], 500, env=env)) == 1000


def test_pixel_arrays_cannot_be_nested(env: Any) -> None:
    with pytest.raises(OpenEOError, match="array_concat"):
        arrays.array_append([RED], BANDS)
    taken_apart = arrays.array_create([BANDS, RED], env=env)
    assert len(taken_apart) == len(BANDS) + 1
    np.testing.assert_array_equal(taken_apart[len(BANDS)], RED)


def test_array_create_labeled() -> None:
    made = arrays.array_create_labeled([RED, NIR], ["a", "b"])
    assert made.labels == ("a", "b")
    assert code_of(arrays.array_create_labeled, [1], ["a", "a"]) == "ArrayLengthMismatch"
    assert code_of(arrays.array_create_labeled, [1, 2], ["a", "a"]) == "ProcessParameterInvalid"


def test_array_element_by_index_and_label() -> None:
    assert arrays.array_element(BANDS, index=1).tolist() == [[10, None], [30, 40]]
    np.testing.assert_array_equal(arrays.array_element(BANDS, label="B04"), RED)
    assert arrays.array_element(BANDS, label="B04").dtype == np.int16
    assert code_of(arrays.array_element, BANDS, label="B05") == "ArrayElementNotAvailable"
    absent = arrays.array_element(BANDS, index=5, return_nodata=True)
    assert absent.tolist() == [[None, None], [None, None]]
    with pytest.raises(OpenEOError, match="B04, B08"):
        arrays.array_element(BANDS, label="red")


def test_array_element_with_an_index_per_pixel() -> None:
    index = np.ma.MaskedArray(
        [[0, 1], [1, 0]],
        mask=[
            [
                0,
                0,
            ],
            [0, 1],
        ],
    )
    assert arrays.array_element(BANDS, index=index).tolist() == [[1, None], [30, None]]
    outside = np.array([[0, 2], [0, 0]])
    assert code_of(arrays.array_element, BANDS, index=outside) == "ArrayElementNotAvailable"
    assert arrays.array_element(BANDS, index=outside, return_nodata=True).tolist() == [[1, None], [3, 4]]


def test_single_pixels_stay_pixels() -> None:
    flat = PixelArray(np.ma.MaskedArray([1, 2], mask=[0, 1], dtype="uint8"))
    element = arrays.array_element(flat, index=1)
    assert element.shape == ()
    assert element.dtype == np.uint8
    assert np.ma.getmaskarray(element).all()


def test_concatenating_and_appending() -> None:
    ndvi = np.full((2, 2), 0.5, dtype="float32")
    joined = arrays.array_concat(BANDS, [ndvi])
    assert joined.labels is None
    assert joined.values.dtype == np.float32
    np.testing.assert_array_equal(joined.values[1], [[10, np.nan], [30, 40]])
    np.testing.assert_array_equal(arrays.array_concat(BANDS, ndvi).values, joined.values)
    assert code_of(arrays.array_concat, [1, 2], 3) == "ProcessParameterInvalid"
    labelled = arrays.array_concat(BANDS, PixelArray(ndvi[np.newaxis], ("NDVI",)))
    assert labelled.labels == ("B04", "B08", "NDVI")
    assert code_of(arrays.array_concat, BANDS, BANDS) == "ArrayLabelConflict"
    appended = arrays.array_append(BANDS, 7, "B09")
    assert appended.labels == ("B04", "B08", "B09")
    assert appended.values.dtype == np.int16
    assert (appended.values[2] == 7).all()
    assert arrays.array_append(BANDS, RED).labels == ("B04", "B08", 2)
    assert code_of(arrays.array_append, BANDS, 7, "B08") == "LabelExists"


def test_array_modify_labels_and_bounds() -> None:
    swapped = arrays.array_modify(BANDS, LabeledList([RED * 2], ["double"]), 1, 1)
    assert swapped.labels == ("B04", "double")
    np.testing.assert_array_equal(swapped.values[1], RED * 2)
    assert arrays.array_modify(BANDS, [], 0, 1).labels == ("B08",)
    assert arrays.array_modify(BANDS, [1], 2).labels is None
    assert code_of(arrays.array_modify, [1], [2], 2) == "ArrayElementNotAvailable"
    conflict = LabeledList([1], ["B08"])
    assert code_of(arrays.array_modify, BANDS, conflict, 0) == "ArrayLabelConflict"
    assert arrays.array_modify(BANDS, conflict, 1, 1).labels == ("B04", "B08")
    assert arrays.array_modify([1, 2, 3], [], 1, 0) == [1, 2, 3]


def test_finding_values_per_pixel() -> None:
    data = PixelArray(np.array([[1, 5, np.nan], [5, 5, 2], [5, 7, 3]], dtype="float32"))
    found = arrays.array_find(data, 5)
    assert found.tolist() == [1, 0, None]
    assert found.dtype == np.int32
    assert arrays.array_find(data, 5, reverse=True).tolist() == [2, 1, None]
    assert arrays.array_find(data, np.array([1, 7, 3])).tolist() == [0, 2, 2]
    assert arrays.array_find(data, None).tolist() == [None, None, None]
    assert arrays.array_contains(data, 5).tolist() == [True, True, False]
    assert arrays.array_contains(data, 5).dtype == bool
    assert arrays.array_find([3, 4], np.array([4, 9])).tolist() == [1, None]


def test_labels() -> None:
    assert arrays.array_labels(BANDS) == ["B04", "B08"]
    assert arrays.array_labels(PixelArray(BANDS.values)) == [0, 1]
    assert arrays.array_find_label(BANDS, "B08") == 1
    assert arrays.array_find_label(BANDS, 1) is None
    assert arrays.array_find_label(PixelArray(BANDS.values), 1) is None


def test_array_apply_at_once_and_with_labels(callback: Any) -> None:
    double = callback("multiply", x={"from_parameter": "x"}, y=2)
    result = arrays.array_apply(BANDS, double)
    assert result.labels == ("B04", "B08")
    np.testing.assert_array_equal(result.values, [RED * 2, [[20, np.nan], [60, 80]]])
    by_index = callback("multiply", x={"from_parameter": "x"}, y={"from_parameter": "index"})
    np.testing.assert_array_equal(arrays.array_apply(BANDS, by_index).values, [RED * 0, [[10, np.nan], [30, 40]]])
    by_label = callback("eq", x={"from_parameter": "label"}, y="B08")
    applied = arrays.array_apply(BANDS, by_label).values
    assert applied.dtype == bool
    assert applied.tolist() == [[[False] * 2] * 2, [[True] * 2] * 2]


def test_array_apply_sees_the_pixels_around_it(callback: Any) -> None:
    mean = np.array([[5.0, 2.0], [6.0, 8.0]])
    anomaly = callback("subtract", {"mean": mean}, x={"from_parameter": "x"}, y={"from_parameter": "mean"})
    result = arrays.array_apply(PixelArray(np.stack([RED, RED])), anomaly)
    np.testing.assert_array_equal(result.values, [RED - mean] * 2)
    constant = callback("constant", x={"from_parameter": "context"})
    np.testing.assert_array_equal(arrays.array_apply(BANDS, constant, context=3).values, np.full((2, 2, 2), 3))
    assert arrays.array_apply([1, 2], anomaly).values.shape == (2, 2, 2)


def test_array_filter_by_label_drops_elements(callback: Any) -> None:
    chosen = arrays.array_filter(BANDS, callback("eq", x={"from_parameter": "label"}, y="B08"))
    assert chosen.labels == ("B08",)
    assert chosen.values.dtype == np.int16
    assert chosen.values[0].tolist() == [[10, None], [30, 40]]


def test_array_filter_by_value_moves_the_chosen_to_the_front(callback: Any) -> None:
    data = PixelArray(np.array([[1, 5], [6, np.nan], [7, 8]], dtype="float32"), ("a", "b", "c"))
    chosen = arrays.array_filter(data, callback("gt", x={"from_parameter": "x"}, y=4))
    assert chosen.labels is None
    np.testing.assert_array_equal(chosen.values, [[6, 5], [7, 8], [np.nan, np.nan]])
    # the length must not depend on values: other blocks of the same cube have others
    whole = arrays.array_filter(PixelArray(RED), callback("gt", x={"from_parameter": "x"}, y=2))
    assert whole.values.tolist() == [[3, 4], [None, None]]
    assert whole.values.dtype == np.int16
    outer = callback("gt", {"limit": np.array([1, 0])}, x={"from_parameter": "limit"}, y={"from_parameter": "index"})
    assert arrays.array_filter(PixelArray(RED), outer).values.tolist() == [[1, None], [None, None]]


def test_nested_callbacks_see_single_elements(callback: Any) -> None:
    """For each element x: the sum over all elements y of x * y."""
    product = {
        "process_id": "multiply",
        "arguments": {"x": {"from_parameter": "x"}, "y": {"from_parameter": "context"}},
    }
    graph = {
        "products": {
            "process_id": "array_apply",
            "arguments": {
                "data": {"from_parameter": "all"},
                "process": {"process_graph": {"product": {**product, "result": True}}},
                "context": {"from_parameter": "x"},
            },
        },
        "sum": {"process_id": "sum", "arguments": {"data": {"from_node": "products"}}, "result": True},
    }
    every = PixelArray(np.array([[1, 2], [10, 20], [100, 200]], dtype="int16"))
    result = arrays.array_apply(PixelArray(RED), callback(graph, {"all": every}))
    np.testing.assert_array_equal(result.values, [[1 * 111, 2 * 222], [3 * 111, 4 * 222]])


def test_values_of_one_array_found_in_another(callback: Any) -> None:
    haystack = PixelArray(np.array([[1, 2], [3, 4]]))
    find = callback("array_find", {"all": haystack}, data={"from_parameter": "all"}, value={"from_parameter": "x"})
    found = arrays.array_apply(PixelArray(np.array([[3, 4], [1, 9], [1, 2]])), find)
    assert found.values.tolist() == [[1, 1], [0, None], [0, 0]]


def test_callbacks_over_pixels_must_return_single_values(callback: Any, env: Any) -> None:
    nested = callback("array_create", data=[{"from_parameter": "x"}, 1])
    with pytest.raises(OpenEOError, match="single value"):
        arrays.array_apply(BANDS, nested)
    assert arrays.array_apply([1, 2], nested) == [[1, 1], [2, 1]]


def test_numbers_of_callbacks_have_the_same_type_for_all_elements(callback: Any) -> None:
    indices = arrays.array_apply(PixelArray(np.zeros((300, 1))), callback("constant", x={"from_parameter": "index"}))
    assert indices.values.dtype == np.int16
    np.testing.assert_array_equal(indices.values[:, 0], np.arange(300))
    days = callback("date_difference", date1={"from_parameter": "label"}, date2="2026-06-15", unit="day")
    data = PixelArray(np.zeros((2, 3), "float32"), ("2026-06-01T00:00:00Z", "2026-06-20T00:00:00Z"))
    assert arrays.array_apply(data, days).values.tolist() == [[14] * 3, [-5] * 3]
