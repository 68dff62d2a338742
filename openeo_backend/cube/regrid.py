"""The grids that data get when they are resampled to a resolution."""

from __future__ import annotations

import math

from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from openeo_backend.cube.grid import Bounds, align_grid, grid_bounds, project_bounds, transformer
from openeo_backend.errors import OpenEOError


def regrid(source: GeoBox, steps: tuple[float, float], crs: CRS | None, align: str) -> GeoBox:
    """The grid that covers another one at a resolution, in a reference system, sharing the corner `align`.

    :param steps: along x and y, in units of the target; 0 keeps that of the source.
    :param crs: None keeps that of the source.
    :raises OpenEOError: ProcessParameterInvalid, FeatureUnsupported where the grid has no image there.
    """
    assert source.crs is not None
    own = (abs(source.affine.a), abs(source.affine.e))
    bounds = grid_bounds(source)
    if crs is not None and crs != source.crs:
        own = _own_resolution(source, crs)
        bounds = _projected(bounds, source.crs, crs)
    width, height = (given or kept for given, kept in zip(steps, own, strict=True))
    return align_grid(bounds, (width, height), crs or source.crs, align, ascending_y=source.affine.e > 0)


def _own_resolution(source: GeoBox, crs: CRS) -> tuple[float, float]:
    """The resolution in another system: the same numbers where the units are the same.

    Else square pixels, as many along the diagonal as before, which is what GDAL suggests.
    """
    assert source.crs is not None
    if source.crs.units == crs.units:
        return abs(source.affine.a), abs(source.affine.e)
    rows, columns = source.shape
    left, bottom, right, top = grid_bounds(source)
    xs, ys = transformer(source.crs, crs).transform([left, right], [top, bottom])
    size = math.hypot(xs[1] - xs[0], ys[1] - ys[0]) / math.hypot(columns, rows)
    if not math.isfinite(size) or size == 0:
        raise OpenEOError("ProcessParameterInvalid", f"The data have no image in the projection {crs}.")
    return size, size


def _projected(bounds: Bounds, source: CRS, target: CRS) -> Bounds:
    parts = project_bounds(bounds, source, target)
    if len(parts) > 1:
        raise OpenEOError(
            "FeatureUnsupported",
            "The data cross the antimeridian and would fall apart in the target projection.",
            hint="Choose a projection that has no seam there, or filter one side first.",
        )
    return parts[0]
