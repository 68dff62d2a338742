"""Writing single-band cloud optimised GeoTIFFs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray

from openeo_backend.catalog.demo.scenario import Grid

MEDIA_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"


def write_cog(path: Path, values: NDArray, grid: Grid, nodata: float | None, band: str, categorical: bool) -> None:
    """One band as COG: tiles of 256 pixels, overviews, deflate with a predictor."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path,
        "w",
        driver="COG",
        width=grid.width,
        height=grid.height,
        count=1,
        dtype=values.dtype.name,
        crs=f"EPSG:{grid.epsg}",
        transform=grid.transform,
        nodata=nodata,
        compress="DEFLATE",
        level=6,
        predictor="NO" if categorical else "YES",
        blocksize=256,
        overviews="AUTO",
        overview_resampling="MODE" if categorical else "AVERAGE",
        overview_compress="DEFLATE",
        overview_predictor="NO" if categorical else "YES",
    ) as file:
        file.write(np.ascontiguousarray(values), 1)
        file.set_band_description(1, band)
