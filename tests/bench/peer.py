"""What a practitioner writes with odc-stac and xarray for the same results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask
import numpy as np
import odc.stac
import pystac
import workload as work
import xarray as xr
from odc.geo.xr import write_cog  # noqa: F401 - registers the accessor
from rasterio.enums import Resampling
from scipy.ndimage import convolve


def run(name: str, folder: Path, size: int, out: Path, like: Path | None) -> Path:
    """Compute a workload; `like` is not used."""
    items = [pystac.Item.from_dict(item) for item in work.items(folder)]
    west, south, east, north = work.extent(size)
    common: dict[str, Any] = {"x": (west, east), "y": (south, north), "chunks": {"x": 1024, "y": 1024}}
    grid = {"crs": work.EPSG, "resolution": 10}
    with dask.config.set(scheduler="threads", num_workers=2):
        if name == "a":
            data = odc.stac.load(items, bands=["B04", "B08"], **grid, **common).astype("float32")
            data = data.where(data != 0)
            ndvi = (data.B08 - data.B04) / (data.B08 + data.B04)
            return _cog(ndvi.chunk(time=-1).median("time"), out)
        if name == "b":
            data = odc.stac.load(items, bands=[*work.BANDS, "SCL"], **grid, **common)
            clear = ~data.SCL.isin([3, 8, 9])
            bands = data[list(work.BANDS)].astype("float32")
            result = bands.where((bands != 0) & clear).chunk(time=-1).resample(time="MS").median("time")
            encoding = {band: {"zlib": True, "complevel": 1} for band in work.BANDS}
            result.drop_vars("spatial_ref").to_netcdf(out / "peer.nc", encoding=encoding)
            return out / "peer.nc"
        if name == "c":
            bounds: Any = {"x": common["x"], "y": common["y"]}
            data = odc.stac.load(items[:1], bands=list(work.BANDS), **grid, **bounds).isel(time=0).astype("float32")
            warped = data.odc.reproject("EPSG:3857", resolution=15, resampling="bilinear").to_array("band")
            row = np.array([1, 4, 6, 4, 1], "float32") / 16
            smooth = np.stack([convolve(plane, np.outer(row, row), mode="constant") for plane in warped.values])
            return _cog(warped.copy(data=smooth), out)
        data = odc.stac.load(items, bands=list(work.BANDS), **grid, **common).astype("float32")
        data = data.where(data != 0).chunk(time=-1).to_array("band")
        return _cog(_flat(data.quantile([0.1, 0.5, 0.9], "time").astype("float32")), out)


def _flat(data: xr.DataArray) -> xr.DataArray:
    flat = data.stack(plane=("band", "quantile")).transpose("plane", "y", "x")
    return flat.drop_vars(["plane", "band", "quantile"])


def _cog(data: xr.DataArray, out: Path) -> Path:
    path = out / "peer.tif"
    data.compute().odc.write_cog(str(path), overwrite=True, overview_resampling=Resampling.average.name)
    return path
