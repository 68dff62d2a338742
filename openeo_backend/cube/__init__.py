"""The data cube: labelled dask arrays whose dimensions carry openEO types."""

from openeo_backend.cube.cube import Band, Cube, Provenance
from openeo_backend.cube.dimension import Dimension

__all__ = ["Band", "Cube", "Dimension", "Provenance"]
