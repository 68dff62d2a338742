"""Cuts a stream of blocks into tiles of an image and of its overviews, holding only unfinished tiles."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from openeo_backend.cube.compiled import kernels

T = TypeVar("T")

#: Bytes of unfinished tiles that all files of one result keep in memory together; more lie in a scratch file.
TILE_BUDGET = 96 * 2**20

#: Makes an array half as long in its last two axes.
Decimate = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Remnant:
    """Values of a window, at some level, that fill no tile alone."""

    level: int
    plane: int
    top: int
    left: int
    values: np.ndarray
    """Planes, rows, columns."""


@dataclass(frozen=True)
class Cuttings(Generic[T]):
    """What a window becomes: encoded tiles, as (level, row, column, code), and what is left over."""

    tiles: list[tuple[int, int, int, T]] = field(default_factory=list)
    remnants: list[Remnant] = field(default_factory=list)


@dataclass(frozen=True)
class Cutter:
    """Cuts tiles of an image, and of its overviews, that lie wholly in a window out of it.

    It keeps nothing, so it can work anywhere; a `Pyramid` of the same sizes joins what is left over.
    """

    height: int
    width: int
    size: int
    levels: int
    decimate: Decimate
    fill: float

    def cut(self, top: int, left: int, values: np.ndarray, encode: Callable[[np.ndarray], T]) -> Cuttings[T]:
        """Tiles as `encode` made them of (planes, size, size), padded beyond the image.

        :param values: (planes, rows, columns) of the image from a row and a column on.
        """
        found: Cuttings[T] = Cuttings()
        self._cut(0, top, left, values, encode, found)
        return found

    def _cut(
        self, level: int, top: int, left: int, values: np.ndarray, encode: Callable[[np.ndarray], T], out: Cuttings[T]
    ) -> None:
        bottom, right = top + values.shape[1], left + values.shape[2]
        y0, y1 = self._inner(top, bottom, _halved(self.height, level))
        x0, x1 = self._inner(left, right, _halved(self.width, level))
        if y0 >= y1 or x0 >= x1:
            out.remnants.append(Remnant(level, 0, top, left, values))
            return
        for a, b, c, d in ((top, y0, left, right), (y1, bottom, left, right), (y0, y1, left, x0), (y0, y1, x1, right)):
            if a < b and c < d:
                out.remnants.append(Remnant(level, 0, a, c, values[:, a - top : b - top, c - left : d - left]))
        inner = values[:, y0 - top : y1 - top, x0 - left : x1 - left]
        for y in range(y0, y1, self.size):
            for x in range(x0, x1, self.size):
                tile = self._padded(inner[:, y - y0 : y - y0 + self.size, x - x0 : x - x0 + self.size])
                out.tiles.append((level, y // self.size, x // self.size, encode(tile)))
        if level < self.levels:
            self._cut(level + 1, y0 // 2, x0 // 2, self.decimate(inner), encode, out)

    def _inner(self, start: int, stop: int, length: int) -> tuple[int, int]:
        """From where to where whole tiles lie in a part of an axis."""
        end = length if stop == length else stop // self.size * self.size
        return -(-start // self.size) * self.size, end

    def _padded(self, values: np.ndarray) -> np.ndarray:
        planes, rows, columns = values.shape
        if (rows, columns) == (self.size, self.size):
            return values
        tile = np.full((planes, self.size, self.size), self.fill, values.dtype)
        tile[:, :rows, :columns] = values
        return tile


@dataclass(frozen=True)
class Tile:
    """A finished tile; `values` is (planes, size, size), padded beyond the image."""

    level: int
    row: int
    column: int
    values: np.ndarray
    pooled: bool
    """Whether `Pyramid.release` should get it back."""


class Pyramid:
    """An image of `planes` x `height` x `width` in tiles, with `levels` overviews, each half of the one before.

    `paste` blocks of the image in any order without overlap; each tile goes to `emit` once, when its last pixel
    has arrived. Overview tiles are made of finished tiles. A receiver hands tiles back with `release`.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        dtype: np.dtype,
        size: int,
        levels: int,
        decimate: Decimate,
        fill: float,
        emit: Callable[[Tile], None],
        scratch: Path,
        budget: int = TILE_BUDGET,
    ) -> None:
        self.planes, self.height, self.width = shape
        self.dtype, self.size, self.levels, self.fill = dtype, size, levels, fill
        self._decimate, self._emit = decimate, emit
        self._pool = _Pool((self.planes, size, size), dtype, scratch, budget)
        self._open: dict[tuple[int, int, int], tuple[np.ndarray, int]] = {}

    def dimensions(self, level: int) -> tuple[int, int]:
        """Height and width of a level."""
        return _halved(self.height, level), _halved(self.width, level)

    def paste(self, top: int, left: int, values: np.ndarray, level: int = 0, plane: int = 0) -> None:
        """Puts (planes, rows, columns) values at a position of a level."""
        rows, columns = values.shape[-2:]
        for row in range(top // self.size, -(-(top + rows) // self.size)):
            for column in range(left // self.size, -(-(left + columns) // self.size)):
                self._fill(level, row, column, top, left, plane, values)

    def release(self, tile: Tile) -> None:
        """Takes back the memory of a tile that is no longer needed."""
        if tile.pooled:
            self._pool.give(tile.values)

    def _fill(self, level: int, row: int, column: int, top: int, left: int, plane: int, values: np.ndarray) -> None:
        size = self.size
        y, x = row * size, column * size
        y0, y1 = max(top, y), min(top + values.shape[1], y + size)
        x0, x1 = max(left, x), min(left + values.shape[2], x + size)
        part = values[:, y0 - top : y1 - top, x0 - left : x1 - left]
        if part.shape == (self.planes, size, size):
            self._finish(Tile(level, row, column, part, pooled=False))
            return
        key = (level, row, column)
        tile, missing = self._open.pop(key, (None, 0))
        height, width = self.dimensions(level)
        if tile is None:
            tile = self._pool.take()
            tile[...] = self.fill
            missing = self.planes * min(size, height - y) * min(size, width - x)
        tile[plane : plane + len(part), y0 - y : y1 - y, x0 - x : x1 - x] = part
        missing -= part.size
        if missing:
            self._open[key] = tile, missing
        else:
            self._finish(Tile(level, row, column, tile, pooled=True))

    def _finish(self, tile: Tile) -> None:
        if tile.level < self.levels:
            height, width = self.dimensions(tile.level)
            y, x = tile.row * self.size, tile.column * self.size
            inside = tile.values[:, : min(self.size, height - y), : min(self.size, width - x)]
            self.paste(y // 2, x // 2, self._decimate(inside), tile.level + 1)
        self._emit(tile)


def _halved(length: int, times: int) -> int:
    return -(-length // 2**times)


class _Pool:
    """Arrays of one shape, used again; beyond the budget they lie in an unlinked scratch file."""

    slab = 32

    def __init__(self, shape: tuple[int, int, int], dtype: np.dtype, scratch: Path, budget: int) -> None:
        self.shape, self.dtype, self.scratch, self.budget = shape, dtype, scratch, budget
        self.bytes = int(np.prod(shape)) * dtype.itemsize
        self.made = 0
        self.free: list[np.ndarray] = []

    def take(self) -> np.ndarray:
        if not self.free:
            self._grow()
        return self.free.pop()

    def give(self, array: np.ndarray) -> None:
        self.free.append(array)

    def _grow(self) -> None:
        if (self.made + 1) * self.bytes <= self.budget:
            self.made += 1
            self.free.append(np.empty(self.shape, self.dtype))
            return
        with tempfile.TemporaryFile(dir=self.scratch) as file:
            self.free.extend(np.memmap(file, self.dtype, "w+", shape=(self.slab, *self.shape)))


def decimate_nearest(values: np.ndarray) -> np.ndarray:
    """The upper left of every four pixels."""
    return np.ascontiguousarray(values[:, ::2, ::2])


def decimate_average(values: np.ndarray, nodata: float | None) -> np.ndarray:
    """The mean of the valid ones of every four pixels; integers are rounded."""
    compiled = kernels("openeo_backend.formats.kernels") if values.dtype in (np.float32, np.float64) else None
    if compiled is not None:
        planes, height, width = values.shape
        out = np.empty((planes, -(-height // 2), -(-width // 2)), values.dtype)
        marked = nodata is not None and not np.isnan(nodata)
        compiled.average(values, values.dtype.type(nodata if marked else 0), marked, out)
        return out
    values = _even(values)
    planes, height, width = values.shape
    quads = values.reshape(planes, height // 2, 2, width // 2, 2)
    if values.dtype.kind == "f":
        valid = ~np.isnan(quads)
        missing: float = np.nan
    else:
        valid = np.ones(quads.shape, bool)
        missing = 0
    if nodata is not None and not np.isnan(nodata):
        valid &= quads != nodata
        missing = nodata
    wide = np.float32 if values.dtype == np.float32 else np.float64
    total = np.where(valid, quads, 0).astype(wide).sum(axis=(2, 4))
    count = valid.sum(axis=(2, 4))
    mean = total / np.maximum(count, 1)
    if values.dtype.kind != "f":
        mean = np.rint(mean)
    return np.where(count > 0, mean, missing).astype(values.dtype)


def _even(values: np.ndarray) -> np.ndarray:
    """The array with its last row or column doubled where their number is odd (a mean of equals changes nothing)."""
    height, width = values.shape[1:]
    if height % 2 or width % 2:
        return np.pad(values, ((0, 0), (0, height % 2), (0, width % 2)), mode="edge")
    return values
