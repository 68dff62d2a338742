"""The other season by plain rasterio and numpy: the pixels that are expected of f and g, and a floor of sorts.

The images are read in bands of rows, in two threads; nothing else is done for speed.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import rasterio
import season
from rasterio.windows import Window

#: Rows read at once: whole tiles, and whole strips.
ROWS = 512


def run(name: str, folder: Path, size: int, out: Path) -> Path:
    """Compute f or g; the file."""
    compute = {"f": index, "g": clear_mean}[name]
    result = np.empty((size, size), np.float32)
    items = season.items(folder)

    def job(start: int) -> None:
        result[start : start + ROWS] = compute(items, Window(0, start, size, min(ROWS, size - start)))

    with ThreadPoolExecutor(2) as pool, np.errstate(all="ignore"):
        list(pool.map(job, range(0, size, ROWS)))
    if name == "g":
        with h5py.File(out / "floor.nc", "w") as file:
            chunks = (min(512, size), min(512, size))
            file.create_dataset(
                "heat", data=result, chunks=chunks, compression="gzip", compression_opts=1, shuffle=True
            )
        return out / "floor.nc"
    profile = {"driver": "COG", "height": size, "width": size, "count": 1, "dtype": "float32", "nodata": np.nan}
    profile |= {
        "compress": "deflate",
        "predictor": "yes",
        "level": 1,
        "num_threads": 2,
        "overview_resampling": "average",
    }
    place = {"crs": season.COARSE.epsg, "transform": season.COARSE.transform(season.COARSE.metres)}
    with rasterio.open(out / "floor.tif", "w", **profile, **place) as file:
        file.write(result, 1)
    return out / "floor.tif"


def dates(items: list[dict], band: str, window: Window) -> Iterator[np.ndarray]:
    for item in items:
        with rasterio.open(item["assets"][band]["href"]) as file:
            yield file.read(1, window=window)


def index(items: list[dict], window: Window) -> np.ndarray:
    """f: the 90 % quantile over dates of EVI."""
    found = []
    for blue, red, nir in zip(*(dates(items, band, window) for band in ("blue", "red", "nir")), strict=True):
        hidden = (blue == -9999) | (red == -9999) | (nir == -9999)
        b, r, n = (values.astype(np.float32) * np.float32(0.0001) for values in (blue, red, nir))
        evi = np.float32(2.5) * ((n - r) / (n + np.float32(6) * r - np.float32(7.5) * b + np.float32(1)))
        found.append(np.where(hidden, np.float32(np.nan), evi))
    return quantile(np.stack(found), 0.9)


def quantile(values: np.ndarray, share: float) -> np.ndarray:
    """Over the first axis, between the two nearest of those that are not NaN; sorted, as numpy's own takes long."""
    ordered = np.sort(values, axis=0)  # NaN last
    last = np.count_nonzero(~np.isnan(values), axis=0) - 1
    below, part = np.divmod(np.maximum(last, 0) * share, 1)
    low = np.take_along_axis(ordered, below.astype(np.intp)[np.newaxis], 0)[0]
    upper = np.minimum(below.astype(np.intp) + 1, np.maximum(last, 0))
    high = np.take_along_axis(ordered, upper[np.newaxis], 0)[0]
    return np.asarray(low + (high - low) * part.astype(np.float32), np.float32)


def clear_mean(items: list[dict], window: Window) -> np.ndarray:
    """g: the mean of clear dates where there are three; a date without heat may be clear."""
    shape = (window.height, window.width)
    total, count, clear = np.zeros(shape), np.zeros(shape, int), np.zeros(shape, int)
    for heat, qa in zip(dates(items, "heat", window), dates(items, "qa", window), strict=True):
        fine = (qa == 0) & ~np.isnan(heat)
        total += np.where(fine, heat, 0)
        count += fine
        clear += qa == 0
    with np.errstate(invalid="ignore"):
        return np.where((clear >= 3) & (count > 0), total / count, np.nan).astype(np.float32)
