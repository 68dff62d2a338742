"""Where a side-looking radar sees places of the earth: range and zero Doppler, on plain arrays.

Positions are in metres in the earth-centred, earth-fixed frame of WGS 84 (ECEF), arrays of (..., 3). Times are
seconds since the first line of the image.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

#: The WGS 84 ellipsoid: half the longer axis in metres, and the square of the eccentricity.
_A = 6_378_137.0
_E2 = 6.694379990141316e-3

#: Most Newton steps to the moment of zero Doppler. Each squares the error: after one of a microsecond it is gone.
_STEPS = 8
_EXACT = 1e-6


def ecef(lon: np.ndarray, lat: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Positions of places: degrees, and metres above the ellipsoid."""
    lam, phi = np.radians(lon), np.radians(lat)
    normal = _A / np.sqrt(1 - _E2 * np.sin(phi) ** 2)
    horizontal = (normal + height) * np.cos(phi)
    up = (normal * (1 - _E2) + height) * np.sin(phi)
    return np.stack([horizontal * np.cos(lam), horizontal * np.sin(lam), up], axis=-1)


def verticals(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """Unit vectors that stand upright on the ellipsoid."""
    lam, phi = np.radians(lon), np.radians(lat)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)


@dataclass(frozen=True, eq=False)
class Conversion:
    """Polynomials between slant and ground range in metres that hold at one moment."""

    time: float
    slant_origin: float
    to_ground: np.ndarray
    """Coefficients by rising power of (slant range - slant_origin)."""

    ground_origin: float
    to_slant: np.ndarray
    """Coefficients by rising power of (ground range - ground_origin)."""

    def ground(self, slant: np.ndarray) -> np.ndarray:
        return np.asarray(np.polynomial.polynomial.polyval(slant - self.slant_origin, self.to_ground))

    def slant(self, ground: np.ndarray) -> np.ndarray:
        return np.asarray(np.polynomial.polynomial.polyval(ground - self.ground_origin, self.to_slant))


@dataclass(frozen=True, eq=False)
class View:
    """The geometry of a ground range image."""

    times: np.ndarray
    positions: np.ndarray
    velocities: np.ndarray
    """State vectors of the orbit, rising in time."""

    conversions: tuple[Conversion, ...]
    """At least one, rising in time."""

    interval: float
    """Seconds from line to line."""

    spacing: float
    """Ground range from pixel to pixel, in metres."""

    shape: tuple[int, int]
    """Lines and pixels."""

    @cached_property
    def _orbit(self) -> Any:
        from scipy.interpolate import CubicHermiteSpline  # takes a while, which most processes need not wait for

        return CubicHermiteSpline(self.times, self.positions, self.velocities)

    def sensor(self, times: np.ndarray) -> np.ndarray:
        """Where the sensor is at some moments."""
        return np.asarray(self._orbit(times))

    def zero_doppler(self, points: np.ndarray) -> np.ndarray:
        """When the sensor flies by each point: its velocity is at right angles to the line of sight then."""
        velocity, acceleration = self._orbit.derivative(1), self._orbit.derivative(2)
        first, last = float(self.times[0]), float(self.times[-1])
        start = self.shape[0] * self.interval / 2
        if points.size > 3:  # a known one is near all others
            known = points[np.isfinite(points).all(axis=-1)]
            start = float(self.zero_doppler(known[len(known) // 2][None])[0]) if len(known) else start
        times = np.full(points.shape[:-1], start)
        for _ in range(_STEPS):
            sight = points - self._orbit(times)
            v = velocity(times)
            step = _dot(v, sight) / (_dot(acceleration(times), sight) - _dot(v, v))
            times = np.clip(times - step, first, last)
            if not times.size or float(np.nanmax(np.abs(step), initial=0.0)) < _EXACT:
                break
        return times

    def locate(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Line and pixel (whole numbers are centres) at which points are seen, and the moments of that."""
        times = self.zero_doppler(points)
        slant = np.sqrt(np.sum((points - self._orbit(times)) ** 2, axis=-1))
        return times / self.interval, self._ground(slant, times) / self.spacing, times

    def _ground(self, slant: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Ground range, between the moments of two conversions interpolated linearly."""
        if len(self.conversions) == 1:
            return self.conversions[0].ground(slant)
        moments = np.array([conversion.time for conversion in self.conversions])
        after = np.clip(np.searchsorted(moments, times), 1, len(moments) - 1)
        found = np.full(slant.shape, np.nan)
        for index in np.unique(after):
            here = after == index
            one, other = self.conversions[index - 1], self.conversions[index]
            share = np.clip((times[here] - one.time) / (other.time - one.time), 0, 1)
            found[here] = (1 - share) * one.ground(slant[here]) + share * other.ground(slant[here])
        return found

    def slant_spacing(self, line: float, pixels: np.ndarray) -> np.ndarray:
        """How much slant range each pixel covers around a line, in metres."""
        time = line * self.interval
        nearest = min(self.conversions, key=lambda conversion: abs(conversion.time - time))
        return nearest.slant((pixels + 0.5) * self.spacing) - nearest.slant((pixels - 0.5) * self.spacing)


def _dot(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.asarray(np.einsum("...i,...i->...", one, other))
