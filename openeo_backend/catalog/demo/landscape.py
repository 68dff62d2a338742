"""The ground of the archive: parcels, forest, water, town, terrain. It does not change with time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rasterio.features import rasterize
from scipy import ndimage
from shapely import Polygon, box
from shapely.affinity import affine_transform

from openeo_backend.catalog.demo.scenario import PAD, Grid, Scenario
from openeo_backend.catalog.demo.spectra import BY_NAME, COVERS, CROP_SHARES, CROPS

Floats = NDArray[np.float32]

#: Sides of parcels in pixels.
PARCEL = (12, 42)
#: Direction of the parcels against the grid, in radians.
TILT = 0.31


@dataclass(frozen=True)
class Landscape:
    """Ground on `grid`. A unit is a parcel, or all ground of one other cover."""

    grid: Grid
    unit: NDArray[np.int32]
    """Unit of each pixel."""
    cover_of: NDArray[np.int32]
    """Index into COVERS of each unit."""
    shift_of: Floats
    """Days by which a unit's season is late."""
    vigour_of: Floats
    soil_of: Floats
    """Brightness of a unit's bare soil, about 1."""
    vigour: Floats
    """Growth within units, about 1, at most 1.1."""
    texture: Floats
    """Brightness of pixels, about 1."""
    elevation: Floats
    """Metres above the sea."""
    shade: Floats
    """Light on the slope against light on level ground, about 1."""
    parcels: tuple[tuple[int, Polygon], ...]
    """Unit and outline (in the grid's CRS) of each parcel."""

    @property
    def cover(self) -> NDArray[np.int32]:
        """Index into COVERS of each pixel."""
        return self.cover_of[self.unit]


def smooth_noise(random: np.random.Generator, shape: tuple[int, int], scale: float) -> Floats:
    """Gaussian noise of mean 0 and deviation 1 whose features measure about `scale` pixels."""
    coarse = tuple(int(np.ceil(side / scale)) + 3 for side in shape)
    knots = random.standard_normal(coarse, dtype=np.float32)
    offset = random.random(2)
    rows = np.arange(shape[0]) / scale + offset[0] + 0.5
    columns = np.arange(shape[1]) / scale + offset[1] + 0.5
    at = np.meshgrid(rows, columns, indexing="ij")
    field = ndimage.map_coordinates(knots, at, order=3, mode="nearest", output=np.float32)
    return (field - field.mean()) / (field.std() + np.float32(1e-6))


def make_landscape(scenario: Scenario) -> Landscape:
    grid = scenario.ground
    parcels, unit = _parcels(scenario, grid)
    random = scenario.random("units")
    cover_of = [BY_NAME[CROPS[index].name] for index in random.choice(len(CROPS), len(parcels), p=CROP_SHARES)]
    cover_of[: len(CROPS)] = [BY_NAME[cover.name] for cover in CROPS]
    special = {cover.name: len(parcels) + k for k, cover in enumerate(cover for cover in COVERS if not cover.crop)}
    cover_of += [BY_NAME[name] for name in special]
    elevation, distance = _terrain(scenario, grid)
    unit = _overlay(scenario, unit, special, distance)
    count = len(cover_of)
    return Landscape(
        grid=grid,
        unit=unit,
        cover_of=np.array(cover_of, dtype=np.int32),
        shift_of=random.normal(0, 5, count).astype(np.float32),
        vigour_of=random.uniform(0.86, 1.0, count).astype(np.float32),
        soil_of=random.normal(1.0, 0.10, count).astype(np.float32).clip(0.75, 1.3),
        vigour=(0.95 + 0.07 * smooth_noise(scenario.random("vigour"), grid.shape, 25)).clip(0.6, 1.1),
        texture=_texture(scenario, grid),
        elevation=elevation,
        shade=_shade(elevation, grid.step),
        parcels=tuple(enumerate(parcels)),
    )


def _parcels(scenario: Scenario, grid: Grid) -> tuple[list[Polygon], NDArray[np.int32]]:
    """Parcels by repeated splitting of a tilted rectangle that contains the grid, and their raster."""
    random = scenario.random("parcels")
    radius = float(np.hypot(grid.width, grid.height)) / 2
    queue = [(-radius, -radius, radius, radius)]
    leaves = []
    while queue:
        left, low, right, high = queue.pop()
        width, height = right - left, high - low
        limit = random.uniform(PARCEL[0] * 1.9, PARCEL[1])
        if max(width, height) <= limit:
            leaves.append((left, low, right, high))
            continue
        cut = random.uniform(0.38, 0.62)
        if width > height:
            middle = left + cut * width
            queue += [(left, low, middle, high), (middle, low, right, high)]
        else:
            middle = low + cut * height
            queue += [(left, low, right, middle), (left, middle, right, high)]
    west, south, east, north = grid.bounds
    cosine, sine = np.cos(TILT) * grid.step, np.sin(TILT) * grid.step
    matrix = [cosine, -sine, sine, cosine, (west + east) / 2, (south + north) / 2]
    area = box(*grid.bounds)
    placed = [affine_transform(box(*leaf), matrix) for leaf in leaves]
    inside = [polygon for polygon in placed if polygon.intersects(area)]
    order = random.permutation(len(inside))
    parcels = [inside[index] for index in order]
    unit = rasterize(
        [(polygon, number) for number, polygon in enumerate(parcels)],
        out_shape=grid.shape,
        transform=grid.transform,
        fill=0,
        dtype="int32",
    )
    return parcels, unit


def _terrain(scenario: Scenario, grid: Grid) -> tuple[Floats, Floats]:
    """Elevation, and distance from the river's middle in pixels."""
    rows, columns = np.indices(grid.shape, dtype=np.float32)
    along = (rows - PAD) / scenario.height
    middle = PAD + scenario.width * (0.36 + 0.09 * np.sin(5.1 * along + 0.4) + 0.03 * np.sin(13.7 * along))
    distance = np.abs(columns - middle).astype(np.float32)
    hills = smooth_noise(scenario.random("hills"), grid.shape, 150)
    knolls = smooth_noise(scenario.random("knolls"), grid.shape, 45)
    valley = np.exp(-((distance / (0.11 * scenario.width)) ** 2))
    elevation = (430 + 38 * hills + 9 * knolls) * (1 - valley) + (372 - 12 * along) * valley
    return elevation.astype(np.float32), distance


def _overlay(
    scenario: Scenario, unit: NDArray[np.int32], special: dict[str, int], distance: Floats
) -> NDArray[np.int32]:
    """`unit` with forest, town and water put over the parcels."""
    shape = unit.shape
    rows, columns = np.indices(shape, dtype=np.float32)
    across, down = (columns - PAD) / scenario.width, (rows - PAD) / scenario.height
    unit = unit.copy()

    wood = smooth_noise(scenario.random("forest"), shape, 55)
    kind = smooth_noise(scenario.random("trees"), shape, 40)
    forest = wood > np.quantile(wood, 0.80)
    unit[forest & (kind > 0)] = special["broadleaf_forest"]
    unit[forest & (kind <= 0)] = special["coniferous_forest"]

    outline = np.hypot(across - 0.67, down - 0.34) + 0.025 * smooth_noise(scenario.random("town"), shape, 20)
    town = outline < 0.13
    u, v = np.cos(0.9) * columns + np.sin(0.9) * rows, -np.sin(0.9) * columns + np.cos(0.9) * rows
    street = (u % 9 < 1.6) | (v % 14 < 1.6)
    roof = ~street & (smooth_noise(scenario.random("roofs"), shape, 2.4) + 3.0 * (0.09 - outline) / 0.09 > 0)
    unit[town] = special["garden"]
    unit[town & roof] = special["roof"]
    unit[town & street] = special["street"]

    river = distance < max(1.5, 0.009 * scenario.width)
    lake = ((across - 0.2) / 0.055) ** 2 + ((down - 0.7) / 0.085) ** 2 < 1
    unit[river | lake] = special["water"]
    return unit


def _texture(scenario: Scenario, grid: Grid) -> Floats:
    fine = ndimage.gaussian_filter(
        scenario.random("texture").standard_normal(grid.shape, dtype=np.float32), 1.2, output=np.float32
    )
    return (1 + 0.03 * fine / fine.std()).astype(np.float32)


def _shade(elevation: Floats, step: float) -> Floats:
    """Slopes to the south-east are brighter, as on a morning's image."""
    south, east = np.gradient(elevation, step)
    return (1 - 0.6 * south - 0.4 * east).clip(0.8, 1.2).astype(np.float32)
