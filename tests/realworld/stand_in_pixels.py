"""The pixels of a stand-in archive, read with rasterio alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import rasterio
import xarray as xr
from rasterio.enums import Resampling
from rasterio.warp import reproject


@dataclass(frozen=True)
class Grid:
    """Where pixels are."""

    crs: rasterio.crs.CRS
    transform: rasterio.Affine
    shape: tuple[int, int]


def read_tiff(path: Path) -> tuple[np.ndarray, Grid, tuple[str, ...]]:
    """Values (missing ones NaN), grid and band names."""
    with rasterio.open(path) as file:
        values = file.read(masked=True).astype("float64").filled(np.nan)
        return values, Grid(file.crs, file.transform, file.shape), file.descriptions


def grid_of(data: xr.Dataset) -> Grid:
    """The grid of a netCDF file, from its coordinates."""
    x, y = data["x"].values, data["y"].values
    dx, dy = x[1] - x[0], y[1] - y[0]
    transform = rasterio.Affine(dx, 0, x[0] - dx / 2, 0, dy, y[0] - dy / 2)
    crs = rasterio.crs.CRS.from_wkt(data["crs"].attrs["crs_wkt"])
    return Grid(crs, transform, (y.size, x.size))


def series(
    archive: Path, collection: str, bands: Sequence[str], grid: Grid, period: Sequence[str], clouds: float = 100.0
) -> tuple[list[datetime], np.ndarray]:
    """Dates, and values as (time, band, y, x) in float64 with NaN where missing, nearest pixels on the grid.

    :param period: ISO dates, the end excluded.
    :param clouds: largest cloud cover of an item.
    """
    start, end = (datetime.fromisoformat(text.replace("Z", "+00:00")).replace(tzinfo=UTC) for text in period)
    found = []
    for path in (archive / collection.lower()).glob("*/*.json"):
        item = json.loads(path.read_text(encoding="utf-8"))
        properties = item["properties"]
        when = datetime.fromisoformat(properties["datetime"].replace("Z", "+00:00"))
        if start <= when < end and properties.get("eo:cloud_cover", 0) <= clouds:
            layers = [_layer(path.parent / item["assets"][band]["href"], grid) for band in bands]
            found.append((when, np.stack(layers)))
    found.sort(key=lambda pair: pair[0])
    assert found, "the archive holds nothing for this graph"
    return [when for when, _ in found], np.stack([values for _, values in found])


def _layer(path: Path, grid: Grid) -> np.ndarray:
    values = np.full(grid.shape, np.nan)
    with rasterio.open(path) as file:
        reproject(
            file.read(1, masked=True).astype("float64").filled(np.nan),
            values,
            src_transform=file.transform,
            src_crs=file.crs,
            src_nodata=np.nan,
            dst_transform=grid.transform,
            dst_crs=grid.crs,
            dst_nodata=np.nan,
            resampling=Resampling.nearest,
        )
    return values


def first(values: np.ndarray) -> np.ndarray:
    """The first value along the first axis that is not missing."""
    index = np.argmax(~np.isnan(values), axis=0)
    return np.take_along_axis(values, index[None], axis=0)[0]
