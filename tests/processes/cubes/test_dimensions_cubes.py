"""Adding, dropping, renaming, flattening, trimming dimensions, and labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import shapely
from cube_support import DATA, chain, make, nothing_computed, values

from openeo_backend.cube import Band, Cube
from openeo_backend.cube.labels import labels_json
from openeo_backend.errors import OpenEOError

Call = Callable[..., Any]
NUMBERS = np.arange(2 * 3 * 2 * 2, dtype=np.float32).reshape(2, 3, 2, 2)


def cube(lazy: bool = True) -> Cube:
    made = make(NUMBERS, lazy=lazy, t=["2020-01-01", "2020-02-01"], bands=["a", "b", "c"], y=[10.0, 0.0], x=[0.0, 10.0])
    return made.patch(bands={"a": Band("red"), "b": Band("nir")})


def fails(call: Call, code: str, process: str, **arguments: Any) -> OpenEOError:
    with pytest.raises(OpenEOError) as failure:
        call(process, **arguments)
    assert failure.value.code == code
    return failure.value


def test_create_data_cube_and_its_old_name(call: Call) -> None:
    for id in ("create_data_cube", "create_raster_cube"):
        empty = call(id)
        assert empty.names == ()
        filled = call("add_dimension", data=empty, name="bands", label="a", type="bands")
        assert filled.names == ("bands",)
        assert np.isnan(filled.data.values).tolist() == [True]


@pytest.mark.parametrize(
    ("type", "label", "expected"),
    [("temporal", "2020-03-01", "2020-03-01T00:00:00Z"), ("bands", "z", "z"), ("other", 7, 7), ("other", "7", "7")],
)
def test_add_dimension(call: Call, type: str, label: Any, expected: Any) -> None:
    with nothing_computed():
        result = call("add_dimension", data=cube(), name="new", label=label, type=type)
    assert result.names == ("new", "t", "bands", "y", "x")
    assert result.dimension("new").type == type
    assert labels_json(result.labels("new")) == [expected]
    np.testing.assert_array_equal(result.data.values, NUMBERS[None])


def test_add_spatial_dimensions_takes_free_axes(call: Call) -> None:
    result = call("add_dimension", data=cube(), name="height", label=100, type="spatial")
    assert result.dimension("height").axis == "z"
    fails(call, "DimensionExists", "add_dimension", data=result, name="more", label=1, type="spatial")
    first = call("add_dimension", data=call("create_data_cube"), name="lon", label=1, type="spatial")
    assert first.dimension("lon").axis == "x"


def test_add_geometry_dimension(call: Call) -> None:
    result = call("add_dimension", data=call("create_data_cube"), name="g", label="POINT (1 2)", type="geometry")
    assert list(result.geometries()) == [shapely.Point(1, 2)]
    assert result.crs is not None
    assert result.crs.epsg == 4326
    fails(call, "ProcessParameterInvalid", "add_dimension", data=cube(), name="g", label="here", type="geometry")


def test_add_dimension_that_exists(call: Call) -> None:
    fails(call, "DimensionExists", "add_dimension", data=cube(), name="t", label="x")


def test_drop_dimension(call: Call) -> None:
    one = call("reduce_dimension", data=cube(), reducer=chain(("first", {"data": DATA})), dimension="bands")
    one = call("add_dimension", data=one, name="bands", label="a", type="bands")
    dropped = call("drop_dimension", data=one, name="bands")
    assert dropped.names == ("t", "y", "x")
    np.testing.assert_array_equal(dropped.data.values, NUMBERS[:, 0])
    error = fails(call, "DimensionLabelCountMismatch", "drop_dimension", data=cube(), name="bands")
    assert "3 labels" in error.message
    fails(call, "DimensionNotAvailable", "drop_dimension", data=cube(), name="time")


def test_rename_dimension_keeps_type_axis_and_grid(call: Call) -> None:
    with nothing_computed():
        result = call("rename_dimension", data=cube(), source="x", target="lon")
    assert result.names == ("t", "bands", "y", "lon")
    assert result.dimension("lon").axis == "x"
    assert result.geobox == cube().geobox
    fails(call, "DimensionExists", "rename_dimension", data=cube(), source="x", target="y")
    fails(call, "DimensionNotAvailable", "rename_dimension", data=cube(), source="lon", target="x")


def test_dimension_labels(call: Call) -> None:
    assert call("dimension_labels", data=cube(), dimension="t") == ["2020-01-01T00:00:00Z", "2020-02-01T00:00:00Z"]
    assert call("dimension_labels", data=cube(), dimension="y") == [10.0, 0.0]
    assert call("dimension_labels", data=cube(), dimension="bands") == ["a", "b", "c"]
    fails(call, "DimensionNotAvailable", "dimension_labels", data=cube(), dimension="time")


def test_rename_labels_moves_what_is_known_about_bands(call: Call) -> None:
    result = call("rename_labels", data=cube(), dimension="bands", source=["c", "a"], target=["cc", "aa"])
    assert labels_json(result.labels("bands")) == ["aa", "b", "cc"]
    assert result.bands == {"aa": Band("red"), "b": Band("nir")}
    np.testing.assert_array_equal(result.data.values, NUMBERS)


def test_rename_labels_swaps(call: Call) -> None:
    result = call("rename_labels", data=cube(), dimension="bands", source=["a", "b"], target=["b", "a"])
    assert labels_json(result.labels("bands")) == ["b", "a", "c"]
    assert result.bands == {"b": Band("red"), "a": Band("nir")}


def test_rename_labels_of_enumerated_dimensions(call: Call) -> None:
    enumerated = call(
        "apply_dimension", data=cube(), dimension="bands",
        process=chain(("quantiles", {"data": DATA, "probabilities": [0.1, 0.9]})),
    )  # fmt: skip
    result = call("rename_labels", data=enumerated, dimension="bands", target=["low", "high"])
    assert labels_json(result.labels("bands")) == ["low", "high"]
    partly = call("rename_labels", data=enumerated, dimension="bands", target=["low"])
    assert labels_json(partly.labels("bands")) == ["low", 1]
    fails(call, "LabelMismatch", "rename_labels", data=enumerated, dimension="bands", target=["a", "b", "c"])


def test_rename_labels_of_dates(call: Call) -> None:
    dates = call("dimension_labels", data=cube(), dimension="t")
    named = call("rename_labels", data=cube(), dimension="t", source=dates, target=["first", "second"])
    assert labels_json(named.labels("t")) == ["first", "second"]
    assert named.dimension("t").type == "temporal"
    moved = call("rename_labels", data=cube(), dimension="t", source=["2020-01-01"], target=["2019-01-01"])
    assert labels_json(moved.labels("t")) == ["2019-01-01T00:00:00Z", "2020-02-01T00:00:00Z"]
    assert moved.labels("t").dtype.kind == "M"


@pytest.mark.parametrize(
    ("source", "target", "code"),
    [
        ([], ["z"], "LabelsNotEnumerated"),
        (["a"], ["y", "z"], "LabelMismatch"),
        (["q"], ["z"], "LabelNotAvailable"),
        (["a"], ["b"], "LabelExists"),
    ],
)
def test_rename_labels_failures(call: Call, source: list[str], target: list[str], code: str) -> None:
    fails(call, code, "rename_labels", data=cube(), dimension="bands", source=source, target=target)


@pytest.mark.parametrize("lazy", [True, False])
def test_flatten_and_unflatten(call: Call, lazy: bool) -> None:
    with nothing_computed():
        flat = call("flatten_dimensions", data=cube(lazy), dimensions=["bands", "t"], target_dimension="f")
    assert flat.names == ("f", "y", "x")
    assert labels_json(flat.labels("f"))[:3] == [
        "a~2020-01-01T00:00:00Z", "a~2020-02-01T00:00:00Z", "b~2020-01-01T00:00:00Z",
    ]  # fmt: skip
    np.testing.assert_array_equal(flat.data.values, NUMBERS.swapaxes(0, 1).reshape(6, 2, 2))
    with nothing_computed():
        back = call("unflatten_dimension", data=flat, dimension="f", target_dimensions=["b", "d"])
    assert back.names == ("b", "d", "y", "x")
    np.testing.assert_array_equal(back.data.values, NUMBERS.swapaxes(0, 1))
    assert labels_json(back.labels("b")) == ["a", "b", "c"]
    assert back.dimension("b").type == "other"


def test_flatten_the_example_of_the_specification(call: Call) -> None:
    small = make([[1.0, 2], [3, 4]], A=["2020", "2021"], B=["B1", "B2"])
    flat = call("flatten_dimensions", data=small, dimensions=["A", "B"], target_dimension="X", label_separator="-")
    assert labels_json(flat.labels("X")) == ["2020-B1", "2020-B2", "2021-B1", "2021-B2"]
    np.testing.assert_array_equal(flat.data.values, [1, 2, 3, 4])
    other = call("flatten_dimensions", data=small, dimensions=["B", "A"], target_dimension="X")
    np.testing.assert_array_equal(other.data.values, [1, 3, 2, 4])


def test_flatten_and_unflatten_failures(call: Call) -> None:
    fails(call, "TargetDimensionExists", "flatten_dimensions", data=cube(), dimensions=["t"], target_dimension="x")
    fails(call, "DimensionNotAvailable", "flatten_dimensions", data=cube(), dimensions=["q"], target_dimension="f")
    labelled = make([1.0, 2, 3], f=["a~1", "a~2", "b~1"])
    arguments = {"data": labelled, "dimension": "f", "target_dimensions": ["p", "q"]}
    assert "every combination" in fails(call, "ProcessParameterInvalid", "unflatten_dimension", **arguments).message
    arguments["label_separator"] = "-"
    assert "'a~1'" in fails(call, "ProcessParameterInvalid", "unflatten_dimension", **arguments).message
    fails(
        call,
        "TargetDimensionExists",
        "unflatten_dimension",
        data=cube(),
        dimension="bands",
        target_dimensions=["t", "q"],
    )


@pytest.mark.parametrize("lazy", [True, False])
def test_trim_cube(call: Call, lazy: bool) -> None:
    stored = np.full((4, 3, 4, 4), 9, dtype=np.uint8)
    stored[1, 2, 1:3, 1] = 5
    stored[3, 0, 1, 3] = 6
    data = make(
        stored, nodata=9, lazy=lazy, t=["2020-01-01", "2020-01-02", "2020-01-09", "2020-02-01"], bands=["a", "b", "c"],
        y=[30.0, 20.0, 10.0, 0.0], x=[0.0, 10.0, 20.0, 30.0],
    )  # fmt: skip
    result = call("trim_cube", data=data)
    assert labels_json(result.labels("t")) == ["2020-01-02T00:00:00Z", "2020-02-01T00:00:00Z"]
    assert labels_json(result.labels("bands")) == ["a", "c"]
    assert labels_json(result.labels("y")) == [20.0, 10.0]
    assert labels_json(result.labels("x")) == [10.0, 20.0, 30.0]  # inner columns of a regular axis stay
    np.testing.assert_array_equal(result.data.values, stored[1::2, ::2, 1:3, 1:])
    assert result.is_lazy == lazy


def test_trim_cube_of_regular_dates_keeps_inner_ones(call: Call) -> None:
    numbers = np.array([np.nan, 1, np.nan, 2, np.nan])
    data = make(numbers, t=[f"2020-01-0{day}" for day in range(1, 6)])
    np.testing.assert_array_equal(values(call("trim_cube", data=data)), [1, np.nan, 2])
    nothing = make(np.full(3, np.nan), q=["a", "b", "c"])
    assert call("trim_cube", data=nothing).data.shape == (0,)
    full = make(np.array([1, 2], np.uint8), q=["a", "b"])
    assert call("trim_cube", data=full) is full


def test_dropping_the_geometries_drops_their_properties(call: Call) -> None:
    points = np.empty(1, dtype=object)
    points[:] = [shapely.Point(0, 0)]
    base = call(
        "add_dimension", data=make([1.0, 2], bands=["a", "b"]), name="geometry", label="POINT (0 0)", type="geometry"
    )
    base = base.patch(properties=pd.DataFrame({"name": ["here"]}))
    assert call("drop_dimension", data=base, name="geometry").properties is None
