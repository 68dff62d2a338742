"""Applying functions to the blocks of cubes."""

from __future__ import annotations

import cloudpickle
import dask
import dask.array as da
import numpy as np
import pytest
import shapely
import xarray as xr
from cube_support import make, nothing_computed, values

from openeo_backend.cube import Cube, Dimension, blocks
from openeo_backend.cube.storage import Storage, common, values_of
from openeo_backend.errors import OpenEOError

T = ["2020-01-01", "2020-01-05", "2020-03-01"]
STORED = np.array([[[1, 255], [3, 4]], [[5, 6], [255, 8]], [[9, 255], [11, 12]]], dtype=np.uint8)


def cube(lazy: bool = True, nodata: int | None = 255) -> Cube:
    return make(STORED, nodata=nodata, lazy=lazy, t=T, y=[20.0, 10.0], x=[0.0, 10.0])


@pytest.mark.parametrize("lazy", [True, False])
def test_integers_enter_masked_and_keep_their_type(lazy: bool) -> None:
    seen = []

    def look(array: np.ndarray) -> np.ndarray:
        seen.append(array)
        return array

    result = blocks.apply(cube(lazy), look)
    np.testing.assert_array_equal(result.data.values, STORED)
    assert result.data.dtype == np.uint8
    assert result.nodata == 255
    assert all(np.ma.isMaskedArray(array) for array in seen)
    assert result.is_lazy == lazy


@pytest.mark.parametrize("lazy", [True, False])
def test_booleans_with_nulls_are_stored_as_integers_and_come_back_as_booleans(lazy: bool) -> None:
    large = blocks.apply(cube(lazy), lambda x: x > 5)
    assert large.data.dtype == np.uint8
    assert large.nodata == 255
    np.testing.assert_array_equal(large.data.values, np.where(STORED == 255, 255, STORED > 5))
    kinds = []
    again = blocks.apply(large, lambda x: kinds.append(x.dtype) or ~x)
    assert set(kinds) == {np.dtype(bool)}
    np.testing.assert_array_equal(again.data.values, np.where(STORED == 255, 255, STORED <= 5))


def test_booleans_without_nulls_stay_booleans() -> None:
    result = blocks.apply(cube(nodata=None), lambda x: x > 5)
    assert result.data.dtype == bool
    assert result.nodata is None
    np.testing.assert_array_equal(result.data.values, STORED > 5)


@pytest.mark.parametrize(
    ("constant", "dtype", "expected"),
    [(7, "uint8", 7), (-7, "int8", -7), (0.5, "float32", 0.5), (True, "bool", True), (None, "float32", np.nan)],
)
def test_constants_are_broadcast(constant: object, dtype: str, expected: float) -> None:
    result = blocks.apply(cube(), lambda x: constant)
    assert result.data.dtype == dtype
    np.testing.assert_array_equal(result.data.values, np.full(STORED.shape, expected))


def test_a_value_equal_to_nodata_is_refused() -> None:
    result = blocks.apply(cube(), lambda x: np.ma.where(x == 1, np.uint8(255), x))
    with pytest.raises(OpenEOError, match="255, which stands for missing data"):
        result.data.compute()


def test_reduce_gets_all_elements_with_their_labels() -> None:
    seen = []
    result = blocks.reduce(cube(), lambda data: seen.append((len(data), data.labels)) or data.values.max(axis=0), ["t"])
    np.testing.assert_array_equal(result.data.values, [[9, 6], [11, 12]])
    assert set(seen) == {(3, ("2020-01-01T00:00:00Z", "2020-01-05T00:00:00Z", "2020-03-01T00:00:00Z"))}
    assert result.names == ("y", "x")


def test_reduce_over_two_dimensions_and_to_none() -> None:
    spatial = blocks.reduce(cube(), lambda data: data.values.sum(axis=0), ["y", "x"])
    np.testing.assert_array_equal(values(spatial), [1 + 3 + 4, 5 + 6 + 8, 9 + 11 + 12])
    single = blocks.reduce(spatial, lambda data: data.values.sum(axis=0), ["t"])
    assert single.names == ()
    assert float(single.data.values) == 59


def test_a_single_value_is_an_array_of_one_element() -> None:
    result = blocks.along(cube(), lambda data: data[2], "t")
    np.testing.assert_array_equal(result.data.values, STORED[2:])
    assert result.labels("t").tolist() == [0]
    with pytest.raises(OpenEOError, match="empty array"):
        blocks.along(cube(), lambda data: [], "t")


def test_arrays_where_single_values_are_needed() -> None:
    with pytest.raises(OpenEOError, match="array of 3 elements") as failure:
        blocks.reduce(cube(), lambda data: data, ["t"])
    assert failure.value.code == "ProcessParameterInvalid"
    with pytest.raises(OpenEOError, match="an object"):
        blocks.apply(cube(), lambda x: {"a": 1})


def test_elements_of_mixed_kinds_form_one_array() -> None:
    result = blocks.along(cube(), lambda data: [data[0], 0.5, None, True], "t")
    assert result.data.dtype == np.float32
    first = np.where(STORED[0] == 255, np.nan, STORED[0])
    np.testing.assert_array_equal(
        result.data.values, [first, np.full((2, 2), 0.5), np.full((2, 2), np.nan), np.ones((2, 2))]
    )
    np.testing.assert_array_equal(result.labels("t"), [0, 1, 2, 3])


def test_groups_may_overlap_and_be_empty() -> None:
    def total(data: blocks.PixelArray) -> np.ndarray | None:
        return data.values.sum(axis=0) if len(data) else None

    labels = np.array(["a", "b", "c"], dtype=object)
    result = blocks.grouped(cube(), total, "t", [[0, 1], [], [2, 1]], labels)
    gaps = np.where(STORED == 255, np.nan, STORED.astype(float))
    both = [np.nansum(gaps[[0, 1]], axis=0), np.full((2, 2), np.nan), np.nansum(gaps[[1, 2]], axis=0)]
    np.testing.assert_array_equal(values(result), both)
    assert list(result.labels("t")) == ["a", "b", "c"]


@pytest.mark.parametrize("shape", [(0, 2, 2), (3, 0, 2), (1, 1, 1)])
def test_empty_and_tiny_cubes(shape: tuple[int, int, int]) -> None:
    empty = make(
        np.ones(shape, np.float32),
        t=T[: shape[0]],
        y=list(np.arange(shape[1], dtype=float)),
        x=list(np.arange(shape[2], dtype=float)),
    )
    result = blocks.reduce(empty, lambda data: data.values.sum(axis=0), ["t"])
    np.testing.assert_array_equal(result.data.values, np.full(shape[1:], shape[0]))


def test_cubes_of_geometries() -> None:
    points = np.empty(3, dtype=object)
    points[:] = [shapely.Point(0, 0), shapely.Point(1, 1), shapely.Point(2, 2)]
    array = xr.DataArray(
        da.from_array(np.array([[1.0, 2], [np.nan, 4], [5, 6]]), chunks=(1, 2)),
        coords={"geometry": points, "t": np.array(T[:2], "M8[ns]")},
        dims=("geometry", "t"),
    )
    vector = Cube(array, (Dimension("geometry", "geometry"), Dimension("t", "temporal")))
    result = blocks.reduce(vector, lambda data: data.values.sum(axis=0), ["t"])
    np.testing.assert_array_equal(result.data.values, [3, np.nan, 11])
    assert result.is_vector
    assert list(result.labels("geometry")) == list(points)


def test_nothing_is_computed_and_each_block_is_evaluated_in_few_calls() -> None:
    calls = []

    def count(x: np.ndarray) -> np.ndarray:
        calls.append(x.shape)
        return x + np.float32(1)

    source = make(
        np.ones((4, 100, 100), np.float32), t=[*T, "2020-05-01"], y=list(np.arange(100.0)), x=list(np.arange(100.0))
    )
    with nothing_computed():
        result = blocks.apply(source, count)
    before = len(calls)
    result.data.compute(scheduler="synchronous")
    assert len(calls) - before == result.data.data.npartitions


def test_blocks_of_a_reduction_stay_bounded() -> None:
    pixels = np.arange(4096.0)
    large = Cube(
        xr.DataArray(
            da.zeros((200, 4096, 4096), chunks=(1, 1024, 1024), dtype=np.uint16),
            dims=("t", "y", "x"),
            coords={"t": np.arange(200).astype("M8[D]").astype("M8[ns]"), "y": pixels, "x": pixels},
        ),
        (Dimension("t", "temporal"), Dimension("y", "spatial", "y"), Dimension("x", "spatial", "x")),
    )
    with nothing_computed():
        result = blocks.reduce(large, lambda data: data.values.max(axis=0), ["t"])
    largest = max(result.data.chunks[0]) * max(result.data.chunks[1])
    assert largest * 200 * 4 <= blocks.BLOCK_MB * 1e6
    assert {sum(part) for part in result.data.chunks} == {4096}
    # source blocks are split, not straddled
    edges = np.cumsum(result.data.chunks[0])
    assert {1024, 2048, 3072, 4096} <= set(edges.tolist())


def test_lazy_results_can_be_sent_to_other_processes() -> None:
    result = blocks.apply(cube(), lambda x: x + np.uint8(1))
    copy = cloudpickle.loads(cloudpickle.dumps(result.data.data))
    np.testing.assert_array_equal(dask.compute(copy)[0], result.data.values)


def test_common_storage_widens_where_a_marker_could_be_a_value() -> None:
    marked, plain = Storage(np.dtype("uint8"), 255), Storage(np.dtype("uint8"))
    assert common([marked, marked]) == marked
    assert common([marked, plain]) == Storage(np.dtype("int16"), -32768)
    assert common([plain, plain]) == plain
    assert common([marked, Storage(np.dtype("float32"))]) == Storage(np.dtype("float32"))
    assert common([Storage(np.dtype(bool))], holes=True).boolean
    stored = marked.convert(np.array([1, 255], np.uint8), common([marked, plain]))
    np.testing.assert_array_equal(stored, [1, -32768])


def test_values_of_gives_masked_integers() -> None:
    found = values_of(cube())
    np.testing.assert_array_equal(np.ma.getmaskarray(found), STORED == 255)
