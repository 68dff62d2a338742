"""Prepares a worker of a Dask cluster: `dask worker ... --preload openeo_backend.run.dask_worker`."""

from __future__ import annotations

import os

from openeo_backend.sandbox.gdal import gdal_environment

# As early as Dask allows: GDAL looks once, when it is loaded.
os.environ |= gdal_environment()
