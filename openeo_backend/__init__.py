"""An openEO back-end: process graphs in, dask-backed data cubes from STAC, results with metadata out."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("openeo-backend")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0.0.0"
