"""A tile of 100 x 100 km as made-up archives: optical (10 and 20 m) and radar images, and elevations; COGs and STAC."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.io import MemoryFile
from rasterio.shutil import copy
from rasterio.transform import from_origin
from rasterio.warp import transform, transform_bounds
from rasterio.windows import Window as Part
from scipy.ndimage import zoom

sys.path.append(str(Path(__file__).resolve().parents[1] / "processes" / "ard"))

import grd_product as grd

LEFT, TOP, EPSG, METRES = 399960, 5300040, 32633, 10
DATES = ("2025-06-05T10:06:00Z", "2025-06-15T10:06:00Z", "2025-07-05T10:06:00Z", "2025-07-15T10:06:00Z")
BANDS = ("B04", "B08")
#: Which date does not reach over the whole tile.
SWATH_EDGE = 1
OPTICAL, TOP_OF_ATMOSPHERE, RADAR, ELEVATION = "SCALE_L2A", "SCALE_L1C", "SCALE_GRD", "COPERNICUS_30"
LOOKS = {"B04": (1600, 150, "red", 0.665), "B08": (3600, 500, "nir", 0.842)}
#: More dates and bands, which are the same files by other names: for how time grows. The date with the edge of the
#: swath is not among them, so that all parts of the tile are alike.
WIDE = "SCALE_WIDE"
WIDE_DATES = (*DATES, *(f"2025-08-{day:02}T10:06:00Z" for day in (5, 15, 20, 25)))
WIDE_BANDS = {"B04": "B04", "B08": "B08", "B02": "B04", "B03": "B08"}
#: Metres of the elevation model's pixels, and how far it reaches beyond the tile.
POST, ROOM = 30, 6000
#: The folder of files that are in no collection.
FILES = "files"


@dataclass(frozen=True)
class Window:
    """A part of the tile, in pixels of 10 m."""

    row: int
    column: int
    rows: int
    columns: int

    def grown(self, by: int) -> Window:
        return Window(self.row - by, self.column - by, self.rows + 2 * by, self.columns + 2 * by)


@dataclass(frozen=True)
class Archive:
    """Where it lies, and how many pixels a side of the tile has."""

    folder: Path
    size: int
    url: str = ""
    """Where the folder is served."""

    @property
    def collections(self) -> list[Path]:
        names = (OPTICAL, WIDE, TOP_OF_ATMOSPHERE, RADAR, ELEVATION)
        return [self.folder / name / "collection.json" for name in names]

    @property
    def box(self) -> dict[str, Any]:
        """The tile as a bounding box."""
        west, south, east, north = extent(self.size)
        return {"west": west, "south": south, "east": east, "north": north, "crs": EPSG}

    def stored(self, band: str, window: Window) -> np.ndarray:
        """The stored values of all dates, (t, rows, columns), 0 outside of the tile; SCL at 10 m as nearest pixels."""
        share = 2 if band == "SCL" else 1
        first, left = window.row // share, window.column // share
        last = -(-(window.row + window.rows) // share)
        right = -(-(window.column + window.columns) // share)
        found = []
        for date in DATES:
            with rasterio.open(self.folder / OPTICAL / date[:10] / f"{band}.tif") as file:
                part = Part(left, first, right - left, last - first)
                values = file.read(1, window=part, boundless=True, fill_value=0)
            values = values.repeat(share, 0).repeat(share, 1)
            top, start = window.row - first * share, window.column - left * share
            found.append(values[top : top + window.rows, start : start + window.columns])
        return np.stack(found)

    def values(self, window: Window, bands: Sequence[str] = BANDS) -> np.ndarray:
        """Values of all dates and bands, (t, bands, rows, columns), NaN where there are none."""
        found = np.stack([self.stored(band, window) for band in bands], axis=1).astype("float64")
        return np.where(found == 0, np.nan, found)


def extent(size: int) -> tuple[float, float, float, float]:
    """West, south, east, north of the tile."""
    return LEFT, TOP - METRES * size, LEFT + METRES * size, TOP


def generate(folder: Path, size: int) -> Archive:
    """Write the archive unless it is there."""
    archive = Archive(folder, size)
    done = folder / "done"
    if not done.exists():
        _write_optical(archive)
        _write_radar(archive)
        done.touch()
    for source in folder.glob(f"{OPTICAL}/*/*.tif"):
        _link(source, folder / TOP_OF_ATMOSPHERE / source.parent.name / source.name)
    whole = [date for index, date in enumerate(DATES) if index != SWATH_EDGE]
    for index, date in enumerate(WIDE_DATES):
        for name, band in {**WIDE_BANDS, "SCL": "SCL"}.items():
            source = folder / OPTICAL / whole[index % len(whole)][:10] / f"{band}.tif"
            _link(source, folder / WIDE / date[:10] / f"{name}.tif")
    for id, level in ((OPTICAL, "L2"), (TOP_OF_ATMOSPHERE, "L1")):
        _write_collection(archive, id, [_optical_item(id, date, level, size) for date in DATES])
    _write_collection(archive, WIDE, [_optical_item(WIDE, date, "L2", size, list(WIDE_BANDS)) for date in WIDE_DATES])
    return archive


def _link(source: Path, link: Path) -> None:
    if not link.exists():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.hardlink_to(source)


def _write_optical(archive: Archive) -> None:
    size = archive.size
    rng = np.random.default_rng(3)
    coarse = size // 61 + 2
    ground = zoom(rng.standard_normal((coarse, coarse)).astype("float32"), 61, order=1)[:size, :size]
    cover = zoom(rng.standard_normal((size // 450 + 2,) * 2).astype("float32"), 225, order=1)
    fine = rng.standard_normal((1024, 1024)).astype("float32")
    times = -(-size // 1024)
    half = -(-size // 2)
    for index, date in enumerate(DATES):
        folder = archive.folder / OPTICAL / date[:10]
        folder.mkdir(parents=True, exist_ok=True)
        clouds = np.roll(cover, 37 * index, axis=1)[:half, :half]
        scene = np.where(ground[::2, ::2] > -0.3, 4, 5).astype("uint8")
        scene[clouds > 0.9], scene[clouds > 1.2], scene[clouds < -1.6] = 8, 9, 3
        if index == SWATH_EDGE:
            scene[np.add.outer(0.2 * np.arange(half), np.arange(half)) < half // 4] = 0
        _write_cog(folder / "SCL.tif", scene, 2 * METRES, 512)
        wide = scene.repeat(2, 0).repeat(2, 1)[:size, :size]
        for band, (mean, spread, _, _) in LOOKS.items():
            values = np.roll(np.tile(fine, (times, times)), 91 * index)[:size, :size] * 20
            values += mean + 60 * index
            values += spread * ground
            values[wide >= 8] += 3000
            stored = np.clip(values, 1, 20_000).astype("uint16")
            stored[wide == 0] = 0
            _write_cog(folder / f"{band}.tif", stored, METRES, 1024)


def _write_cog(
    path: Path, values: np.ndarray, pixel: float, block: int, origin: tuple[float, float] = (LEFT, TOP)
) -> None:
    nodata = None if values.dtype.kind == "f" else 0
    profile = {"driver": "MEM", "dtype": values.dtype.name, "count": 1, "crs": f"EPSG:{EPSG}", "nodata": nodata}
    profile |= {"height": values.shape[0], "width": values.shape[1], "transform": from_origin(*origin, pixel, pixel)}
    with MemoryFile() as memory, memory.open(**{**profile, "driver": "GTiff", "BIGTIFF": "YES"}) as file:
        file.write(values, 1)
        predictor = {"f": "FLOATING_POINT", "u": "STANDARD"}[values.dtype.kind]
        options = {"blocksize": block, "compress": "DEFLATE", "level": 1, "predictor": predictor, "num_threads": 2}
        copy(file, path, driver="COG", **options, overview_resampling="nearest", bigtiff="IF_SAFER")


def _polygon(bounds: tuple[float, float, float, float]) -> dict[str, Any]:
    west, south, east, north = bounds
    return {
        "type": "Polygon",
        "coordinates": [[[west, south], [east, south], [east, north], [west, north], [west, south]]],
    }


def _optical_item(id: str, date: str, level: str, size: int, bands: Sequence[str] = BANDS) -> dict[str, Any]:
    bounds = transform_bounds(EPSG, 4326, *extent(size))
    assets: dict[str, Any] = {}
    for band in (*bands, "SCL"):
        pixel = 2 * METRES if band == "SCL" else METRES
        side = -(-size * METRES // pixel)
        raster: dict[str, Any] = {"data_type": "uint8" if band == "SCL" else "uint16", "nodata": 0}
        known: dict[str, Any] = {"name": band}
        if band != "SCL":
            raster |= {"scale": 0.0001, "offset": -0.1}
            if band in LOOKS:
                known |= {"common_name": LOOKS[band][2], "center_wavelength": LOOKS[band][3]}
        assets[band] = {
            "href": f"./{date[:10]}/{band}.tif",
            "type": "image/tiff; application=geotiff; profile=cloud-optimized",
            "roles": ["data"],
            "proj:shape": [side, side],
            "proj:transform": [pixel, 0, LEFT, 0, -pixel, TOP],
            "eo:bands": [known],
            "raster:bands": [raster],
        }
    properties = {"datetime": date, "proj:epsg": EPSG, "processing:level": level, "view:sun_elevation": 55.0}
    return _item(id, f"{id}_{date[:10]}", bounds, properties, assets)


def _item(
    collection: str, id: str, bounds: tuple[float, float, float, float], properties: Mapping[str, Any], assets: Any
) -> dict[str, Any]:
    extensions = [
        f"https://stac-extensions.github.io/{name}/schema.json"
        for name in ("projection/v1.1.0", "raster/v1.1.0", "eo/v1.1.0", "processing/v1.1.0", "view/v1.0.0")
    ]
    item = {"type": "Feature", "stac_version": "1.0.0", "stac_extensions": extensions, "id": id, "links": []}
    item |= {"collection": collection, "geometry": _polygon(bounds), "bbox": list(bounds)}
    return item | {"properties": dict(properties), "assets": assets}


def _write_collection(archive: Archive, id: str, items: Sequence[dict[str, Any]]) -> None:
    folder = archive.folder / id
    folder.mkdir(parents=True, exist_ok=True)
    for item in items:
        (folder / f"{item['id']}.json").write_text(json.dumps(item))
    bounds = transform_bounds(EPSG, 4326, *extent(archive.size))
    document = {
        "type": "Collection",
        "stac_version": "1.0.0",
        "id": id,
        "description": "Made up.",
        "license": "CC0-1.0",
    }
    document |= {"extent": {"spatial": {"bbox": [bounds]}, "temporal": {"interval": [[WIDE_DATES[0], WIDE_DATES[-1]]]}}}
    document |= {"links": [{"rel": "item", "href": f"./{item['id']}.json"} for item in items]}
    (folder / "collection.json").write_text(json.dumps(document))


# -- radar ----------------------------------------------------------------------------------------------


def digital_numbers(index: int, band: str, lines: Any, pixels: Any) -> Any:
    """What the radar images hold: a plane, so that what is interpolated is known."""
    level, across = (6000, 0.4) if band == "vv" else (4000, 0.2)
    return level + 300 * index + across * pixels + 0.2 * lines


def height(x: Any, y: Any) -> Any:
    """Gentle terrain: slopes of one degree at most."""
    return 200 + 20 * np.sin(np.asarray(x) / 2000) * np.cos(np.asarray(y) / 2500)


def widen_pass(size: int) -> None:
    """Make the pass of `grd_product` see the whole tile."""
    side = size + size // 5 + 400
    west, south, east, north = extent(size)
    lon, lat = transform(f"EPSG:{EPSG}", "EPSG:4326", [(west + east) / 2], [(south + north) / 2])
    grd.widen(side, side, lon[0], lat[0])


def _write_radar(archive: Archive) -> None:
    widen_pass(archive.size)
    bounds = transform_bounds(EPSG, 4326, *extent(archive.size + 300))
    items = []
    for index, date in enumerate(DATES):
        folder = archive.folder / RADAR / date[:10]
        folder.mkdir(parents=True, exist_ok=True)
        lines, pixels = np.arange(grd.LINES, dtype="float32")[:, None], np.arange(grd.PIXELS, dtype="float32")[None, :]
        images = {band: digital_numbers(index, band, lines, pixels) for band in ("vv", "vh")}
        layout = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "zlevel": 1}
        assets = grd.write_images(folder, images, **layout, predictor=2)
        for asset in assets.values():
            asset["href"] = str((folder / asset["href"]).resolve())
        properties = {"datetime": date, "sar:pixel_spacing_range": 10.0, "sar:product_type": "GRD"}
        items.append(_item(RADAR, f"S1_{date[:10]}", bounds, properties, assets))
    _write_collection(archive, RADAR, items)
    west, south, east, north = extent(archive.size)
    x = np.arange(west - ROOM, east + ROOM, POST) + POST / 2
    y = np.arange(north + ROOM, south - ROOM, -POST) - POST / 2
    folder = archive.folder / ELEVATION
    folder.mkdir(parents=True, exist_ok=True)
    heights = height(x[None, :], y[:, None]).astype("float32")
    _write_cog(folder / "DEM.tif", heights, POST, 512, (west - ROOM, north + ROOM))
    asset = {"href": str((folder / "DEM.tif").resolve()), "type": "image/tiff; application=geotiff", "roles": ["data"]}
    asset |= {"proj:shape": list(heights.shape), "proj:transform": [POST, 0, west - ROOM, 0, -POST, north + ROOM]}
    asset |= {"eo:bands": [{"name": "DEM"}], "raster:bands": [{"unit": "m", "data_type": "float32"}]}
    wide = transform_bounds(EPSG, 4326, west - ROOM, south - ROOM, east + ROOM, north + ROOM)
    properties = {"datetime": "2021-01-01T00:00:00Z", "proj:epsg": EPSG}
    _write_collection(archive, ELEVATION, [_item(ELEVATION, "dem", wide, properties, {"DEM": asset})])
