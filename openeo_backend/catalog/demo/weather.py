"""What the air does to an optical image: clouds, their shadows, thin cirrus, haze. On the pixels of the SCL."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from openeo_backend.catalog.demo.landscape import smooth_noise
from openeo_backend.catalog.demo.scenario import Grid, Scenario

Floats = NDArray[np.float32]

#: Metres between cloud and ground.
CLOUD_HEIGHT = 1_100.0
#: Opacity from which a pixel is classified as cloud of medium and of high probability, and as cirrus.
MEDIUM, HIGH, CIRRUS = 0.08, 0.5, 0.04


@dataclass(frozen=True)
class Weather:
    """Air above the ground on `grid`, the ground in pixels twice as large."""

    grid: Grid
    cloud: Floats
    """Opacity of clouds, 0 to 1."""
    cirrus: Floats
    """Opacity of cirrus, 0 to 0.25."""
    shadow: Floats
    """Fraction of direct light that clouds take away, 0 to 1."""
    haze: Floats
    """Path reflectance of haze in the shortest wavelength, 0 to 0.05."""

    @property
    def scl(self) -> NDArray[np.uint8]:
        """Scene classes of the air: 8, 9 cloud, 10 cirrus, 3 shadow; 0 where the ground is seen."""
        scl = np.zeros(self.grid.shape, dtype=np.uint8)
        scl[self.shadow > MEDIUM] = 3
        scl[self.cirrus > CIRRUS] = 10
        scl[self.cloud > MEDIUM] = 8
        scl[self.cloud > HIGH] = 9
        return scl


def make_weather(scenario: Scenario, index: int, sun_azimuth: float, sun_zenith: float) -> Weather:
    """The weather of the `index`-th acquisition under a sun at these angles in degrees."""
    grid = scenario.ground.coarser(2)
    random = scenario.random("weather", index)
    wanted = scenario.cloud_cover[index % len(scenario.cloud_cover)]
    scale = max(4.0, 0.12 * grid.width)
    field = (
        smooth_noise(random, grid.shape, scale)
        + 0.5 * smooth_noise(random, grid.shape, scale / 2.6)
        + 0.22 * smooth_noise(random, grid.shape, scale / 7)
    )
    cloud = np.zeros(grid.shape, dtype=np.float32)
    if wanted > 0:
        cloud = ((field - np.quantile(field, 1 - wanted)) / 0.55).clip(0, 1) ** 0.8
    cirrus = np.zeros_like(cloud)
    if index % 5 == 3:
        wisp = smooth_noise(random, grid.shape, scale * 0.8)
        cirrus = (0.12 * (wisp - 0.9)).clip(0, 0.25)
    haze = np.zeros_like(cloud)
    if index % 3 == 1:
        haze = (0.018 + 0.009 * smooth_noise(random, grid.shape, scale * 2)).clip(0, 0.05)
    return Weather(grid, cloud, cirrus, _shadow(cloud, grid.step, sun_azimuth, sun_zenith), haze)


def _shadow(cloud: Floats, step: float, sun_azimuth: float, sun_zenith: float) -> Floats:
    """The clouds moved away from the sun by their height, weakened under the clouds themselves."""
    length = max(CLOUD_HEIGHT * np.tan(np.radians(min(sun_zenith, 70.0))) / step, 2.0)
    length = min(length, 0.25 * cloud.shape[0])
    rows = length * np.cos(np.radians(sun_azimuth))
    columns = -length * np.sin(np.radians(sun_azimuth))
    moved = ndimage.shift(cloud, (rows, columns), order=1, mode="mirror", output=np.float32)
    return (moved * (1 - cloud)).clip(0, 1).astype(np.float32)
