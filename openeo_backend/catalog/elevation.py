"""Elevations for processes that need the terrain under their data."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import xarray as xr
from odc.geo.geobox import GeoBox

from openeo_backend.catalog.request import LoadRequest
from openeo_backend.cube import Cube
from openeo_backend.cube.warp import warp
from openeo_backend.errors import OpenEOError

#: Collections of elevations by the ids in use, the ones to prefer first.
KNOWN = (
    *("COPERNICUS_30", "COPERNICUS_DEM_30", "cop-dem-glo-30", "COP-DEM-GLO-30", "COP-DEM_GLO-30-DGED"),
    *("COPERNICUS_90", "cop-dem-glo-90", "DEM", "MAPZEN_DEM"),
)

_HEIGHT = re.compile(r"\b(dem|dsm|dtm|dgm|elevations?|heights?|altitude|terrain|srtm|topography)\b", re.I)
_METRES = {"m", "metre", "metres", "meter", "meters"}

#: Pixels loaded around the grid, for the interpolation at its edges.
_MARGIN = 4

Load = Callable[[str, LoadRequest], Cube]


def load_elevation(load: Load, id: str, grid: GeoBox) -> xr.DataArray:
    """Elevations in metres of a collection on the pixels of a grid: (y, x), floating point, bilinear, lazy.

    Of several dates the first one with a value is taken.

    :raises OpenEOError: DigitalElevationModelInvalid where the collection does not exist, has no data there, or is
        not one band of elevations.
    """
    west, south, east, north = tuple(grid.boundingbox)[:4]
    room_x, room_y = (_MARGIN * abs(step) for step in (float(grid.resolution.x), float(grid.resolution.y)))
    assert grid.crs is not None
    extent = {
        "west": west - room_x,
        "south": south - room_y,
        "east": east + room_x,
        "north": north + room_y,
        "crs": grid.crs.epsg or grid.crs.to_wkt(),
    }
    try:
        cube = load(id, LoadRequest(spatial_extent=extent))
    except OpenEOError as error:
        if error.code not in ("CollectionNotFound", "NoDataAvailable"):
            raise
        raise _invalid(id, f"cannot be used with the data cube: {error.message}") from error
    warped = warp(_one_band(id, cube), grid, "bilinear")
    others = [name for name in warped.names if name not in (warped.dimensions[-2].name, warped.dimensions[-1].name)]
    return _first(warped, others)


def _one_band(id: str, cube: Cube) -> Cube:
    bands = [str(label) for dimension in cube.of_type("bands") for label in cube.labels(dimension.name)]
    if len(bands) != 1:
        raise _invalid(id, f"is not a digital elevation model: it has the bands {', '.join(bands) or 'none'}")
    known = cube.bands.get(bands[0])
    unit, description = (known.unit, known.description) if known else (None, None)
    words = " ".join(filter(None, (id, bands[0], description)))
    if not _HEIGHT.search(re.sub(r"[_\W]", " ", words)) and (unit or "").lower() not in _METRES:
        raise _invalid(id, f"is not a digital elevation model: nothing says that its band '{bands[0]}' is elevations")
    return cube


def _first(cube: Cube, others: list[str]) -> xr.DataArray:
    """The first value along all other dimensions."""
    data: Any = cube.data
    for name in others:
        layers = [data.isel({name: index}, drop=True) for index in range(data.sizes[name])]
        data = layers[0]
        for layer in layers[1:]:
            data = data.where(data.notnull(), layer)
    result: xr.DataArray = data
    return result


def _invalid(id: str, why: str) -> OpenEOError:
    return OpenEOError(
        "DigitalElevationModelInvalid",
        f"The collection '{id}' {why.rstrip('.')}.",
        hint="Name a collection of elevations that covers the data cube, or leave 'elevation_model' out.",
    )
