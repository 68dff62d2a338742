"""What a practitioner writes with odc-stac."""

from __future__ import annotations

from pathlib import Path

import odc.stac
import practitioner
import pystac
import season
import workload as work
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.geom import BoundingBox

CHUNKS = {"x": practitioner.CHUNK, "y": practitioner.CHUNK}


def run(name: str, folder: Path, size: int, out: Path) -> Path:
    """Compute a workload; the file."""
    items = [pystac.Item.from_dict(item) for item in season.items(folder)]

    def load(bands: list[str], size: int, grid: season.Grid) -> xr.Dataset:
        bounds = BoundingBox(*grid.extent(size), crs=f"EPSG:{grid.epsg}")
        box = GeoBox.from_bbox(bounds, resolution=grid.metres, tight=True)
        return odc.stac.load(items, bands=bands, geobox=box, chunks=CHUNKS, groupby="solar_day")

    def warp(size: int) -> xr.DataArray:
        transform, height, width = work.warped(size)
        box = GeoBox((height, width), transform, "EPSG:3857")
        data = odc.stac.load(items[:1], bands=work.BANDS, geobox=box, chunks=CHUNKS, resampling="bilinear")
        return data.isel(time=0).to_dataarray("band")

    return practitioner.compute(name, load, warp, folder, size, out)
