"""Optical imagery as analysis-ready data: atmospheric_correction, cloud_detection, ard_surface_reflectance.

The methods, with their formulas, sources and limits, are in docs/ard.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from openeo_backend.catalog.elevation import load_elevation
from openeo_backend.cube.clouds import HOLLSTEIN_BANDS, classify_hollstein, classify_qa_pixel, classify_scl
from openeo_backend.cube.cube import Band, Cube
from openeo_backend.cube.grid import need_geobox, transformer
from openeo_backend.cube.nodata import to_float
from openeo_backend.cube.optics import CLEAR_FROM, subtract_dark_object, sun_zenith
from openeo_backend.cube.reflectance import (
    bands_dimension,
    classify,
    darkest,
    join,
    physical,
    pick,
    plane,
    wavelengths,
)
from openeo_backend.errors import OpenEOError, refuse_options
from openeo_backend.graph.effects import Block, Effect
from openeo_backend.processes.environment import Env
from openeo_backend.processes.registry import process

#: Name of the band with the sun's zenith angle in degrees.
SUN_ZENITH = "sunZenithAngles"

#: The sun is too low for the corrections from this zenith angle on.
LOWEST_SUN = 80.0

#: Wavelengths of the cirrus band, in which the surface cannot be seen.
_CIRRUS = (1.35, 1.40)

#: Pixels are taken for cloud or shadow from this probability on.
_DISTURBED = 0.5

#: All pixels of the extent say what its dark objects are.
_CORRECTION = Effect(spatial=Block(), bands=Block())


@process("atmospheric_correction", effect=_CORRECTION)
def atmospheric_correction(
    data: Cube,
    method: str | None = None,
    elevation_model: str | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    env: Env,
) -> Cube:
    """Surface reflectances: dark-object subtraction (COST) of level 1 data; level 2 data pass through, and say so.

    :raises OpenEOError: DigitalElevationModelInvalid; FeatureUnsupported for methods and options;
        ProcessParameterInvalid where level, sun or bands are not known.
    """
    refuse_options(options)
    _check_elevation(data, elevation_model, env)
    return _correct(data, method, env)


@process("cloud_detection", effect=Effect(bands=Block()))
def cloud_detection(
    data: Cube, method: str | None = None, options: Mapping[str, Any] | None = None, *, env: Env
) -> Cube:
    """The bands cloud and shadow, float32 from 0 to 1, NaN where nothing is known.

    :raises OpenEOError: FeatureUnsupported for methods and options; ProcessParameterInvalid for missing bands.
    """
    refuse_options(options)
    found = _detect(data, method)
    _tell(env, found.statement)
    known = {"cloud": Band(description="Probability of clouds"), "shadow": Band(description="Probability of shadows")}
    cube = join(data.patch(bands={}), {"cloud": found.cloud, "shadow": found.shadow}, known)
    return cube.patch(provenance=data.provenance.note(found.statement))


@process("ard_surface_reflectance", effect=_CORRECTION)
def ard_surface_reflectance(
    data: Cube,
    atmospheric_correction_method: str | None,
    cloud_detection_method: str | None,
    elevation_model: str | None = None,
    atmospheric_correction_options: Mapping[str, Any] | None = None,
    cloud_detection_options: Mapping[str, Any] | None = None,
    *,
    env: Env,
) -> Cube:
    """Surface reflectances (fractions) without clouds and their shadows, and what the pixels were tested for.

    After the spectral bands come `incomplete-testing`, `saturation`, `cloud` and `shadow`.

    :raises OpenEOError: as atmospheric_correction and cloud_detection.
    """
    refuse_options(atmospheric_correction_options)
    refuse_options(cloud_detection_options)
    _check_elevation(data, elevation_model, env)
    name = bands_dimension(data).name
    found = _detect(data, cloud_detection_method)
    corrected = _correct(data, atmospheric_correction_method, env)
    surface = physical(pick(corrected, list(wavelengths(corrected))))
    saturation = _saturation(data)
    disturbed = (found.cloud >= _DISTURBED) | (found.shadow >= _DISTURBED)
    missing = surface.data.isnull().any(name) | found.cloud.isnull() | found.shadow.isnull() | saturation.isnull()
    _tell(env, found.statement)
    clear = surface.patch(data=surface.data.where(~disturbed).transpose(*surface.names))
    added = {
        "incomplete-testing": missing,
        "saturation": saturation,
        "cloud": found.cloud,
        "shadow": found.shadow,
    }
    known = {
        "incomplete-testing": Band(description="Not all tests could be made of the pixel (1), or all (0)"),
        "saturation": Band(description="A spectral band is saturated (1) or none is (0)"),
        "cloud": Band(description="Probability of clouds"),
        "shadow": Band(description="Probability of shadows"),
    }
    cube = join(data, added, known, before=clear)
    return cube.patch(bands={**clear.bands, **known}, provenance=corrected.provenance.note(found.statement))


# -- what the data are ----------------------------------------------------------------------------------


def _labels(data: Cube) -> list[str]:
    return [str(label) for label in data.labels(bands_dimension(data).name)]


def _level(data: Cube) -> str:
    """L1 or L2.

    :raises OpenEOError: ProcessParameterInvalid where neither metadata nor bands tell, or they tell both.
    """
    levels, labels = data.provenance.levels, _labels(data)
    if len(levels) == 1:
        return levels[0]
    if levels:
        raise OpenEOError(
            "ProcessParameterInvalid",
            "The data cube mixes top of atmosphere (level 1) and surface reflectances (level 2).",
            hint="Correct the level 1 data before merging them.",
        )
    if "SCL" in labels:
        return "L2"
    if "B10" in labels and "B8A" in labels:  # Sentinel-2's cirrus band is not part of its level 2
        return "L1"
    raise OpenEOError(
        "ProcessParameterInvalid",
        "Neither the metadata of the collection nor the bands tell whether the values are top of atmosphere (level 1) "
        "or surface reflectances (level 2).",
        hint="Ask the operator to add 'processing:level' to the collection, or load another one.",
    )


def _need_reflectances(data: Cube, labels: Sequence[str]) -> None:
    """Make sure that the values of bands are reflectances once their scales are applied.

    :raises OpenEOError: ProcessParameterInvalid for integers without scale.
    """
    bare = [label for label in labels if data.bands.get(label, Band()).scale is None]
    if bare and data.data.dtype.kind != "f":
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"The bands {', '.join(bare)} are integers without a scale that would make them reflectances.",
            hint="Ask the operator to add scale and offset to the collection, or apply them first.",
        )


def _check_elevation(data: Cube, elevation_model: str | None, env: Env) -> None:
    """Make sure that an elevation model is one; the methods here do not use it.

    :raises OpenEOError: DigitalElevationModelInvalid.
    """
    if elevation_model is None:
        return
    collections = env.collections
    if collections is None:
        raise OpenEOError("FeatureUnsupported", "There is no catalog to load elevations from.")
    load_elevation(lambda id, request: collections.load(id, request, env), elevation_model, need_geobox(data))
    env.log(
        "info", f"The elevation model '{elevation_model}' is not used: no method here takes the terrain into account."
    )


def _tell(env: Env, statement: str) -> None:
    env.log("info", statement)


# -- correction -----------------------------------------------------------------------------------------


def _correct(data: Cube, method: str | None, env: Env) -> Cube:
    if not wavelengths(data):
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"None of the bands {', '.join(_labels(data))} is known to be a reflectance: they have neither wavelengths "
            "nor common names.",
        )
    if _level(data) == "L2":
        asked = f" The method asked for, {method}, was not run." if method else ""
        statement = (
            "Atmospheric correction: passed through, the data are surface reflectances (level 2) as their provider "
            f"made them.{asked}"
        )
        env.log("warning" if method else "info", statement)
        return data.patch(provenance=data.provenance.note(statement))
    if method is not None:
        raise OpenEOError(
            "FeatureUnsupported",
            f"The atmospheric correction method '{method}' is not supported for level 1 data.",
            hint="Use null for dark-object subtraction (COST), or load a level 2 collection.",
        )
    _need_reflectances(data, list(wavelengths(data)))
    statement = (
        "Atmospheric correction: dark-object subtraction by the COST method (Chavez 1996) with the dark objects of "
        "each band and date within the extent of the data cube."
    )
    _tell(env, statement)
    return _subtract_dark_objects(data).patch(provenance=data.provenance.note(statement, levels=("L2",)))


def _subtract_dark_objects(data: Cube) -> Cube:
    """The reflectances at the surface; other bands as they are, the cirrus band left out."""
    solar = wavelengths(data)
    kept = [label for label in _labels(data) if not _CIRRUS[0] <= solar.get(label, 0) <= _CIRRUS[1]]
    name = bands_dimension(data).name
    numbers = physical(pick(data, kept))
    kind = numbers.data.dtype
    transmittance = _cosine(data).astype(kind)
    scattered = xr.DataArray(np.array([solar.get(label, 0) < CLEAR_FROM for label in kept]), dims=[name])
    reflecting = xr.DataArray(np.array([label in solar for label in kept]), dims=[name])
    down = xr.where(scattered, transmittance, kind.type(1))
    surface = xr.apply_ufunc(
        subtract_dark_object,
        numbers.data.drop_vars(name),
        darkest(numbers).drop_vars(name),
        down,
        dask="parallelized",
        output_dtypes=[kind],
    )
    values = xr.where(reflecting, surface, numbers.data.drop_vars(name)).transpose(*data.names).astype(kind)
    return numbers.patch(data=values.assign_coords(numbers.data.coords))


def _cosine(data: Cube) -> xr.DataArray:
    """Cosine of the sun's zenith angle: by pixel from its band, else by date.

    :raises OpenEOError: ProcessParameterInvalid where the moment of acquisition is not known or the sun is too low.
    """
    if SUN_ZENITH in _labels(data):
        angle = plane(data, SUN_ZENITH)
        cosine: xr.DataArray = xr.ufuncs.cos(xr.ufuncs.radians(angle))
        return cosine.where(angle < LOWEST_SUN)
    moments = data.of_type("temporal")
    times = data.labels(moments[0].name) if len(moments) == 1 else np.array([], dtype="datetime64[ns]")
    zenith = _zenith(data, times) if times.dtype.kind == "M" and len(times) else None
    if zenith is None:
        raise OpenEOError(
            "ProcessParameterInvalid",
            "The height of the sun is not known: neither the items nor the dates of the data cube tell it.",
            hint=f"Load the band '{SUN_ZENITH}', or correct the data before dates are reduced or changed.",
        )
    if (zenith >= LOWEST_SUN).any():
        low = times[zenith >= LOWEST_SUN][0]
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"The sun is too low for the correction: its zenith angle is {zenith.max():.1f} degrees at "
            f"{np.datetime_as_string(low, unit='s')}Z; it must be below {LOWEST_SUN:g}.",
            hint="Leave this date out.",
        )
    return xr.DataArray(np.cos(np.radians(zenith)), dims=[moments[0].name], coords={moments[0].name: times})


def _zenith(data: Cube, times: np.ndarray) -> np.ndarray | None:
    """Zenith angles by date: those of the items, else those above the middle; None where times are days."""
    told = dict(data.provenance.sun)
    names = [str(time.astype("datetime64[s]")) for time in times]
    if all(name in told for name in names):
        return np.array([told[name] for name in names])
    if (times == times.astype("datetime64[D]")).any():
        return None
    return sun_zenith(times, *_middle(data))


def _middle(data: Cube) -> tuple[float, float]:
    """Longitude and latitude of the middle of the cube."""
    geobox = need_geobox(data)
    rows, columns = geobox.shape
    x, y = geobox.affine @ (columns / 2, rows / 2)
    assert geobox.crs is not None
    lon, lat = transformer(geobox.crs, type(geobox.crs)("EPSG:4326")).transform(x, y)
    return float(lon), float(lat)


# -- clouds ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Clouds:
    """What a test found, as arrays without the dimension of bands."""

    cloud: xr.DataArray
    shadow: xr.DataArray
    statement: str


def _detect(data: Cube, method: str | None) -> _Clouds:
    labels = _labels(data)
    if method in (None, "Sen2Cor") and "SCL" in labels:
        cloud, shadow = classify({"SCL": _stored(data, "SCL")}, classify_scl, together=False)
        return _Clouds(cloud, shadow, "Cloud detection: taken from the scene classification (SCL) that Sen2Cor made.")
    if method in (None, "Fmask") and "QA_PIXEL" in labels:
        cloud, shadow = classify({"QA_PIXEL": _stored(data, "QA_PIXEL")}, classify_qa_pixel, together=False)
        return _Clouds(cloud, shadow, "Cloud detection: taken from the band QA_PIXEL that CFMask (Fmask) made.")
    if method is not None:
        made = {"Sen2Cor": "SCL", "Fmask": "QA_PIXEL"}.get(method)
        what = f"is only supported for data with the band '{made}', which it made" if made else "is not supported"
        raise OpenEOError(
            "FeatureUnsupported",
            f"The cloud detection method '{method}' {what}. The data cube has: {', '.join(labels)}.",
            hint="Load that band, or use null." if made else "Use null, 'Sen2Cor' (with SCL) or 'Fmask' (QA_PIXEL).",
        )
    if _level(data) == "L2":
        raise OpenEOError(
            "ProcessParameterInvalid",
            "Clouds in surface reflectances (level 2) are found by their classification, band 'SCL' of Sentinel-2 or "
            f"'QA_PIXEL' of Landsat. The data cube has: {', '.join(labels)}.",
            hint="Load that band too.",
        )
    missing = [label for label in HOLLSTEIN_BANDS if label not in labels]
    if missing:
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"The cloud test for level 1 data (Hollstein et al. 2016) also needs the bands {', '.join(missing)}.",
            hint="Load them too.",
        )
    cloud, shadow = classify(
        {label: plane(data, label) for label in HOLLSTEIN_BANDS}, classify_hollstein, together=True
    )
    return _Clouds(cloud, shadow, "Cloud detection: decision tree of Hollstein et al. 2016 (doi:10.3390/rs8080666).")


def _stored(data: Cube, label: str) -> xr.DataArray:
    """A band of codes as floating point, NaN for missing."""
    return to_float(pick(data, [label])).data.isel({bands_dimension(data).name: 0}, drop=True)


def _saturation(data: Cube) -> xr.DataArray:
    """1 where a spectral band is saturated, 0 where none is, NaN where that cannot be told."""
    name = bands_dimension(data).name
    if "SCL" in _labels(data):
        classes = _stored(data, "SCL")
        return (classes == 1).astype("float32").where(classes > 0)
    spectral = pick(data, list(wavelengths(data)))
    if spectral.data.dtype.kind not in "iu":
        return xr.full_like(spectral.data.isel({name: 0}, drop=True), np.nan, dtype="float32")
    # sensors write the largest number where they are saturated
    largest = (spectral.data == np.iinfo(spectral.data.dtype).max).any(name)
    if spectral.nodata is None:
        return largest.astype("float32")
    return largest.astype("float32").where((spectral.data != spectral.nodata).any(name))
