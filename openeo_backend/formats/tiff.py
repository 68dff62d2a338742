"""The file structure of a Cloud Optimized GeoTIFF: directories first, then overviews, then the image."""

from __future__ import annotations

import os
import struct
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import IO, Any

import numpy as np
from numcodecs.zstd import Zstd

from openeo_backend.cube.compiled import kernels
from openeo_backend.formats.deflate import compress

SUBFILE, WIDTH, HEIGHT, COMPRESSION, PLANAR = 254, 256, 257, 259, 284
PREDICTOR, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_SIZES = 317, 322, 323, 324, 325

#: Bytes of a file from which it is written as BigTIFF.
BIG = 4_000_000_000

#: Tags that describe pixels and that overviews repeat: bits per sample, photometric interpretation, samples per
#: pixel, colour map, extra samples, sample format, no-data.
PIXEL_TAGS = (258, 262, 277, 320, 338, 339, 42113)

#: Tags only the full image has: scale, tie points, transformation, the three of the geokeys, GDAL's metadata.
IMAGE_TAGS = (33550, 33922, 34264, 34735, 34736, 34737, 42112)

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 16: 8}

#: GDAL's statement of the layout, which lets it read a tile and its size in one request.
_LAYOUT = (
    b"LAYOUT=IFDS_BEFORE_DATA\nBLOCK_ORDER=ROW_MAJOR\nBLOCK_LEADER=SIZE_AS_UINT4\n"
    b"BLOCK_TRAILER=LAST_4_BYTES_REPEATED\nKNOWN_INCOMPATIBLE_EDITION=NO\n "
)
_GHOST = b"GDAL_STRUCTURAL_METADATA_SIZE=%06d bytes\n" % len(_LAYOUT) + _LAYOUT

#: Bytes before each tile (its size) and behind it (its last four bytes again).
_LEADER = _TRAILER = 4

#: Bytes of tiles that are copied together.
_RUN = 2**20

Field = tuple[int, int, bytes]
"""Type, count and value bytes of a tag."""


@dataclass(frozen=True)
class Codec:
    """How tiles are compressed."""

    name: str
    """deflate or zstd."""
    level: int
    predictor: int
    """1 none, 2 differences of integers, 3 differences of float bytes."""

    @property
    def tag(self) -> int:
        return {"deflate": 8, "zstd": 50000}[self.name]

    def encode(self, plane: np.ndarray) -> bytes:
        """The bytes of one tile of one band."""
        raw = _predict(plane, self.predictor)
        if self.name == "zstd":
            return bytes(Zstd(level=self.level).encode(raw))
        return compress(raw.data, self.level)


def _predict(plane: np.ndarray, predictor: int) -> np.ndarray:
    little = np.ascontiguousarray(plane, plane.dtype.newbyteorder("<"))
    if predictor == 2:
        numbers = little.view(f"<u{plane.dtype.itemsize}")
        out = numbers.copy()
        np.subtract(numbers[:, 1:], numbers[:, :-1], out=out[:, 1:])
        return out
    if predictor == 3:
        rows, columns = plane.shape
        size = plane.dtype.itemsize
        compiled = kernels("openeo_backend.formats.kernels") if size == 4 else None
        if compiled is not None:
            coded = np.empty((rows, columns * size), "u1")
            compiled.predict(little.view("<u4"), coded)
            return coded
        # Bytes of equal significance side by side, most significant first, then differences along the row.
        mixed = np.ascontiguousarray(little.view("u1").reshape(rows, columns, size)[:, :, ::-1].transpose(0, 2, 1))
        flat = mixed.reshape(rows, columns * size)
        out = flat.copy()
        np.subtract(flat[:, 1:], flat[:, :-1], out=out[:, 1:])
        return out
    return little


@dataclass
class Level:
    """The image or one overview: its size, and its tiles as they lie in a scratch file, in any order.

    Levels of several files share one scratch file, which only grows until the first of them is copied.
    """

    width: int
    height: int
    tile: int
    planes: int
    spool: IO[bytes]
    offsets: np.ndarray = field(init=False)
    sizes: np.ndarray = field(init=False)
    length: int = 0

    def __post_init__(self) -> None:
        shape = (self.planes, -(-self.height // self.tile), -(-self.width // self.tile))
        self.offsets = np.zeros(shape, "u8")
        self.sizes = np.zeros(shape, "u4")

    def add(self, plane: int, row: int, column: int, data: bytes) -> None:
        """Appends a compressed tile."""
        self.offsets[plane, row, column] = self.spool.tell()
        self.sizes[plane, row, column] = len(data)
        self.spool.write(data)
        self.length += len(data)

    @property
    def final_length(self) -> int:
        """Bytes of the tiles in the file, with what stands around them."""
        return self.length + (_LEADER + _TRAILER) * self.sizes.size

    def final_offsets(self, start: int) -> np.ndarray:
        """Where each tile begins in the file if the tiles lie from `start` on, row by row."""
        steps = self.sizes.ravel().astype("u8") + np.uint64(_LEADER + _TRAILER)
        return start + _LEADER + np.concatenate([np.zeros(1, "u8"), np.cumsum(steps)[:-1]])

    def runs(self, start: int) -> Iterator[_Run]:
        """The tiles row by row, each with its leader and trailer, in pieces that may be copied side by side."""
        tiles: list[tuple[int, int]] = []
        length = 0
        for tile in zip(self.offsets.ravel().tolist(), self.sizes.ravel().tolist(), strict=True):
            tiles.append(tile)
            length += _LEADER + tile[1] + _TRAILER
            if length >= _RUN:
                yield _Run(self.spool, tiles, start, length)
                tiles, start, length = [], start + length, 0
        if tiles:
            yield _Run(self.spool, tiles, start, length)


@dataclass(frozen=True)
class _Run:
    """Tiles that follow each other in the file."""

    spool: IO[bytes]
    tiles: Sequence[tuple[int, int]]
    """Where they lie in the scratch file, and their sizes."""
    start: int
    """Where the first begins in the file, with its leader."""
    length: int

    def copy(self, out: int) -> None:
        """Write the tiles where they belong in the file with this descriptor."""
        data = memoryview(bytearray(self.length))
        place = 0
        for offset, size in self.tiles:
            struct.pack_into("<I", data, place, size)
            tile = data[place + _LEADER : place + _LEADER + size]
            _fill(tile, self.spool.fileno(), offset)
            place += _LEADER + size + _TRAILER
            data[place - _TRAILER : place] = tile[-_TRAILER:]
        _put(data, out, self.start)


def _fill(data: memoryview, file: int, offset: int) -> None:
    """Fill memory with the bytes of a file from an offset on."""
    while data:
        done = os.preadv(file, [data], offset)
        if not done:
            raise EOFError("the scratch file ends before its tiles do")
        data, offset = data[done:], offset + done


def _put(data: memoryview, file: int, offset: int) -> None:
    """Write all bytes to a file from an offset on."""
    while data:
        done = os.pwrite(file, data, offset)
        data, offset = data[done:], offset + done


def read_tags(template: bytes) -> dict[int, Field]:
    """The tags of the first directory of a little-endian classic TIFF."""
    (start,) = struct.unpack_from("<I", template, 4)
    (count,) = struct.unpack_from("<H", template, start)
    tags = {}
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, number = struct.unpack_from("<HHI", template, entry)
        length = _SIZES[kind] * number
        where = entry + 8 if length <= 4 else struct.unpack_from("<I", template, entry + 8)[0]
        tags[tag] = (kind, number, template[where : where + length])
    return tags


def write_cog(out: IO[bytes], levels: Sequence[Level], codec: Codec, template: bytes, pool: Executor) -> None:
    """Writes the file from the tiles of its levels (the image first, then its overviews).

    :param template: a GeoTIFF with the same bands, whose tags on pixels, place and metadata are taken over.
    :param pool: copies tiles.
    """
    tags = read_tags(template)
    big = sum(level.final_length + 12 * level.sizes.size for level in levels) > BIG
    form = _Form(big)
    head = form.head + len(_GHOST)
    head += head % 2
    sizes = [len(form.directory(_fields(level, i, codec, tags, 0, big), 0, 0)) for i, level in enumerate(levels)]
    starts = [head + sum(sizes[:i]) for i in range(len(levels))]
    data = [0] * len(levels)
    position = head + sum(sizes)
    for i in reversed(range(len(levels))):
        data[i] = position
        position += levels[i].final_length
    out.write(form.header(starts[0]))
    out.write(_GHOST.ljust(head - form.head, b" "))
    for i, level in enumerate(levels):
        following = starts[i + 1] if i + 1 < len(levels) else 0
        out.write(form.directory(_fields(level, i, codec, tags, data[i], big), starts[i], following))
    out.flush()
    for level in levels:
        level.spool.flush()
    runs = (run for level, start in zip(levels, data, strict=True) for run in level.runs(start))
    deque(pool.map(partial(_Run.copy, out=out.fileno()), runs), maxlen=0)


def _fields(
    level: Level, index: int, codec: Codec, tags: Mapping[int, Field], start: int, big: bool
) -> dict[int, Field]:
    """The tags of one directory, whose tiles lie from `start` on."""
    offsets = level.final_offsets(start).astype("<u8" if big else "<u4")
    fields: dict[int, Field] = {
        WIDTH: _long(level.width),
        HEIGHT: _long(level.height),
        COMPRESSION: _short(codec.tag),
        PLANAR: _short(2 if level.planes > 1 else 1),
        TILE_WIDTH: _long(level.tile),
        TILE_HEIGHT: _long(level.tile),
        TILE_OFFSETS: (16 if big else 4, offsets.size, offsets.tobytes()),
        TILE_SIZES: (4, level.sizes.size, level.sizes.ravel().astype("<u4").tobytes()),
    }
    if codec.predictor > 1:
        fields[PREDICTOR] = _short(codec.predictor)
    if index:
        fields[SUBFILE] = _long(1)
    copied = PIXEL_TAGS if index else PIXEL_TAGS + IMAGE_TAGS
    fields.update({tag: tags[tag] for tag in copied if tag in tags})
    return fields


def _short(value: int) -> Field:
    return 3, 1, struct.pack("<H", value)


def _long(value: int) -> Field:
    return 4, 1, struct.pack("<I", value)


class _Form:
    """The two forms of TIFF: classic with 32 bit offsets, BigTIFF with 64 bit ones."""

    def __init__(self, big: bool) -> None:
        self.big = big
        self.head = 16 if big else 8
        self.room = 8 if big else 4
        self.entry = 20 if big else 12

    def header(self, first: int) -> bytes:
        return struct.pack("<2sHHHQ", b"II", 43, 8, 0, first) if self.big else struct.pack("<2sHI", b"II", 42, first)

    def directory(self, fields: Mapping[int, Field], start: int, following: int) -> bytes:
        """A directory at `start`, its long values behind it."""
        entries, values = [], b""
        fixed = (8 if self.big else 2) + self.entry * len(fields) + self.room
        for tag in sorted(fields):
            kind, count, data = fields[tag]
            if len(data) > self.room:
                # Values begin at even offsets of the file, as the directory itself does.
                values += b"\0" * ((fixed + len(values)) % 2)
                room = self._offset(start + fixed + len(values))
                values += data
            else:
                room = data.ljust(self.room, b"\0")
            entries.append(struct.pack("<HHQ" if self.big else "<HHI", tag, kind, count) + room)
        number = struct.pack("<Q" if self.big else "<H", len(fields))
        whole = number + b"".join(entries) + self._offset(following) + values
        return whole + b"\0" * (len(whole) % 2)

    def _offset(self, value: Any) -> bytes:
        return struct.pack("<Q" if self.big else "<I", value)
