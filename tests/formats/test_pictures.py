"""PNG and JPEG pictures read back with Pillow and rasterio."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from openeo_backend.cube import Cube
from openeo_backend.errors import OpenEOError
from openeo_backend.formats.writing import write_result

Make = Callable[..., Cube]
RNG = np.random.default_rng(7)


def quiet(done: int, planned: int) -> None:
    """Progress that nobody watches."""


def opened(path: Path) -> tuple[str, np.ndarray]:
    with Image.open(path) as picture:
        picture.load()
        return picture.mode, np.asarray(picture)


def test_one_band_of_bytes_is_grey(make_cube: Make, tmp_path: Path) -> None:
    values = RNG.integers(0, 256, (1, 33, 51)).astype("u1")
    (asset,) = write_result(make_cube(values, "byx", chunks=(1, 10, 20)), "png", {}, tmp_path, "a", quiet)
    mode, pixels = opened(asset.path)
    assert (mode, asset.media_type, asset.path.name) == ("L", "image/png", "a.png")
    np.testing.assert_array_equal(pixels, values[0])
    assert asset.bands[0].mean == pytest.approx(values.mean())


def test_three_bands_are_colours_and_numbers_are_clipped(make_cube: Make, tmp_path: Path) -> None:
    values = RNG.uniform(-50, 300, (3, 20, 30)).astype("f4")
    (asset,) = write_result(make_cube(values, "byx"), "PNG", {}, tmp_path, "a", quiet)
    mode, pixels = opened(asset.path)
    assert mode == "RGB"
    np.testing.assert_array_equal(pixels, np.clip(np.rint(values), 0, 255).astype("u1").transpose(1, 2, 0))


def test_missing_pixels_are_transparent(make_cube: Make, tmp_path: Path) -> None:
    values = RNG.uniform(0, 255, (3, 2000, 30)).astype("f4")
    values[:, 1500, 4] = np.nan
    values[0, 3, 3] = np.nan
    (asset,) = write_result(make_cube(values, "byx", chunks=(3, 700, 30)), "PNG", {}, tmp_path, "a", quiet)
    mode, pixels = opened(asset.path)
    assert mode == "RGBA"
    assert np.argwhere(pixels[..., 3] == 0).tolist() == [[1500, 4]]
    assert pixels[3, 3, 0] == 0
    np.testing.assert_array_equal(pixels[..., 1], np.rint(np.nan_to_num(values[1])).astype("u1"))


def test_nodata_of_integers(make_cube: Make, tmp_path: Path) -> None:
    (asset,) = write_result(make_cube(np.array([[0, 9]], "u1"), "yx", nodata=9), "PNG", {}, tmp_path, "a", quiet)
    mode, pixels = opened(asset.path)
    assert (mode, pixels[..., 1].tolist()) == ("LA", [[255, 0]])


def test_integers_of_16_bits(make_cube: Make, tmp_path: Path) -> None:
    values = RNG.integers(0, 60000, (1, 12, 13)).astype("i4")
    values[0, 0, :2] = -5, 70000
    (asset,) = write_result(make_cube(values, "byx"), "PNG", {}, tmp_path, "a", quiet)
    mode, pixels = opened(asset.path)
    assert mode == "I;16"
    np.testing.assert_array_equal(pixels, np.clip(values[0], 0, 65535))


def test_scale_maps_a_range_to_bytes(make_cube: Make, tmp_path: Path) -> None:
    values = np.array([[-0.2, 0.0, 0.5, 1.0, 1.3]], "f4")
    (asset,) = write_result(make_cube(values, "yx"), "PNG", {"scale": [0, 1]}, tmp_path, "a", quiet)
    assert opened(asset.path)[1].tolist() == [[0, 0, 128, 255, 255]]


def test_colours(make_cube: Make, tmp_path: Path) -> None:
    values = np.array([[0, 1, 2]], "u1")
    options = {"colormap": {"0": [1, 0, 0, 1], "1": 0x00FF00FF}}
    (asset,) = write_result(make_cube(values, "yx"), "PNG", options, tmp_path, "a", quiet)
    assert opened(asset.path)[1].tolist() == [[[255, 0, 0, 255], [0, 255, 0, 255], [0, 0, 0, 0]]]


def test_a_picture_per_date(make_cube: Make, tmp_path: Path) -> None:
    values = RNG.integers(0, 256, (3, 4, 5, 6)).astype("u1")
    assets = write_result(make_cube(values, chunks=(2, 1, 5, 3)), "PNG", {}, tmp_path, "a", quiet)
    assert [a.path.name for a in assets] == ["a_2020-01-01.png", "a_2020-01-11.png", "a_2020-01-21.png"]
    for asset, expected in zip(assets, values, strict=True):
        mode, pixels = opened(asset.path)
        assert mode == "RGBA"
        np.testing.assert_array_equal(pixels, expected.transpose(1, 2, 0))


def test_jpeg(make_cube: Make, tmp_path: Path) -> None:
    values = np.repeat(np.linspace(0, 255, 64).astype("f4")[None, None], 64, axis=1).repeat(3, axis=0)
    (asset,) = write_result(make_cube(values, "byx"), "jpeg", {"quality": 95}, tmp_path, "a", quiet)
    mode, pixels = opened(asset.path)
    assert (mode, asset.path.name, asset.media_type) == ("RGB", "a.jpg", "image/jpeg")
    assert np.abs(pixels.astype("f4") - values.transpose(1, 2, 0)).max() < 6


@pytest.mark.parametrize(("bands", "format"), [(2, "PNG"), (5, "PNG"), (4, "JPEG")])
def test_other_numbers_of_bands_are_refused(bands: int, format: str, make_cube: Make, tmp_path: Path) -> None:
    with pytest.raises(OpenEOError, match=f"have {bands}") as error:
        write_result(make_cube(np.zeros((bands, 2, 2)), "byx"), format, {}, tmp_path, "a", quiet)
    assert error.value.code == "FormatUnsuitable"
