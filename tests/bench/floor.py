"""The floor: what reading, computing and writing cost at least with the same libraries, written for each workload.

Blocks of the files are read as they are stored, in threads; fused compiled kernels compute; files are written as they
come. The raster files get statistics and overviews as ours do, the netCDF chunks are compressed in the threads.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import rasterio
import workload as work
from numba import njit
from rasterio.enums import Resampling
from rasterio.transform import from_origin
from rasterio.warp import reproject
from rasterio.windows import Window

SIDE, CHUNK, THREADS = 1024, 512, 2


@njit(nogil=True, cache=True, error_model="numpy")
def sort_and_pick(rows: Any, present: Any, shares: Any, factor: float, out: Any) -> None:
    """Odd-even merge sort of (elements, pixels) with infinity for missing ones; writes quantiles times `factor`."""
    count, size = rows.shape
    p = 1
    while p < count:
        k = p
        while k >= 1:
            for j in range(k % p, count - k, 2 * k):
                for i in range(min(k, count - j - k)):
                    if (i + j) // (p * 2) == (i + j + k) // (p * 2):
                        low, high = rows[i + j], rows[i + j + k]
                        for x in range(size):
                            a, b = low[x], high[x]
                            low[x] = a if a < b else b
                            high[x] = b if a < b else a
            k //= 2
        p *= 2
    for q in range(shares.size):
        for x in range(size):
            last = present[x] - 1
            if last < 0:
                out[q, x] = np.nan
            else:
                place = last * shares[q]
                below = int(place)
                share = np.float32(place - below)
                one, two = rows[below, x], rows[min(below + 1, last), x]
                out[q, x] = (one * (np.float32(1) - share) + two * share) * np.float32(factor)


@njit(nogil=True, cache=True, error_model="numpy")
def ndvi_median(red: Any, nir: Any, out: Any) -> None:
    count, height, width = red.shape
    rows, present = np.empty((count, width), np.float32), np.empty(width, np.int32)
    half = np.array([0.5])
    for y in range(height):
        present[:] = 0
        for t in range(count):
            for x in range(width):
                r, n = red[t, y, x], nir[t, y, x]
                fine = r != 0 and n != 0
                value = (np.float32(n) - np.float32(r)) / (np.float32(n) + np.float32(r))
                rows[t, x] = value if fine else np.float32(np.inf)
                present[x] += fine
        sort_and_pick(rows, present, half, 1.0, out[y : y + 1])


@njit(nogil=True, cache=True, error_model="numpy")
def clear_quantiles(values: Any, scene: Any, shares: Any, out: Any) -> None:
    """Quantiles of stored numbers (elements, y, x) where the scene of half the resolution is clear; out (q, y, x)."""
    count, height, width = values.shape
    rows, present = np.empty((count, width), np.float32), np.empty(width, np.int32)
    for y in range(height):
        present[:] = 0
        for t in range(count):
            for x in range(width):
                code = scene[t, y >> 1, x >> 1]
                fine = values[t, y, x] != 0 and code != 3 and code != 8 and code != 9
                rows[t, x] = np.float32(values[t, y, x]) if fine else np.float32(np.inf)
                present[x] += fine
        sort_and_pick(rows, present, shares, 1.0, out[:, y])


@njit(nogil=True, cache=True, error_model="numpy")
def smooth(values: Any, out: Any) -> None:
    """The separable kernel 1 4 6 4 1 over (y + 4, x + 4)."""
    height, width = out.shape
    w0, w1, w2 = np.float32(1 / 16), np.float32(4 / 16), np.float32(6 / 16)
    across = np.empty((height + 4, width), np.float32)
    for y in range(height + 4):
        r = values[y]
        for x in range(width):
            across[y, x] = w0 * (r[x] + r[x + 4]) + w1 * (r[x + 1] + r[x + 3]) + w2 * r[x + 2]
    for y in range(height):
        for x in range(width):
            low = w0 * (across[y, x] + across[y + 4, x])
            out[y, x] = low + w1 * (across[y + 1, x] + across[y + 3, x]) + w2 * across[y + 2, x]


class Files:
    """Open files, each thread its own."""

    def __init__(self, folder: Path) -> None:
        self.items = work.items(folder)
        self.local = threading.local()

    def read(self, index: int, band: str, block: tuple[int, int, int, int], k: int = 1, out: Any = None) -> Any:
        kept: dict[Any, Any] = self.local.__dict__.setdefault("kept", {})
        if (index, band) not in kept:
            kept[index, band] = rasterio.open(self.items[index]["assets"][band]["href"])
        x, y, w, h = (side // k for side in block)
        return kept[index, band].read(1, window=Window(x, y, w, h), out=out)

    def stack(self, indices: list[int], band: str, block: tuple[int, int, int, int]) -> Any:
        out = np.empty((len(indices), block[3], block[2]), np.uint16)
        for number, index in enumerate(indices):
            self.read(index, band, block, out=out[number])
        return out


def blocks(height: int, width: int) -> Iterator[tuple[int, int, int, int]]:
    for y in range(0, height, SIDE):
        for x in range(0, width, SIDE):
            yield x, y, min(SIDE, width - x), min(SIDE, height - y)


def _all(function: Callable[[Any], None], tasks: Any) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(function, tasks))


class Tiff:
    """A tiled file with statistics and overviews."""

    def __init__(self, path: Path, height: int, width: int, bands: int, crs: int, transform: Any) -> None:
        profile = {"driver": "GTiff", "height": height, "width": width, "count": bands, "dtype": "float32"}
        profile |= {"crs": crs, "transform": transform, "nodata": np.nan, "tiled": True, "interleave": "band"}
        profile |= {"blockxsize": 512, "blockysize": 512, "compress": "deflate", "predictor": 3, "zlevel": 1}
        self.file = rasterio.open(path, "w", **profile, num_threads=THREADS)
        self.lock, self.sums = threading.Lock(), np.zeros((bands, 3))

    def write(self, band: int, x: int, y: int, values: np.ndarray) -> None:
        fine = values[~np.isnan(values)].astype("float64")
        with self.lock:
            self.sums[band] += fine.size, fine.sum(), np.square(fine).sum()
            self.file.write(values, band + 1, window=Window(x, y, *values.shape[::-1]))

    def close(self) -> None:
        for index, (count, total, _) in enumerate(self.sums, 1):
            self.file.update_tags(index, STATISTICS_MEAN=total / max(count, 1))
        levels = [2**n for n in range(1, 8) if max(self.file.shape) > 512 * 2 ** (n - 1)]
        self.file.build_overviews(levels, Resampling.average)
        self.file.close()


def run(name: str, folder: Path, size: int, out: Path, like: Path | None) -> Path:
    """Compute a workload.

    :param like: a result of another implementation whose grid is taken (c).
    """
    files = Files(folder)
    return {"a": _a, "b": _b, "c": _c, "d": _d}[name](files, size, out, like)


def _a(files: Files, size: int, out: Path, like: Path | None) -> Path:
    path, every = out / "floor.tif", list(range(len(files.items)))
    tiff = Tiff(path, size, size, 1, work.EPSG, from_origin(work.LEFT, work.TOP, 10, 10))

    def job(block: tuple[int, int, int, int]) -> None:
        x, y, w, h = block
        result = np.empty((h, w), np.float32)
        ndvi_median(files.stack(every, "B04", block), files.stack(every, "B08", block), result)
        tiff.write(0, x, y, result)

    _all(job, blocks(size, size))
    tiff.close()
    return path


def _b(files: Files, size: int, out: Path, like: Path | None) -> Path:
    path, groups, lock = out / "floor.nc", work.months(len(files.items)), threading.Lock()
    side = min(CHUNK, size)
    with h5py.File(path, "w") as file:
        options = {"chunks": (1, side, side), "compression": "gzip", "compression_opts": 1, "shuffle": True}
        shape = (len(groups), size, size)
        targets = {b: file.create_dataset(b, shape, "f4", fillvalue=np.nan, **options) for b in work.BANDS}

        def job(task: Any) -> None:
            (x, y, w, h), month = task
            scene = np.stack([files.read(i, "SCL", (x, y, w, h), 2) for i in groups[month]])
            result = np.empty((1, h, w), np.float32)
            for band, target in targets.items():
                values = files.stack(groups[month], band, (x, y, w, h))
                clear_quantiles(values, scene, np.array([0.5]), result)
                for cy in range(0, h, side):
                    for cx in range(0, w, side):
                        chunk = np.ascontiguousarray(result[0, cy : cy + side, cx : cx + side]).view("u1")
                        data = zlib.compress(np.ascontiguousarray(chunk.reshape(-1, 4).T).data, 1)
                        with lock:
                            target.id.write_direct_chunk((month, y + cy, x + cx), data)

        _all(job, [(block, month) for block in blocks(size, size) for month in range(len(groups))])
    return path


def _c(files: Files, size: int, out: Path, like: Path | None) -> Path:
    path = out / "floor.tif"
    assert like is not None
    with rasterio.open(like) as grid:
        transform, (height, width) = grid.transform, grid.shape
    tiff = Tiff(path, height, width, len(work.BANDS), 3857, transform)
    source = np.empty((len(work.BANDS), size, size), np.uint16)

    def load(task: Any) -> None:
        band, (x, y, w, h) = task
        files.read(0, work.BANDS[band], (x, y, w, h), out=source[band, y : y + h, x : x + w])

    def job(task: Any) -> None:
        band, (x, y, w, h) = task
        part = np.zeros((h + 4, w + 4), np.float32)
        where = {"src_transform": from_origin(work.LEFT, work.TOP, 10, 10), "src_crs": work.EPSG, "dst_crs": 3857}
        where |= {"dst_transform": transform @ transform.translation(x - 2, y - 2), "src_nodata": 0, "dst_nodata": 0}
        reproject(source[band], part, resampling=Resampling.bilinear, **where)
        result = np.empty((h, w), np.float32)
        smooth(part, result)
        tiff.write(band, x, y, result)

    bands = range(len(work.BANDS))
    _all(load, [(band, block) for band in bands for block in blocks(size, size)])
    _all(job, [(band, block) for band in bands for block in blocks(height, width)])
    tiff.close()
    return path


def _d(files: Files, size: int, out: Path, like: Path | None) -> Path:
    path, every = out / "floor.tif", list(range(len(files.items)))
    tiff = Tiff(path, size, size, 3 * len(work.BANDS), work.EPSG, from_origin(work.LEFT, work.TOP, 10, 10))
    clear = np.zeros((len(every), SIDE // 2, SIDE // 2), np.uint8)

    def job(task: Any) -> None:
        band, (x, y, w, h) = task
        result = np.empty((3, h, w), np.float32)
        clear_quantiles(files.stack(every, work.BANDS[band], (x, y, w, h)), clear, np.array([0.1, 0.5, 0.9]), result)
        for q in range(3):
            tiff.write(3 * band + q, x, y, result[q])

    _all(job, [(band, block) for block in blocks(size, size) for band in range(len(work.BANDS))])
    tiff.close()
    return path
