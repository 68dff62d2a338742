"""What a practitioner writes with stackstac."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import practitioner
import season
import stackstac
import workload as work
import xarray as xr
from rasterio.enums import Resampling


def run(name: str, folder: Path, size: int, out: Path) -> Path:
    """Compute a workload; the file."""
    items = season.items(folder)

    def stack(items: Any, bands: list[str], epsg: int, step: int, bounds: Any, **options: Any) -> xr.DataArray:
        chosen = {
            "chunksize": practitioner.CHUNK,
            "dtype": "float32",
            "fill_value": np.float32("nan"),
            "rescale": False,
        }
        chosen |= {"epsg": epsg, "resolution": step, "bounds": bounds, "snap_bounds": False, "xy_coords": "center"}
        return stackstac.stack(items, assets=bands, **chosen, **options)

    def load(bands: list[str], size: int, grid: season.Grid) -> xr.Dataset:
        data = stack(items, bands, grid.epsg, grid.metres, grid.extent(size)).to_dataset(dim="band")
        return data.drop_vars([name for name in data.coords if name not in data.dims])

    def warp(size: int) -> xr.DataArray:
        transform, height, width = work.warped(size)
        bounds = (transform.c, transform.f - 15 * height, transform.c + 15 * width, transform.f)
        data = stack(items[:1], list(work.BANDS), 3857, 15, bounds, resampling=Resampling.bilinear).isel(time=0)
        return data.drop_vars([name for name in data.coords if name not in data.dims]).fillna(0)

    return practitioner.compute(name, load, warp, folder, size, out)
