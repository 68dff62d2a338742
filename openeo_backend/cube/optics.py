"""Sunlight on its way through the air: formulas for optical imagery, on plain arrays.

Reflectances are fractions (0 to 1), angles degrees unless a name says otherwise, missing values NaN.
"""

from __future__ import annotations

import math

import numpy as np

#: Width of the bins in which dark objects are searched: the step of Sentinel-2's digital numbers.
BIN = 1e-4

#: Lowest reflectance of the bins, and their number: up to a reflectance of 1.
LOWEST = -0.1
BINS = 11_001

#: Part of the pixels that a dark object has at least (Sobrino et al. 2004, doi:10.1016/j.rse.2004.02.003).
DARKEST = 1e-4

#: Reflectance that dark objects really have (Chavez 1988, doi:10.1016/0034-4257(88)90019-3).
DARK = 0.01

#: Wavelength in micrometres from which on scattering takes no light on its way down (Chavez 1996).
CLEAR_FROM = 1.3


def sun_zenith(times: np.ndarray, lon: float, lat: float) -> np.ndarray:
    """Zenith angle of the sun in degrees at moments (datetime64, UTC), seen from a place; good to about 0.02 degrees.

    The low-precision formulas of the Astronomical Almanac, without refraction.
    """
    days = (times - np.datetime64("2000-01-01T12:00:00")) / np.timedelta64(1, "D")
    mean_longitude = np.radians((280.460 + 0.9856474 * days) % 360)
    anomaly = np.radians((357.528 + 0.9856003 * days) % 360)
    ecliptic = mean_longitude + np.radians(1.915) * np.sin(anomaly) + np.radians(0.020) * np.sin(2 * anomaly)
    obliquity = np.radians(23.439 - 4e-7 * days)
    declination = np.arcsin(np.sin(obliquity) * np.sin(ecliptic))
    ascension = np.arctan2(np.cos(obliquity) * np.sin(ecliptic), np.cos(ecliptic))
    sidereal = np.radians((280.46062 + 360.98564737 * days + lon) % 360)
    hour = sidereal - ascension
    phi = math.radians(lat)
    height = math.sin(phi) * np.sin(declination) + math.cos(phi) * np.cos(declination) * np.cos(hour)
    return np.asarray(np.degrees(np.arccos(np.clip(height, -1, 1))))


def count_reflectances(values: np.ndarray) -> np.ndarray:
    """How many pixels of planes (..., y, x) lie in each bin: (..., BINS), missing ones in none.

    Values beyond the ends count in the outermost bins.
    """
    planes = values.reshape(-1, values.shape[-2] * values.shape[-1])
    counts = np.zeros((len(planes), BINS), dtype="uint32")
    for plane, found in zip(planes, counts, strict=True):
        known = plane[~np.isnan(plane)]
        place = np.clip(np.rint((known - LOWEST) / BIN), 0, BINS - 1).astype("int32")
        found += np.bincount(place, minlength=BINS).astype("uint32")
    return counts.reshape(*values.shape[:-2], BINS)


def dark_objects(counts: np.ndarray) -> np.ndarray:
    """The lowest reflectance that `DARKEST` of the pixels do not exceed; NaN without pixels.

    :param counts: by bin, (..., BINS).
    """
    sums = np.cumsum(counts, axis=-1, dtype="int64")
    total = sums[..., -1:]
    needed = np.maximum(1, np.ceil(DARKEST * total))
    first = np.argmax(sums >= needed, axis=-1)
    return np.where(total[..., 0] > 0, LOWEST + BIN * first, np.nan)


def subtract_dark_object(toa: np.ndarray, dark: np.ndarray, transmittance: np.ndarray) -> np.ndarray:
    """Surface reflectance by the COST method (Chavez 1996, Photogramm. Eng. Remote Sens. 62(9), 1025-1036).

    The path reflectance is what a dark object of 1 % reflectance has more than it should:
    haze = dark - 0.01 t, and surface = (toa - haze) / t, not below 0, for a nadir view.

    :param dark: reflectance of the dark object at the top of the atmosphere.
    :param transmittance: t, of the way down: the cosine of the sun's zenith angle; 1 for the short-wave infrared.
    """
    haze = dark - DARK * transmittance
    return np.asarray(np.maximum((toa - haze) / transmittance, 0))
