"""Reading windows of TIFF files tile by tile, beside GDAL, which opens and describes them."""

from __future__ import annotations

import functools
import math
import mmap
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from rasterio.errors import RasterioIOError
from rasterio.io import DatasetReader

from openeo_backend.catalog.tiff import Layout, parse
from openeo_backend.catalog.unpack import Damaged, Rows, bands_together, inflate, most_bytes, put

#: Bytes of unpacked tiles that a process keeps, as GDAL's cache of blocks does for its own.
_CACHE_BYTES = 48 * 2**20

#: Bytes from which a tile has pages of its own.
_LARGE = 2**20

Window = tuple[slice, slice]


class Source(Protocol):
    """The bytes of a file."""

    def read(self, offset: int, size: int) -> bytes:
        """Bytes from an offset on, that many or fewer where there are no more.

        :raises OSError: where they cannot be read.
        """
        ...

    def is_current(self) -> bool:
        """Whether it is still the file that it was."""
        ...


@dataclass(frozen=True)
class LocalFile:
    """A file of this machine, as it is now: reading it after it was replaced or changed is an error."""

    path: str
    state: tuple[int, ...]

    @classmethod
    def at(cls, path: str) -> LocalFile:
        """The file at a path.

        :raises OSError: where there is none.
        """
        return cls(path, _state(os.stat(path)))

    def is_current(self) -> bool:
        """Whether the file is still the one that it was."""
        try:
            return _state(os.stat(self.path)) == self.state
        except OSError:
            return False

    def read(self, offset: int, size: int) -> bytes:
        """Bytes from an offset on, that many or fewer where there are no more."""
        file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            state = _state(os.fstat(file))
            if state != self.state:
                raise OSError("the file has changed since it was opened")
            return os.pread(file, max(0, min(size, state[2] - offset)), offset)
        finally:
            os.close(file)


def _state(found: os.stat_result) -> tuple[int, ...]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


class Unpacked:
    """The pixels (bands, rows, columns) of a tile, from its first row on as far as somebody wanted them.

    :param data: the tile; None where it is not there.
    :param stored: rows that it has.
    :param blank: what stands where it is not there.
    """

    def __init__(self, data: bytes | None, layout: Layout, stored: int, blank: float) -> None:
        self._layout = layout
        bands = 1 if layout.apart else layout.samples
        self.values = _pages((bands, stored, layout.tile[1]), layout.dtype.newbyteorder("="))
        self.nbytes = self.values.nbytes + len(data or b"")
        self._rows = Rows(data, layout, stored) if data is not None else None
        if data is None:
            self.values[...] = blank

    def reach(self, until: int) -> np.ndarray:
        """All pixels, of which the rows before one are there.

        :raises Damaged: where the bytes are not such a tile.
        """
        if self._rows is not None and self._rows.read < until:
            before = self._rows.read
            raw = self._rows.take(until)
            place = slice(before, self._rows.read)
            for number, plane in enumerate(self.values):
                part = slice(0, place.stop - before), slice(0, plane.shape[1])
                put(raw, self._layout, number, *part, plane[place])
            if self._rows.read == self.values.shape[1]:
                self._rows = None
        return self.values

    def reaches(self, until: int) -> bool:
        """Whether the rows before one are there."""
        rows = self._rows
        return rows is None or rows.read >= until


def _pages(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array, which the system has back as soon as it is let go of if it is large: what the C library takes for it
    lies between other things, and would stay with the process."""
    size = math.prod(shape) * dtype.itemsize
    if size < _LARGE:
        return np.empty(shape, dtype)
    return np.frombuffer(mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), dtype).reshape(shape)


class _Entry:
    """A tile that is unpacked by those who have its lock."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.tile: Unpacked | None = None
        self.size = 0
        """Bytes that are counted for it."""


class Cache:
    """Unpacked tiles that several windows cut, the latest of them, for all threads.

    :param most: bytes.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[object, _Entry] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: object, rows: int, make: Callable[[], Unpacked]) -> np.ndarray:
        """The pixels of the tile with a key, those of so many rows at least; not to be written to.

        One thread unpacks while others wait for it.
        """
        with self._lock:
            entry = self._kept.setdefault(key, _Entry())
            self._kept.move_to_end(key)
        with entry.lock:
            try:
                entry.tile = entry.tile or make()
                values = entry.tile.reach(rows)
            except BaseException:
                self._forget(key, entry)
                raise
            if not entry.size:
                self._count(key, entry, entry.tile.nbytes)
            return values

    def reaches(self, key: object, rows: int) -> bool:
        """Whether the first rows of a tile are there."""
        with self._lock:
            entry = self._kept.get(key)
        tile = None if entry is None else entry.tile
        return tile is not None and tile.reaches(rows)

    def has(self, key: object) -> bool:
        """Whether a tile is there or being made."""
        with self._lock:
            return key in self._kept

    def drop(self, key: object) -> None:
        """Let go of a tile, of which nobody wants a part any more."""
        with self._lock:
            if key in self._kept and self._kept[key].size:
                self._bytes -= self._kept.pop(key).size

    def _forget(self, key: object, entry: _Entry) -> None:
        with self._lock:
            if self._kept.get(key) is entry:
                self._bytes -= self._kept.pop(key).size

    def _count(self, key: object, entry: _Entry, size: int) -> None:
        """Make room for a tile that was made."""
        with self._lock:
            if self._kept.get(key) is not entry:
                return
            entry.size = size
            self._bytes += size
            for other in list(self._kept):
                if self._bytes <= self._most:
                    return
                if self._kept[other].size:
                    self._bytes -= self._kept.pop(other).size


@functools.cache
def _shared() -> Cache:
    """The cache of this process."""
    return Cache(_CACHE_BYTES)


class Tiles:
    """Reads windows of an image.

    :param source: where its bytes are.
    :param nodata: what stands where tiles are not there.
    """

    def __init__(self, source: Source, layout: Layout, nodata: float | None) -> None:
        self.source, self.layout = source, layout
        self._blank = nodata if nodata is not None else 0
        self.keeps = False
        """Whether tiles of which only a part is wanted are kept: another request may want the rest."""
        self._key = object()

    def read(self, band: int, window: Window, out: np.ndarray, whole: Window | None = None) -> None:
        """Fill an array with a window of a band, counted from 0.

        :param whole: the window of which others will ask for the rest.
        :raises RasterioIOError: where a tile cannot be read.
        """
        for row, column, tile in self._tiles(window):
            part = _both(tile, window)
            target = out[_within(part, window)]
            inner = _within(part, tile)
            wanted = tile if whole is None else _both(tile, whole)
            try:
                if part == wanted and bands_together(self.layout) == 1 and (part == tile or not self.keeps):
                    if part == tile:
                        _shared().drop((self._key, self.layout.number(band, row, column)))
                    self._put(band, row, column, inner, target)
                else:
                    target[...] = self._kept(band, row, column, inner[0].stop)[self._plane(band)][inner]
            except (Damaged, OSError) as error:
                place = f"row {tile[0].start} and column {tile[1].start}"
                raise RasterioIOError(f"the tile that begins at {place} cannot be read: {error}") from error

    def are_unpacked(self, band: int, window: Window) -> bool:
        """Whether all tiles that a window of a band cuts are kept, as far as it needs them."""
        return all(
            _shared().reaches(
                (self._key, self.layout.number(band, row, column)), _within(_both(tile, window), tile)[0].stop
            )
            for row, column, tile in self._tiles(window)
        )

    def unpack(self, band: int, window: Window) -> None:
        """Have the tiles unpacked that are kept, as far as a window of a band needs them. What fails, reading tells."""
        for row, column, tile in self._tiles(window):
            part = _both(tile, window)
            if self.keeps and part != tile:
                with suppress(Damaged, OSError):
                    self._kept(band, row, column, _within(part, tile)[0].stop)

    def spans(self, band: int, window: Window) -> list[tuple[int, int]]:
        """Offset and size of the bytes that reading a window needs of the source."""
        numbers = (self.layout.number(band, row, column) for row, column, _ in self._tiles(window))
        spans = (self._span(number) for number in numbers if not _shared().has((self._key, number)))
        return [span for span in spans if span[1]]

    def _span(self, number: int) -> tuple[int, int]:
        return int(self.layout.offsets[number]), min(int(self.layout.sizes[number]), most_bytes(self.layout))

    def _tiles(self, window: Window) -> Iterator[tuple[int, int, Window]]:
        """Row and column of the tiles that a window cuts, and the pixels of the image that they have."""
        height, width = self.layout.tile
        for row in range(window[0].start // height, math.ceil(window[0].stop / height)):
            for column in range(window[1].start // width, math.ceil(window[1].stop / width)):
                rows = slice(row * height, min((row + 1) * height, self.layout.shape[0]))
                columns = slice(column * width, min((column + 1) * width, self.layout.shape[1]))
                yield row, column, (rows, columns)

    def _plane(self, band: int) -> int:
        return 0 if self.layout.apart else band

    def _kept(self, band: int, row: int, column: int, rows: int) -> np.ndarray:
        """The pixels (bands, rows, columns) of a tile from the cache, those of the first rows at least."""
        layout = self.layout

        def make() -> Unpacked:
            return Unpacked(self._stored(band, row, column), layout, layout.stored_rows(row), self._blank)

        return _shared().get((self._key, layout.number(band, row, column)), rows, make)

    def _put(self, band: int, row: int, column: int, part: Window, out: np.ndarray) -> None:
        """Put a part of a tile of one band straight into an array."""
        data = self._stored(band, row, column)
        if data is None:
            out[...] = self._blank
        else:
            put(inflate(data, self.layout, part[0].stop, self.layout.stored_rows(row)), self.layout, 0, *part, out)

    def _stored(self, band: int, row: int, column: int) -> bytes | None:
        """A tile as it is in the file; None where it is not there."""
        offset, size = self._span(self.layout.number(band, row, column))
        if not size:
            return None
        data = self.source.read(offset, size)
        if len(data) < size:
            raise Damaged("the file ends within it")
        return data


def _both(one: Window, other: Window) -> Window:
    """What two windows share."""
    rows, columns = (slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(one, other, strict=True))
    return rows, columns


def _within(part: Window, whole: Window) -> Window:
    """A part of a window as seen from its corner."""
    rows, columns = (slice(a.start - b.start, a.stop - b.start) for a, b in zip(part, whole, strict=True))
    return rows, columns


def tiles_of(file: DatasetReader, source: Source) -> Tiles | None:
    """The tiles of a file that GDAL opened; None where GDAL has to read it.

    :param source: its bytes.
    :raises OSError: where these cannot be read.
    """
    start = file.get_tag_item("IFD_OFFSET", "TIFF", bidx=1) if file.driver == "GTiff" and file.count else None
    layout = parse(source.read, int(start)) if start is not None else None
    if layout is None or not _is_told(layout, file):
        return None
    nodata = file.nodatavals[0]
    return Tiles(source, layout, nodata) if nodata is None or _holds(layout.dtype, nodata) else None


def _is_told(layout: Layout, file: DatasetReader) -> bool:
    """Whether a layout is what GDAL tells of a file."""
    own = {layout.dtype.newbyteorder("=").name}, {layout.tile}, layout.samples, layout.shape
    return own == (set(file.dtypes), {tuple(shape) for shape in file.block_shapes}, file.count, tuple(file.shape))


def _holds(dtype: np.dtype, value: float) -> bool:
    """Whether a data type has a value."""
    if dtype.kind == "f":
        return not math.isfinite(value) or abs(value) <= np.finfo(dtype).max
    limits = np.iinfo(dtype)
    return float(value).is_integer() and limits.min <= value <= limits.max
