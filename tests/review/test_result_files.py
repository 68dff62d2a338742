"""What files of results say about themselves."""

from __future__ import annotations

import io
from pathlib import Path

import h5py
import netCDF4
import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image
from rasterio.io import MemoryFile

from openeo_backend.errors import OpenEOError
from openeo_backend.federation.review.computed import band
from openeo_backend.federation.review.rasters import read_netcdf, read_picture, read_tiff


def tiff(size: int, driver: str = "GTiff", **options: object) -> bytes:
    with MemoryFile() as memory:
        with memory.open(
            driver=driver, width=size, height=size, count=2, dtype="uint8", crs="EPSG:32632",
            transform=Affine(10, 0, 500_000, 0, -10, 5_400_000), **options,
        ) as file:  # fmt: skip
            file.write(np.random.default_rng(1).integers(0, 255, (2, size, size)).astype("uint8"))
        return memory.read()


def test_a_small_file_needs_neither_tiles_nor_overviews() -> None:
    found = read_tiff(tiff(100))
    assert (found.width, found.count, found.crs, found.problems) == (100, 2, "EPSG:32632", ())
    assert found.bounds[0] == pytest.approx(9.0, abs=1e-3), "500,000 m is on the meridian of zone 32"


def test_a_large_file_in_strips_is_not_optimized() -> None:
    problems = read_tiff(tiff(600)).problems
    assert any("strips" in text for text in problems)
    assert any("no overviews" in text for text in problems)


def test_what_gdal_writes_as_cog_is_optimized() -> None:
    assert read_tiff(tiff(600, "COG", blocksize=256)).problems == ()


def test_directories_behind_the_data_are_found(tmp_path: Path) -> None:
    path = tmp_path / "late.tif"
    path.write_bytes(tiff(600, tiled=True, blockxsize=256, blockysize=256))
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4])
    assert "its directories do not all come before the data" in read_tiff(path.read_bytes()).problems


@pytest.mark.parametrize("read", [read_tiff, read_netcdf, read_picture])
@pytest.mark.parametrize("content", [b"", b"<html></html>", b"II*\x00", b"\x89HDF\r\n\x1a\n", b"CDF\x01", bytes(300)])
def test_other_files_are_openeo_errors(read: object, content: bytes) -> None:
    with pytest.raises(OpenEOError) as caught:
        read(content)  # type: ignore[operator]
    assert caught.value.code == "FileContentInvalid"


@pytest.mark.parametrize("format", ["NETCDF4", "NETCDF3_64BIT"])
def test_bands_as_labels_of_a_dimension(format: str) -> None:
    file = netCDF4.Dataset("x.nc", mode="w", memory=10_000, format=format)
    for name, size in (("time", 2), ("band", 3), ("y", 2), ("x", 2), ("letters", 3)):
        file.createDimension(name, size)
    labels = file.createVariable("band", "S1", ("band", "letters"))
    labels[:] = netCDF4.stringtochar(np.array([b"B02", b"B03", b"B04"], dtype="S3"))
    times = file.createVariable("time", "i4", ("time",))
    times.units = "days since 2024-01-01"
    times[:] = [0, 10]
    cube = file.createVariable("cube", "i2", ("time", "band", "y", "x"), fill_value=-1)
    cube[:] = np.arange(24).reshape(2, 3, 2, 2)
    cube[0, 0, 0, 0] = -1
    found = read_netcdf(bytes(file.close()))
    assert found.labels["band"] == ("B02", "B03", "B04")
    assert found.times["time"] == (np.datetime64("2024-01-01"), np.datetime64("2024-01-11"))
    assert found.cubes == ["cube"]
    np.testing.assert_array_equal(band(found, "B03", "time"), [[[4, 5], [6, 7]], [[16, 17], [18, 19]]])
    assert np.isnan(band(found, "B02", "time")[0, 0, 0]), "what is missing is NaN"
    with pytest.raises(OpenEOError, match="B99"):
        band(found, "B99")


def test_chunks_and_compression() -> None:
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        file.create_dataset("packed", data=np.zeros((64, 64)), chunks=(32, 32), compression="gzip")
        file.create_dataset("plain", data=np.zeros((64, 64)))
    found = read_netcdf(memory.getvalue())
    assert found.packed == {"packed": (True, True), "plain": (False, False)}


def test_bands_of_pictures() -> None:
    memory = io.BytesIO()
    Image.new("RGBA", (4, 5)).save(memory, "PNG")
    found = read_picture(memory.getvalue())
    assert (found.format, found.bands, found.size) == ("PNG", 4, (4, 5))
