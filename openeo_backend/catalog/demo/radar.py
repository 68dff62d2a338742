"""Sentinel-1 scenes: terrain-corrected backscatter with speckle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from openeo_backend.catalog.demo.landscape import Landscape, smooth_noise
from openeo_backend.catalog.demo.optical import outside_swath
from openeo_backend.catalog.demo.scenario import Grid, Scenario, nearest
from openeo_backend.catalog.demo.spectra import COVERS

#: Equivalent number of looks of ground range detected products in high resolution.
LOOKS = 4.4
ORBIT = 168


@dataclass(frozen=True)
class RadarScene:
    """Linear backscatter (sigma0) of one pass."""

    time: datetime
    grid: Grid
    edge: tuple[float, float] | None
    bands: Mapping[str, NDArray[np.float32]] = field(repr=False)


def make_radar_scene(scenario: Scenario, landscape: Landscape, index: int) -> RadarScene:
    """The `index`-th radar pass: VV and VH, NaN outside the swath."""
    time = scenario.radar_times()[index]
    cut = bool(scenario.edge_every) and index % (2 * scenario.edge_every) == 1
    edge = (scenario.west + 0.18 * scenario.width * scenario.resolution, -0.2) if cut else None
    random = scenario.random("radar", index)
    moisture = float(random.normal(0, 0.8))
    wind = float(abs(random.normal(0, 1.5)))
    local = 0.5 * smooth_noise(scenario.random("moisture"), landscape.grid.shape, 60)
    bands = {}
    for name in ("VV", "VH"):
        decibel = _unit_decibel(scenario, landscape, time, name, moisture, wind)[landscape.unit]
        power = 10 ** ((decibel + local) / 10)
        speckle = random.standard_gamma(LOOKS, power.shape, dtype=np.float32) / np.float32(LOOKS)
        values = nearest(_shorten(power * speckle), landscape.grid, scenario.grid, np.nan)
        if edge is not None:
            values = np.where(outside_swath(scenario, scenario.grid, edge), np.float32(np.nan), values)
        bands[name] = values.astype(np.float32)
    return RadarScene(time, scenario.grid, edge, bands)


def _unit_decibel(
    scenario: Scenario, landscape: Landscape, time: datetime, band: str, moisture: float, wind: float
) -> NDArray[np.float32]:
    """Mean backscatter of each unit in dB: the more leaves the less the moisture of the soil matters."""
    level = np.zeros(len(landscape.cover_of), dtype=np.float32)
    for number, cover in enumerate(COVERS):
        units = np.flatnonzero(landscape.cover_of == number)
        bare, full = cover.vv if band == "VV" else cover.vh
        green, dry, _ = cover.season(time, landscape.shift_of[units], scenario.latitude < 0)
        level[units] = bare + (full - bare) * np.minimum(green + 0.5 * dry, 1)
        if cover.crop:
            level[units] += moisture * (1 - 0.7 * green) + 4 * (landscape.vigour_of[units] - 0.93)
        elif cover.name == "water":
            level[units] += wind
    return level


def _shorten(power: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values with 7 bits of mantissa (0.4 % steps): speckle hides the rest, and files become half as large."""
    bits = np.ascontiguousarray(power, dtype=np.float32).view(np.uint32)
    return ((bits + np.uint32(1 << 15)) & np.uint32(0xFFFF0000)).view(np.float32)
