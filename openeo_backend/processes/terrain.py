"""Slope and aspect of elevation models, by Horn's formula."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from openeo_backend.cube.cube import Cube
from openeo_backend.cube.focal import map_focal
from openeo_backend.cube.grid import horizontal, need_geobox
from openeo_backend.cube.nodata import to_float
from openeo_backend.graph.effects import Block, Effect, Widen
from openeo_backend.processes.registry import process

_CUBE = {"type": "object", "subtype": "datacube", "dimensions": [{"type": "spatial", "axis": ["x", "y"]}]}

_GRADIENT = (
    "The gradient at a pixel comes from its eight neighbours by Horn's formula (1981). Pixels at the edge of the data "
    "cube and those with a missing neighbour have no value. Elevations are taken to be in metres; where the reference "
    "system of the data cube is in degrees, distances are those on the WGS 84 ellipsoid."
)


def _spec(id: str, summary: str, description: str, returns: str) -> dict[str, Any]:
    return {
        "id": id,
        "summary": summary,
        "description": f"{description}\n\n{_GRADIENT}",
        "categories": ["cubes", "math", "elevation"],
        "experimental": True,
        "parameters": [{"name": "data", "description": "A data cube with elevations.", "schema": _CUBE}],
        "returns": {
            "description": f"{returns} Bands are called like those of the elevations, with `_{id}` at the end.",
            "schema": _CUBE,
        },
    }


SLOPE = _spec(
    "slope",
    "Slope of an elevation model",
    "Computes the steepness of the terrain: the angle between the surface and the horizontal plane, in radians.",
    "A data cube with slopes in radians, from 0 to half of pi.",
)

ASPECT = _spec(
    "aspect",
    "Aspect of an elevation model",
    "Computes the direction that the terrain faces, downhill, in radians clockwise from north. Flat pixels have none.",
    "A data cube with directions in radians, from 0 (north) to below two times pi.",
)

_EFFECT = Effect(spatial=Widen(1), bands=Block())


@process("slope", spec=SLOPE, effect=_EFFECT)
def slope(data: Cube) -> Cube:
    """Angle to the horizontal plane in radians."""
    east, north = _gradient(data)
    angle: xr.DataArray = xr.ufuncs.arctan(xr.ufuncs.hypot(east, north))
    return _named(data, angle, "slope")


@process("aspect", spec=ASPECT, effect=_EFFECT)
def aspect(data: Cube) -> Cube:
    """Direction downhill in radians clockwise from north; missing where flat."""
    east, north = _gradient(data)
    angle: xr.DataArray = xr.ufuncs.arctan2(-east, -north)
    angle = angle.where(angle >= 0, angle + angle.dtype.type(2 * np.pi))
    # rounding may reach the full circle, which is north again
    angle = angle.where(angle < angle.dtype.type(2 * np.pi), angle.dtype.type(0))
    flat = (east == 0) & (north == 0)
    return _named(data, angle.where(~flat & east.notnull()), "aspect")


def _gradient(data: Cube) -> tuple[xr.DataArray, xr.DataArray]:
    """Rise of the elevation towards the east and the north, in metres per metre."""
    numbers = to_float(data)
    geobox = need_geobox(data)
    x, y = horizontal(data)
    east = map_focal(data, numbers.data, _rise, 1, np.nan, numbers.data.dtype, along="x")
    north = map_focal(data, numbers.data, _rise, 1, np.nan, numbers.data.dtype, along="y")
    per_x, per_y = _metres(data, numbers.data[y.name])
    east = east / (8 * geobox.affine.a * per_x)
    north = north / (8 * geobox.affine.e * per_y)
    kind = numbers.data.dtype
    return (
        east.transpose(*data.names).astype(kind, copy=False),
        north.transpose(*data.names).astype(kind, copy=False),
    )


def _rise(values: np.ndarray, along: str) -> np.ndarray:
    """Weighted difference of the neighbours with higher and lower indices; 8 times the rise per pixel."""
    if along == "y":
        values = np.swapaxes(values, -1, -2)
    difference = values[..., 2:] - values[..., :-2]
    total = difference[..., :-2, :] + 2 * difference[..., 1:-1, :] + difference[..., 2:, :]
    # a missing value in the middle has no slope either
    total = np.where(np.isnan(values[..., 1:-1, 1:-1]), np.nan, total)
    # neighbours above and below only count by being there
    missing = np.isnan(values[..., :-2, 1:-1]) | np.isnan(values[..., 2:, 1:-1])
    total = np.where(missing, np.nan, total).astype(values.dtype)
    return np.swapaxes(total, -1, -2) if along == "y" else total


def _metres(data: Cube, latitudes: xr.DataArray) -> tuple[Any, Any]:
    """Metres per unit along x and y; in geographic systems by latitude."""
    assert data.crs is not None
    if not data.crs.geographic:
        factor = float(data.crs.proj.axis_info[0].unit_conversion_factor)
        return factor, factor
    phi = np.radians(latitudes.astype("float64"))
    per_x = 111_412.84 * np.cos(phi) - 93.5 * np.cos(3 * phi) + 0.118 * np.cos(5 * phi)
    per_y = 111_132.92 - 559.82 * np.cos(2 * phi) + 1.175 * np.cos(4 * phi) - 0.0023 * np.cos(6 * phi)
    return per_x, per_y


def _named(data: Cube, values: xr.DataArray, suffix: str) -> Cube:
    """The values as a cube, its bands called after what they are."""
    bands = data.of_type("bands")
    if bands:
        name = bands[0].name
        values = values.assign_coords({name: [f"{label}_{suffix}" for label in data.labels(name)]})
    values.attrs = {key: value for key, value in data.data.attrs.items() if key != "boolean"}
    return data.patch(data=values.transpose(*data.names), bands={}, nodata=None)
