"""merge_cubes in all its modes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import shapely
import xarray as xr
from cube_support import CONTEXT, X, Y, chain, make, node, nothing_computed, values
from odc.geo.crs import CRS

from openeo_backend.cube import Band, Cube, Dimension, Provenance
from openeo_backend.cube.labels import labels_json
from openeo_backend.errors import OpenEOError

Call = Callable[..., Any]
YS, XS = [20.0, 10.0, 0.0], [0.0, 10.0]
SUM = chain(("add", {"x": X, "y": Y}))
RNG = np.random.default_rng(11)


def grid(bands: list[str], t: list[str], ys: list[float] = YS, xs: list[float] = XS, lazy: bool = True) -> Cube:
    numbers = RNG.normal(size=(len(t), len(bands), len(ys), len(xs))).astype(np.float32)
    return make(numbers, lazy=lazy, t=t, bands=bands, y=ys, x=xs)


def refused(call: Call, code: str, one: Cube, two: Cube, **arguments: Any) -> str:
    with pytest.raises(OpenEOError) as failure:
        call("merge_cubes", cube1=one, cube2=two, **arguments)
    assert failure.value.code == code
    return failure.value.describe()


def reference(one: Cube, two: Cube, resolve: Callable[[Any, Any], Any]) -> xr.DataArray:
    """The merge by xarray's outer alignment and explicit presence masks."""
    here, there = xr.ones_like(one.data.compute()), xr.ones_like(two.data.compute())
    a, b = xr.align(one.data.compute(), two.data.compute(), join="outer")
    in_a, in_b = (mask.reindex_like(a, fill_value=0) == 1 for mask in (here.fillna(1), there.fillna(1)))
    return xr.where(in_a & in_b, resolve(a, b), xr.where(in_a, a, b))


@pytest.mark.parametrize(("lazy1", "lazy2"), [(True, True), (False, False), (True, False), (False, True)])
def test_different_bands_are_joined_in_order(call: Call, lazy1: bool, lazy2: bool) -> None:
    one, two = grid(["B8", "B4"], ["2020-01-01"], lazy=lazy1), grid(["B2", "A"], ["2020-01-01"], lazy=lazy2)
    one = one.patch(bands={"B8": Band("nir")}, provenance=Provenance(items=("a", "b")))
    two = two.patch(bands={"B2": Band("blue")}, provenance=Provenance(items=("b", "c")))
    with nothing_computed():
        result = call("merge_cubes", cube1=one, cube2=two)
    assert labels_json(result.labels("bands")) == ["B8", "B4", "B2", "A"]
    np.testing.assert_array_equal(result.data.values, np.concatenate([one.data.values, two.data.values], axis=1))
    assert result.bands == {"B8": Band("nir"), "B2": Band("blue")}
    assert result.provenance.items == ("a", "b", "c")
    assert result.geobox == one.geobox
    assert result.is_lazy == (lazy1 or lazy2)


def test_dates_are_sorted(call: Call) -> None:
    one, two = grid(["a"], ["2020-01-01", "2020-03-01", "2020-05-01"]), grid(["a"], ["2020-04-01", "2020-02-01"])
    with nothing_computed():
        result = call("merge_cubes", cube1=one, cube2=two)
    months = ["2020-01", "2020-02", "2020-03", "2020-04", "2020-05"]
    assert labels_json(result.labels("t")) == [f"{month}-01T00:00:00Z" for month in months]
    first, second = one.data.values, two.data.values
    np.testing.assert_array_equal(result.data.values, [first[0], second[1], first[1], second[0], first[2]])


def test_overlap_needs_a_resolver_and_is_resolved_where_it_is(call: Call) -> None:
    one, two = grid(["B1", "B2"], ["2020-01-01"]), grid(["B2", "B3"], ["2020-01-01"])
    message = refused(call, "OverlapResolverMissing", one, two)
    assert "bands (1)" in message
    with nothing_computed():
        result = call("merge_cubes", cube1=one, cube2=two, overlap_resolver=SUM)
    assert labels_json(result.labels("bands")) == ["B1", "B2", "B3"]
    a, b = one.data.values, two.data.values
    np.testing.assert_array_equal(result.data.values, np.stack([a[:, 0], a[:, 1] + b[:, 0], b[:, 1]], axis=1))


def test_x_is_of_the_first_cube_and_context_arrives(call: Call) -> None:
    one, two = grid(["a"], ["2020-01-01"]), grid(["a"], ["2020-01-01"])
    resolver = chain(("subtract", {"x": X, "y": Y}), ("multiply", {"x": node(0), "y": CONTEXT}))
    result = call("merge_cubes", cube1=one, cube2=two, overlap_resolver=resolver, context=10)
    np.testing.assert_allclose(result.data.values, (one.data.values - two.data.values) * 10, rtol=1e-5)


def test_cubes_shifted_in_time_and_bands_and_space(call: Call) -> None:
    one = grid(["a", "b"], ["2020-01-01", "2020-03-01"], ys=[30.0, 20.0, 10.0], xs=[0.0, 10.0, 20.0])
    two = grid(["b", "c"], ["2020-03-01", "2020-02-01"], ys=[20.0, 10.0, 0.0, -10.0], xs=[20.0, 30.0])
    with nothing_computed():
        result = call("merge_cubes", cube1=one, cube2=two, overlap_resolver=SUM)
    expected = reference(one, two, lambda a, b: a + b)
    expected = expected.sel(t=result.labels("t"), bands=result.labels("bands"), y=result.labels("y"))
    np.testing.assert_array_equal(result.data.values, expected.transpose(*result.names).values)
    assert labels_json(result.labels("y")) == [30.0, 20.0, 10.0, 0.0, -10.0]
    assert labels_json(result.labels("bands")) == ["a", "b", "c"]
    assert result.geobox is not None
    assert result.geobox.shape == (5, 4)


def test_rows_in_the_other_direction_are_matched_by_label(call: Call) -> None:
    one = grid(["a"], ["2020-01-01"])
    two = make(one.data.values[:, :, ::-1], t=["2020-01-01"], bands=["a"], y=YS[::-1], x=XS)
    result = call("merge_cubes", cube1=one, cube2=two, overlap_resolver=chain(("subtract", {"x": X, "y": Y})))
    np.testing.assert_array_equal(result.data.values, np.zeros((1, 1, 3, 2)))


@pytest.mark.parametrize("swap", [False, True])
def test_a_missing_dimension_is_broadcast_in_either_direction(call: Call, swap: bool) -> None:
    full = grid(["a", "b"], ["2020-01-01", "2020-02-01"])
    flat = make(np.arange(6.0, dtype=np.float32).reshape(3, 2), y=YS, x=XS)
    one, two = (flat, full) if swap else (full, flat)
    refused(call, "OverlapResolverMissing", one, two)
    resolver = chain(("subtract", {"x": X, "y": Y}))
    with nothing_computed():
        result = call("merge_cubes", cube1=one, cube2=two, overlap_resolver=resolver)
    assert result.names == ("t", "bands", "y", "x")
    expected = full.data.values - flat.data.values
    np.testing.assert_allclose(result.data.values, -expected if swap else expected, rtol=1e-6)


def test_a_new_band_without_dates_joins_every_date(call: Call) -> None:
    full = grid(["a"], ["2020-01-01", "2020-02-01"])
    height = make(np.arange(6.0, dtype=np.float32).reshape(1, 3, 2), bands=["DEM"], y=YS, x=XS)
    result = call("merge_cubes", cube1=full, cube2=height)
    assert labels_json(result.labels("bands")) == ["a", "DEM"]
    for date in range(2):
        np.testing.assert_array_equal(result.data.values[date, 1], height.data.values[0])
        np.testing.assert_array_equal(result.data.values[date, 0], full.data.values[date, 0])


def test_added_dimensions_keep_overlapping_values_apart(call: Call) -> None:
    one, two = grid(["a"], ["2020-01-01"]), grid(["a"], ["2020-01-01"])
    named = [
        call("add_dimension", data=data, name="s", label=label) for data, label in ((one, "first"), (two, "second"))
    ]
    result = call("merge_cubes", cube1=named[0], cube2=named[1])
    assert labels_json(result.labels("s")) == ["first", "second"]
    np.testing.assert_array_equal(result.data.values, [one.data.values, two.data.values])


def test_integers_stay_integers_and_markers_never_become_values(call: Call) -> None:
    one = make(np.array([[1, 255]], np.uint8), nodata=255, bands=["a"], x=[0.0, 10.0])
    two = make(np.array([[255, 0]], np.uint8), bands=["b"], x=[0.0, 10.0])
    result = call("merge_cubes", cube1=one, cube2=two)
    assert result.data.dtype == np.int16
    np.testing.assert_array_equal(values(result), [[1, np.nan], [255, 0]])
    same = call("merge_cubes", cube1=one, cube2=two.patch(nodata=255))
    assert same.data.dtype == np.uint8
    np.testing.assert_array_equal(values(same), [[1, np.nan], [np.nan, 0]])
    mixed = call(
        "merge_cubes", cube1=one, cube2=make(np.array([[0.5, np.nan]], np.float32), bands=["b"], x=[0.0, 10.0])
    )
    assert mixed.data.dtype == np.float32
    np.testing.assert_array_equal(values(mixed), [[1, np.nan], [0.5, np.nan]])


def test_a_resolver_may_leave_what_both_miss_missing(call: Call) -> None:
    one = make(np.array([1, 255, 255, 4], np.uint8), nodata=255, x=[0.0, 10.0, 20.0, 30.0])
    two = make(np.array([2, 3, 255, 255], np.uint8), nodata=255, x=[0.0, 10.0, 20.0, 30.0])
    resolver = chain(("max", {"data": [X, Y]}))
    result = call("merge_cubes", cube1=one, cube2=two, overlap_resolver=resolver)
    assert result.data.dtype == np.uint8
    np.testing.assert_array_equal(values(result), [2, 3, np.nan, 4])


def test_gaps_that_neither_cube_fills_are_missing(call: Call) -> None:
    one = make(np.ones((1, 1), np.uint8), q=["a"], r=["p"])
    two = make(np.full((1, 1), 2, np.uint8), q=["b"], r=["s"])
    result = call("merge_cubes", cube1=one, cube2=two)
    np.testing.assert_array_equal(values(result), [[1, np.nan], [np.nan, 2]])
    truth = call("merge_cubes", cube1=make([[True]], q=["a"], r=["p"]), cube2=make([[False]], q=["b"], r=["s"]))
    np.testing.assert_array_equal(truth.data.values, [[1, 255], [255, 0]])
    assert truth.nodata == 255


@pytest.mark.parametrize(
    ("ys", "xs"),
    [([15.0, 5.0, -5.0], XS), (YS, [0.0, 20.0]), ([20.0, 12.0, 4.0], XS)],
)
def test_other_grids_are_refused_naming_both(call: Call, ys: list[float], xs: list[float]) -> None:
    one, two = grid(["a"], ["2020-01-01"]), grid(["b"], ["2020-01-01"], ys=ys, xs=xs)
    message = refused(call, "ProcessParameterInvalid", one, two)
    assert "resample_cube_spatial" in message
    assert "y 0 to 20 in steps of 10" in message
    assert f"y {min(ys):g} to {max(ys):g} in steps of {abs(ys[1] - ys[0]):g}" in message


def test_other_reference_systems_are_refused_naming_both(call: Call) -> None:
    one = grid(["a"], ["2020-01-01"])
    two = grid(["b"], ["2020-01-01"]).patch(crs=CRS("EPSG:32632"))
    message = refused(call, "ProcessParameterInvalid", one, two)
    assert "EPSG:32631" in message
    assert "EPSG:32632" in message


def test_dimensions_of_different_types_or_names_of_an_axis(call: Call) -> None:
    one = grid(["a"], ["2020-01-01"])
    two = make(np.ones((1, 3, 2), np.float32), t=["2020-01-01"], y=YS, x=XS)
    renamed = call("rename_dimension", data=two, source="x", target="lon")
    assert "rename_dimension" in refused(call, "ProcessParameterInvalid", one, renamed, overlap_resolver=SUM)
    other = call("add_dimension", data=two, name="bands", label="a", type="other")
    assert "of type bands" in refused(call, "ProcessParameterInvalid", one, other, overlap_resolver=SUM)


def vector(shapes: list[Any], numbers: list[float], names: list[str] | None = None) -> Cube:
    labels = np.empty(len(shapes), dtype=object)
    labels[:] = shapes
    array = xr.DataArray(np.asarray(numbers), coords={"geometry": labels}, dims="geometry")
    table = None if names is None else pd.DataFrame({"name": names})
    return Cube(array, (Dimension("geometry", "geometry"),), crs=CRS("EPSG:4326"), properties=table)


def test_vector_cubes_are_joined_by_equal_geometries(call: Call) -> None:
    square = shapely.Polygon([(0, 0), (1, 0), (1, 1), (0, 1)])
    turned = shapely.Polygon([(1, 1), (0, 1), (0, 0), (1, 0)])
    far, both = shapely.box(5, 5, 6, 6), shapely.MultiPolygon([shapely.box(8, 8, 9, 9)])
    one = vector([far, square], [1.0, 2.0], ["far", "square"])
    two = vector([turned, both], [10.0, 20.0], ["turned", "both"])
    result = call("merge_cubes", cube1=one, cube2=two, overlap_resolver=SUM)
    np.testing.assert_array_equal(result.data.values, [1, 12, 20])
    assert result.properties is not None
    assert result.properties["name"].tolist() == ["far", "square", "both"]


def test_geometries_of_other_base_types_and_rasters_are_refused(call: Call) -> None:
    polygons, points = vector([shapely.box(0, 0, 1, 1)], [1.0]), vector([shapely.Point(0, 0)], [1.0])
    refused(call, "IncompatibleGeometryTypes", polygons, points)
    message = refused(call, "ProcessParameterInvalid", polygons, grid(["a"], ["2020-01-01"]))
    assert "aggregate_spatial" in message


def test_a_merge_without_overlap_is_reversible(call: Call) -> None:
    one, two = grid(["a"], ["2020-01-01", "2020-03-01"]), grid(["a"], ["2020-02-01"])
    result = call("merge_cubes", cube1=one, cube2=two)
    for part in (one, two):
        np.testing.assert_array_equal(result.data.sel(t=part.labels("t")).values, part.data.values)
