"""Radar imagery as analysis-ready data: sar_backscatter, ard_normalized_radar_backscatter.

The methods, with their formulas, sources and limits, are in docs/ard.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox

from openeo_backend.catalog.elevation import KNOWN, load_elevation
from openeo_backend.catalog.grd.blocks import Wanted
from openeo_backend.catalog.grd.load import GrdSource
from openeo_backend.catalog.levels import DIGITAL_NUMBERS
from openeo_backend.cube.cube import Band, Cube
from openeo_backend.cube.reflectance import bands_dimension, join, pick, plane
from openeo_backend.errors import OpenEOError, refuse_options
from openeo_backend.graph.effects import Block, Effect
from openeo_backend.processes.environment import Env
from openeo_backend.processes.registry import process

COEFFICIENTS = ("beta0", "sigma0-ellipsoid", "sigma0-terrain", "gamma0-ellipsoid", "gamma0-terrain")

_POLARISATIONS = ("VV", "VH", "HH", "HV")

#: Names that bands with the incidence angle on the ellipsoid have.
_ANGLES = ("ellipsoid_incidence_angle", "incidence_angle", "incidenceAngle", "incidence", "angle")

_ADDED = {
    "mask": Band(description="Valid (1), or in layover or shadow (0)"),
    "contributing_area": Band(unit="m2", description="Area of the terrain in a pixel of the radar image"),
    "local_incidence_angle": Band(unit="degree", description="Incidence angle on the terrain"),
    "ellipsoid_incidence_angle": Band(unit="degree", description="Incidence angle on the ellipsoid"),
}

#: The bands of the result are not those of the data; pixels around come from the images themselves.
_EFFECT = Effect(bands=Block())


@process("sar_backscatter", effect=_EFFECT)
def sar_backscatter(
    data: Cube,
    coefficient: str | None = "gamma0-terrain",
    elevation_model: str | None = None,
    mask: bool = False,
    contributing_area: bool = False,
    local_incidence_angle: bool = False,
    ellipsoid_incidence_angle: bool = False,
    noise_removal: bool = True,
    options: Mapping[str, Any] | None = None,
    *,
    env: Env,
) -> Cube:
    """Backscatter in linear scale (float32), then the bands asked for.

    Images in radar geometry are calibrated and geocoded; data that are backscatter already pass through, or are
    brought to another coefficient where the incidence angle is there, and say so.

    :raises OpenEOError: DigitalElevationModelInvalid; FeatureUnsupported for options and for what the data do not
        allow; ProcessParameterInvalid where it is not known what the data are.
    """
    refuse_options(options)
    if coefficient is not None and coefficient not in COEFFICIENTS:
        raise OpenEOError(
            "FeatureUnsupported",
            f"The coefficient '{coefficient}' is not supported.",
            hint=f"Choose one of: {', '.join(COEFFICIENTS)} or null.",
        )
    asked = {
        "mask": mask,
        "contributing_area": contributing_area,
        "local_incidence_angle": local_incidence_angle,
        "ellipsoid_incidence_angle": ellipsoid_incidence_angle,
    }
    added = tuple(name for name, wanted in asked.items() if wanted)
    if DIGITAL_NUMBERS in data.provenance.coefficients:
        return _image(data, coefficient, elevation_model, added, noise_removal, env)
    return _pass(data, coefficient, elevation_model, added, env)


@process("ard_normalized_radar_backscatter", effect=_EFFECT)
def ard_normalized_radar_backscatter(
    data: Cube,
    elevation_model: str | None = None,
    contributing_area: bool = False,
    ellipsoid_incidence_angle: bool = False,
    noise_removal: bool = True,
    options: Mapping[str, Any] | None = None,
    *,
    env: Env,
) -> Cube:
    """Backscatter gamma0-terrain with the bands mask and local_incidence_angle; see sar_backscatter."""
    return sar_backscatter(
        data,
        "gamma0-terrain",
        elevation_model,
        mask=True,
        contributing_area=contributing_area,
        local_incidence_angle=True,
        ellipsoid_incidence_angle=ellipsoid_incidence_angle,
        noise_removal=noise_removal,
        options=options,
        env=env,
    )


# -- images in radar geometry ---------------------------------------------------------------------------


def _image(
    data: Cube, coefficient: str | None, elevation_model: str | None, added: tuple[str, ...], noise: bool, env: Env
) -> Cube:
    if not isinstance(data.source, GrdSource):
        raise OpenEOError(
            "ProcessParameterInvalid",
            "The data cube holds digital numbers of radar images, but not the way back to the images.",
            hint="Use the process directly after load_collection.",
        )
    polarisations = tuple(str(label) for label in data.labels(bands_dimension(data).name))
    wanted = Wanted(polarisations, coefficient, noise_removal=noise, added=added)
    chosen = _choose_elevation(data, elevation_model, wanted, env)
    heights = None

    if chosen is not None:
        loaded = chosen

        def heights(grid: GeoBox) -> xr.DataArray:
            return _elevation(loaded, grid, env)

    cube = data.source.backscatter(data, wanted, heights)
    ground = f"the elevation model '{chosen}'" if chosen else "the tie points of the images (no elevation model)"
    statement = (
        f"Backscatter: {coefficient or 'not normalised'}, calibrated with the product's look-up tables, thermal noise "
        f"{'removed' if noise else 'not removed'}, range-Doppler geocoding on {ground}, bilinear."
    )
    env.log("info", statement)
    return _described(cube, data, coefficient, added, statement)


def _choose_elevation(data: Cube, id: str | None, wanted: Wanted, env: Env) -> str | None:
    """The elevation model to use; None for none, where none is needed.

    :raises OpenEOError: DigitalElevationModelInvalid where it cannot be used, or one is needed and none is known.
    """
    if id is not None:
        return id
    if env.collections is not None:
        for known in KNOWN:
            try:
                grid = data.geobox
                if grid is not None:
                    _elevation(known, grid, env)
                    return known
            except OpenEOError as error:
                if error.code != "DigitalElevationModelInvalid":
                    raise
    if wanted.terrain:
        raise OpenEOError(
            "DigitalElevationModelInvalid",
            f"An elevation model is needed for {wanted.coefficient or 'what is asked for'}, and this back-end has none "
            "of its own for this place.",
            hint="Name a collection of elevations in 'elevation_model', or use a coefficient on the ellipsoid.",
        )
    env.log(
        "warning",
        "There is no elevation model for this place: terrain displaces what it raises above its surroundings.",
    )
    return None


def _elevation(id: str, grid: GeoBox, env: Env) -> xr.DataArray:
    collections = env.collections
    if collections is None:
        raise OpenEOError("FeatureUnsupported", "There is no catalog to load elevations from.")
    return load_elevation(lambda name, request: collections.load(name, request, env), id, grid)


# -- data that are backscatter already ------------------------------------------------------------------


def _pass(data: Cube, coefficient: str | None, elevation_model: str | None, added: tuple[str, ...], env: Env) -> Cube:
    labels = [str(label) for label in data.labels(bands_dimension(data).name)]
    given = _given(data)
    if elevation_model is not None:
        grid = data.geobox
        if grid is not None:
            _elevation(elevation_model, grid, env)
    polarisations = [label for label in labels if label.upper() in _POLARISATIONS]
    if not polarisations:
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"None of the bands {', '.join(labels)} is a polarisation ({', '.join(_POLARISATIONS)}).",
        )
    angle = next((name for name in _ANGLES if name in labels), None)
    values, change = _convert(pick(data, polarisations), plane(data, angle) if angle else None, given, coefficient)
    planes = {name: _added(data, name, labels, polarisations, angle) for name in added}
    statement = (
        f"Backscatter: passed through, the data are {given} as their provider calibrated and geocoded them{change}; "
        "noise, elevation model and speckle are as the provider treated them."
    )
    env.log("info", statement)
    cube = join(data, planes, {}, before=values) if planes else values
    return _described(cube, data, coefficient, added, statement)


def _given(data: Cube) -> str:
    """The coefficient that the metadata state.

    :raises OpenEOError: ProcessParameterInvalid where they state none, or several.
    """
    stated = data.provenance.coefficients
    if len(stated) == 1:
        return stated[0]
    found = f"state several coefficients ({', '.join(stated)})" if stated else "do not state a coefficient"
    raise OpenEOError(
        "ProcessParameterInvalid",
        f"It is not known what the values are: the metadata {found}, and the data are not images in radar geometry.",
        hint="Load a collection of backscatter whose bands or title say beta0, sigma0 or gamma0, or of GRD images with "
        "their calibration.",
    )


def _convert(data: Cube, angle: xr.DataArray | None, given: str, wanted: str | None) -> tuple[Cube, str]:
    """The polarisations with another coefficient, and what was done in words.

    On the ellipsoid, with incidence angle i: sigma0 = beta0 sin(i) and gamma0 = sigma0 / cos(i).

    :raises OpenEOError: FeatureUnsupported where that is not possible exactly.
    """
    if wanted == given:
        return data, ""
    flat = ("beta0", "sigma0-ellipsoid", "gamma0-ellipsoid")
    if wanted not in flat or given not in flat:
        raise OpenEOError(
            "FeatureUnsupported",
            f"The data are {given} already; {wanted or 'non-normalised backscatter'} cannot be computed from them.",
            hint=f"Use the coefficient '{given}', or load a collection of GRD images with their calibration.",
        )
    if angle is None:
        raise OpenEOError(
            "FeatureUnsupported",
            f"The data are {given}; to make {wanted} of them the incidence angle is needed.",
            hint=f"Load the band of the incidence angle too ({', '.join(_ANGLES)}), or use '{given}'.",
        )
    turn = xr.ufuncs.radians(angle)
    to_sigma = {"beta0": xr.ufuncs.sin(turn), "gamma0-ellipsoid": xr.ufuncs.cos(turn)}
    factor: Any = to_sigma.get(given, 1.0) / to_sigma.get(wanted, np.float32(1.0))
    values = (data.data * factor).transpose(*data.names).astype(data.data.dtype).assign_coords(data.data.coords)
    return data.patch(data=values), f", and brought to {wanted} with the incidence angle"


def _added(data: Cube, name: str, labels: list[str], polarisations: list[str], angle: str | None) -> xr.DataArray:
    if name in labels:
        return plane(data, name)
    if name == "ellipsoid_incidence_angle" and angle is not None:
        return plane(data, angle)
    if name == "mask":
        known = pick(data, polarisations).data.notnull().any(bands_dimension(data).name)
        return known.astype("float32").where(known)
    raise OpenEOError(
        "FeatureUnsupported",
        f"The band '{name}' cannot be computed: the data are backscatter already, without their images' geometry.",
        hint="Leave it out, or load a collection of GRD images with their calibration.",
    )


def _described(cube: Cube, data: Cube, coefficient: str | None, added: tuple[str, ...], statement: str) -> Cube:
    text = "Backscatter, " + (coefficient or "not normalised") + ", linear"
    labels = [str(label) for label in cube.labels(bands_dimension(cube).name)]
    bands = {label: _ADDED[label] if label in added else Band(description=text) for label in labels}
    stated = (coefficient,) if coefficient else ("non-normalized",)
    return cube.patch(bands=bands, provenance=data.provenance.note(statement, coefficients=stated), source=None)
