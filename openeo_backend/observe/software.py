"""Versions of the software that computes."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version

#: Packages whose versions decide about results.
_PACKAGES = ("openeo-backend", "numpy", "xarray", "dask", "rasterio", "odc-stac", "scikit-learn")


@cache
def software() -> dict[str, str]:
    """Versions by name, of this process: what capabilities and results tell."""
    found = {"Python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    import rasterio

    return {**found, "GDAL": rasterio.__gdal_version__}
