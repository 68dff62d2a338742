"""What practitioners write with xarray for the same results, whatever loads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import forest
import numpy as np
import rioxarray  # noqa: F401 - registers the accessor
import season
import workload as work
import xarray as xr
from scipy.ndimage import convolve

CHUNK = 1024
TIFF = {"compress": "deflate", "predictor": 3, "tiled": True, "num_threads": 2}

#: Bands, pixels along the image, and the grid: a dataset (time, y, x) of stored numbers, a variable per band.
Load = Callable[[list[str], int, season.Grid], xr.Dataset]


def compute(name: str, load: Load, warp: Callable[[int], xr.DataArray], folder: Path, size: int, out: Path) -> Path:
    """Compute a workload with two threads; the file.

    :param warp: all bands (band, y, x) of the first date on the grid of c.
    """
    with dask.config.set(scheduler="threads", num_workers=2):
        if name == "c":
            data = warp(size).astype("float32")
            return tiff(data.copy(data=smooth(data.data)), out, 3857)
        if name == "d":
            return classes(load, folder, size, out)
        return {"a": a, "b": b, "f": f, "g": g}[name](load, size, out)


def measured(data: xr.Dataset, nodata: float = 0) -> xr.Dataset:
    return data.astype("float32").where(data != nodata)


def tiff(data: xr.DataArray, out: Path, epsg: int, **options: Any) -> Path:
    data = data.rio.write_nodata(np.nan) if data.dtype.kind == "f" else data
    data.rio.write_crs(epsg).rio.to_raster(out / "peer.tif", **{**TIFF, **options})
    return out / "peer.tif"


def netcdf(data: xr.Dataset, out: Path) -> Path:
    data = data.drop_vars("spatial_ref", errors="ignore").drop_attrs()
    packing = {name: {"zlib": True, "complevel": 1} for name in data.data_vars}
    data.to_netcdf(out / "peer.nc", engine="netcdf4", encoding=packing)
    return out / "peer.nc"


def a(load: Load, size: int, out: Path) -> Path:
    data = measured(load(["B04", "B08"], size, season.TILE))
    ndvi = (data.B08 - data.B04) / (data.B08 + data.B04)
    return tiff(ndvi.median("time"), out, season.TILE.epsg)


def b(load: Load, size: int, out: Path) -> Path:
    data = load([*work.BANDS, "SCL"], size, season.TILE)
    clear = ~data.SCL.isin(work.CLOUDS)
    return netcdf(measured(data[list(work.BANDS)]).where(clear).resample(time="1MS").median(), out)


def smooth(data: Any) -> Any:
    row = np.array([1, 4, 6, 4, 1], "float32") / 16
    kernel = np.outer(row, row)[np.newaxis]
    return data.map_overlap(lambda part: convolve(part, kernel, mode="constant"), depth={1: 2, 2: 2}, boundary=0)


def features(data: xr.Dataset) -> Any:
    """(features, y, x), bands before percentiles."""
    found = data.chunk(time=-1).to_dataarray("band").quantile(work.SHARES, "time").astype("float32")
    values = found.transpose("band", "quantile", "y", "x").data
    return values.reshape((-1, *values.shape[2:])).rechunk({0: -1})


def grow(data: xr.Dataset, folder: Path) -> Any:
    table = features(data).compute()
    return forest.grow(np.ascontiguousarray(table.reshape(len(table), -1).T), folder)


def predicted(model: Any, data: xr.Dataset, out: Path) -> Path:
    def classify(part: np.ndarray) -> np.ndarray:
        return forest.classify(model, np.ascontiguousarray(part.reshape(len(part), -1).T)).reshape(part.shape[1:])

    values = features(data).map_blocks(classify, drop_axis=0, dtype="uint8")
    result = xr.DataArray(values, {"y": data.y, "x": data.x}, ("y", "x")).rio.write_nodata(0)
    return tiff(result, out, season.TILE.epsg, predictor=1)


def classes(load: Load, folder: Path, size: int, out: Path) -> Path:
    side = min(season.WINDOW, *season.items(folder)[0]["assets"]["B02"]["proj:shape"])
    model = grow(measured(load(list(work.BANDS), side, season.TILE)), folder)
    return predicted(model, measured(load(list(work.BANDS), size, season.TILE)), out)


def f(load: Load, size: int, out: Path) -> Path:
    data = measured(load(["blue", "red", "nir"], size, season.COARSE), -9999) * np.float32(0.0001)
    evi = 2.5 * (data.nir - data.red) / (data.nir + 6 * data.red - 7.5 * data.blue + 1)
    return tiff(evi.chunk(time=-1).quantile(0.9, "time").astype("float32"), out, season.COARSE.epsg)


def g(load: Load, size: int, out: Path) -> Path:
    data = load(["heat", "qa"], size, season.COARSE)
    clear = data.qa == 0
    mean = data.heat.where(clear).mean("time")
    return netcdf(mean.where(clear.sum("time") >= 3).to_dataset(name="heat"), out)
