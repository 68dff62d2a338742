"""GeoTIFF files read back with rasterio."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from openeo_backend.cube import Band, Cube
from openeo_backend.errors import OpenEOError
from openeo_backend.formats import gtiff, tiff
from openeo_backend.formats.writing import write_result

Make = Callable[..., Cube]
RNG = np.random.default_rng(3)


def quiet(done: int, planned: int) -> None:
    """Progress that nobody watches."""


def halve(values: np.ndarray) -> np.ndarray:
    """Mean of the valid ones of each 2 x 2 pixels, plain numpy."""
    padded = np.pad(
        values.astype("f8"), [(0, 0), (0, values.shape[1] % 2), (0, values.shape[2] % 2)], constant_values=np.nan
    )
    parts = [padded[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmean(parts, axis=0)


def check_cog(path: Path) -> None:
    """The rules of a Cloud Optimized GeoTIFF, by the offsets of directories and tiles."""
    with rasterio.open(path) as source:
        assert source.profile["tiled"]
        assert source.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        levels = source.overviews(1)
        if max(source.shape) > 512:
            assert levels == [2 ** (i + 1) for i in range(len(levels))]
            assert max(source.shape) / levels[-1] <= 512

        def item(name: str, level: int) -> int:
            ovr = {} if level < 0 else {"ovr": level}
            return int(source.get_tag_item(name, "TIFF", bidx=1, **ovr))

        order = range(-1, len(levels))
        directories = [item("IFD_OFFSET", level) for level in order]
        tiles = [item("BLOCK_OFFSET_0_0", level) for level in order]
    assert directories[0] < 300
    assert directories == sorted(directories)
    assert tiles == sorted(tiles, reverse=True)
    assert min(tiles) > max(directories)


def test_pixels_overviews_and_statistics(make_cube: Make, tmp_path: Path) -> None:
    values = RNG.normal(size=(2, 3, 701, 1033)).astype("f4")
    values[RNG.random(values.shape) < 0.2] = np.nan
    cube = make_cube(values, chunks=((1, 1), 3, (100, 601), (500, 533)))
    assets = write_result(cube, "gtiff", {}, tmp_path, "ndvi", quiet)
    assert [a.path.name for a in assets] == ["ndvi_2020-01-01.tif", "ndvi_2020-01-11.tif"]
    assert sorted(p.name for p in tmp_path.iterdir()) == [a.path.name for a in assets]
    for asset, expected in zip(assets, values, strict=True):
        check_cog(asset.path)
        with rasterio.open(asset.path) as source:
            np.testing.assert_array_equal(source.read(), expected)
            assert source.descriptions == ("B02", "B03", "B04")
            assert source.crs.to_epsg() == 32632
            assert source.transform == Affine(10, 0, 600000, 0, -10, 5200000)
            assert np.isnan(source.nodata)
            assert source.colorinterp[0] == rasterio.enums.ColorInterp.gray
            for i, band in enumerate(asset.bands):
                good = expected[i][~np.isnan(expected[i])].astype("f8")
                tags = source.tags(i + 1)
                wanted = (good.min(), good.max(), good.mean(), good.std())
                stated = [float(tags[f"STATISTICS_{n}"]) for n in ("MINIMUM", "MAXIMUM", "MEAN", "STDDEV")]
                np.testing.assert_allclose(stated, wanted, rtol=1e-9)
                np.testing.assert_allclose((band.minimum, band.maximum, band.mean, band.stddev), wanted, rtol=1e-9)
                assert band.valid_percent == pytest.approx(100 * good.size / expected[i].size)
                assert float(tags["STATISTICS_VALID_PERCENT"]) == pytest.approx(band.valid_percent, rel=1e-3)
                assert band.nodata == "nan"
        with rasterio.open(asset.path, overview_level=0) as source:
            np.testing.assert_allclose(source.read(), halve(expected), rtol=1e-5, atol=1e-6)
        with rasterio.open(asset.path, overview_level=1) as source:
            assert source.shape == (176, 259)
            np.testing.assert_allclose(source.read(), halve(halve(expected).astype("f4")), rtol=1e-5, atol=1e-6)
    assert assets[0].start == assets[0].end == "2020-01-01T00:00:00Z"
    assert assets[0].media_type == "image/tiff; application=geotiff; profile=cloud-optimized"
    assert assets[0].dimensions["t"]["values"] == ["2020-01-01T00:00:00Z"]
    assert assets[0].dimensions["bands"] == {"type": "bands", "values": ["B02", "B03", "B04"]}
    assert assets[0].geobox.shape == (701, 1033)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
@pytest.mark.parametrize("compression", ["deflate", "zstd"])
def test_every_type_keeps_its_values(dtype: str, compression: str, make_cube: Make, tmp_path: Path) -> None:
    values = RNG.integers(0, 100, (1, 40, 55)).astype(dtype)
    values[0, 0, :2] = (np.iinfo(dtype).min, np.iinfo(dtype).max) if dtype[0] != "f" else (-1e30, np.inf)
    nodata = 7 if dtype[0] != "f" else None
    (asset,) = write_result(
        make_cube(values, "byx", nodata=nodata), "GTiff", {"compression": compression}, tmp_path, "a", quiet
    )
    assert asset.path.name == "a.tif"
    with rasterio.open(asset.path) as source:
        assert source.dtypes == (np.dtype(dtype).name,)
        np.testing.assert_array_equal(source.read(), values)
        assert source.overviews(1) == []
        if nodata is not None:
            assert source.nodata == nodata
            good = values[values != nodata].astype("f8")
            assert float(source.tags(1)["STATISTICS_MEAN"]) == pytest.approx(good.mean(), rel=1e-9)


def test_booleans_become_bytes(make_cube: Make, tmp_path: Path) -> None:
    values = RNG.random((5, 6)) > 0.5
    (asset,) = write_result(make_cube(values, "yx"), "GTiff", None, tmp_path, "mask", quiet)
    with rasterio.open(asset.path) as source:
        assert source.dtypes == ("uint8",)
        assert source.nodata is None
        np.testing.assert_array_equal(source.read(1), values.astype("u1"))


def test_integer_overviews_take_pixels_that_exist(make_cube: Make, tmp_path: Path) -> None:
    values = RNG.choice(np.array([1, 50, 200], "u1"), (1, 600, 530))
    (asset,) = write_result(make_cube(values, "byx", chunks=(1, 77, 530)), "GTiff", {}, tmp_path, "scl", quiet)
    check_cog(asset.path)
    with rasterio.open(asset.path, overview_level=0) as source:
        np.testing.assert_array_equal(source.read(), values[:, ::2, ::2])


def test_averaged_integer_overviews_leave_nodata_out(make_cube: Make, tmp_path: Path) -> None:
    values = RNG.integers(1, 1000, (1, 600, 600)).astype("u2")
    values[0, :300] = 0
    values[0, 1, 1] = 40
    cube = make_cube(values, "byx", nodata=0)
    (asset,) = write_result(cube, "GTiff", {"overview_method": "average"}, tmp_path, "a", quiet)
    with rasterio.open(asset.path, overview_level=0) as source:
        found = source.read()
    expected = halve(np.where(values == 0, np.nan, values.astype("f8")))
    np.testing.assert_array_equal(found, np.nan_to_num(np.rint(expected), nan=0))
    assert found[0, 0, 0] == 40


def test_ascending_y_is_turned_north_up(make_cube: Make, tmp_path: Path) -> None:
    values = RNG.random((1, 7, 5)).astype("f4")
    (asset,) = write_result(make_cube(values, "byx", ascending=True), "GTiff", {}, tmp_path, "a", quiet)
    with rasterio.open(asset.path) as source:
        assert source.transform.e == -10
        np.testing.assert_array_equal(source.read(), values[:, ::-1])


def test_single_pixel(make_cube: Make, tmp_path: Path) -> None:
    cube = make_cube(np.array([[[[4.5]]]], "f4"))
    (asset,) = write_result(cube, "GTiff", {}, tmp_path, "a", quiet)
    with rasterio.open(asset.path) as source:
        assert source.read().tolist() == [[[4.5]]]
        assert source.transform == Affine(10, 0, 600000, 0, -10, 5200000)
        assert float(source.tags(1)["STATISTICS_STDDEV"]) == 0


def test_all_missing_has_no_figures(make_cube: Make, tmp_path: Path) -> None:
    (asset,) = write_result(make_cube(np.full((1, 3, 3), np.nan), "byx"), "GTiff", {}, tmp_path, "a", quiet)
    assert asset.bands[0].minimum is None
    assert asset.bands[0].valid_percent == 0
    with rasterio.open(asset.path) as source:
        assert "STATISTICS_MINIMUM" not in source.tags(1)


def test_many_bands_and_other_dimensions_become_bands(make_cube: Make, tmp_path: Path) -> None:
    values = RNG.integers(0, 9, (2, 60, 8, 9)).astype("i2")
    (asset,) = write_result(make_cube(values, "zbyx", chunks=(1, 7, 8, 4)), "GTiff", {}, tmp_path, "a", quiet)
    with rasterio.open(asset.path) as source:
        assert source.count == 120
        assert source.descriptions[0] == "low_B02"
        assert source.descriptions[60] == "high_B02"
        np.testing.assert_array_equal(source.read(), values.reshape(120, 8, 9))


def test_axes_in_another_order(make_cube: Make, tmp_path: Path) -> None:
    values = RNG.random((6, 5, 2, 3)).astype("f4")
    assets = write_result(make_cube(values, "xybt", chunks=(3, 5, 1, 2)), "GTiff", {}, tmp_path, "a", quiet)
    for index, asset in enumerate(assets):
        with rasterio.open(asset.path) as source:
            np.testing.assert_array_equal(source.read(), values[..., index].transpose(2, 1, 0))


def test_names_of_times_within_a_day_and_of_texts(make_cube: Make, tmp_path: Path) -> None:
    values = np.zeros((2, 1, 2, 2), "u1")
    hours = np.array(["2020-01-01T06:00", "2020-01-01T18:30"], "datetime64[ns]")
    assets = write_result(make_cube(values, times=hours), "GTiff", {}, tmp_path, "a", quiet)
    assert [a.path.name for a in assets] == ["a_2020-01-01T060000Z.tif", "a_2020-01-01T183000Z.tif"]
    seasons = np.array(["djf", "mam/jja"])
    assets = write_result(make_cube(values, times=seasons), "GTiff", {}, tmp_path, "b", quiet)
    assert [a.path.name for a in assets] == ["b_djf.tif", "b_mam-jja.tif"]
    assert assets[0].start is None


def test_options(make_cube: Make, tmp_path: Path) -> None:
    values = RNG.integers(0, 4, (1, 2, 300, 300)).astype("u1")
    options = {
        "separate_asset_per_band": True,
        "filename_prefix": "My prefix",
        "tile_size": 128,
        "overviews": "OFF",
        "colormap": {"0": [1, 0, 0, 1], "3": 0x00FF0080},
        "file_metadata": {"project": "WEED"},
        "bands_metadata": {"B03": {"meaning": "green"}},
        "zlevel": 9,
    }
    assets = write_result(make_cube(values), "GTIFF", options, tmp_path, "a", quiet)
    assert [a.path.name for a in assets] == ["My-prefix_2020-01-01_B02.tif", "My-prefix_2020-01-01_B03.tif"]
    with rasterio.open(assets[1].path) as source:
        np.testing.assert_array_equal(source.read(1), values[0, 1])
        assert source.block_shapes == [(128, 128)]
        assert source.overviews(1) == []
        assert source.tags()["project"] == "WEED"
        assert source.tags(1)["meaning"] == "green"
        assert source.colormap(1)[0] == (255, 0, 0, 255)
        assert source.colormap(1)[3][:3] == (0, 255, 0)
    assert [band.name for band in assets[1].bands] == ["B03"]


def test_packing_rounds_clips_and_keeps_nodata(make_cube: Make, tmp_path: Path) -> None:
    values = np.array([[[0.12344, 0.5, np.nan, 9.0, -1.0]]], "f4")
    options = {"dtype": "int16", "scale": 0.0005, "offset": 0.1, "nodata": -9999}
    (asset,) = write_result(make_cube(values, "byx"), "GTiff", options, tmp_path, "a", quiet)
    with rasterio.open(asset.path) as source:
        assert source.read(1).tolist() == [[47, 800, -9999, 17800, -2200]]
        assert source.scales == (0.0005,)
        assert source.offsets == (0.1,)
    options = {"dtype": "uint8"}
    (asset,) = write_result(make_cube(values * 100, "byx"), "GTiff", options, tmp_path, "b", quiet)
    with rasterio.open(asset.path) as source:
        assert source.read(1).tolist() == [[12, 50, 255, 255, 0]]
        assert source.nodata == 255


def test_published_scale_is_noted_not_applied(make_cube: Make, tmp_path: Path) -> None:
    known = {"B02": Band(scale=0.0001, offset=-0.1, unit="1", common_name="blue")}
    (asset,) = write_result(
        make_cube(np.array([[[1234]]], "u2"), "byx", known=known), "GTiff", {}, tmp_path, "a", quiet
    )
    with rasterio.open(asset.path) as source:
        assert source.read().tolist() == [[[1234]]]
        assert (source.scales, source.offsets, source.units) == ((0.0001,), (-0.1,), ("1",))
    assert (asset.bands[0].scale, asset.bands[0].common_name) == (0.0001, "blue")


def test_true_colours_are_marked(make_cube: Make, tmp_path: Path) -> None:
    values = RNG.integers(0, 255, (3, 20, 20)).astype("u1")
    (asset,) = write_result(make_cube(values, "byx", bands=["red", "green", "blue"]), "GTiff", {}, tmp_path, "a", quiet)
    with rasterio.open(asset.path) as source:
        assert [c.name for c in source.colorinterp] == ["red", "green", "blue"]
        np.testing.assert_array_equal(source.read(), values)
    (asset,) = write_result(make_cube(values, "byx"), "GTiff", {}, tmp_path, "b", quiet)
    with rasterio.open(asset.path) as source:
        assert [c.name for c in source.colorinterp] == ["gray", "undefined", "undefined"]


def test_big_files_are_bigtiff(make_cube: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff, "BIG", 1000)
    values = RNG.normal(size=(2, 700, 600)).astype("f4")
    (asset,) = write_result(make_cube(values, "byx"), "GTiff", {}, tmp_path, "a", quiet)
    assert struct.unpack("<2sH", asset.path.read_bytes()[:4]) == (b"II", 43)
    check_cog(asset.path)
    with rasterio.open(asset.path) as source:
        np.testing.assert_array_equal(source.read(), values)


def test_without_reference_system(make_cube: Make, tmp_path: Path) -> None:
    (asset,) = write_result(make_cube(np.ones((3, 4)), "yx", crs=None), "GTiff", {}, tmp_path, "a", quiet)
    assert asset.bbox is None
    with rasterio.open(asset.path) as source:
        assert source.crs is None
        assert source.transform.a == 10


def test_bbox_in_degrees(make_cube: Make, tmp_path: Path) -> None:
    cube = make_cube(np.ones((100, 100), "u1"), "yx", crs="EPSG:4326", step=0.01, origin=(5.0, 51.0))
    (asset,) = write_result(cube, "GTiff", {}, tmp_path, "a", quiet)
    assert asset.bbox == pytest.approx((5, 50, 6, 51))


def test_a_file_per_cell_of_a_grid(make_cube: Make, tmp_path: Path) -> None:
    values = RNG.random((1, 30, 50)).astype("f4")
    cube = make_cube(values, "byx", chunks=(1, 9, 11), step=1000.0, origin=(591000.0, 5212000.0))
    assets = write_result(cube, "GTiff", {"tile_grid": "utm-20km"}, tmp_path, "a", quiet)
    assert [a.path.name for a in assets] == [
        f"a_32N-{east}-{north}.tif" for north in (5200, 5180) for east in (580, 600, 620, 640)
    ]
    for asset in assets:
        with rasterio.open(asset.path) as source:
            box = source.bounds
            left, top = round((box.left - 591000) / 1000), round((5212000 - box.top) / 1000)
            expected = values[:, top : top + source.height, left : left + source.width]
            np.testing.assert_array_equal(source.read(), expected)
            assert float(source.tags(1)["STATISTICS_MEAN"]) == pytest.approx(expected.mean(), rel=1e-6)
            assert box.left // 20000 == (box.right - 1) // 20000
        assert asset.dimensions["x"]["extent"] == [box.left, box.right]
    assert sum(a.geobox.shape[0] * a.geobox.shape[1] for a in assets) == 1500
    degrees = make_cube(np.ones((20, 20), "u1"), "yx", crs="EPSG:4326", step=0.1, origin=(-0.5, 1.0))
    assets = write_result(degrees, "GTiff", {"tile_grid": "wgs84-1degree"}, tmp_path, "b", quiet)
    assert [a.path.name[2:9] for a in assets] == ["N00W001", "N00E000", "N00E001", "S01W001", "S01E000", "S01E001"]


def test_a_name_per_band(make_cube: Make, tmp_path: Path) -> None:
    values = RNG.random((1, 2, 3, 4)).astype("f4")
    assets = write_result(make_cube(values), "GTiff", {"filepath_per_band": ["b.tif", "g"]}, tmp_path, "a", quiet)
    assert [a.path.name for a in assets] == ["b_2020-01-01.tif", "g_2020-01-01.tif"]
    with rasterio.open(assets[1].path) as source:
        np.testing.assert_array_equal(source.read(), values[0, 1:])


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"tile_size": 100}, "ProcessParameterInvalid"),
        ({"compression": "lzma"}, "ProcessParameterInvalid"),
        ({"predictor": 3}, "ProcessParameterInvalid"),
        ({"nodata": 300}, "ProcessParameterInvalid"),
        ({"filepath_per_band": ["a"]}, "ProcessParameterInvalid"),
        ({"filepath_per_band": ["a/b", "c"]}, "ProcessParameterInvalid"),
        ({"sample_by_feature": True}, "FeatureUnsupported"),
        ({"colormap": {"0": [1, 1, 1, 1]}}, "FormatUnsuitable"),
    ],
)
def test_refused_options(options: dict, code: str, make_cube: Make, tmp_path: Path) -> None:
    with pytest.raises(OpenEOError) as error:
        write_result(make_cube(np.zeros((2, 3, 3), "u1"), "byx"), "GTiff", options, tmp_path, "a", quiet)
    assert error.value.code == code
    assert not list(tmp_path.iterdir())


def test_irregular_axes_are_refused(make_cube: Make, tmp_path: Path) -> None:
    cube = make_cube(np.zeros((3, 3)), "yx")
    cube = cube.patch(data=cube.data.assign_coords(x=[0.0, 1.0, 5.0]))
    with pytest.raises(OpenEOError, match="netCDF") as error:
        write_result(cube, "GTiff", {}, tmp_path, "a", quiet)
    assert error.value.code == "FormatUnsuitable"


def test_reading_gives_the_same_cube(make_cube: Make, tmp_path: Path) -> None:
    values = RNG.integers(0, 99, (1, 2, 600, 40)).astype("u2")
    known = {"B02": Band(scale=0.5, unit="m")}
    cube = make_cube(values, nodata=3, known=known)
    (asset,) = write_result(cube, "GTiff", {}, tmp_path, "a", quiet)
    found = gtiff.read(asset.path)
    assert found.is_lazy
    assert found.dimensions == cube.dimensions
    assert (found.nodata, found.crs, found.geobox) == (3, cube.crs, cube.geobox)
    assert found.bands["B02"] == known["B02"]
    assert found.labels("t") == cube.labels("t")
    np.testing.assert_array_equal(found.data.values, values)
