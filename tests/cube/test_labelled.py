"""Arrays with labels, as xarray makes them."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from odc.geo.crs import CRS

from openeo_backend.cube import Cube, Dimension
from openeo_backend.cube.fusion import lifted
from openeo_backend.cube.labelled import labelled

LABELS: dict[str, np.ndarray] = {
    "t": np.array(["2025-05-01", "2025-05-02"], "datetime64[ns]"),
    "bands": np.array(["B04", "B8A", "SCL"]),
    "kind": np.array([None, "a"], object),
    "x": np.arange(4.0),
    "n": np.arange(2, dtype="int32"),
}


@pytest.mark.parametrize("names", [("t", "bands", "x"), ("kind", "x"), ("n",), ()])
def test_they_are_those_of_xarray(names: tuple[str, ...]) -> None:
    values = np.random.default_rng(1).random([len(LABELS[name]) for name in names])
    expected = xr.DataArray(values, dims=names, coords={name: LABELS[name] for name in names}, attrs={"a": 1})
    _same(labelled(values, names, {name: LABELS[name] for name in names}, attrs={"a": 1}), expected)


def test_labels_of_another_array_are_taken_over() -> None:
    source = xr.DataArray(np.zeros((2, 3, 4)), dims=("t", "bands", "x"), coords={n: LABELS[n] for n in ("t", "bands")})
    values = da.zeros((4, 2, 3), chunks=2)
    expected = xr.DataArray(
        values, dims=("x", "t", "bands"), coords={"x": np.arange(4), "t": source["t"].values, "bands": ["a", "b", "c"]}
    )
    found = labelled(values, ("x", "t", "bands"), {"bands": np.array(["a", "b", "c"])}, source)
    _same(found, expected)
    found["t"].attrs["told"] = 1
    assert not source["t"].attrs
    xr.testing.assert_equal(found.sel(t="2025-05-02").drop_vars("t"), expected.isel(t=1, drop=True))


def test_labels_must_fit() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        labelled(np.zeros((2, 3)), ("t", "x"), {"t": LABELS["t"], "x": LABELS["x"]})


def test_what_is_known_of_a_cube_goes_with_its_grid() -> None:
    def made(step: float) -> xr.DataArray:
        return xr.DataArray(np.zeros((2, 4)), dims=("y", "x"), coords={"y": [20.0, 10.0], "x": np.arange(4) * step})

    dimensions = (Dimension("y", "spatial", "y"), Dimension("x", "spatial", "x"))
    cube = Cube(made(10), dimensions, crs=CRS("EPSG:32633"))
    assert cube.geobox is not None
    assert cube.patch(nodata=3).geobox is cube.geobox
    other = cube.patch(data=made(5))
    assert other.geobox is not None
    assert other.geobox.resolution.x == 5
    np.testing.assert_array_equal(other.labels("x"), [0, 5, 10, 15])
    assert cube.patch(crs=None).geobox is None


def test_an_axis_in_front() -> None:
    array = da.random.default_rng(1).random((5, 4), chunks=(2, 3))
    found = lifted(array)
    assert found.chunks == ((1,), *array.chunks)
    np.testing.assert_array_equal(found.compute(), array.compute()[None])


def _same(found: xr.DataArray, expected: xr.DataArray) -> Any:
    xr.testing.assert_identical(found, expected)
    for name in expected.dims:
        assert found[name].dtype == expected[name].dtype
        assert found.xindexes[name].equals(expected.xindexes[name])
