"""Files of results, written again with one thing changed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import netCDF4
import numpy as np
from affine import Affine
from rasterio.io import MemoryFile


def tiff(content: bytes, *, bands: int | None = None, east: float = 0, optimized: bool = True) -> bytes:
    """A GeoTIFF file with fewer bands, in another place, or without tiles and overviews."""
    with MemoryFile(content) as memory, memory.open() as source:
        pixels, profile = source.read(), source.profile
        count = bands or source.count
        a, b, c, d, e, f = source.transform[:6]
        transform = Affine(a, b, c + east, d, e, f)
        tags = [source.tags(band) for band in source.indexes][:count]
    members = {"count": count, "transform": transform, "nodata": profile["nodata"], "crs": profile["crs"]}
    members |= {"dtype": profile["dtype"], "width": profile["width"], "height": profile["height"]}
    with MemoryFile() as memory:
        with memory.open(driver="COG" if optimized else "GTiff", **members) as target:
            target.write(pixels[:count])
            for number, entries in enumerate(tags, 1):
                target.update_tags(number, **entries)
                target.set_band_description(number, f"band {number}")
        return memory.read()


def missing(pixels: Any) -> Any:
    """The same number of pixels without values."""
    return np.full_like(pixels, np.nan)


def netcdf(
    content: bytes,
    *,
    without: Collection[str] = (),
    names: Mapping[str, str] | None = None,
    attributes: Mapping[str, Any] | None = None,
    values: Callable[[Any], Any] | None = None,
) -> bytes:
    """A netCDF file without some variables, with other names of dimensions, attributes, or pixels."""
    names = names or {}
    with netCDF4.Dataset("source.nc", mode="r", memory=content) as source:
        source.set_auto_maskandscale(False)
        target = netCDF4.Dataset("target.nc", mode="w", memory=len(content) * 2, format="NETCDF4")
        target.set_auto_maskandscale(False)
        target.setncatts({**{name: source.getncattr(name) for name in source.ncattrs()}, **(attributes or {})})
        for name, dimension in source.dimensions.items():
            target.createDimension(names.get(name, name), len(dimension))
        for name, variable in source.variables.items():
            if name in without:
                continue
            own = {key: variable.getncattr(key) for key in variable.ncattrs()}
            dimensions = tuple(names.get(dimension, dimension) for dimension in variable.dimensions)
            made = target.createVariable(
                names.get(name, name), variable.dtype, dimensions, zlib=True, fill_value=own.pop("_FillValue", None)
            )
            made.setncatts(own)
            pixels = variable[...]
            made[...] = values(pixels) if values and np.ndim(pixels) > 1 else pixels
        return bytes(target.close())
