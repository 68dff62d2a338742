"""The floor: what reading, computing and writing cost at least with the same libraries, written for each workload.

Blocks of the files are read as they are stored, in threads, into buffers that are used again; fused compiled kernels
compute; files are written as the blocks come, of the kind that ours are: the rasters with statistics and overviews of
the same pass (cog.py), the netCDF chunks compressed in the threads, all by the same deflate.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import forest
import h5py
import kernels
import numpy as np
import plain
import rasterio
import season
import workload as work
from cog import BLOCK, Cog
from isal import isal_zlib
from rasterio.enums import Resampling
from rasterio.warp import reproject
from rasterio.windows import Window

CHUNK, THREADS = 512, min(2, len(os.sched_getaffinity(0)))

PLACE = season.TILE.transform(season.TILE.metres)

Block = tuple[int, int, int, int]


class Files:
    """Open files, and buffers, each thread its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.items = folder, season.items(folder)
        self.local = threading.local()

    def kept(self, key: Any, make: Callable[[], Any]) -> Any:
        own: dict[Any, Any] = self.local.__dict__.setdefault("kept", {})
        if key not in own:
            own[key] = make()
        return own[key]

    def buffer(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        return np.asarray(self.kept((name, shape), lambda: np.empty(shape, dtype)))

    def read(self, index: int, band: str, block: Block, out: np.ndarray, k: int = 1) -> None:
        file = self.kept((index, band), lambda: rasterio.open(self.items[index]["assets"][band]["href"]))
        x, y, w, h = (side // k for side in block)
        file.read(1, window=Window(x, y, w, h), out=out)

    def stack(self, indices: list[int], band: str, block: Block, k: int = 1) -> np.ndarray:
        shape = (len(indices), block[3] // k, block[2] // k)
        out = self.buffer(band, shape, np.uint8 if band == "SCL" else np.uint16)
        for number, index in enumerate(indices):
            self.read(index, band, block, out[number], k)
        return out

    def months(self) -> list[list[int]]:
        found: dict[str, list[int]] = {}
        for index, item in enumerate(self.items):
            found.setdefault(item["properties"]["datetime"][:7], []).append(index)
        return list(found.values())


def blocks(height: int, width: int) -> Iterator[Block]:
    for y in range(0, height, BLOCK):
        for x in range(0, width, BLOCK):
            yield x, y, min(BLOCK, width - x), min(BLOCK, height - y)


def spread(function: Callable[[Any], None], tasks: Iterable[Any]) -> None:
    """Do all tasks in threads."""
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(function, tasks))


def run(name: str, folder: Path, size: int, out: Path) -> Path:
    """Compute a workload; the file."""
    if name in "fg":
        return plain.run(name, folder, size, out)
    return {"a": _a, "b": _b, "c": _c, "d": _d}[name](Files(folder), size, out)


def _a(files: Files, size: int, out: Path) -> Path:
    every = list(range(len(files.items)))
    pairs = kernels.network(len(every))
    cog = Cog(out / "floor.tif", (size, size), 1, "float32", season.TILE.epsg, PLACE)

    def job(block: Block) -> None:
        x, y, w, h = block
        result = files.buffer("result", (h, w), np.float32)
        kernels.ndvi_median(files.stack(every, "B04", block), files.stack(every, "B08", block), pairs, result)
        cog.add(0, x, y, result)

    spread(job, blocks(size, size))
    cog.finish(spread)
    return cog.path


def _b(files: Files, size: int, out: Path) -> Path:
    path, groups, lock = out / "floor.nc", files.months(), threading.Lock()
    side, half = min(CHUNK, size), np.array([0.5])
    pairs = {len(group): kernels.network(len(group)) for group in groups}
    with h5py.File(path, "w") as file:
        options = {"chunks": (1, side, side), "compression": "gzip", "compression_opts": 1, "shuffle": True}
        shape = (len(groups), size, size)
        targets = {b: file.create_dataset(b, shape, "f4", fillvalue=np.nan, **options) for b in work.BANDS}
        found: dict[str, list[Any]] = {b: [] for b in work.BANDS}

        def job(task: Any) -> None:
            (x, y, w, h), month = task
            scene = files.stack(groups[month], "SCL", (x, y, w, h), 2)
            result = files.buffer("result", (1, h, w), np.float32)
            chunk, mixed = files.buffer("chunk", (side, side), np.float32), files.buffer("mixed", (4, side**2), "u1")
            for band, target in targets.items():
                values = files.stack(groups[month], band, (x, y, w, h))
                kernels.clear_quantiles(values, scene, pairs[len(values)], half, result)
                found[band].append(kernels.figures(result[0], np.float32(np.nan)))
                for cy in range(0, h, side):
                    for cx in range(0, w, side):
                        chunk[:] = result[0, cy : cy + side, cx : cx + side]
                        kernels.shuffle(chunk.view("u1").reshape(-1, 4), mixed)
                        data = isal_zlib.compress(mixed, 1)
                        with lock:
                            target.id.write_direct_chunk((month, y + cy, x + cx), data)

        spread(job, [(block, month) for block in blocks(size, size) for month in range(len(groups))])
        for band, target in targets.items():
            target.attrs["actual_range"] = min(f[1] for f in found[band]), max(f[2] for f in found[band])
    return path


def _c(files: Files, size: int, out: Path) -> Path:
    transform, height, width = work.warped(size)
    cog = Cog(out / "floor.tif", (height, width), len(work.BANDS), "float32", 3857, transform)
    source = np.empty((len(work.BANDS), size, size), np.uint16)

    def load(task: Any) -> None:
        band, (x, y, w, h) = task
        files.read(0, work.BANDS[band], (x, y, w, h), source[band, y : y + h, x : x + w])

    def job(block: Block) -> None:
        x, y, w, h = block
        part = files.buffer("part", (len(work.BANDS), h + 4, w + 4), np.float32)
        part[:] = 0
        where = {"src_transform": PLACE, "src_crs": season.TILE.epsg, "dst_crs": 3857, "src_nodata": 0}
        where |= {"dst_transform": transform @ transform.translation(x - 2, y - 2), "dst_nodata": 0}
        reproject(source, part, resampling=Resampling.bilinear, **where)
        result = files.buffer("result", (h, w), np.float32)
        for band in range(len(work.BANDS)):
            kernels.smooth(part[band], result)
            cog.add(band, x, y, result)

    spread(load, [(band, block) for band in range(len(work.BANDS)) for block in blocks(size, size)])
    spread(job, blocks(height, width))
    cog.finish(spread)
    return cog.path


def _features(files: Files, block: Block) -> np.ndarray:
    """Three percentiles of each band over all dates, as (y * x, features); 0 in an image becomes NaN."""
    every, (_, _, w, h) = list(range(len(files.items))), block
    pairs, never = kernels.network(len(every)), np.empty((0, 1, 1), np.uint8)
    out = files.buffer("features", (len(work.BANDS) * len(work.SHARES), h, w), np.float32)
    for number, band in enumerate(work.BANDS):
        part = out[len(work.SHARES) * number :][: len(work.SHARES)]
        kernels.clear_quantiles(files.stack(every, band, block), never, pairs, np.array(work.SHARES), part)
    return np.ascontiguousarray(out.reshape(len(out), -1).T)


def _d(files: Files, size: int, out: Path) -> Path:
    side = min(season.WINDOW, *files.items[0]["assets"]["B02"]["proj:shape"])
    model = forest.grow(_features(files, (0, 0, side, side)), files.folder)
    cog = Cog(out / "floor.tif", (size, size), 1, "uint8", season.TILE.epsg, PLACE)

    def job(block: Block) -> None:
        x, y, w, h = block
        cog.add(0, x, y, forest.classify(model, _features(files, block)).reshape(h, w))

    spread(job, blocks(size, size))
    cog.finish(spread)
    return cog.path
