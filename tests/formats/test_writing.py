"""The entry to the writers, the registry, default formats, Zarr and previews."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from PIL import Image

from openeo_backend.cube import Cube
from openeo_backend.errors import OpenEOError
from openeo_backend.formats import zarr_
from openeo_backend.formats.preview import preview
from openeo_backend.formats.registry import FORMATS, find
from openeo_backend.formats.writing import default_format, write_result

Make = Callable[..., Cube]
RNG = np.random.default_rng(11)
ROOT = Path(__file__).resolve().parents[2]


def quiet(done: int, planned: int) -> None:
    """Progress that nobody watches."""


@pytest.mark.parametrize("name", ["GTiff", "gtiff", "GTIFF", "netCDF", "NetCDF", "netcdf", "PNG", "Json", "csv"])
def test_names_in_any_case(name: str) -> None:
    assert find(name).name.lower() == name.lower()


def test_unknown_formats_list_the_known_ones() -> None:
    with pytest.raises(OpenEOError, match="GTiff, netCDF") as error:
        find("COVJSON")
    assert error.value.code == "FormatUnsuitable"


def test_every_format_and_option_is_described_and_documented() -> None:
    page = (ROOT / "docs" / "formats.md").read_text()
    for format in FORMATS.values():
        assert format.title
        assert format.description
        assert set(format.gis_data_types) <= {"raster", "vector", "table", "other", "pointcloud"}
        section = page.split(f"## {format.name}\n")[1].split("\n## ")[0]
        for name, option in format.parameters.items():
            assert {"description", "default", "type"} <= set(option)
            assert f"`{name}`" in section, f"{format.name}: {name} is not documented"
        json.dumps(dict(format.parameters), allow_nan=False)


def test_the_options_of_the_federation_are_there() -> None:
    shared = {
        "tile_size", "ZLEVEL", "compression", "predictor", "overviews", "colormap", "filename_prefix",
        "separate_asset_per_band", "file_metadata", "bands_metadata",
    }  # fmt: skip
    assert shared <= set(find("GTiff").parameters)
    assert {"filename_prefix"} <= set(find("netCDF").parameters)


def test_unknown_options_are_warned_of(make_cube: Make, tmp_path: Path) -> None:
    said: list[str] = []
    options = {"tile_grid_of_mine": "x", "ZLEVEL": None}
    write_result(make_cube(np.zeros((2, 2)), "yx"), "GTiff", options, tmp_path, "a", quiet, said.append)
    assert len(said) == 1
    assert "tile_grid_of_mine" in said[0]


def test_black_pictures_are_warned_of(make_cube: Make, tmp_path: Path) -> None:
    warnings: list[str] = []
    index = make_cube(RNG.random((8, 8), "f4"), ["y", "x"])
    for options in ({}, {"scale": [0, 1]}):
        write_result(index, "PNG", options, tmp_path, "ndvi", quiet, warnings.append)
    bright = make_cube(RNG.random((8, 8), "f4") * 200, ["y", "x"])
    write_result(bright, "PNG", {}, tmp_path, "bright", quiet, warnings.append)
    write_result(index, "GTiff", {}, tmp_path, "ndvi", quiet, warnings.append)
    (warning,) = warnings
    assert "looks black" in warning
    assert "linear_scale_range" in warning


def test_names_stay_unique(make_cube: Make, tmp_path: Path) -> None:
    cube = make_cube(np.zeros((1, 2, 2)), "tyx")
    names = [
        write_result(cube, format, {}, tmp_path, "My title: 1", quiet)[0].path.name
        for format in ("GTiff", "GTiff", "netCDF", "Zarr", "Zarr")
    ]
    assert names == [
        "My-title-1_2020-01-01.tif",
        "My-title-1_2020-01-01-2.tif",
        "My-title-1.nc",
        "My-title-1.zarr.zip",
        "My-title-1-2.zarr.zip",
    ]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(names)


def test_empty_cubes(make_cube: Make, tmp_path: Path) -> None:
    with pytest.raises(OpenEOError, match="t: 0") as error:
        write_result(make_cube(np.zeros((0, 2, 2)), "tyx"), "GTiff", {}, tmp_path, "a", quiet)
    assert error.value.code == "DataCubeEmpty"


def test_default_formats(make_cube: Make, vector_cube: Cube) -> None:
    assert default_format(make_cube(np.zeros((1, 3, 2, 2)))) == "GTiff"
    assert default_format(make_cube(np.zeros((3, 2, 2)), "byx")) == "GTiff"
    assert default_format(make_cube(np.zeros((2, 3, 2, 2)))) == "netCDF"
    assert default_format(make_cube(np.zeros((2, 2, 2)), "zyx")) == "netCDF"
    assert default_format(vector_cube) == "JSON"
    assert [default_format(value) for value in (3, "a", None, [1], {})] == ["JSON"] * 5


def test_zarr(make_cube: Make, tmp_path: Path) -> None:
    values = RNG.normal(size=(3, 2, 300, 270)).astype("f4")
    values[RNG.random(values.shape) < 0.1] = np.nan
    cube = make_cube(values, chunks=(2, 1, 100, 270))
    (asset,) = write_result(cube, "zarr", {"compression_level": 3}, tmp_path, "a", quiet)
    assert asset.media_type == "application/zip"
    store = zarr.storage.ZipStore(asset.path, mode="r")
    group = zarr.open_group(store, mode="r")
    assert group["B03"].chunks == (3, 256, 256)
    assert group["B03"].metadata.zarr_format == 3
    np.testing.assert_array_equal(group["B03"][...], values[:, 1])
    with xr.open_dataset(store, engine="zarr", consolidated=False) as data:
        np.testing.assert_array_equal(data.t.values, cube.labels("t"))
        np.testing.assert_array_equal(data["B02"].values, values[:, 0])
    store.close()
    found = zarr_.read(asset.path)
    assert found.is_lazy
    assert (found.dimensions, found.crs, found.geobox) == (cube.dimensions, cube.crs, cube.geobox)
    np.testing.assert_array_equal(found.data.values, values)
    assert asset.bands[0].mean == pytest.approx(np.nanmean(values[:, 0].astype("f8")))


def test_zarr_of_integers_texts_and_features(make_cube: Make, vector_cube: Cube, tmp_path: Path) -> None:
    values = RNG.integers(0, 9, (2, 20, 30)).astype("i2")
    cube = make_cube(values, "tyx", nodata=4, times=np.array(["first", "last"]))
    (asset,) = write_result(cube, "Zarr", {}, tmp_path, "a", quiet)
    found = zarr_.read(asset.path)
    assert found.nodata == 4
    assert found.labels("t").tolist() == ["first", "last"]
    np.testing.assert_array_equal(found.data.values, values)
    (asset,) = write_result(vector_cube, "Zarr", {}, tmp_path, "v", quiet)
    found = zarr_.read(asset.path)
    np.testing.assert_array_equal(found.data.values, vector_cube.data.values)
    assert found.properties["crop"].tolist() == ["maize", "wheat", ""]


def test_preview_is_small_and_stretched(make_cube: Make, tmp_path: Path) -> None:
    values = np.linspace(0, 1000, 1100 * 600).reshape(1, 1100, 600).astype("f4")
    values[0, :200, :100] = np.nan
    (asset,) = write_result(make_cube(values, "byx"), "GTiff", {}, tmp_path, "a", quiet)
    with Image.open(io.BytesIO(preview(asset.path))) as picture:
        assert picture.mode == "LA"
        assert max(picture.size) == 512
        pixels = np.asarray(picture).astype("i4")
    assert pixels[20, 10, 1] == 0
    assert pixels[-1, -1].tolist() == [255, 255]
    middle = pixels[256, 140]
    assert middle[0] == pytest.approx(128, abs=16)


def test_preview_of_colours_and_of_three_bands(make_cube: Make, tmp_path: Path) -> None:
    options = {"colormap": {"1": [1, 0, 0, 1], "2": [0, 0, 1, 1]}}
    cube = make_cube(np.array([[1, 2]], "u1"), "yx")
    (asset,) = write_result(cube, "GTiff", options, tmp_path, "a", quiet)
    with Image.open(io.BytesIO(preview(asset.path))) as picture:
        assert np.asarray(picture).tolist() == [[[255, 0, 0, 255], [0, 0, 255, 255]]]
    values = RNG.integers(0, 4000, (5, 10, 10)).astype("u2")
    (asset,) = write_result(make_cube(values, "byx"), "GTiff", {}, tmp_path, "b", quiet)
    with Image.open(io.BytesIO(preview(asset.path))) as picture:
        assert (picture.mode, picture.size) == ("RGBA", (10, 10))


def test_media_types_are_those_that_qgis_compares() -> None:
    """Its plugin compares whole strings."""
    expected = {
        "GTiff": "image/tiff; application=geotiff; profile=cloud-optimized",
        "netCDF": "application/x-netcdf",
        "GeoJSON": "application/geo+json",
        "Parquet": "application/vnd.apache.parquet",
    }
    assert {name: find(name).media_type for name in expected} == expected
