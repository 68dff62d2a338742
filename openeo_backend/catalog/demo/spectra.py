"""How the ground reflects and scatters in the course of the year: materials, covers and their seasons."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from openeo_backend.catalog.demo.scenario import OPTICAL_BANDS

Floats = NDArray[np.float32]


def _spectrum(*values: float) -> Floats:
    if len(values) != len(OPTICAL_BANDS):
        raise ValueError(f"a spectrum has {len(OPTICAL_BANDS)} values, not {len(values)}")
    return np.array(values, dtype=np.float32)


# Surface reflectance in the order of OPTICAL_BANDS, of the size found in spectral libraries.
SOIL = _spectrum(0.070, 0.085, 0.110, 0.140, 0.165, 0.185, 0.200, 0.215, 0.225, 0.235, 0.290, 0.250)
LITTER = _spectrum(0.030, 0.040, 0.055, 0.065, 0.080, 0.100, 0.110, 0.125, 0.130, 0.140, 0.190, 0.130)
STRAW = _spectrum(0.070, 0.090, 0.130, 0.170, 0.210, 0.250, 0.280, 0.300, 0.320, 0.330, 0.360, 0.250)
BLOSSOM = _spectrum(0.050, 0.050, 0.160, 0.150, 0.200, 0.380, 0.450, 0.470, 0.480, 0.480, 0.220, 0.110)
WATER = _spectrum(0.040, 0.042, 0.045, 0.028, 0.022, 0.016, 0.014, 0.012, 0.011, 0.010, 0.006, 0.005)
ROOF = _spectrum(0.110, 0.130, 0.150, 0.180, 0.190, 0.200, 0.210, 0.220, 0.230, 0.230, 0.260, 0.240)
ASPHALT = _spectrum(0.080, 0.090, 0.100, 0.110, 0.115, 0.120, 0.125, 0.130, 0.135, 0.140, 0.160, 0.150)
CLOUD = _spectrum(0.620, 0.600, 0.590, 0.600, 0.610, 0.620, 0.630, 0.640, 0.640, 0.420, 0.480, 0.360)
HAZE = _spectrum(1.000, 0.850, 0.600, 0.420, 0.370, 0.330, 0.290, 0.250, 0.240, 0.200, 0.060, 0.030)
CEREAL = _spectrum(0.025, 0.030, 0.060, 0.030, 0.090, 0.300, 0.380, 0.410, 0.420, 0.420, 0.180, 0.085)
BARLEY = _spectrum(0.026, 0.032, 0.065, 0.033, 0.100, 0.310, 0.390, 0.420, 0.430, 0.430, 0.190, 0.090)
RAPE = _spectrum(0.025, 0.030, 0.070, 0.035, 0.110, 0.330, 0.420, 0.450, 0.460, 0.460, 0.200, 0.095)
MAIZE = _spectrum(0.022, 0.028, 0.065, 0.030, 0.100, 0.330, 0.430, 0.460, 0.480, 0.480, 0.200, 0.085)
BEET = _spectrum(0.022, 0.030, 0.070, 0.028, 0.095, 0.360, 0.500, 0.540, 0.550, 0.550, 0.190, 0.075)
POTATO = _spectrum(0.024, 0.032, 0.070, 0.032, 0.100, 0.320, 0.420, 0.460, 0.470, 0.470, 0.200, 0.090)
GRASS = _spectrum(0.028, 0.035, 0.075, 0.040, 0.110, 0.280, 0.350, 0.380, 0.390, 0.390, 0.210, 0.110)
BROADLEAF = _spectrum(0.018, 0.022, 0.045, 0.022, 0.070, 0.250, 0.330, 0.360, 0.370, 0.370, 0.150, 0.065)
CONIFER = _spectrum(0.014, 0.017, 0.030, 0.018, 0.045, 0.140, 0.180, 0.200, 0.210, 0.210, 0.090, 0.040)


@dataclass(frozen=True)
class Season:
    """A rise and a fall: days from the first of January (negative: the autumn before), slopes in days."""

    rise: float
    fall: float
    top: float
    rise_slope: float = 12.0
    fall_slope: float = 8.0

    def at(self, day: Floats) -> Floats:
        up = expit((day - self.rise) / self.rise_slope)
        down = expit((self.fall - day) / self.fall_slope)
        return (self.top * up * down).astype(np.float32)


@dataclass(frozen=True)
class Cover:
    """A kind of ground."""

    name: str
    code: int
    """Value of the property `target` of reference polygons."""
    worldcover: int
    """Class of ESA WorldCover."""
    leaf: Floats
    """Reflectance where leaves cover the ground completely."""
    under: Floats
    """Reflectance of the ground without leaves."""
    green: tuple[Season, ...] = ()
    """Fraction covered by green leaves: the largest of these."""
    dry: Season | None = None
    """Fraction covered by ripe, dry plants."""
    blossom: Season | None = None
    """Fraction of the leaves hidden by yellow blossoms."""
    cuts: tuple[int, ...] = ()
    """Days when most leaves are mown."""
    evergreen: float = 0.0
    """Fraction always covered."""
    vv: tuple[float, float] = (-12.0, -9.5)
    """Backscatter in dB without and with full cover."""
    vh: tuple[float, float] = (-20.0, -15.0)
    crop: bool = False

    def season(self, time: datetime, shift: Floats, southern: bool) -> tuple[Floats, Floats, Floats]:
        """Green, dry and blossom fractions at a time, where the season is late by `shift` days."""
        green: Floats = np.full(shift.shape, self.evergreen, dtype=np.float32)
        dry: Floats = np.zeros_like(green)
        blossom: Floats = np.zeros_like(green)
        for year in (time.year - 1, time.year, time.year + 1):
            first = datetime(year, 7 if southern else 1, 1, tzinfo=UTC)
            day = np.float32((time - first).total_seconds() / 86_400) - shift
            for season in self.green:
                green = np.maximum(green, season.at(day))
            if self.dry is not None:
                dry = np.maximum(dry, self.dry.at(day))
            if self.blossom is not None:
                blossom = np.maximum(blossom, self.blossom.at(day))
            for cut in self.cuts:
                since = day - cut
                left = 1 - 0.5 * np.where(since >= 0, np.exp(-np.maximum(since, 0) / 14), 0)
                green = (green * left).astype(np.float32)
        return green, np.minimum(dry, 1 - green), blossom


COVERS: tuple[Cover, ...] = (
    Cover("winter_wheat", 1, 40, CEREAL, SOIL, (Season(-50, 95, 0.30, 12, 25), Season(90, 183, 0.92, 13, 7)),
          dry=Season(182, 205, 0.85, 6, 2), vv=(-11, -13.5), vh=(-19.5, -18.0), crop=True),
    Cover("winter_barley", 2, 40, BARLEY, SOIL, (Season(-58, 85, 0.34, 12, 25), Season(78, 160, 0.90, 12, 7)),
          dry=Season(160, 184, 0.85, 6, 2), vv=(-11, -13.0), vh=(-19.5, -17.5), crop=True),
    Cover("rapeseed", 3, 40, RAPE, SOIL, (Season(-108, 70, 0.62, 12, 30), Season(74, 172, 0.95, 10, 9)),
          dry=Season(174, 200, 0.80, 6, 2), blossom=Season(112, 138, 0.75, 4, 4),
          vv=(-11, -8.5), vh=(-19.5, -12.5), crop=True),
    Cover("maize", 4, 40, MAIZE, SOIL, (Season(153, 262, 0.92, 9, 8),),
          dry=Season(258, 276, 0.50, 5, 2), vv=(-11, -9.0), vh=(-19.5, -14.5), crop=True),
    Cover("sugar_beet", 5, 40, BEET, SOIL, (Season(143, 298, 0.95, 12, 6),),
          vv=(-11, -8.0), vh=(-19.5, -13.5), crop=True),
    Cover("potato", 6, 40, POTATO, SOIL, (Season(152, 236, 0.90, 8, 9),),
          dry=Season(238, 258, 0.45, 5, 3), vv=(-10, -8.5), vh=(-18.5, -14.0), crop=True),
    Cover("grassland", 7, 30, GRASS, SOIL, (Season(72, 315, 0.90, 15, 20),),
          cuts=(138, 184, 232), evergreen=0.55, vv=(-12, -11.0), vh=(-20, -17.5), crop=True),
    Cover("broadleaf_forest", 8, 10, BROADLEAF, LITTER, (Season(110, 298, 0.95, 7, 9),),
          evergreen=0.12, vv=(-9.5, -8.8), vh=(-15.0, -14.0)),
    Cover("coniferous_forest", 8, 10, CONIFER, LITTER, evergreen=0.93, vv=(-9, -8.5), vh=(-14.5, -13.8)),
    Cover("water", 9, 80, WATER, WATER, vv=(-19, -19), vh=(-26, -26)),
    Cover("roof", 10, 50, GRASS, ROOF, evergreen=0.05, vv=(-3, -6), vh=(-10, -13)),
    Cover("street", 10, 50, GRASS, ASPHALT, evergreen=0.08, vv=(-8, -9), vh=(-16, -16)),
    Cover("garden", 10, 50, GRASS, SOIL, (Season(85, 310, 0.85, 15, 20),), evergreen=0.45,
          vv=(-9, -9), vh=(-15.5, -15)),
)  # fmt: skip
CROPS = tuple(cover for cover in COVERS if cover.crop)
CROP_SHARES = (0.24, 0.12, 0.13, 0.2, 0.1, 0.08, 0.13)
#: Names of the values of `target`, where several covers share one.
LABELS = {cover.code: cover.name for cover in CROPS} | {8: "forest", 9: "water", 10: "built_up"}
BY_NAME = {cover.name: index for index, cover in enumerate(COVERS)}
