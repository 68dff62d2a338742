"""Where the pixels of a TIFF file are: the part of its directory that says how they are stored."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

NONE, DEFLATE = 1, 8
#: Deflate has two numbers.
_COMPRESSIONS = {1: NONE, 8: DEFLATE, 32946: DEFLATE}

#: Predictors: none, differences of neighbours, differences of the bytes of floating point numbers.
_PREDICTORS = (1, 2, 3)

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER, _ORIENTATION = 256, 257, 258, 259, 262, 266, 274
_STRIP_OFFSETS, _SAMPLES, _ROWS_PER_STRIP, _STRIP_SIZES, _PLANAR, _PREDICTOR = 273, 277, 278, 279, 284, 317
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_SIZES, _FORMAT = 322, 323, 324, 325, 339

#: Tags whose other values change what pixels are, with the value they must have (which they have when absent).
_PLAIN = {_FILL_ORDER: 1, _ORIENTATION: 1}

#: Photometric interpretations whose samples are the values as they are stored.
_AS_STORED = (0, 1, 2, 3)

_TYPES = {1: "u1", 3: "u2", 4: "u4", 16: "u8"}

#: Bytes of all types.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_KINDS = {1: "u", 2: "i", 3: "f"}

#: Most entries of a directory, most samples of a pixel and most tiles of a file that are looked at.
_MOST_ENTRIES, _MOST_SAMPLES, _MOST_TILES = 200, 1000, 200_000

Read = Callable[[int, int], bytes]
"""Bytes from an offset on, that many or fewer where there are no more."""


@dataclass(frozen=True, eq=False)
class Layout:
    """How the pixels of an image are stored."""

    shape: tuple[int, int]
    tile: tuple[int, int]
    """Rows and columns of tiles; strips are tiles as wide as the image."""

    tiled: bool
    samples: int
    apart: bool
    """Whether each band has tiles of its own; else tiles have all bands, pixel by pixel."""

    dtype: np.dtype
    """With the byte order of the file."""

    compression: int
    predictor: int
    offsets: np.ndarray
    sizes: np.ndarray
    """Of all tiles, row by row (and band by band where these are apart). Tiles of size 0 are not there."""

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return self.offsets.nbytes + self.sizes.nbytes

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        return math.ceil(self.shape[0] / self.tile[0]), math.ceil(self.shape[1] / self.tile[1])

    def number(self, band: int, row: int, column: int) -> int:
        """The number of a tile.

        :param band: counted from 0.
        """
        rows, columns = self.grid
        return (band * rows * columns if self.apart else 0) + row * columns + column

    def stored_rows(self, row: int) -> int:
        """Rows that tiles in a row of tiles have: all, but for the last strip."""
        return self.tile[0] if self.tiled else min(self.tile[0], self.shape[0] - row * self.tile[0])


def parse(read: Read, start: int) -> Layout | None:
    """The layout of the image whose directory begins at `start`.

    :returns: None where it is stored in ways that this module does not know, or the directory is damaged.
    """
    try:
        directory = _open(read)
        return _layout(directory.tags(start), directory.order)
    except (KeyError, ValueError, struct.error):
        return None


def is_described(head: bytes) -> bool:
    """Whether the first bytes of a file have all that its directory says of the first image, but for the places of
    tiles, for which GDAL waits."""
    try:
        directory = _open(lambda offset, size: head[offset : offset + size])
        return directory.reach(directory.first(), but={_STRIP_OFFSETS, _STRIP_SIZES, _TILE_OFFSETS, _TILE_SIZES})
    except (KeyError, ValueError, struct.error):
        return False


def _open(read: Read) -> _Directory:
    header = read(0, 16)
    order = {b"II": "<", b"MM": ">"}[header[:2]]
    version = struct.unpack(order + "H", header[2:4])[0]
    return _Directory(read, order, {42: 4, 43: 8}[version])


class _Directory:
    """Reads directories of numbers.

    :param width: bytes of an offset: 4, or 8 in BigTIFF.
    """

    def __init__(self, read: Read, order: str, width: int) -> None:
        self._read, self.order, self._width = read, order, width

    def first(self) -> int:
        """Where the first directory begins."""
        return self._number(self._exactly(self._width, self._width))

    def tags(self, start: int) -> dict[int, _Values]:
        """The values of all tags that are whole numbers."""
        return {
            tag: _Values(self, np.dtype(self.order + _TYPES[kind]), count, place)
            for tag, kind, count, place in self._entries(start)
            if kind in _TYPES
        }

    def reach(self, start: int, but: Container[int]) -> bool:
        """Whether the values of all tags can be read, but for some."""
        for tag, kind, count, place in self._entries(start):
            size = _SIZES[kind] * count
            if size > self._width and tag not in but and len(self._read(self._number(place), size)) < size:
                return False
        return True

    def _entries(self, start: int) -> Iterator[tuple[int, int, int, bytes]]:
        """Tag, type, number of values, and the values or where they are."""
        width = self._width
        length, code = (8, "Q") if width == 8 else (2, "H")
        count = struct.unpack(self.order + code, self._exactly(start, length))[0]
        if count > _MOST_ENTRIES:
            raise ValueError("a directory of that size is not for us")
        entry = 4 + 2 * width
        data = self._exactly(start + length, count * entry)
        for i in range(count):
            head = data[i * entry : (i + 1) * entry]
            tag, kind = struct.unpack(self.order + "HH", head[:4])
            yield tag, kind, self._number(head[4 : 4 + width]), head[4 + width :]

    def _number(self, data: bytes) -> int:
        return int.from_bytes(data, "little" if self.order == "<" else "big")

    def values(self, dtype: np.dtype, count: int, place: bytes) -> np.ndarray:
        """The values of a tag, which are in the place of their offset where they fit."""
        size = dtype.itemsize * count
        if size <= self._width:
            return np.frombuffer(place[:size], dtype)
        return np.frombuffer(self._exactly(self._number(place), size), dtype)

    def _exactly(self, offset: int, size: int) -> bytes:
        data = self._read(offset, size)
        if len(data) != size:
            raise ValueError("the file ends before")
        return data


@dataclass(frozen=True, eq=False)
class _Values:
    """The values of a tag, which are read when they are asked for."""

    directory: _Directory
    dtype: np.dtype
    count: int
    place: bytes

    def read(self, count: int) -> np.ndarray:
        """That many values.

        :raises ValueError: where it has more or fewer.
        """
        if self.count != count:
            raise ValueError("another number of values")
        return self.directory.values(self.dtype, count, self.place)


def _layout(tags: Mapping[int, _Values], order: str) -> Layout | None:
    def one(tag: int, default: int | None = None) -> int:
        if tag not in tags and default is not None:
            return default
        return int(tags[tag].read(1)[0])

    samples = one(_SAMPLES, 1)
    compression = _COMPRESSIONS.get(one(_COMPRESSION, 1))
    predictor = one(_PREDICTOR, 1) if compression != NONE else 1
    plain = all(one(tag, value) == value for tag, value in _PLAIN.items())
    photometric = one(_PHOTOMETRIC)
    if not plain or photometric not in _AS_STORED or compression is None or predictor not in _PREDICTORS:
        return None
    if not 0 < samples <= _MOST_SAMPLES:
        return None
    dtype = _dtype(tags, samples, order)
    if dtype is None or (predictor == 3 and dtype.kind != "f"):
        return None
    shape = one(_HEIGHT), one(_WIDTH)
    tiled = _TILE_WIDTH in tags
    tile = (one(_TILE_HEIGHT), one(_TILE_WIDTH)) if tiled else (min(one(_ROWS_PER_STRIP, shape[0]), shape[0]), shape[1])
    if min(*shape, *tile) < 1:
        return None
    apart = samples > 1 and one(_PLANAR, 1) == 2
    tiles = math.ceil(shape[0] / tile[0]) * math.ceil(shape[1] / tile[1]) * (samples if apart else 1)
    if tiles > _MOST_TILES:
        return None
    offsets, sizes = (_TILE_OFFSETS, _TILE_SIZES) if tiled else (_STRIP_OFFSETS, _STRIP_SIZES)
    found = Layout(
        shape=shape,
        tile=tile,
        tiled=tiled,
        samples=samples,
        apart=apart,
        dtype=dtype,
        compression=compression,
        predictor=predictor,
        offsets=tags[offsets].read(tiles).astype("uint64"),
        sizes=tags[sizes].read(tiles).astype("uint64"),
    )
    return found if compression != NONE or _fits(found) else None


def _fits(layout: Layout) -> bool:
    """Whether tiles that are not compressed have the bytes of their pixels; GDAL guesses what is meant otherwise."""
    rows, columns = layout.grid
    row_bytes = layout.tile[1] * layout.dtype.itemsize * (1 if layout.apart else layout.samples)
    expected = np.array([layout.stored_rows(row) for row in range(rows)], "uint64").repeat(columns) * row_bytes
    sizes = layout.sizes.reshape(-1, rows * columns)
    return bool(((sizes == expected) | (sizes == 0)).all())


def _dtype(tags: Mapping[int, _Values], samples: int, order: str) -> np.dtype | None:
    """The data type of all samples; None where they differ or are none of numpy's of whole bytes."""
    bits = set(tags[_BITS].read(samples).tolist()) if _BITS in tags else {1}
    formats = set(tags[_FORMAT].read(samples).tolist()) if _FORMAT in tags else {1}
    if len(bits) != 1 or len(formats) != 1:
        return None
    size, kind = bits.pop(), _KINDS.get(formats.pop())
    if size not in (8, 16, 32, 64) or kind is None or (kind == "f" and size < 32):
        return None
    return np.dtype(f"{order}{kind}{size // 8}")
