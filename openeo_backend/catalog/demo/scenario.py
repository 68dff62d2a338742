"""What an archive is made for: place, size, dates; and the grids that follow from it."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer
from shapely import Polygon, box

#: Pixels of the finest grid around the published area for which ground is made too, so that grids of other
#: CRSs, which are rotated against this one, are filled to their corners.
PAD = 30

OPTICAL_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
ANGLE_BANDS = ("sunAzimuthAngles", "sunZenithAngles", "viewAzimuthMean", "viewZenithMean")


@dataclass(frozen=True)
class Grid:
    """North-up pixels: `west`, `north` are the outer corner of the first pixel, in units of the CRS."""

    epsg: int
    west: float
    north: float
    step: float
    width: int
    height: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.height, self.width

    @property
    def transform(self) -> Affine:
        return Affine(self.step, 0.0, self.west, 0.0, -self.step, self.north)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north in units of the CRS."""
        return self.west, self.north - self.height * self.step, self.west + self.width * self.step, self.north

    def coarser(self, factor: int) -> Grid:
        """The same area in pixels `factor` times as large; the size must be a multiple of it."""
        return Grid(self.epsg, self.west, self.north, self.step * factor, self.width // factor, self.height // factor)

    def centres(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """x and y of the pixel centres, as two 2-D arrays."""
        x = self.west + (np.arange(self.width) + 0.5) * self.step
        y = self.north - (np.arange(self.height) + 0.5) * self.step
        xs, ys = np.meshgrid(x, y)
        return xs, ys


@dataclass(frozen=True)
class Scenario:
    """All that an archive depends on; two archives of equal scenarios are equal byte by byte."""

    epsg: int = 32632
    west: float = 719_100.0
    north: float = 5_378_700.0
    resolution: float = 10.0
    """Metres of the finest optical bands; the others have twice and six times as much."""
    width: int = 504
    """Pixels of the finest bands, a multiple of 6."""
    height: int = 504
    start: datetime = datetime(2024, 10, 3, 10, 10, 31, tzinfo=UTC)
    """Time of the first optical acquisition."""
    days: tuple[int, ...] = tuple(range(0, 424, 10))
    """Optical acquisitions, in days after the first."""
    radar_days: tuple[int, ...] = tuple(range(1, 424, 12))
    """Radar acquisitions, in days after the first optical one."""
    bands: tuple[str, ...] = (*OPTICAL_BANDS, "SCL", *ANGLE_BANDS)
    offset: float = -0.1
    """Reflectance of the digital number 0: -0.1 as since processing baseline 04.00, 0 as before."""
    neighbour: int | None = 32633
    """EPSG code of the neighbouring zone whose scenes cover the eastern part, or None."""
    neighbour_every: int = 3
    """Every n-th optical acquisition comes in the neighbouring zone too."""
    edge_every: int = 4
    """Every n-th acquisition is cut by the edge of the swath; 0: none."""
    tiles: tuple[str, str] = ("32UQU", "33UTP")
    """MGRS tiles of the two zones, for the metadata."""
    cloud_cover: tuple[float, ...] = (0.0, 0.35, 0.05, 0.75, 0.15, 0.0, 0.95, 0.5, 0.02, 0.25, 0.0)
    """Fractions of cloud wanted, in turn."""
    seed: int = 7

    @property
    def grid(self) -> Grid:
        """The published area in the finest pixels."""
        return Grid(self.epsg, self.west, self.north, self.resolution, self.width, self.height)

    @property
    def ground(self) -> Grid:
        """The published area with its margin."""
        margin = PAD * self.resolution
        return Grid(
            self.epsg,
            self.west - margin,
            self.north + margin,
            self.resolution,
            self.width + 2 * PAD,
            self.height + 2 * PAD,
        )

    @property
    def latitude(self) -> float:
        west, south, east, north = self.grid.bounds
        lonlat = Transformer.from_crs(self.epsg, 4326, always_xy=True)
        return float(lonlat.transform((west + east) / 2, (south + north) / 2)[1])

    def optical_times(self) -> list[datetime]:
        return [self.start + timedelta(days=days) for days in self.days]

    def radar_times(self) -> list[datetime]:
        """Passes of the radar satellite, in the early morning."""
        first = self.start.replace(hour=5, minute=24, second=17)
        return [first + timedelta(days=days) for days in self.radar_days]

    def random(self, name: str, index: int = 0) -> np.random.Generator:
        """A generator of its own for every purpose: what is made first does not change the rest."""
        return np.random.Generator(np.random.Philox(key=[self.seed, (zlib.crc32(name.encode()) << 16) + index]))

    def neighbour_grid(self) -> Grid | None:
        """Grid of the scenes in the neighbouring zone: the eastern 45 %, snapped to its coarsest pixels."""
        if self.neighbour is None:
            return None
        west, south, east, north = self.grid.bounds
        part = reproject(box(west + 0.55 * (east - west), south, east, north), self.epsg, self.neighbour)
        cell = 6 * self.resolution
        left, bottom, right, top = (round(value / cell) for value in part.bounds)
        return Grid(self.neighbour, left * cell, top * cell, self.resolution, (right - left) * 6, (top - bottom) * 6)


def reproject(polygon: Polygon, source: int, target: int) -> Polygon:
    """A polygon in another CRS; its edges are refined first, so that long ones bend as they should."""
    west, south, east, north = polygon.bounds
    dense = polygon.segmentize(max(east - west, north - south) / 8)
    move = Transformer.from_crs(source, target, always_xy=True)
    return shapely.transform(dense, move.transform, interleaved=False)


def nearest(values: NDArray, source: Grid, target: Grid, fill: float) -> NDArray:
    """`values` (..., y, x) on `source` looked up at the pixel centres of `target`; `fill` outside."""
    xs, ys = target.centres()
    if source.epsg != target.epsg:
        xs, ys = Transformer.from_crs(target.epsg, source.epsg, always_xy=True).transform(xs, ys)
    column = np.floor((xs - source.west) / source.step).astype(np.int64)
    row = np.floor((source.north - ys) / source.step).astype(np.int64)
    inside = (column >= 0) & (column < source.width) & (row >= 0) & (row < source.height)
    found = values[..., row.clip(0, source.height - 1), column.clip(0, source.width - 1)]
    return np.where(inside, found, np.asarray(fill, dtype=values.dtype))


def block_mean(values: NDArray, factor: int) -> NDArray:
    """Means of `factor` x `factor` pixels of the last two axes."""
    *other, height, width = values.shape
    blocks = values.reshape(*other, height // factor, factor, width // factor, factor)
    return blocks.mean(axis=(-3, -1), dtype=np.float32)
