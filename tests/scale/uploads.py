"""The tile as files of users and behind a URL, and the cases that load them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import h5netcdf
import numpy as np
import rasterio
from affine import Affine
from archive import BANDS, DATES, EPSG, FILES, LEFT, METRES, TOP, Archive, Window
from cases import Case, pixels, raw
from graphs import chain, node
from pyproj import CRS

USER = "scale"
RASTER, CUBE = "tile.tif", "tile.nc"
STRIP = 1024


def write_files(archive: Archive) -> None:
    """A GeoTIFF of all dates and bands, and a netCDF file of the user; kept where they are there."""
    own = archive.folder / FILES / hashlib.sha256(USER.encode()).hexdigest()
    own.mkdir(parents=True, exist_ok=True)
    for path, write in ((archive.folder / FILES / RASTER, _write_raster), (own / CUBE, _write_cube)):
        if not path.exists():
            part = path.with_name(f"part-{path.name}")
            write(archive, part)
            part.rename(path)


def _strips(archive: Archive) -> Iterator[tuple[int, np.ndarray]]:
    """(row, values (t, bands, rows, columns)) from top to bottom."""
    for row in range(0, archive.size, STRIP):
        window = Window(row, 0, min(STRIP, archive.size - row), archive.size)
        yield row, np.stack([archive.stored(band, window) for band in BANDS], axis=1)


def _write_raster(archive: Archive, path: Path) -> None:
    layout = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "zlevel": 1, "predictor": 2}
    profile = {"driver": "GTiff", "dtype": "uint16", "nodata": 0, "crs": f"EPSG:{EPSG}", "interleave": "band"}
    profile |= {"width": archive.size, "height": archive.size, "count": len(DATES) * len(BANDS)}
    place = Affine(METRES, 0, LEFT, 0, -METRES, TOP)
    with rasterio.open(path, "w", **profile, **layout, transform=place, bigtiff="IF_SAFER", num_threads=2) as file:
        file.descriptions = [f"{band} of {date[:10]}" for date in DATES for band in BANDS]
        for row, values in _strips(archive):
            part = rasterio.windows.Window(0, row, archive.size, values.shape[2])
            file.write(values.reshape(-1, *values.shape[2:]), window=part)


def _write_cube(archive: Archive, path: Path) -> None:
    centres = (np.arange(archive.size) + 0.5) * METRES
    axes = {"t": np.array([np.datetime64(date[:10]) for date in DATES]).astype("int64")}
    axes |= {"y": TOP - centres, "x": LEFT + centres}
    told = {"t": ("time", "days since 1970-01-01"), "y": ("projection_y_coordinate", "m")}
    told |= {"x": ("projection_x_coordinate", "m")}
    with h5netcdf.File(path, "w") as file:
        file.dimensions = {name: len(axis) for name, axis in axes.items()}
        for name, axis in axes.items():
            file.create_variable(name, (name,), data=axis)
            file[name].attrs["standard_name"], file[name].attrs["units"] = told[name]
        file.create_variable("crs", (), "i4").attrs.update(CRS.from_epsg(EPSG).to_cf())
        side = min(STRIP, archive.size)
        for band in BANDS:
            kind = {"chunks": (1, side, side), "compression": "gzip", "compression_opts": 1, "shuffle": True}
            variable = file.create_variable(band, ("t", "y", "x"), "u2", fillvalue=np.uint16(0), **kind)
            variable.attrs["grid_mapping"] = "crs"
        for row, values in _strips(archive):
            for index, band in enumerate(BANDS):
                file[band][:, row : row + values.shape[2], :] = values[:, index]


FILE_CASES = [
    Case(
        "load_url",
        lambda a: chain(node("load_url", url=f"{a.url}/{FILES}/{RASTER}", format="GTiff")),
        pixels(raw),
        "a GeoTIFF of all dates and bands over HTTP",
    ),
    Case(
        "load_uploaded_files",
        lambda a: chain(node("load_uploaded_files", paths=[CUBE], format="netCDF")),
        pixels(raw),
        "netCDF",
        user=USER,
    ),
]
