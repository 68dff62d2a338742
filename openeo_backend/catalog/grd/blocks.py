"""Filling the blocks of a cube from radar images: each block sees its pixels through the geometry of the images."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import rasterio.errors
import rasterio.features
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from shapely import box
from shapely.geometry.base import BaseGeometry

from openeo_backend.catalog.grd.annotation import Annotation
from openeo_backend.catalog.grd.product import Image
from openeo_backend.catalog.handles import Handles
from openeo_backend.catalog.read import crop
from openeo_backend.cube.backscatter import calibrate, interpolate
from openeo_backend.cube.doppler import ecef, verticals
from openeo_backend.cube.geoid import geoid_height
from openeo_backend.cube.grid import pixel_centers, transformer
from openeo_backend.cube.relief import Facets, accumulate, angle_between, distorted
from openeo_backend.errors import OpenEOError

LONLAT = CRS("EPSG:4326")

#: Coefficients that need the area of the terrain.
TERRAIN = ("sigma0-terrain", "gamma0-terrain")

#: Metres of terrain around a block that may fall onto its pixels or shade them.
REACH = 2000.0

#: Metres that terrain reaches per metre of relief, by layover or shadow, at angles of incidence from 10 to 80 degrees.
_REACH_PER_METRE = 5.7

#: Least metres of terrain around a block: some pixels of the images.
_LEAST_REACH = 100.0

#: Pixels that an image's window has around what is needed.
_ROOM = 2

#: Degrees around the footprint of an item in which it may have pixels.
_NEAR = 0.1


@dataclass(frozen=True)
class Wanted:
    """What is computed."""

    polarisations: tuple[str, ...]
    coefficient: str | None = None
    """None: the intensity of digital numbers."""

    amplitude: bool = False
    """The digital numbers themselves."""

    noise_removal: bool = False
    added: tuple[str, ...] = ()
    """Of mask, contributing_area, local_incidence_angle, ellipsoid_incidence_angle."""

    @property
    def areas(self) -> bool:
        return self.coefficient in TERRAIN or "contributing_area" in self.added

    @property
    def terrain(self) -> bool:
        """Whether nothing can be told without an elevation model."""
        return self.areas or bool({"mask", "local_incidence_angle"} & set(self.added))

    def margin(self, metres: float) -> int:
        """Pixels of terrain needed around each block, for pixels of some metres."""
        if self.areas or "mask" in self.added:
            return min(max(math.ceil(REACH / metres), 8), 256)
        return 1 if self.terrain else 0

    @property
    def bands(self) -> tuple[str, ...]:
        return (*self.polarisations, *self.added)


@dataclass(frozen=True, eq=False)
class Acquisition:
    """The images of one item."""

    images: Mapping[str, Image]
    footprint: BaseGeometry


@dataclass(frozen=True, eq=False)
class Place:
    """The pixels of a block with the terrain around."""

    lon: np.ndarray
    lat: np.ndarray
    heights: np.ndarray | None
    """Metres above the sea; None where no elevation model is used."""

    margin: int

    @property
    def inner(self) -> tuple[slice, slice]:
        rows, columns = self.lon.shape
        return slice(self.margin, rows - self.margin), slice(self.margin, columns - self.margin)

    @cached_property
    def above(self) -> np.ndarray:
        """Metres above the ellipsoid; NaN where they are not known."""
        if self.heights is None:
            return np.full(self.lon.shape, np.nan)
        return np.asarray(self.heights + geoid_height(self.lon, self.lat))

    @cached_property
    def points(self) -> np.ndarray:
        """Positions at these heights."""
        return ecef(self.lon, self.lat, self.above)

    @cached_property
    def up(self) -> np.ndarray:
        """Directions that stand upright."""
        return verticals(self.lon, self.lat)


@dataclass(frozen=True, eq=False)
class Imager:
    """Fills blocks of (1, bands, y, x) with float32."""

    geobox: GeoBox
    steps: Sequence[Sequence[Acquisition]]
    """What is seen by time step, the first one on top."""

    wanted: Wanted
    margin: int
    handles: Handles
    soft: Callable[[str], None] | None = None
    """Told about acquisitions that cannot be read, which are then skipped; None: they are errors."""

    mask: BaseGeometry | None = None
    """Pixels whose centre is outside are missing."""

    metres: float = 0.0
    """How long the shorter side of a pixel is; 0 where no terrain is used."""

    def block(self, step: int, rows: slice, columns: slice, place: Place) -> np.ndarray:
        """The values of a part of the grid at one time step, in its place."""
        shape = (len(self.wanted.bands), rows.stop - rows.start, columns.stop - columns.start)
        out = np.full(shape, np.nan, dtype="float32")
        extent = box(place.lon.min(), place.lat.min(), place.lon.max(), place.lat.max()).buffer(_NEAR)
        open_ = np.ones(shape[1:], dtype=bool)
        for acquisition in self.steps[step]:
            if open_.any() and extent.intersects(acquisition.footprint):
                seen = self._try(acquisition, place)
                if seen is not None:
                    values, covered = seen
                    out[:, open_ & covered] = values[:, open_ & covered]
                    open_ &= ~covered
        if self.mask is not None:
            block = crop(self.geobox, rows, columns)
            out[:, rasterio.features.geometry_mask([self.mask], block.shape, block.affine)] = np.nan
        return out[None]

    def _try(self, acquisition: Acquisition, place: Place) -> tuple[np.ndarray, np.ndarray] | None:
        try:
            return self._see(acquisition, place)
        except OpenEOError as error:
            if self.soft is None:
                raise
            self.soft(error.message)
            return None

    def place(self, rows: slice, columns: slice, heights: np.ndarray | None = None) -> Place:
        """Where the pixels of a part of the grid are, which all time steps share.

        :param heights: metres above the sea (EGM2008) of the part with its margin around, NaN where they are not known.
        """
        margin = 0
        if heights is not None:
            margin = self._needed(heights)
            cut = slice(self.margin - margin, margin - self.margin or None)
            heights = heights[cut, cut]
        wide = crop(
            self.geobox,
            slice(rows.start - margin, rows.stop + margin),
            slice(columns.start - margin, columns.stop + margin),
        )
        xs, ys = pixel_centers(wide)
        assert wide.crs is not None
        x, y = np.meshgrid(xs, ys)
        lon, lat = transformer(wide.crs, LONLAT).transform(x, y)
        return Place(np.asarray(lon), np.asarray(lat), heights, margin)

    def _needed(self, heights: np.ndarray) -> int:
        """Pixels of the margin that can matter, by how high the terrain is in it."""
        relief = float(heights.max() - heights.min()) if heights.size else 0.0
        if not self.metres or math.isnan(relief):
            return self.margin
        return min(self.margin, math.ceil(max(relief * _REACH_PER_METRE, _LEAST_REACH) / self.metres))

    def _see(self, acquisition: Acquisition, place: Place) -> tuple[np.ndarray, np.ndarray] | None:
        """All bands as one acquisition sees them, and where it does; None where its images do not reach."""
        present = [name for name in self.wanted.polarisations if name in acquisition.images]
        if not present:
            return None
        annotation = acquisition.images[present[0]].annotation
        view = annotation.view
        heights = _ground(place, annotation)
        points = place.points if heights is place.above else ecef(place.lon, place.lat, heights)
        rows, columns, times = view.locate(points)
        window = _window(rows[place.inner], columns[place.inner], view.shape)
        if window is None:
            return None
        sight = _Sight(place, heights, points, rows, columns, times, window)
        image = _Seen(self.wanted, acquisition.images[present[0]], sight)
        layers, covered = [], np.zeros(sight.shape, dtype=bool)
        for name in self.wanted.polarisations:
            layers.append(np.full(sight.shape, np.nan))
            if name in acquisition.images:
                numbers = self._read(acquisition.images[name], window)
                layers[-1] = image.backscatter(acquisition.images[name], numbers)
                covered |= np.isfinite(sight.take(np.where(numbers == 0, np.nan, 1.0)))
        layers += [image.added(name) for name in self.wanted.added]
        return np.stack(layers).astype("float32"), covered

    def _read(self, image: Image, window: tuple[slice, slice]) -> np.ndarray:
        try:
            file = self.handles.open(image.address)
            if tuple(file.shape) != tuple(image.annotation.view.shape):
                said = f"{list(file.shape)}, according to its annotation {list(image.annotation.view.shape)}"
                raise _unreadable(image, f"its shape is {said}")
            return np.asarray(file.read(image.index, window))
        except rasterio.errors.RasterioError as error:
            raise _unreadable(image, str(error).rstrip(".")) from error


@dataclass(frozen=True, eq=False)
class _Sight:
    """Where the pixels of a place are in the images of an acquisition."""

    place: Place
    heights: np.ndarray
    points: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    times: np.ndarray
    window: tuple[slice, slice]
    """The part of the images that the pixels without margin need."""

    @property
    def shape(self) -> tuple[int, ...]:
        return self.rows[self.place.inner].shape

    def take(self, image: np.ndarray) -> np.ndarray:
        """The pixels from the window of an image."""
        inner = self.place.inner
        return interpolate(image, self.rows[inner] - self.window[0].start, self.columns[inner] - self.window[1].start)


class _Seen:
    """Backscatter and angles of one acquisition in one place."""

    def __init__(self, wanted: Wanted, image: Image, sight: _Sight) -> None:
        self.wanted, self.sight, self.annotation = wanted, sight, image.annotation
        inner = sight.place.inner
        self.up = sight.place.up
        self.sensor = self.annotation.view.sensor(sight.times)
        to_sensor = self.sensor - sight.points
        self.incidence = angle_between(self.up, to_sensor / np.linalg.norm(to_sensor, axis=-1)[..., None])
        if wanted.terrain:
            self.facets = Facets.of(sight.points, self.sensor, self.up)
            self.layover = self.shadow = np.zeros(sight.shape, dtype=bool)
            if sight.place.margin > 1:
                away, metres = self._away()
                self.layover, self.shadow = distorted(sight.heights, self.incidence, away, metres, sight.place.margin)
            self.shadow = self.shadow | (self.facets.seen[inner] <= 0)
        self.area = self._area() if wanted.areas else None

    def backscatter(self, image: Image, numbers: np.ndarray) -> np.ndarray:
        """One polarisation, from the digital numbers of its window."""
        wanted, window = self.wanted, self.sight.window
        if wanted.amplitude:
            return self.sight.take(np.where(numbers == 0, np.nan, numbers.astype("float64")))
        noise = image.noise.at(*window) if wanted.noise_removal else None
        if wanted.coefficient is None:
            return self.sight.take(calibrate(numbers, None, noise))
        if wanted.coefficient not in TERRAIN:
            return self.sight.take(calibrate(numbers, image.tables[wanted.coefficient].at(*window), noise))
        beta = calibrate(numbers, image.tables["beta0"].at(*window), noise)
        assert self.area is not None
        return self.sight.take(beta * self._slant_area() / self.area)

    def added(self, name: str) -> np.ndarray:
        """A band beside the polarisations."""
        inner = self.sight.place.inner
        if name == "ellipsoid_incidence_angle":
            return self.incidence[inner]
        if name == "local_incidence_angle":
            return self.facets.incidence()[inner]
        if name == "mask":
            return np.where(self.layover | self.shadow, 0.0, 1.0)
        assert self.area is not None
        return self.sight.take(self.area)

    def _slant_area(self) -> np.ndarray:
        """Area of the window's pixels in the plane of slant range and azimuth, in square metres."""
        rows, columns = self.sight.window
        spacing = self.annotation.view.slant_spacing(
            (rows.start + rows.stop) / 2, np.arange(columns.start, columns.stop)
        )
        return np.asarray(spacing * self.annotation.azimuth_spacing)[None, :]

    def _area(self) -> np.ndarray:
        """Area of the terrain in each pixel of the window, in square metres; NaN where there is none.

        For sigma0 the surface itself, else the surface as seen along the line of sight.
        """
        sight, inner = self.sight, self.sight.place.inner
        rows, columns = sight.window
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        seen = self.facets.seen
        hidden = seen <= 0
        hidden[inner] |= self.shadow
        areas = self.facets.size if self.wanted.coefficient == "sigma0-terrain" else seen
        total = accumulate(areas, sight.rows - rows.start, sight.columns - columns.start, shape, hidden)
        return np.where(total > 0, total, np.nan)

    def _away(self) -> tuple[tuple[float, float], float]:
        """The direction away from the sensor in the middle: (rows, columns) of one pixel, and its metres."""
        place = self.sight.place
        row, column = place.lon.shape[0] // 2, place.lon.shape[1] // 2
        part = (slice(row, row + 2), slice(column, column + 2))
        flat = ecef(place.lon[part], place.lat[part], np.zeros((2, 2)))
        down, right = flat[1, 0] - flat[0, 0], flat[0, 1] - flat[0, 0]
        look = self.sight.points[row, column] - self.sensor[row, column]
        up = self.up[row, column]
        look = look - up * float(look @ up)
        steps, *_ = np.linalg.lstsq(np.stack([down, right], axis=-1), look, rcond=None)
        steps /= np.hypot(*steps)
        return (float(steps[0]), float(steps[1])), float(np.linalg.norm(steps[0] * down + steps[1] * right))


def _ground(place: Place, annotation: Annotation) -> np.ndarray:
    """Heights above the ellipsoid: the terrain's, and the tie points' where those are not known."""
    above = place.above
    gaps = np.isnan(above)
    if gaps.any():
        above = above.copy()
        level = np.mean([value for row in annotation.heights.values for value in row])
        lon, lat = place.lon[gaps], place.lat[gaps]
        rows, columns, _ = annotation.view.locate(ecef(lon, lat, np.full(lon.shape, level)))
        above[gaps] = annotation.heights.points(rows, columns)
    return above


def _window(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> tuple[slice, slice] | None:
    """The part of an image that places in it need; None where they are all outside."""
    inside = (rows >= 0) & (rows <= shape[0] - 1) & (columns >= 0) & (columns <= shape[1] - 1)
    if not inside.any():
        return None
    parts = []
    for places, size in ((rows[inside], shape[0]), (columns[inside], shape[1])):
        first, last = math.floor(places.min()) - _ROOM, math.ceil(places.max()) + _ROOM + 1
        parts.append(slice(max(first, 0), min(last, size)))
    return parts[0], parts[1]


def _unreadable(image: Image, why: str) -> OpenEOError:
    return OpenEOError(
        "AssetUnreadable",
        f"The band '{image.band}' of item '{image.item}' cannot be used: {why}.",
        hint="Exclude the item by a narrower extent or a property filter.",
        status=500,
    )
