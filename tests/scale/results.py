"""Reading parts of results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import xarray as xr
from affine import Affine
from archive import Window
from rasterio.windows import Window as Part


class Raster:
    """The result files of a run as planes: all bands of the first date, then those of the next ones."""

    def __init__(self, folder: Path) -> None:
        self.tiffs = sorted(folder.glob("*.tif"))
        self.netcdf = next(iter(folder.glob("*.nc")), None)
        if self.tiffs:
            with rasterio.open(self.tiffs[0]) as file:
                self.transform, self.crs = file.transform, file.crs
                self.shape: tuple[int, int] = file.shape
        else:
            with xr.open_dataset(self.netcdf, mask_and_scale=False) as file:
                x, y = file["x"].values, file["y"].values
                step_x, step_y = x[1] - x[0], y[1] - y[0]
                self.transform = Affine(step_x, 0, x[0] - step_x / 2, 0, step_y, y[0] - step_y / 2)
                self.shape = (len(y), len(x))

    def planes(self, window: Window) -> np.ndarray:
        """(planes, rows, columns) of a part in pixels of the result; NaN where there is no value."""
        found = []
        for path in self.tiffs:
            with rasterio.open(path) as file:
                part = Part(window.column, window.row, window.columns, window.rows)
                values = file.read(window=part).astype("float64")
                found.append(values if file.nodata is None else np.where(values == file.nodata, np.nan, values))
        if not self.tiffs:
            found.append(self._of_netcdf(window))
        return np.concatenate(found)

    def _of_netcdf(self, window: Window) -> np.ndarray:
        rows = slice(window.row, window.row + window.rows)
        columns = slice(window.column, window.column + window.columns)
        with xr.open_dataset(self.netcdf, mask_and_scale=False) as file:
            bands = []
            for name, variable in file.data_vars.items():
                if {"x", "y"} <= set(variable.dims):
                    values = variable.isel(x=columns, y=rows).values.astype("float64")
                    fill = variable.attrs.get("_FillValue")
                    bands.append(values if fill is None else np.where(values == fill, np.nan, values))
                    del name
        stacked = np.stack(bands, axis=1)
        return np.asarray(stacked.reshape(-1, *stacked.shape[-2:]))

    def windows(self, side: int = 40) -> list[Window]:
        """Parts to look at: corners, the middle, across the edges of blocks, and some elsewhere."""
        height, width = self.shape
        side = min(side, height, width)
        places = [(0, 0), (height - side, width - side), (0, width - side), (height // 2, width // 2)]
        places += [(1024 - side // 2, 1024 - side // 2), (512 - side // 2, 700), (height // 3, 2 * width // 3)]
        inside = [(min(max(r, 0), height - side), min(max(c, 0), width - side)) for r, c in places]
        return [Window(row, column, side, side) for row, column in dict.fromkeys(inside)]


def value(folder: Path) -> list[Any]:
    """A result that is JSON, by date: (t, geometries, bands)."""
    return list(json.loads(next(iter(folder.glob("*.json"))).read_text()).values())
