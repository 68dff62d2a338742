"""apply, apply_dimension, reduce_dimension, reduce_spatial."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cube_support import CONTEXT, DATA, X, chain, make, node, nothing_computed, parameter, quietly, values

from openeo_backend.cube import Band
from openeo_backend.errors import OpenEOError

Call = Callable[..., Any]
T = ["2021-01-03", "2021-01-10", "2021-02-20", "2021-07-01"]
BANDS = ["B04", "B08", "SCL"]
RNG = np.random.default_rng(7)
FLOATS = RNG.normal(size=(4, 3, 5, 6)).astype(np.float32)
FLOATS[RNG.random(FLOATS.shape) < 0.2] = np.nan
FLOATS[:, 0, 0, 0] = np.nan


def floats(lazy: bool = True) -> Any:
    y, x = [50.0, 40.0, 30.0, 20.0, 10.0], [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]
    return make(FLOATS, lazy=lazy, t=T, bands=BANDS, y=y, x=x).patch(bands={"B04": Band("red")})


@pytest.mark.parametrize("lazy", [True, False])
def test_apply_a_chain_with_context_keeps_everything_else(call: Call, lazy: bool) -> None:
    cube = floats(lazy)
    callback = chain(
        ("multiply", {"x": X, "y": CONTEXT}), ("add", {"x": node(0), "y": 1}), ("absolute", {"x": node(1)})
    )
    result = call("apply", data=cube, process=callback, context=2)
    np.testing.assert_allclose(result.data.values, np.abs(FLOATS * 2 + 1), rtol=1e-6)
    assert result.data.dtype == np.float32
    assert result.dimensions == cube.dimensions
    assert result.bands == cube.bands
    assert result.geobox == cube.geobox
    assert result.is_lazy == lazy


def test_apply_computes_neither_with_nor_into_nodata(call: Call) -> None:
    stored = np.array([[1, 255], [100, 200]], dtype=np.uint8)
    cube = make(stored, nodata=255, y=[1.0, 0.0], x=[0.0, 1.0])
    result = call("apply", data=cube, process=chain(("multiply", {"x": X, "y": 3})))
    np.testing.assert_array_equal(values(result), [[3, np.nan], [300, 600]])


def test_reduce_dimension_ignores_nodata_as_the_reducer_does(call: Call) -> None:
    with np.errstate(all="ignore"):
        expected = np.nanmax(np.where(np.isnan(FLOATS), -np.inf, FLOATS), axis=0)
    expected[np.isnan(FLOATS).all(axis=0)] = np.nan
    with nothing_computed():
        result = call("reduce_dimension", data=floats(), reducer=chain(("max", {"data": DATA})), dimension="t")
    np.testing.assert_array_equal(result.data.values, expected)
    strict = call(
        "reduce_dimension", data=floats(), dimension="t", reducer=chain(("max", {"data": DATA, "ignore_nodata": False}))
    )
    np.testing.assert_array_equal(strict.data.values, FLOATS.max(axis=0))
    assert result.names == ("bands", "y", "x")


def test_reduce_dimension_by_labels_of_bands(call: Call) -> None:
    reducer = chain(
        ("array_element", {"data": DATA, "label": "B08"}),
        ("array_element", {"data": DATA, "label": "B04"}),
        ("normalized_difference", {"x": node(0), "y": node(1)}),
    )
    result = call("reduce_dimension", data=floats(), reducer=reducer, dimension="bands")
    red, nir = FLOATS[:, 0], FLOATS[:, 1]
    np.testing.assert_allclose(result.data.values, (nir - red) / (nir + red), rtol=1e-5)
    assert result.names == ("t", "y", "x")
    assert result.bands == {}


def test_reduce_dimension_with_a_callback_in_the_callback(call: Call) -> None:
    inner = chain(("multiply", {"x": X, "y": CONTEXT}))
    reducer = chain(("array_apply", {"data": DATA, "process": inner, "context": CONTEXT}), ("sum", {"data": node(0)}))
    result = call("reduce_dimension", data=floats(), reducer=reducer, dimension="t", context=3)
    expected = np.where(np.isnan(FLOATS).all(axis=0), np.nan, np.nansum(FLOATS * 3, axis=0))
    np.testing.assert_allclose(result.data.values, expected, rtol=1e-5, atol=1e-5)


def test_reduce_of_a_single_date_and_of_integers(call: Call) -> None:
    stored = np.array([[[7, 255]]], dtype=np.uint8)
    cube = make(stored, nodata=255, t=T[:1], y=[0.0], x=[0.0, 1.0])
    median = call("reduce_dimension", data=cube, reducer=chain(("median", {"data": DATA})), dimension="t")
    np.testing.assert_array_equal(values(median), [[7, np.nan]])
    count = call("reduce_dimension", data=cube, reducer=chain(("count", {"data": DATA})), dimension="t")
    np.testing.assert_array_equal(values(count), [[1, 0]])
    assert count.data.dtype.kind in "iu"


def test_reduce_dimension_names_the_dimensions_there_are(call: Call) -> None:
    with pytest.raises(OpenEOError, match="t, bands, y, x") as failure:
        call("reduce_dimension", data=floats(), reducer=chain(("max", {"data": DATA})), dimension="time")
    assert failure.value.code == "DimensionNotAvailable"


def test_reducing_everything_leaves_a_cube_without_dimensions(call: Call) -> None:
    cube = floats()
    for name in ("t", "bands", "y", "x"):
        cube = call("reduce_dimension", data=cube, reducer=chain(("max", {"data": DATA})), dimension=name)
    assert cube.names == ()
    assert float(cube.data.values) == np.nanmax(FLOATS)


def test_reduce_spatial(call: Call) -> None:
    with nothing_computed():
        result = call("reduce_spatial", data=floats(), reducer=chain(("mean", {"data": DATA})))
    np.testing.assert_allclose(result.data.values, np.nanmean(FLOATS, axis=(2, 3)), rtol=1e-5)
    assert result.names == ("t", "bands")
    with pytest.raises(OpenEOError) as failure:
        call("reduce_spatial", data=result, reducer=chain(("mean", {"data": DATA})))
    assert failure.value.code == "DimensionNotAvailable"


STATISTICS = {
    "mean": np.nanmean,
    "sum": np.nansum,
    "min": np.nanmin,
    "max": np.nanmax,
    "count": lambda values, axis: np.isfinite(values).sum(axis=axis),
    "sd": lambda values, axis: np.nanstd(values, axis=axis, ddof=1),
    "variance": lambda values, axis: np.nanvar(values, axis=axis, ddof=1),
    "median": np.nanmedian,
}


@pytest.mark.parametrize("process", STATISTICS)
@pytest.mark.parametrize("whole", [False, True])
def test_reduce_spatial_of_many_blocks_as_of_one(call: Call, process: str, whole: bool) -> None:
    stored = np.where(np.isnan(FLOATS), 0, 1000 + 200 * FLOATS).astype(np.uint16) if whole else FLOATS.copy()
    stored[1, 1] = 0 if whole else np.nan  # nothing to see there
    gaps, kind = stored == 0 if whole else np.isnan(stored), {"nodata": 0 if whole else None}
    expected = quietly(STATISTICS[process], np.where(gaps, np.nan, stored.astype(float)), axis=(2, 3))
    if process == "sum":
        expected = np.where(gaps.all(axis=(2, 3)), np.nan, expected)
    found = []
    for lazy in (True, False):
        cube = make(stored, lazy=lazy, t=T, bands=BANDS, y=range(5), x=range(6), **kind)
        found.append(call("reduce_spatial", data=cube, reducer=chain((process, {"data": DATA}))))
    np.testing.assert_allclose(values(found[0]), expected, rtol=2e-5)
    np.testing.assert_allclose(values(found[1]), expected, rtol=2e-5)
    assert found[0].data.dtype == found[1].data.dtype
    assert found[0].nodata == found[1].nodata
    if process != "median":  # planes are not put together
        assert not any("rechunk" in layer for layer in found[0].data.data.__dask_graph__().layers)
    strict = chain((process, {"data": DATA, "ignore_nodata": False}))
    if process != "count":
        missing = np.isnan(
            values(
                call(
                    "reduce_spatial",
                    data=make(stored, t=T, bands=BANDS, y=range(5), x=range(6), **kind),
                    reducer=strict,
                )
            )
        )
        np.testing.assert_array_equal(missing, gaps.any(axis=(2, 3)))


def test_apply_dimension_keeps_labels_with_the_length(call: Call) -> None:
    with nothing_computed():
        result = call("apply_dimension", data=floats(), process=chain(("cumsum", {"data": DATA})), dimension="t")
    gaps = np.isnan(FLOATS)
    expected = np.where(gaps, np.nan, np.cumsum(np.where(gaps, 0, FLOATS), axis=0))
    np.testing.assert_allclose(result.data.values, expected, rtol=1e-5, atol=1e-6)
    assert result.labels("t").dtype.kind == "M"
    assert result.dimensions == floats().dimensions


def test_apply_dimension_enumerates_labels_of_another_length(call: Call) -> None:
    quantiles = chain(("quantiles", {"data": DATA, "probabilities": [0.25, 0.5]}))
    result = call("apply_dimension", data=floats(), process=quantiles, dimension="t")
    expected = quietly(np.nanquantile, FLOATS.astype(float), [0.25, 0.5], axis=0)
    np.testing.assert_allclose(result.data.values, expected, rtol=1e-5)
    assert result.labels("t").tolist() == [0, 1]
    assert result.dimension("t").type == "temporal"


def test_apply_dimension_into_a_new_dimension(call: Call) -> None:
    process = chain(("min", {"data": DATA}), ("max", {"data": DATA}), ("array_create", {"data": [node(0), node(1), 9]}))
    result = call("apply_dimension", data=floats(), process=process, dimension="t", target_dimension="stats")
    assert result.names == ("stats", "bands", "y", "x")
    assert result.dimension("stats").type == "other"
    assert result.labels("stats").tolist() == [0, 1, 2]
    assert result.bands == {"B04": Band("red")}
    np.testing.assert_array_equal(result.data.values[2], np.full((3, 5, 6), 9))
    np.testing.assert_array_equal(result.data.values[0], quietly(np.nanmin, FLOATS, axis=0))


def test_apply_dimension_of_the_same_length_into_another_dimension_is_enumerated(call: Call) -> None:
    result = call(
        "apply_dimension", data=floats(), process=chain(("cumsum", {"data": DATA})), dimension="t", target_dimension="n"
    )
    assert result.labels("n").tolist() == [0, 1, 2, 3]


def test_apply_dimension_into_an_existing_dimension(call: Call) -> None:
    sort = chain(("sort", {"data": DATA, "nodata": True}))
    one = call("reduce_dimension", data=floats(), reducer=chain(("first", {"data": DATA})), dimension="bands")
    one = call("add_dimension", data=one, name="bands", label="B04", type="bands")
    with nothing_computed():
        result = call("apply_dimension", data=one, process=sort, dimension="t", target_dimension="bands")
    assert result.names == ("bands", "y", "x")
    assert result.dimension("bands").type == "bands"
    assert result.labels("bands").tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(result.data.values, np.sort(one.data.values[0], axis=0))


@pytest.mark.parametrize("lazy", [True, False])
def test_apply_dimension_into_an_existing_dimension_with_several_labels(call: Call, lazy: bool) -> None:
    process = chain(("min", {"data": DATA}), ("max", {"data": DATA}), ("array_create", {"data": [node(0), node(1)]}))
    result = call("apply_dimension", data=floats(lazy), process=process, dimension="t", target_dimension="bands")
    assert result.names == ("bands", "y", "x")
    assert result.labels("bands").tolist() == [0, 1, 2, 3, 4, 5]
    low, high = quietly(np.nanmin, FLOATS, axis=0), quietly(np.nanmax, FLOATS, axis=0)
    np.testing.assert_array_equal(result.data.values, [low[0], high[0], low[1], high[1], low[2], high[2]])


def test_arrays_within_an_array_of_pixels_are_taken_apart(call: Call) -> None:
    process = chain(
        ("max", {"data": DATA}),
        ("quantiles", {"data": DATA, "probabilities": [0.5, 1]}),
        ("array_create", {"data": [node(0), node(1), 7]}),
    )
    result = call("apply_dimension", data=floats(), process=process, dimension="t", target_dimension="stats")
    high, middle = quietly(np.nanmax, FLOATS, axis=0), quietly(np.nanmedian, FLOATS, axis=0)
    np.testing.assert_allclose(result.data.values, [high, middle, high, np.full(high.shape, 7)], rtol=1e-6)


def test_elements_written_as_process_graphs_stand_for_their_values(call: Call) -> None:
    classes = make(np.array([[[10, 20], [30, 255]]], np.uint8), nodata=255, bands=["MAP"], y=[10.0, 0.0], x=[0.0, 10.0])
    elements = [chain(("eq", {"x": DATA, "y": number})) for number in (10, 20)]
    result = call(
        "apply_dimension", data=classes, process=chain(("array_create", {"data": elements})), dimension="bands"
    )
    np.testing.assert_array_equal(values(result), [[[1, 0], [0, np.nan]], [[0, 1], [0, np.nan]]])
    assert result.labels("bands").tolist() == [0, 1]


def test_a_condition_makes_integers_nullable_whatever_the_values(call: Call) -> None:
    stored = np.array([[10, 4000], [5000, 60000]], dtype=np.uint16)
    cube = make(stored, y=[1.0, 0.0], x=[0.0, 1.0])
    process = chain(("lt", {"x": X, "y": 4500}), ("gt", {"x": X, "y": 3500}), ("and", {"x": node(0), "y": node(1)}),
                    ("not", {"x": node(2)}), ("if", {"value": node(3), "accept": X}))  # fmt: skip
    result = call("apply", data=cube, process=process)
    assert result.data.dtype == np.uint16
    np.testing.assert_array_equal(values(result), [[10, np.nan], [5000, 60000]])


def test_labels_of_dates_reach_the_callback(call: Call) -> None:
    process = chain(
        ("array_labels", {"data": DATA}),
        ("array_element", {"data": node(0), "index": 2}),
    )
    result = call("reduce_dimension", data=floats(), reducer=process, dimension="t")
    assert set(result.data.values.ravel()) == {"2021-02-20T00:00:00Z"}
    assert parameter("data") == DATA


@pytest.mark.parametrize("reducer", ["mean", "max", "median", "first", "sum", "count", "sd"])
@pytest.mark.parametrize("lazy", [True, False])
def test_no_dates_at_all(call: Call, reducer: str, lazy: bool) -> None:
    empty = make(np.ones((0, 2), np.uint8), nodata=255, lazy=lazy, t=[], x=[0.0, 1.0])
    result = call("reduce_dimension", data=empty, dimension="t", reducer=chain((reducer, {"data": DATA})))
    expected = 0 if reducer == "count" else np.nan
    np.testing.assert_array_equal(values(result), [expected, expected])
    periods = call("aggregate_temporal_period", data=empty, period="month", reducer=chain((reducer, {"data": DATA})))
    assert periods.data.shape == (0, 2)


@pytest.mark.parametrize("context", [None, 255])
def test_a_number_that_stands_for_missing_can_become_a_value(call: Call, context: int | None) -> None:
    stored = np.array([[1, 255], [100, 200]], dtype=np.uint8)
    cube = make(stored, nodata=255, y=[1.0, 0.0], x=[0.0, 1.0])
    accept = 255 if context is None else CONTEXT
    process = chain(("gt", {"x": X, "y": 150}), ("if", {"value": node(0), "accept": accept, "reject": X}))
    result = call("apply", data=cube, process=process, context=context)
    assert result.data.dtype == np.int16
    np.testing.assert_array_equal(values(result), [[1, np.nan], [100, 255]])


def test_failures_while_computing_name_the_node(call: Call) -> None:
    stored = np.array([[1, 255], [100, 254]], dtype=np.uint8)
    cube = make(stored, nodata=255, y=[1.0, 0.0], x=[0.0, 1.0])
    process = chain(
        ("gt", {"x": X, "y": 150}),
        ("add", {"x": 254, "y": 1}),
        ("if", {"value": node(0), "accept": node(1), "reject": X}),
    )
    with pytest.raises(OpenEOError, match="stands for missing data") as failure:
        call("apply", data=cube, process=process).data.compute()
    assert [entry.node_id for entry in failure.value.path] == ["node"]
