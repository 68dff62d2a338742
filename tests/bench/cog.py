"""The floor's raster file: a Cloud Optimized GeoTIFF with overviews and statistics, from blocks as they come."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import kernels
import numpy as np
from isal import isal_zlib

TILE, BLOCK = 512, 1024
Field = tuple[int, str, Any]


def padded(values: np.ndarray, fill: float, step: int) -> np.ndarray:
    """Values with `fill` to the right and below, so that both sides are multiples of `step`."""
    rows, columns = (-side % step for side in values.shape)
    return np.pad(values, ((0, rows), (0, columns)), constant_values=fill) if rows or columns else values


class Cog:
    """A file of float32 (NaN for no data) or uint8 (0 for no data).

    Blocks of 1024 x 1024 become four tiles and one of the first overview at once, in the thread that brings them; what
    is left of them, a sixteenth, waits in memory for the end.

    :param transform: of the full image.
    """

    def __init__(self, path: Path, shape: tuple[int, int], bands: int, dtype: str, epsg: int, transform: Any) -> None:
        self.path, self.bands, self.dtype, self.epsg, self.transform = path, bands, np.dtype(dtype), epsg, transform
        self.floats = self.dtype.kind == "f"
        self.fill = np.nan if self.floats else 0
        self.shapes = [shape]
        while max(self.shapes[-1]) > TILE:
            self.shapes.append((-(-self.shapes[-1][0] // 2), -(-self.shapes[-1][1] // 2)))
        self.spool = TemporaryFile(dir=path.parent)  # noqa: SIM115 - closed when the file is finished
        self.lock, self.local = threading.Lock(), threading.local()
        self.tiles: dict[tuple[int, int, int, int], tuple[int, int]] = {}
        self.figures: list[list[Any]] = [[] for _ in range(bands)]
        self.rest = None
        if len(self.shapes) > 2:
            sides = (-(-shape[0] // BLOCK) * BLOCK // 4, -(-shape[1] // BLOCK) * BLOCK // 4)
            self.rest = np.full((bands, *sides), self.fill, self.dtype)

    def add(self, band: int, x: int, y: int, values: np.ndarray) -> None:
        """Take a block whose corner lies at a multiple of 1024."""
        found = kernels.figures(values, np.float32(np.nan) if self.floats else 0)
        values = padded(values, self.fill, TILE)
        self._cut(0, band, x // TILE, y // TILE, values)
        if len(self.shapes) > 1:
            half = padded(self._halve(values), self.fill, TILE)
            self._cut(1, band, x // BLOCK, y // BLOCK, half)
            if self.rest is not None:
                quarter = self._halve(half)
                self.rest[band, y // 4 : y // 4 + quarter.shape[0], x // 4 : x // 4 + quarter.shape[1]] = quarter
        with self.lock:
            self.figures[band].append(found)

    def finish(self, spread: Callable[[Callable[[Any], None], Iterable[Any]], None]) -> None:
        """Write the file; `spread` does something for all of several things in threads."""
        spread(self._finish_band, range(self.bands))
        with self.path.open("wb") as out:
            starts = self._directories(out)
            for level in reversed(range(len(self.shapes))):
                out.seek(starts[level])
                for key in self._keys(level):
                    offset, length = self.tiles[key]
                    self.spool.seek(offset)
                    out.write(self.spool.read(length))
        self.spool.close()

    def _finish_band(self, band: int) -> None:
        values = self.rest[band] if self.rest is not None else None
        for level, (height, width) in list(enumerate(self.shapes))[2:]:
            assert values is not None
            self._cut(level, band, 0, 0, padded(values[:height, :width], self.fill, TILE))
            values = self._halve(padded(values, self.fill, 2))

    def _halve(self, values: np.ndarray) -> np.ndarray:
        if not self.floats:
            return values[::2, ::2]
        out = np.empty((values.shape[0] // 2, values.shape[1] // 2), np.float32)
        kernels.halve(values, out)
        return out

    def _cut(self, level: int, band: int, column: int, row: int, values: np.ndarray) -> None:
        """Compress and store the tiles of an array, the first of which lies at a column and a row of tiles."""
        for y in range(0, values.shape[0], TILE):
            for x in range(0, values.shape[1], TILE):
                data = self._encode(values[y : y + TILE, x : x + TILE])
                with self.lock:
                    key = (level, band, row + y // TILE, column + x // TILE)
                    self.tiles[key] = (self.spool.tell(), len(data))
                    self.spool.write(data)

    def _encode(self, tile: np.ndarray) -> bytes:
        whole = np.ascontiguousarray(tile)
        if not self.floats:
            return isal_zlib.compress(whole, 1)
        if not hasattr(self.local, "line"):
            self.local.line = np.empty((TILE, TILE * 4), np.uint8)
        kernels.predict_floats(whole.view(np.uint8).reshape(TILE, TILE, 4), self.local.line)
        return isal_zlib.compress(self.local.line, 1)

    def _keys(self, level: int) -> list[tuple[int, int, int, int]]:
        rows, columns = (-(-side // TILE) for side in self.shapes[level])
        return [(level, b, r, c) for b in range(self.bands) for r in range(rows) for c in range(columns)]

    def _directories(self, out: Any) -> list[int]:
        """Write the directories before the tiles, whose order is that of the overviews from the smallest on."""
        sizes = [[self.tiles[key][1] for key in self._keys(level)] for level in range(len(self.shapes))]
        zero = [[0] * len(each) for each in sizes]
        lengths = [len(self._directory(level, zero[level], each, 0, 0)) for level, each in enumerate(sizes)]
        heads = [8 + sum(lengths[:level]) for level in range(len(sizes))]
        position, starts = 8 + sum(lengths), [0] * len(sizes)
        for level in reversed(range(len(sizes))):
            starts[level], position = position, position + sum(sizes[level])
        out.write(struct.pack("<2sHI", b"II", 42, 8))
        for level, each in enumerate(sizes):
            offsets = (starts[level] + np.concatenate([[0], np.cumsum(each)[:-1]])).astype(int).tolist()
            following = heads[level + 1] if level + 1 < len(sizes) else 0
            out.write(self._directory(level, offsets, each, heads[level], following))
        return starts

    def _directory(self, level: int, offsets: list[int], sizes: list[int], start: int, following: int) -> bytes:
        fields = self._fields(level, offsets, sizes)
        head, behind = struct.pack("<H", len(fields)), b""
        room = start + 2 + 12 * len(fields) + 4
        for tag, kind, values in sorted(fields):
            count = len(values)
            data = values if kind == "s" else struct.pack(f"<{count}{kind}", *values)
            where = data.ljust(4, b"\0")
            if len(data) > 4:
                where = struct.pack("<I", room + len(behind))
                behind += data + b"\0" * (len(data) % 2)
            head += struct.pack("<HHI", tag, {"s": 2, "H": 3, "I": 4, "d": 12}[kind], count) + where
        return head + struct.pack("<I", following) + behind

    def _fields(self, level: int, offsets: list[int], sizes: list[int]) -> list[Field]:
        (height, width), bands = self.shapes[level], self.bands
        fields: list[Field] = [
            (256, "I", [width]),
            (257, "I", [height]),
            (258, "H", [8 * self.dtype.itemsize] * bands),
            (259, "H", [8]),
            (262, "H", [1]),
            (277, "H", [bands]),
            (284, "H", [2 if bands > 1 else 1]),
            (317, "H", [3 if self.floats else 1]),
            (322, "H", [TILE]),
            (323, "H", [TILE]),
            (324, "I", offsets),
            (325, "I", sizes),
            (339, "H", [3 if self.floats else 1] * bands),
            (42113, "s", b"nan\0" if self.floats else b"0\0"),
        ]
        if bands > 1:
            fields.append((338, "H", [0] * (bands - 1)))
        if level:
            return [*fields, (254, "I", [1])]
        at, keys = self.transform, [1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, self.epsg]
        place = [(33550, "d", [at.a, -at.e, 0]), (33922, "d", [0, 0, 0, at.c, at.f, 0]), (34735, "H", keys)]
        return [*fields, *place, (42112, "s", self._statistics())]

    def _statistics(self) -> bytes:
        items = []
        for band, found in enumerate(self.figures):
            count, low, high, total, squares = (np.array(each) for each in zip(*found, strict=True))
            mean = total.sum() / max(count.sum(), 1)
            spread = max(squares.sum() / max(count.sum(), 1) - mean * mean, 0) ** 0.5
            told = {"MINIMUM": low.min(), "MAXIMUM": high.max(), "MEAN": mean, "STDDEV": spread}
            items += [f'<Item name="STATISTICS_{k}" sample="{band}">{float(v)}</Item>' for k, v in told.items()]
        return f"<GDALMetadata>{''.join(items)}</GDALMetadata>".encode() + b"\0"
