"""netCDF files read back with netCDF4 and xarray."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import dask
import dask.array as da
import netCDF4
import numpy as np
import pytest
import xarray as xr

from openeo_backend.cube import Band, Cube, Dimension, blocks, chain, fusion
from openeo_backend.errors import OpenEOError
from openeo_backend.formats import layout, netcdf
from openeo_backend.formats.writing import write_result

Make = Callable[..., Cube]
RNG = np.random.default_rng(5)


def quiet(done: int, planned: int) -> None:
    """Progress that nobody watches."""


def read_raw(path: Path, name: str) -> np.ndarray:
    with netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        return file[name][...]


def test_a_variable_per_band(make_cube: Make, tmp_path: Path) -> None:
    values = RNG.normal(size=(19, 2, 301, 517)).astype("f4")
    values[RNG.random(values.shape) < 0.1] = np.nan
    cube = make_cube(values, chunks=((7, 12), 1, (100, 201), 300), known={"B03": Band(unit="K", common_name="green")})
    cube = cube.patch(
        data=cube.data.assign_coords(t=np.datetime64("2020-01-01", "ns") + np.arange(19) * np.timedelta64(1, "D"))
    )
    (asset,) = write_result(cube, "NetCDF", {}, tmp_path, "series", quiet)
    assert asset.path.name == "series.nc"
    assert asset.media_type == "application/x-netcdf"
    with netCDF4.Dataset(asset.path) as file:
        assert file.Conventions.startswith("CF-1.")
        assert set(file.variables) == {"t", "y", "x", "crs", "B02", "B03"}
        for index, name in enumerate(("B02", "B03")):
            variable = file[name]
            assert variable.dimensions == ("t", "y", "x")
            np.testing.assert_array_equal(np.ma.filled(variable[...], np.nan), values[:, index])
            assert variable.chunking() == [16, 256, 256]
            assert variable.filters()["zlib"]
            assert variable.filters()["shuffle"]
            assert variable.grid_mapping == "crs"
            assert np.isnan(variable._FillValue)
        assert file["B03"].units == "K"
        assert (file["x"].standard_name, file["x"].units, file["x"].axis) == ("projection_x_coordinate", "m", "X")
        assert file["t"].units == "days since 1970-01-01 00:00:00"
        assert file["crs"].grid_mapping_name == "transverse_mercator"
        assert [float(part) for part in file["crs"].GeoTransform.split()] == [600000, 10, 0, 5200000, 0, -10]
    with xr.open_dataset(asset.path, decode_coords="all") as data:
        np.testing.assert_array_equal(data.t.values, cube.labels("t"))
        np.testing.assert_array_equal(data.x.values, cube.labels("x"))
        assert data.rio.crs.to_epsg() == 32632
    good = values[:, 1][~np.isnan(values[:, 1])].astype("f8")
    band = asset.bands[1]
    assert (band.name, band.nodata, band.unit) == ("B03", "nan", "K")
    np.testing.assert_allclose(
        (band.minimum, band.maximum, band.mean, band.stddev),
        (good.min(), good.max(), good.mean(), good.std()),
        rtol=1e-9,
    )
    assert (asset.start, asset.end) == ("2020-01-01T00:00:00Z", "2020-01-19T00:00:00Z")
    assert asset.dimensions["t"]["extent"] == ["2020-01-01T00:00:00Z", "2020-01-19T00:00:00Z"]


def test_planes_of_windows_that_end_within_chunks(
    make_cube: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts of a plane are finished one by one; chunks that lie in several are joined."""
    monkeypatch.setattr(chain, "PLANES_BYTES", 1000)
    parts = list[tuple[slice, ...]]()
    finish = layout._Finish.__call__

    def note(self: layout._Finish, values: np.ndarray, place: tuple[slice, ...]) -> layout.Part:
        parts.append(place)
        return finish(self, values, place)

    monkeypatch.setattr(layout._Finish, "__call__", note)
    values = RNG.integers(0, 9999, (2, 3, 800, 700)).astype("i2")

    def fill(place: tuple[slice, ...], out: np.ndarray) -> None:
        out[...] = values[place]

    cube = make_cube(values, chunks=-1)
    loaded = fusion.filled("load", ((2,), (3,), (600, 200), (300, 400)), np.dtype("i2"), fill)
    negative = blocks.apply(cube.patch(data=cube.data.copy(data=loaded)), lambda x: -x)
    with dask.config.set({"openeo.memory-mb": 356}):  # so that windows are single blocks
        (asset,) = write_result(negative, "netCDF", {}, tmp_path, "planes", quiet)
    for band, name in enumerate(("B02", "B03", "B04")):
        np.testing.assert_array_equal(read_raw(asset.path, name), -values[:, band])
    rows = {(place[-2].start, place[-2].stop) for place in parts}
    assert rows == {(0, 256), (256, 512), (512, 600), (600, 800)}


def test_gdal_finds_grid_and_reference_system(make_cube: Make, tmp_path: Path) -> None:
    (asset,) = write_result(make_cube(np.ones((1, 9, 8), "f4"), "byx"), "netCDF", {}, tmp_path, "a", quiet)
    with netCDF4.Dataset(asset.path) as file:
        assert "32632" in file["crs"].spatial_ref
        assert file["crs"].crs_wkt == file["crs"].spatial_ref


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "i8", "f8", "?"])
def test_round_trip(dtype: str, make_cube: Make, tmp_path: Path) -> None:
    values = RNG.integers(0, 2 if dtype == "?" else 90, (2, 3, 40, 30)).astype(dtype)
    known = {"B02": Band(scale=0.001, offset=1.5, unit="m", wavelength=0.49)}
    cube = make_cube(values, nodata=5 if dtype[0] in "ui" else None, known=known, ascending=True)
    (asset,) = write_result(cube, "netcdf", {}, tmp_path, "a", quiet)
    found = netcdf.read(asset.path)
    assert found.is_lazy
    assert (found.dimensions, found.crs, found.nodata, found.bands) == (
        cube.dimensions, cube.crs, cube.nodata, cube.bands,
    )  # fmt: skip
    assert found.geobox == cube.geobox
    assert found.data.dtype == values.dtype
    np.testing.assert_array_equal(found.data.values, values)
    for name in ("t", "bands", "y", "x"):
        np.testing.assert_array_equal(found.labels(name), cube.labels(name))


def test_without_bands_the_variable_is_var(make_cube: Make, tmp_path: Path) -> None:
    values = RNG.integers(0, 9, (2, 4, 5)).astype("i2")
    (asset,) = write_result(make_cube(values, "tyx"), "netCDF", {}, tmp_path, "a", quiet)
    np.testing.assert_array_equal(read_raw(asset.path, "var"), values)
    found = netcdf.read(asset.path)
    assert found.names == ("t", "y", "x")


def test_text_labels_stay_text(make_cube: Make, tmp_path: Path) -> None:
    cube = make_cube(RNG.random((2, 2, 4, 5)), times=np.array(["first_date", "other"]))
    (asset,) = write_result(cube, "netCDF", {}, tmp_path, "a", quiet)
    with xr.open_dataset(asset.path) as data:
        assert data.t.values.tolist() == ["first_date", "other"]
    assert netcdf.read(asset.path).dimension("t").type == "temporal"


def test_other_dimensions_and_awkward_band_names(make_cube: Make, tmp_path: Path) -> None:
    values = RNG.random((3, 2, 2, 4, 5))
    cube = make_cube(values, "bztyx", bands=["x", "B 1/2", "crs"])
    (asset,) = write_result(cube, "netCDF", {}, tmp_path, "a", quiet)
    np.testing.assert_array_equal(read_raw(asset.path, "band_x"), values[0])
    np.testing.assert_array_equal(read_raw(asset.path, "B 1_2"), values[1])
    found = netcdf.read(asset.path)
    assert found.labels("bands").tolist() == ["x", "B 1/2", "crs"]
    np.testing.assert_array_equal(found.data.values, values)


def test_instants_within_a_day(make_cube: Make, tmp_path: Path) -> None:
    times = np.array(["2020-01-01T06:00:01", "2020-01-02T00:00:00.5"], "datetime64[ns]")
    cube = make_cube(RNG.random((2, 2, 2)), "tyx", times=times)
    (asset,) = write_result(cube, "netCDF", {}, tmp_path, "a", quiet)
    with xr.open_dataset(asset.path) as data:
        np.testing.assert_array_equal(data.t.values, times)


def test_without_x_and_y(tmp_path: Path) -> None:
    values = RNG.random((2000, 2))
    times = np.datetime64("2020-01-01", "ns") + np.arange(2000) * np.timedelta64(1, "D")
    data = xr.DataArray(
        da.from_array(values, chunks=(900, 1)), dims=("t", "bands"), coords={"t": times, "bands": ["a", "b"]}
    )
    cube = Cube(data, (Dimension("t", "temporal"), Dimension("bands", "bands")))
    (asset,) = write_result(cube, "netCDF", {}, tmp_path, "a", quiet)
    np.testing.assert_array_equal(read_raw(asset.path, "b"), values[:, 1])
    np.testing.assert_array_equal(netcdf.read(asset.path).data.values, values)


def test_packing_is_undone_by_readers(make_cube: Make, tmp_path: Path) -> None:
    values = np.array([[0.5, np.nan, 0.25]], "f4")
    options = {"dtype": "int16", "scale": 0.01, "offset": 0.25, "nodata": -1}
    (asset,) = write_result(make_cube(values, "yx"), "netCDF", options, tmp_path, "a", quiet)
    assert read_raw(asset.path, "var").tolist() == [[25, -1, 0]]
    with xr.open_dataset(asset.path) as data:
        np.testing.assert_allclose(data["var"].values, values, atol=1e-6)
    np.testing.assert_allclose(netcdf.read(asset.path).data.values, values, atol=1e-6)


def test_a_file_per_band(make_cube: Make, tmp_path: Path) -> None:
    values = RNG.random((2, 2, 4, 5))
    options = {"separate_asset_per_band": True, "filename_prefix": "p", "compression_level": 9}
    assets = write_result(make_cube(values), "netCDF", options, tmp_path, "a", quiet)
    assert [a.path.name for a in assets] == ["p_B02.nc", "p_B03.nc"]
    np.testing.assert_array_equal(read_raw(assets[1].path, "B03"), values[:, 1])


def test_vector_cubes(vector_cube: Cube, tmp_path: Path) -> None:
    (asset,) = write_result(vector_cube, "netCDF", {}, tmp_path, "a", quiet)
    expected = vector_cube.data.values
    with netCDF4.Dataset(asset.path) as file:
        assert file["B08"].dimensions == ("geometry", "t")
        np.testing.assert_array_equal(np.ma.filled(file["B08"][...], np.nan), expected[:, :, 1])
        assert file["property_crop"][:].tolist() == ["maize", "wheat", ""]
        assert file["geometry_wkt"][2] == "POINT (600500 5199500)"
    found = netcdf.read(asset.path)
    np.testing.assert_array_equal(found.data.values, expected)
    assert list(found.labels("geometry")) == list(vector_cube.labels("geometry"))
    assert found.crs == vector_cube.crs
    assert found.properties["area"].tolist() == [1, 2, 3]


def test_foreign_files_are_read_by_cf(tmp_path: Path) -> None:
    data = xr.Dataset(
        {
            "tas": (("time", "lat", "lon"), RNG.random((2, 3, 4)).astype("f4"), {"units": "K"}),
            "pr": (("time", "lat", "lon"), RNG.random((2, 3, 4)).astype("f4")),
            "height": ((), 2.0),
        },
        coords={
            "time": np.array(["2020-01-01", "2020-01-02"], "datetime64[ns]"),
            "lat": ("lat", [1.0, 2.0, 3.0], {"units": "degrees_north", "standard_name": "latitude"}),
            "lon": ("lon", [5.0, 6.0, 7.0, 8.0], {"units": "degrees_east", "standard_name": "longitude"}),
        },
    )
    data.to_netcdf(tmp_path / "era.nc", encoding={"tas": {"dtype": "i2", "scale_factor": 1e-4, "_FillValue": -1}})
    cube = netcdf.read(tmp_path / "era.nc")
    assert [(d.name, d.type, d.axis) for d in cube.dimensions] == [
        ("bands", "bands", None), ("time", "temporal", None), ("lat", "spatial", "y"), ("lon", "spatial", "x"),
    ]  # fmt: skip
    assert cube.crs.epsg == 4326
    assert cube.labels("time").dtype.kind == "M"
    np.testing.assert_allclose(cube.data.sel(bands="tas").values, data.tas.values, atol=1e-4)


def test_dimension_metadata_is_kept(make_cube: Make, tmp_path: Path) -> None:
    (asset,) = write_result(make_cube(RNG.random((1, 2, 1, 1))), "netCDF", {}, tmp_path, "a", quiet)
    with netCDF4.Dataset(asset.path) as file:
        known = json.loads(file.openeo_cube)
    assert [(d["name"], d["type"]) for d in known["dimensions"]] == [
        ("t", "temporal"), ("bands", "bands"), ("y", "spatial"), ("x", "spatial"),
    ]  # fmt: skip
    assert netcdf.read(asset.path).geobox.resolution.x == 10


def test_values_that_are_no_cube(tmp_path: Path) -> None:
    with pytest.raises(OpenEOError) as error:
        write_result([1, 2], "netCDF", {}, tmp_path, "a", quiet)
    assert error.value.code == "FormatUnsuitable"
