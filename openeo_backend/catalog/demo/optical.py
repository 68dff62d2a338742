"""Sentinel-2 Level-2A scenes: digital numbers, scene classes and angles of one acquisition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer

from openeo_backend.catalog.demo.landscape import Landscape
from openeo_backend.catalog.demo.scenario import (
    ANGLE_BANDS,
    OPTICAL_BANDS,
    Grid,
    Scenario,
    block_mean,
    nearest,
)
from openeo_backend.catalog.demo.spectra import BLOSSOM, BY_NAME, CLOUD, COVERS, HAZE, STRAW
from openeo_backend.catalog.demo.weather import Weather, make_weather

Floats = NDArray[np.float32]

#: How much larger than the finest the pixels of a band are.
FACTOR = {band: 1 for band in ("B02", "B03", "B04", "B08")}
FACTOR |= {band: 2 for band in ("B05", "B06", "B07", "B8A", "B11", "B12", "SCL")}
FACTOR |= {band: 6 for band in ("B01", "B09", *ANGLE_BANDS)}
#: Relative orbits of full and of cut acquisitions.
ORBITS = (65, 22)


@dataclass(frozen=True)
class Scene:
    """Bands of one acquisition on one tile."""

    time: datetime
    tile: str
    grid: Grid
    """Grid of the finest bands; the others are `grid.coarser(FACTOR[band])`."""
    orbit: int
    sun_azimuth: float
    sun_zenith: float
    view_azimuth: float
    view_zenith: float
    edge: tuple[float, float] | None
    """Easting at the middle of the area and slope of the swath's western edge, in the ground's CRS."""
    bands: Mapping[str, NDArray] = field(repr=False)

    @property
    def cloud_cover(self) -> float:
        """Percent of the valid pixels in the scene classes 8, 9 and 10."""
        scl = self.bands["SCL"]
        valid = np.count_nonzero(scl)
        return round(100.0 * int(np.isin(scl, (8, 9, 10)).sum()) / max(int(valid), 1), 2)

    @property
    def nodata_share(self) -> float:
        scl = self.bands["SCL"]
        return round(100.0 * float((scl == 0).mean()), 2)


def sun_angles(time: datetime, latitude: float) -> tuple[float, float]:
    """Azimuth and zenith of the sun in degrees at an overpass at half past ten, local solar time."""
    day = time.timetuple().tm_yday
    declination = np.radians(-23.44 * np.cos(2 * np.pi * (day + 10) / 365.25))
    hour = np.radians(-22.5)
    phi = np.radians(latitude)
    up = np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(hour)
    zenith = np.arccos(up)
    north = np.sin(declination) * np.cos(phi) - np.cos(declination) * np.sin(phi) * np.cos(hour)
    east = -np.cos(declination) * np.sin(hour)
    azimuth = np.degrees(np.arctan2(east, north)) % 360
    return float(azimuth), float(np.degrees(zenith))


def make_scenes(scenario: Scenario, landscape: Landscape, index: int) -> list[Scene]:
    """The scenes of the `index`-th acquisition: one, or two where it comes in the neighbouring zone too.

    Both hold the same ground: a pixel of the neighbouring zone has the value of the pixel under its centre.
    """
    time = scenario.optical_times()[index]
    azimuth, zenith = sun_angles(time, scenario.latitude)
    weather = make_weather(scenario, index, azimuth, zenith)
    cut = bool(scenario.edge_every) and index % scenario.edge_every == scenario.edge_every - 1
    edge = (scenario.west + 0.3 * scenario.width * scenario.resolution, 0.24) if cut else None
    ground = _ground_bands(scenario, landscape, weather, index)
    view = (286.0, 7.4) if cut else (104.0, 3.1)
    grids = [(scenario.tiles[0], scenario.grid)]
    other = scenario.neighbour_grid()
    if other is not None and index % scenario.neighbour_every == 0:
        grids.append((scenario.tiles[1], other))
    scenes = []
    for tile, grid in grids:
        bands = {}
        for band in scenario.bands:
            pixels = grid.coarser(FACTOR[band])
            if band in ANGLE_BANDS:
                angles = dict(zip(ANGLE_BANDS, (azimuth, zenith, *view), strict=True))
                bands[band] = _cut(_angle(band, angles[band], pixels), scenario, pixels, edge, np.nan)
            else:
                values = nearest(ground[band], scenario.ground.coarser(FACTOR[band]), pixels, 0)
                bands[band] = _cut(values, scenario, pixels, edge, 0)
        scenes.append(Scene(time, tile, grid, ORBITS[cut], azimuth, zenith, *view, edge, bands))
    return scenes


def _ground_bands(scenario: Scenario, landscape: Landscape, weather: Weather, index: int) -> dict[str, NDArray]:
    """Digital numbers and scene classes of the whole ground, each band on pixels of its size."""
    time = scenario.optical_times()[index]
    seasons = _unit_spectra(scenario, landscape, time)
    finest = {name: values.repeat(2, axis=0).repeat(2, axis=1) for name, values in _air(weather).items()}
    shadowed = 1 - 0.62 * finest["shadow"]
    random = scenario.random("noise", index)
    bands: dict[str, NDArray] = {}
    means: dict[str, Floats] = {}
    needed = [band for band in OPTICAL_BANDS if band in scenario.bands or band in ("B04", "B08")]
    for band in needed:
        k = OPTICAL_BANDS.index(band)
        surface = _surface(landscape, seasons, k) * shadowed
        surface += finest["haze"] * HAZE[k]
        surface += (CLOUD[k] - surface) * finest["opacity"]
        factor = FACTOR[band]
        if band in ("B04", "B08"):
            means[band] = block_mean(surface, 2)
        pixels = block_mean(surface, factor) if factor > 1 else surface
        noise = random.standard_normal(pixels.shape, dtype=np.float32)
        pixels = pixels * (1 + 0.003 * noise) + 0.0004 * noise
        numbers = np.rint((pixels - scenario.offset) * 10_000)
        bands[band] = numbers.clip(1, 32_767).astype(np.uint16)
    bands["SCL"] = _scene_classes(landscape, weather, means)
    return bands


def _air(weather: Weather) -> dict[str, Floats]:
    opacity = 1 - (1 - weather.cloud) * (1 - weather.cirrus)
    return {"shadow": weather.shadow, "haze": weather.haze, "opacity": opacity.astype(np.float32)}


def _unit_spectra(scenario: Scenario, landscape: Landscape, time: datetime) -> tuple[Floats, Floats, Floats]:
    """Of each unit: fraction of leaves, reflectance with leaves only, and reflectance without (unit, band)."""
    count = len(landscape.cover_of)
    green = np.zeros(count, dtype=np.float32)
    leaf = np.zeros((count, len(OPTICAL_BANDS)), dtype=np.float32)
    under = np.zeros_like(leaf)
    for number, cover in enumerate(COVERS):
        units = np.flatnonzero(landscape.cover_of == number)
        fractions = cover.season(time, landscape.shift_of[units], scenario.latitude < 0)
        leaves, dry, blossom = (fraction[:, None] for fraction in fractions)
        green[units] = leaves[:, 0] * (landscape.vigour_of[units] if cover.crop else 1)
        leaf[units] = cover.leaf * (1 - blossom) + BLOSSOM * blossom
        bare = np.minimum(1, dry / np.maximum(1 - leaves, 1e-3))
        soil = cover.under * (landscape.soil_of[units, None] if cover.crop else 1)
        under[units] = STRAW * bare + soil * (1 - bare)
    return green, leaf, under


def _surface(landscape: Landscape, seasons: tuple[Floats, Floats, Floats], band: int) -> Floats:
    green, leaf, under = seasons
    fraction = (green[landscape.unit] * landscape.vigour).clip(0, 1)
    bare = under[:, band][landscape.unit]
    mixed = bare + fraction * (leaf[:, band][landscape.unit] - bare)
    return mixed * landscape.texture * landscape.shade


def _scene_classes(landscape: Landscape, weather: Weather, means: Mapping[str, Floats]) -> NDArray[np.uint8]:
    """Classes of the air where there are any, else 4 vegetation, 5 not vegetated, 6 water."""
    cover = landscape.cover[::2, ::2]
    red, near = means["B04"], means["B08"]
    ndvi = (near - red) / (near + red)
    scl = np.where(ndvi > 0.35, 4, 5).astype(np.uint8)
    scl[cover == BY_NAME["water"]] = 6
    air = weather.scl
    return np.where(air > 0, air, scl).astype(np.uint8)


def _angle(band: str, mean: float, grid: Grid) -> Floats:
    """An angle that changes slightly over the scene, in degrees."""
    rows, columns = np.indices(grid.shape, dtype=np.float32)
    slope = {"sunAzimuthAngles": 0.8, "sunZenithAngles": -0.5, "viewAzimuthMean": 1.2, "viewZenithMean": 0.9}[band]
    change = slope * ((columns / grid.width - 0.5) + 0.3 * (rows / grid.height - 0.5)) * 0.1
    return np.round(mean + change, 3).astype(np.float32)


def _cut(values: NDArray, scenario: Scenario, grid: Grid, edge: tuple[float, float] | None, fill: float) -> NDArray:
    """`values` with `fill` west of the swath's edge."""
    if edge is None:
        return values
    return np.where(outside_swath(scenario, grid, edge), np.asarray(fill, dtype=values.dtype), values)


def outside_swath(scenario: Scenario, grid: Grid, edge: tuple[float, float]) -> NDArray[np.bool_]:
    """Which pixel centres of `grid` lie west of the swath's edge."""
    xs, ys = grid.centres()
    if grid.epsg != scenario.epsg:
        xs, ys = Transformer.from_crs(grid.epsg, scenario.epsg, always_xy=True).transform(xs, ys)
    _, south, _, north = scenario.grid.bounds
    return xs < edge[0] + edge[1] * (ys - (south + north) / 2)
