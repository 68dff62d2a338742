"""A Sentinel-1 GRD product of a made-up pass: a circular orbit, an image of 300 lines, and the documents beside it.

What the tests expect of geometry is computed here in closed form: on a circle the sensor is nearest to a point P at
the angle whose tangent is (P . v) / (P . s), and nearest is where the Doppler shift is zero.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from pyproj import Transformer
from rasterio.control import GroundControlPoint

from openeo_backend.catalog.catalog import Catalog
from openeo_backend.net.door import Door
from openeo_backend.settings import CatalogSettings, NetSettings

LON, LAT = 9.0, 46.0
EPSG = 32632
LINES, PIXELS = 300, 320
SPACING = 10.0
INTERVAL = 10.0 / 6790.0
RADIUS = 7_071_000.0
SPEED = 7500.0
INCIDENCE = 39.0
START = np.datetime64("2023-06-21T05:30:00.123456", "ns")
MIDDLE = LINES / 2 * INTERVAL

_ECEF = Transformer.from_crs("EPSG:4979", "EPSG:4978", always_xy=True)
_MAP = Transformer.from_crs(f"EPSG:{EPSG}", "EPSG:4326", always_xy=True)


def place(lon: Any, lat: Any, height: Any) -> np.ndarray:
    """ECEF positions by PROJ."""
    return np.stack(_ECEF.transform(*np.broadcast_arrays(lon, lat, height)), axis=-1)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


class Orbit:
    """A circle around the earth's centre; the sensor looks east onto the middle of the scene."""

    def __init__(self) -> None:
        target = place(LON, LAT, 0.0)
        up = _unit(place(LON, LAT, 1000.0) - target)
        west = _unit(place(LON - 1e-4, LAT, 0.0) - target)
        to_sensor = math.sin(math.radians(INCIDENCE)) * west + math.cos(math.radians(INCIDENCE)) * up
        half = float(target @ to_sensor)
        self.slant = -half + math.sqrt(half**2 - float(target @ target) + RADIUS**2)
        sensor = target + self.slant * to_sensor
        self.radial = _unit(sensor)
        self.along = _unit(np.cross(sensor, target - sensor))
        if self.along[2] < 0:
            self.along = -self.along
        self.rate = SPEED / RADIUS

    def position(self, times: np.ndarray) -> np.ndarray:
        angle = (np.asarray(times) - MIDDLE) * self.rate
        return RADIUS * (np.cos(angle)[..., None] * self.radial + np.sin(angle)[..., None] * self.along)

    def velocity(self, times: np.ndarray) -> np.ndarray:
        angle = (np.asarray(times) - MIDDLE) * self.rate
        return SPEED * (np.cos(angle)[..., None] * self.along - np.sin(angle)[..., None] * self.radial)

    def nearest(self, points: np.ndarray) -> np.ndarray:
        """When the sensor is nearest to points."""
        return MIDDLE + np.arctan2(points @ self.along, points @ self.radial) / self.rate


ORBIT = Orbit()


def _polynomials() -> tuple[float, np.ndarray, np.ndarray]:
    """Origin of slant range, ground by slant and slant by ground range, as on a sphere."""
    earth = float(np.linalg.norm(place(LON, LAT, 0.0)))
    angle = math.acos((RADIUS**2 + earth**2 - ORBIT.slant**2) / (2 * RADIUS * earth))
    ground = np.linspace(-6000, max(9000, PIXELS * SPACING + 6000), 400)
    turned = angle + (ground - PIXELS / 2 * SPACING) / earth
    slant = np.sqrt(RADIUS**2 + earth**2 - 2 * RADIUS * earth * np.cos(turned))
    origin = float(np.interp(0.0, ground, slant))
    to_ground = np.polynomial.Polynomial.fit(slant - origin, ground, 5).convert().coef
    to_slant = np.polynomial.Polynomial.fit(ground, slant, 5).convert().coef
    return origin, to_ground, to_slant


SLANT_ORIGIN, TO_GROUND, TO_SLANT = _polynomials()

#: The second conversion of the product gives ground ranges that are larger by so many metres.
DRIFT = 40.0
CONVERSIONS = (-0.2, 0.6)


def widen(lines: int, pixels: int, lon: float, lat: float) -> None:
    """Make the pass of this process longer and wider, with the middle of the image elsewhere."""
    global LON, LAT, LINES, PIXELS, MIDDLE, ORBIT, SLANT_ORIGIN, TO_GROUND, TO_SLANT, CONVERSIONS, VECTOR_LINES
    LON, LAT, LINES, PIXELS, MIDDLE = lon, lat, lines, pixels, lines / 2 * INTERVAL
    ORBIT = Orbit()
    SLANT_ORIGIN, TO_GROUND, TO_SLANT = _polynomials()
    CONVERSIONS, VECTOR_LINES = (-0.2, lines * INTERVAL + 0.2), (-20, lines // 2, lines + 10)


def locate(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Line and pixel of ECEF positions."""
    times = ORBIT.nearest(points)
    slant = np.linalg.norm(points - ORBIT.position(times), axis=-1)
    ground = np.polynomial.polynomial.polyval(slant - SLANT_ORIGIN, TO_GROUND)
    share = (times - CONVERSIONS[0]) / (CONVERSIONS[1] - CONVERSIONS[0])
    return times / INTERVAL, (ground + share * DRIFT) / SPACING


def map_places(size: int, east: float = 0.0, north: float = 0.0, step: float = 10.0) -> tuple[Any, Any, Any, Any]:
    """x and y of a square of pixels around the middle of the scene, and their longitudes and latitudes."""
    x0, y0 = Transformer.from_crs("EPSG:4326", f"EPSG:{EPSG}", always_xy=True).transform(LON, LAT)
    x0, y0 = round(x0 / step) * step + east, round(y0 / step) * step + north
    x = x0 + (np.arange(size) - size / 2 + 0.5) * step
    y = y0 - (np.arange(size) - size / 2 + 0.5) * step
    lon, lat = _MAP.transform(*np.meshgrid(x, y))
    return x, y, lon, lat


def extent(size: int, **shift: float) -> dict[str, Any]:
    """The bounding box of `map_places`."""
    x, y, _, _ = map_places(size, **shift)
    west, south, east, north = (float(side) for side in (x[0] - 5, y[-1] - 5, x[-1] + 5, y[0] + 5))
    return {"west": west, "south": south, "east": east, "north": north, "crs": EPSG}


# -- tables ---------------------------------------------------------------------------------------------

VECTOR_LINES = (-20, 140, 310)
SLOPES = {"sigmaNought": (400.0, 0.20, 0.10), "betaNought": (300.0, 0.0, 0.0), "gamma": (500.0, 0.30, -0.05)}
NOISE = (40_000.0, 30.0, 12.0)


def table(name: str, line: Any, pixel: Any) -> Any:
    """Values of the look-up tables: linear, so that their interpolation is exact."""
    level, across, along = SLOPES[name]
    return level + across * np.asarray(pixel) + along * np.asarray(line)


def noise(line: Any, pixel: Any) -> Any:
    """The range noise, times the azimuth factor of the rectangle of lines 100 to 299 and pixels 0 to 149."""
    level, across, along = NOISE
    line, pixel = np.broadcast_arrays(line, pixel)
    factor = np.where((line >= 100) & (line <= 299) & (pixel >= 0) & (pixel <= 149), 1 + (line - 100) / 400, 1.0)
    return (level + across * pixel + along * line) * factor


def _vector_pixels(index: int) -> list[int]:
    return [0, *range(30 + 10 * index, PIXELS - 1, 40), PIXELS - 1]


def _texts(values: Any) -> str:
    return " ".join(f"{float(value):.9e}" for value in values)


def annotation(height: float = 0.0) -> str:
    def when(seconds: float) -> str:
        return str((START + np.timedelta64(round(seconds * 1e9), "ns")).astype("datetime64[ns]"))

    state_times = np.arange(-30, 31, 10.0)
    orbit = "".join(
        f"<orbit><time>{when(t)}</time><frame>Earth Fixed</frame><position>"
        + "".join(f"<{axis}>{value!r}</{axis}>" for axis, value in zip("xyz", map(float, p), strict=True))
        + "</position><velocity>"
        + "".join(f"<{axis}>{value!r}</{axis}>" for axis, value in zip("xyz", map(float, v), strict=True))
        + "</velocity></orbit>"
        for t, p, v in zip(state_times, ORBIT.position(state_times), ORBIT.velocity(state_times), strict=True)
    )
    conversions = ""
    for moment, shift in zip(CONVERSIONS, (0.0, DRIFT), strict=True):
        to_ground = TO_GROUND.copy()
        to_ground[0] += shift
        conversions += (
            f"<coordinateConversion><azimuthTime>{when(moment)}</azimuthTime><sr0>{SLANT_ORIGIN!r}</sr0>"
            f"<srgrCoefficients count='6'>{' '.join(map(repr, map(float, to_ground)))}</srgrCoefficients>"
            f"<gr0>{shift}</gr0>"
            f"<grsrCoefficients count='6'>{' '.join(map(repr, map(float, TO_SLANT)))}</grsrCoefficients>"
            "</coordinateConversion>"
        )
    ties = "".join(
        f"<geolocationGridPoint><line>{line}</line><pixel>{pixel}</pixel><height>{height}</height></geolocationGridPoint>"
        for line in (0, 150, LINES - 1)
        for pixel in (0, 160, PIXELS - 1)
    )
    return (
        "<?xml version='1.0' encoding='UTF-8'?><product><!-- made by a test --><generalAnnotation><orbitList>"
        f"{orbit}</orbitList></generalAnnotation><imageAnnotation><imageInformation>"
        f"<productFirstLineUtcTime>{when(0)}</productFirstLineUtcTime><azimuthTimeInterval>{INTERVAL!r}"
        f"</azimuthTimeInterval><rangePixelSpacing>{SPACING}</rangePixelSpacing><azimuthPixelSpacing>10.0"
        f"</azimuthPixelSpacing><numberOfSamples>{PIXELS}</numberOfSamples><numberOfLines>{LINES}</numberOfLines>"
        "</imageInformation></imageAnnotation><coordinateConversion><coordinateConversionList>"
        f"{conversions}</coordinateConversionList></coordinateConversion><geolocationGrid><geolocationGridPointList>"
        f"{ties}</geolocationGridPointList></geolocationGrid></product>"
    )


def calibration() -> str:
    vectors = ""
    for index, line in enumerate(VECTOR_LINES):
        pixels = _vector_pixels(index)
        members = "".join(f"<{name}>{_texts(table(name, line, pixels))}</{name}>" for name in SLOPES)
        vectors += f"<calibrationVector><line>{line}</line><pixel>{_texts(pixels)}</pixel>{members}</calibrationVector>"
    return f"<calibration><calibrationVectorList>{vectors}</calibrationVectorList></calibration>"


def noise_document() -> str:
    vectors = ""
    for index, line in enumerate(VECTOR_LINES):
        pixels = np.array(_vector_pixels(index))
        values = NOISE[0] + NOISE[1] * pixels + NOISE[2] * line
        vectors += (
            f"<noiseRangeVector><line>{line}</line><pixel>{_texts(pixels)}</pixel>"
            f"<noiseRangeLut>{_texts(values)}</noiseRangeLut></noiseRangeVector>"
        )
    lines = np.array([100, 180, 299])
    block = (
        "<noiseAzimuthVector><swath>IW1</swath><firstAzimuthLine>100</firstAzimuthLine><firstRangeSample>0"
        "</firstRangeSample><lastAzimuthLine>299</lastAzimuthLine><lastRangeSample>149</lastRangeSample>"
        f"<line>{_texts(lines)}</line><noiseAzimuthLut>{_texts(1 + (lines - 100) / 400)}</noiseAzimuthLut>"
        "</noiseAzimuthVector>"
    )
    return (
        f"<noise><noiseRangeVectorList>{vectors}</noiseRangeVectorList>"
        f"<noiseAzimuthVectorList>{block}</noiseAzimuthVectorList></noise>"
    )


# -- archive --------------------------------------------------------------------------------------------


def _box(room: float) -> dict[str, Any]:
    w, s, e, n = LON - room, LAT - room, LON + room, LAT + room
    return {"type": "Polygon", "coordinates": [[[w, s], [e, s], [e, n], [w, n], [w, s]]]}


def _write_collection(folder: Path, id: str, items: Sequence[Mapping[str, Any]], **more: Any) -> Path:
    for item in items:
        (folder / f"{item['id']}.json").write_text(json.dumps(item))
    document = {
        "type": "Collection",
        "stac_version": "1.0.0",
        "id": id,
        "description": "made by a test",
        "license": "other",
        "extent": {"spatial": {"bbox": [[8, 45, 10, 47]]}, "temporal": {"interval": [[None, None]]}},
        "links": [{"rel": "item", "href": f"./{item['id']}.json"} for item in items],
        **more,
    }
    path = folder / "collection.json"
    path.write_text(json.dumps(document))
    return path


def write_images(
    folder: Path, images: Mapping[str, np.ndarray], *, height: float = 0.0, without: Sequence[str] = (), **profile: Any
) -> dict[str, Any]:
    """One product, `images` by polarisation: its assets. `without` leaves documents out."""
    documents = {"product": annotation(height), "calibration": calibration(), "noise": noise_document()}
    assets: dict[str, Any] = {}
    corners = [(0, 0), (0, PIXELS), (LINES, 0), (LINES, PIXELS)]
    points = [GroundControlPoint(r, c, LON + c * 1e-4, LAT - r * 1e-4, height) for r, c in corners]
    for name, image in images.items():
        size = {"width": PIXELS, "height": LINES, "count": 1, "dtype": "uint16", "driver": "GTiff", **profile}
        with rasterio.open(folder / f"{name}.tif", "w", gcps=points, crs="EPSG:4326", **size) as file:
            file.write(image.astype("uint16"), 1)
        assets[name] = {"href": f"./{name}.tif", "type": "image/tiff; application=geotiff", "roles": ["data"]}
        for kind, text in documents.items():
            if kind not in without:
                (folder / f"{kind}-{name}.xml").write_text(text)
                assets[f"schema-{kind}-{name}"] = {"href": f"./{kind}-{name}.xml", "type": "application/xml"}
    return assets


def write_grd(
    folder: Path, images: Mapping[str, np.ndarray], *, height: float = 0.0, without: Sequence[str] = ()
) -> Path:
    """A collection GRD with one product; see :func:`write_images`."""
    folder.mkdir()
    assets = write_images(folder, images, height=height, without=without)
    item = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "S1A_IW_GRDH_TEST",
        "collection": "GRD",
        "geometry": _box(0.05),
        "properties": {"datetime": "2023-06-21T05:30:00Z", "sar:pixel_spacing_range": SPACING},
        "links": [],
        "assets": assets,
    }
    return _write_collection(folder, "GRD", [item])


def write_dem(folder: Path, heights: np.ndarray, *, id: str = "COPERNICUS_30") -> Path:
    """A collection of elevations on the pixels of `map_places`."""
    folder.mkdir()
    x, y, _, _ = map_places(len(heights))
    transform = Affine(10.0, 0, x[0] - 5, 0, -10.0, y[0] + 5)
    shape = list(heights.shape)
    size = {"width": shape[1], "height": shape[0], "count": 1, "dtype": "float32", "nodata": math.nan}
    with rasterio.open(folder / "dem.tif", "w", driver="GTiff", crs=EPSG, transform=transform, **size) as file:
        file.write(heights.astype("float32"), 1)
    asset = {
        "href": "./dem.tif",
        "type": "image/tiff; application=geotiff",
        "roles": ["data"],
        "proj:shape": shape,
        "proj:transform": list(transform)[:6],
        "eo:bands": [{"name": "DEM"}],
        "raster:bands": [{"unit": "m", "data_type": "float32", "nodata": "nan"}],
    }
    item = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "dem",
        "collection": id,
        "geometry": _box(0.5),
        "properties": {"datetime": "2021-01-01T00:00:00Z", "proj:epsg": EPSG},
        "links": [],
        "assets": {"DEM": asset},
    }
    return _write_collection(folder, id, [item])


def open_catalog(*paths: Path) -> Catalog:
    return Catalog([str(path) for path in paths], CatalogSettings(), Door(NetSettings()))
