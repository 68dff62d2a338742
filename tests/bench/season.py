"""The benchmark's data: made-up seasons of scenes as files with a STAC catalog.

There are two, which share no property that a reader could be tuned to: a Sentinel-2 tile (cloud optimized, deflate,
unsigned, offset) and a coarser sensor (tiles or strips, LZW and Zstandard, signed and floating point).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio import Affine
from rasterio.io import MemoryFile
from rasterio.shutil import copy
from rasterio.warp import transform, transform_bounds
from scipy.ndimage import gaussian_filter

#: Pixels along the window from which forests are trained, and how many of them.
WINDOW, SAMPLES = 512, 1000


@dataclass(frozen=True)
class Grid:
    """Where a season lies."""

    left: int
    top: int
    epsg: int
    metres: int

    def extent(self, size: int) -> tuple[float, float, float, float]:
        """West, south, east, north of the upper left `size` x `size` pixels."""
        return self.left, self.top - self.metres * size, self.left + self.metres * size, self.top

    def transform(self, step: int) -> Affine:
        """Of images with pixels of `step` metres."""
        return Affine(step, 0, self.left, 0, -step, self.top)


TILE = Grid(399960, 5300040, 32633, 10)
COARSE = Grid(612345, 7411995, 32721, 30)

#: Clear mean, spread, and answer to growth of each band, in stored numbers above the offset.
LOOKS = {"B02": (420, 80, 30), "B03": (680, 100, 60), "B04": (590, 150, -120), "B08": (2900, 600, 400)}


def dates(count: int) -> list[datetime]:
    """Four a month from May 2025 on."""
    return [datetime(2025, 5 + i // 4, 2 + 7 * (i % 4), 10, 6) for i in range(count)]


def texture(rng: np.random.Generator, size: int, roughness: float) -> np.ndarray:
    """Noise of mean 0 and spread 1 with a power spectrum that falls by `roughness`, as landscapes have it."""
    rows, columns = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :]
    power = (rows**2 + columns**2).astype(np.float32)
    power[0, 0] = 1
    spectrum = rng.standard_normal(power.shape, dtype=np.float32) + 1j * rng.standard_normal(
        power.shape, dtype=np.float32
    )
    out = np.fft.irfft2(spectrum * power ** (-roughness / 4), (size, size)).astype(np.float32)
    return np.asarray((out - out.mean()) / out.std(), np.float32)


def tile(folder: Path, size: int, count: int = 12) -> Path:
    """Write the Sentinel-2 season unless it is there, and return its collection."""
    collection = folder / "collection.json"
    if collection.exists():
        return collection
    rng = np.random.default_rng(11)
    fields = np.kron(rng.standard_normal((-(-size // 64),) * 2), np.ones((64, 64)))[:size, :size].astype(np.float32)
    ground, fine = 0.6 * texture(rng, size, 2.2) + 0.6 * fields, texture(rng, size, 1.8)
    _points(folder / "points.json", ground, rng)
    links = []
    for index, moment in enumerate(dates(count)):
        item = folder / f"S2_{moment:%Y%m%d}"
        item.mkdir(parents=True, exist_ok=True)
        scene = _scene(rng, ground, index)
        wide = scene.repeat(2, 0).repeat(2, 1)
        growth = np.sin(np.pi * index / count)
        for band, (mean, spread, answer) in LOOKS.items():
            values = mean + spread * (ground * np.sign(answer) + 0.3 * fine) + answer * growth
            values = np.where(wide >= 8, 6000 + 300 * fine, np.where(wide == 3, 0.5 * values, values))
            values += 18 * rng.standard_normal((size, size), dtype=np.float32)
            stored = np.clip(values + 1000, 1, 20000).astype(np.uint16)
            stored[wide == 0] = 0
            _cog(item / f"{band}.tif", stored, TILE.metres, 1024)
        _cog(item / "SCL.tif", scene, 2 * TILE.metres, 512)
        bands = {b: _band("uint16", 0, scale=0.0001, offset=-0.1) for b in LOOKS} | {"SCL": _band("uint8", 0)}
        links.append(_item(item, moment, TILE, {b: (size if b != "SCL" else size // 2) for b in bands}, bands))
    return _collection(collection, "bench-s2", TILE, size, dates(count), links)


def _scene(rng: np.random.Generator, ground: np.ndarray, index: int) -> np.ndarray:
    """A scene classification at half the resolution: land, clouds, their shadows, sometimes the edge of the swath."""
    half = ground.shape[0] // 2
    cover = texture(rng, half, 3.2)
    limit = np.quantile(cover, 1 - (0.05, 0.6, 0.3, 0.1, 0.45, 0.2, 0.7, 0.15, 0.02, 0.35, 0.25, 0.5)[index % 12])
    scene = np.where(ground[: 2 * half : 2, : 2 * half : 2] > -0.4, 4, 5).astype(np.uint8)
    scene[cover > limit] = 8
    scene[cover > limit + 0.3] = 9
    scene[np.roll(cover > limit + 0.1, (20, 15), (0, 1)) & (scene < 8)] = 3
    if index % 4 == 1:
        scene[np.add.outer(0.2 * np.arange(half), np.arange(half)) < half // 4] = 0
    return scene


def _points(path: Path, ground: np.ndarray, rng: np.random.Generator) -> None:
    """Ten classes at pixels of the upper left corner, with mistakes as surveyors make them: trees become deep."""
    side = min(WINDOW, *ground.shape)
    rows, columns = rng.integers(0, side, (2, SAMPLES))
    noisy = ground[rows, columns] + 0.15 * rng.standard_normal(SAMPLES)
    classes = 1 + np.digitize(noisy, np.quantile(noisy, np.linspace(0.1, 0.9, 9)))
    east, north = TILE.left + TILE.metres * (columns + 0.5), TILE.top - TILE.metres * (rows + 0.5)
    lon, lat = transform(f"EPSG:{TILE.epsg}", "EPSG:4326", east.tolist(), north.tolist())
    features = [
        {"type": "Feature", "geometry": {"type": "Point", "coordinates": place}, "properties": {"target": int(each)}}
        for *place, each in zip(lon, lat, classes, strict=True)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    path.with_name("places.json").write_text(json.dumps([rows.tolist(), columns.tolist(), classes.tolist()]))


def coarse(folder: Path, size: int) -> Path:
    """Write the other season unless it is there: seven dates of 30 m, blue, red and nir (int16), heat (float32), qa."""
    collection = folder / "collection.json"
    if collection.exists():
        return collection
    rng = np.random.default_rng(5)
    ground, moments, links = texture(rng, size, 2.0), [datetime(2024, 1, 3, 14, 2)], []
    moments = [moments[0] + timedelta(days=days) for days in (0, 16, 32, 41, 64, 80, 103)]
    bands = {b: _band("int16", -9999, scale=0.0001) for b in ("blue", "red", "nir")}
    bands |= {"heat": _band("float32", "nan"), "qa": _band("uint8", 255)}
    for index, moment in enumerate(moments):
        item = folder / f"L{moment:%Y%j}"
        item.mkdir(parents=True, exist_ok=True)
        hidden = gaussian_filter(rng.standard_normal((size, size), dtype=np.float32), 12)
        qa = np.where(hidden > np.quantile(hidden, 0.7), 1, 0) | np.where(hidden > np.quantile(hidden, 0.9), 4, 0)
        outside = np.add.outer(np.arange(size), 0.3 * np.arange(size)) < 40 * index + size // 8
        for band, mean, spread in (("blue", 500, 120), ("red", 900, -300), ("nir", 2800, 900)):
            values = mean + spread * ground + 30 * rng.standard_normal((size, size)) + 4000 * (qa > 3)
            stored = np.clip(values, -200, 16000).astype(np.int16)
            stored[outside] = -9999
            _plain(item / f"{band}.tif", stored, -9999, {"compress": "lzw", "predictor": 2}, 256)
        heat = (290 + 6 * ground + rng.standard_normal((size, size))).astype(np.float32)
        heat[outside] = np.nan
        _plain(item / "heat.tif", heat, np.nan, {"compress": "zstd", "predictor": 3}, None)
        flags = np.where(outside, 255, qa).astype(np.uint8)
        _plain(item / "qa.tif", flags, 255, {"compress": "deflate"}, 512)
        links.append(_item(item, moment, COARSE, dict.fromkeys(bands, size), bands))
    return _collection(collection, "bench-coarse", COARSE, size, moments, links)


def _cog(path: Path, values: np.ndarray, pixel: int, block: int) -> None:
    profile = {"driver": "GTiff", "dtype": values.dtype.name, "count": 1, "nodata": 0, "crs": f"EPSG:{TILE.epsg}"}
    profile |= {"height": values.shape[0], "width": values.shape[1]}
    profile |= {"transform": TILE.transform(pixel)}
    predictor = "NO" if values.dtype == np.uint8 else "YES"
    with MemoryFile() as memory:
        with memory.open(**profile) as file:
            file.write(values, 1)
        with rasterio.open(memory.name) as file:
            copy(file, path, driver="COG", compress="DEFLATE", predictor=predictor, blocksize=block)


def _plain(path: Path, values: np.ndarray, nodata: float, packing: dict[str, Any], block: int | None) -> None:
    """A GeoTIFF without overviews, in tiles or (without `block`) in strips."""
    profile: dict[str, Any] = {"driver": "GTiff", "dtype": values.dtype.name, "count": 1, "nodata": nodata, **packing}
    profile |= {"height": values.shape[0], "width": values.shape[1], "crs": f"EPSG:{COARSE.epsg}"}
    profile |= {"transform": COARSE.transform(COARSE.metres)}
    profile |= {"tiled": True, "blockxsize": block, "blockysize": block} if block else {"blockysize": 64}
    with rasterio.open(path, "w", **profile) as file:
        file.write(values, 1)


def _band(dtype: str, nodata: Any, **scaling: float) -> dict[str, Any]:
    return {"data_type": dtype, "nodata": nodata, **scaling}


def _item(
    folder: Path, moment: datetime, grid: Grid, sizes: dict[str, int], bands: dict[str, dict[str, Any]]
) -> dict[str, str]:
    """Write the item of a scene; the link to it."""
    largest = max(sizes.values())
    bounds = transform_bounds(grid.epsg, 4326, *grid.extent(largest))
    west, south, east, north = bounds
    assets = {}
    for band, size in sizes.items():
        pixel = grid.metres * largest // size
        assets[band] = {
            "href": str(folder.resolve() / f"{band}.tif"),
            "type": "image/tiff; application=geotiff",
            "roles": ["data"],
            "proj:shape": [size, size],
            "proj:transform": [pixel, 0, grid.left, 0, -pixel, grid.top, 0, 0, 1],
            "eo:bands": [{"name": band}],
            "raster:bands": [bands[band]],
        }
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    extensions = [
        f"https://stac-extensions.github.io/{name}/v1.1.0/schema.json" for name in ("projection", "raster", "eo")
    ]
    item = {"type": "Feature", "stac_version": "1.0.0", "stac_extensions": extensions, "id": folder.name}
    item |= {"geometry": {"type": "Polygon", "coordinates": [ring]}, "bbox": bounds, "links": [], "assets": assets}
    item |= {"properties": {"datetime": f"{moment:%Y-%m-%dT%H:%M:%SZ}", "proj:epsg": grid.epsg}}
    path = folder.with_name(f"item-{moment:%Y%m%d}.json")
    path.write_text(json.dumps(item))
    return {"rel": "item", "href": path.resolve().as_posix()}


def _collection(
    path: Path, id: str, grid: Grid, size: int, moments: list[datetime], links: list[dict[str, str]]
) -> Path:
    for link in links:
        item = Path(link["href"])
        item.write_text(json.dumps({**json.loads(item.read_text()), "collection": id}))
    document = {"type": "Collection", "stac_version": "1.0.0", "id": id, "description": "Made up.", "links": links}
    bounds = transform_bounds(grid.epsg, 4326, *grid.extent(size))
    interval = [f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in (moments[0], moments[-1])]
    document |= {"license": "CC0-1.0", "extent": {"spatial": {"bbox": [bounds]}, "temporal": {"interval": [interval]}}}
    path.write_text(json.dumps(document))
    return path


def items(folder: Path) -> list[dict[str, Any]]:
    """The items of a season, oldest first."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("item-*.json"))]


def places(folder: Path) -> np.ndarray:
    """Rows, columns and classes of the training samples."""
    return np.array(json.loads((folder / "places.json").read_text()))
