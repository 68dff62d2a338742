"""Chunks of netCDF files and Zarr stores, compressed where windows are computed or, if they lie in several, here."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path

import numpy as np

from openeo_backend.cube import memory
from openeo_backend.cube.compiled import kernels
from openeo_backend.formats.tiles import (
    TILE_BUDGET,
    Cutter,
    Cuttings,
    Pyramid,
    Remnant,
    Tile,
    decimate_nearest,
)

Encoded = list[tuple[tuple[int, ...], bytes]]
"""Compressed chunks of one tile of a band, with where they begin in the dimensions before y and x."""


@dataclass(frozen=True)
class Chunking:
    """How the values of a band become chunks. It holds no pixels, so that it can be sent to where they are computed."""

    shape: tuple[int, ...]
    """Of a band; the last two axes are y and x."""
    chunks: tuple[int, ...]
    """Lengths along the same axes; those of y and x are the same, and may exceed the axis."""
    fill: float
    compress: Callable[[np.ndarray], bytes]
    """Makes the bytes of a chunk; it gets a contiguous array of the chunk's shape."""

    def cut(self, place: tuple[slice, ...], values: np.ndarray) -> Cuttings[Encoded]:
        """Chunks that lie wholly in a window of a band, and what is left over."""
        leading = self.shape[:-2]
        top, left = place[-2].start, place[-1].start
        if values.shape[:-2] == leading:
            side = self.chunks[-1]
            cutter = Cutter(self.shape[-2], self.shape[-1], side, 0, decimate_nearest, self.fill)
            return cutter.cut(top, left, values.reshape(-1, *values.shape[-2:]), self.encode)
        remnants = []
        for where in product(*(range(part.start, part.stop) for part in place[:-2])):
            within = tuple(i - part.start for i, part in zip(where, place[:-2], strict=True))
            row = int(np.ravel_multi_index(where, leading))
            remnants.append(Remnant(0, row, top, left, values[within][None]))
        return Cuttings(remnants=remnants)

    def encode(self, tile: np.ndarray) -> Encoded:
        """All chunks of a tile, (all other dimensions flattened, side, side), of a band."""
        leading, depth = self.shape[:-2], self.chunks[:-2]
        height, width = (min(self.chunks[-1], length) for length in self.shape[-2:])
        values = tile.reshape(*leading, *tile.shape[-2:])[..., :height, :width]
        full = (*depth, height, width)
        out = []
        for start in product(*(range(0, n, d) for n, d in zip(leading, depth, strict=True))):
            chunk = values[tuple(slice(s, s + d) for s, d in zip(start, depth, strict=True))]
            if chunk.shape != full:
                # Edges are filled up to the size of a chunk.
                whole = np.full(full, self.fill, values.dtype)
                whole[tuple(slice(0, n) for n in chunk.shape)] = chunk
                chunk = whole
            out.append((start, self.compress(np.ascontiguousarray(chunk))))
        return out


def shuffled(chunk: np.ndarray) -> np.ndarray:
    """The bytes of a contiguous array's numbers by their significance, as HDF5's filter lays them."""
    size = chunk.dtype.itemsize
    compiled = kernels("openeo_backend.formats.kernels") if size in (2, 4) and sys.byteorder == "little" else None
    if compiled is None:
        return np.ascontiguousarray(chunk.view("u1").reshape(-1, size).T)
    out = np.empty((size, chunk.size), "u1")
    (compiled.shuffle4 if size == 4 else compiled.shuffle2)(chunk.reshape(-1).view(f"u{size}"), out)
    return out


class Chunks:
    """The chunks of one file on their way: those that are ready are stored, what is left over is joined first."""

    def __init__(
        self,
        chunking: Chunking,
        bands: int,
        dtype: np.dtype,
        store: Callable[[int, tuple[int, ...], bytes], None],
        pool: ThreadPoolExecutor,
        scratch: Path,
    ) -> None:
        """:param store: gets the band, where the chunk begins in all its dimensions, and the bytes."""
        self._chunking, self._bands, self._store, self._pool = chunking, bands, store, pool
        self._limit = 2 * memory.threads()
        self._pending: deque[tuple[list[Future[Encoded]], Tile]] = deque()
        planes = bands * prod(chunking.shape[:-2])
        shape = (planes, chunking.shape[-2], chunking.shape[-1])
        side = chunking.chunks[-1]
        self._pyramid = Pyramid(
            shape, dtype, side, 0, decimate_nearest, chunking.fill, self._emit, scratch, TILE_BUDGET
        )

    def add(self, band: int, cuttings: Cuttings[Encoded]) -> None:
        """Takes a window of a band."""
        for _, row, column, encoded in cuttings.tiles:
            self._keep(band, row, column, encoded)
        first = band * prod(self._chunking.shape[:-2])
        for rest in cuttings.remnants:
            self._pyramid.paste(rest.top, rest.left, rest.values, plane=first + rest.plane)

    def drain(self) -> None:
        """Stores what is under way."""
        while self._pending:
            self._settle()

    def _emit(self, tile: Tile) -> None:
        bands = tile.values.reshape(self._bands, -1, *tile.values.shape[-2:])
        self._pending.append(([self._pool.submit(self._chunking.encode, band) for band in bands], tile))
        while len(self._pending) > self._limit:
            self._settle()

    def _settle(self) -> None:
        futures, tile = self._pending.popleft()
        for band, future in enumerate(futures):
            self._keep(band, tile.row, tile.column, future.result())
        self._pyramid.release(tile)

    def _keep(self, band: int, row: int, column: int, encoded: Sequence[tuple[tuple[int, ...], bytes]]) -> None:
        side = self._chunking.chunks[-1]
        for start, data in encoded:
            self._store(band, (*start, row * side, column * side), data)


@contextmanager
def compressing() -> Iterator[ThreadPoolExecutor]:
    """Threads that compress what has to be joined first."""
    with ThreadPoolExecutor(memory.threads(), thread_name_prefix="deflate") as pool:
        yield pool
