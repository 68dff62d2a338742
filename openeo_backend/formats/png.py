"""PNG: pictures of one, three or four bands, encoded strip by strip."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from tempfile import SpooledTemporaryFile, TemporaryFile
from typing import IO, Any

import numpy as np

from openeo_backend.formats import options as schema
from openeo_backend.formats.asset import Asset, Format, Progress
from openeo_backend.formats.deflate import compressor
from openeo_backend.formats.pictures import PicturePart, prepare
from openeo_backend.formats.statistics import Statistics
from openeo_backend.formats.tiles import TILE_BUDGET

MEDIA_TYPE = "image/png"

#: Bytes of compressed pixels that are held in memory, of all pictures and both forms of each together.
HELD = 4 * 2**20

#: PNG colour types by number of channels: grey, grey and alpha, RGB, RGBA.
_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}


def write(value: Any, folder: Path, stem: str, options: Mapping[str, Any], progress: Progress) -> list[Asset]:
    """Writes one picture per temporal label: one band as grey, three as red, green, blue, four with alpha.

    Numbers are written as they are: 8 bits for bytes, booleans and floating point numbers (rounded), 16 bits for
    other integers, clipped to the range; the option `scale` maps a range to 0-255 instead. Pixels missing in all
    bands are transparent.

    :raises OpenEOError: FormatUnsuitable for other numbers of bands, or values that are no raster.
    """
    pictures = prepare(value, options, "PNG", deep=True, bands=(1, 3, 4))
    _, height, width = pictures.images.shape
    alpha = pictures.can_miss and pictures.channels in (1, 3)
    paths = [folder / name for name in pictures.names(stem, ".png")]
    dtype = np.dtype("u1") if pictures.colours else pictures.dtype
    writers = [_Png(path, (pictures.channels, height, width), dtype, alpha, len(paths)) for path in paths]
    statistics = [[Statistics() for _ in pictures.images.planes] for _ in paths]
    for part in pictures.parts(progress):
        for total, found in zip(statistics[part.image], part.statistics, strict=True):
            total.add(found)
        writers[part.image].add(part)
    for writer in writers:
        writer.finish()
    return pictures.describe(paths, statistics, MEDIA_TYPE)


class _Png:
    """One PNG that grows by strips of whole rows.

    Whether pixels are missing is known only at the end, while the header says whether there is an alpha channel:
    both forms are compressed until the first missing pixel, and the file is made of the one that fits. Of a picture
    that is a single strip it is known at once.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int], dtype: np.dtype, alpha: bool, pictures: int) -> None:
        self.path, self.dtype = path, dtype
        self.channels, self.height, self.width = shape
        self.pictures = pictures
        held = HELD // (2 * pictures)
        self.plain: _Idat | None = _Idat(path.parent, self.width * self.channels * dtype.itemsize, held)
        self.masked = _Idat(path.parent, self.width * (self.channels + 1) * dtype.itemsize, held) if alpha else None
        self.strip: np.ndarray | None = None
        self.missing = 0

    def add(self, part: PicturePart) -> None:
        """Takes a window; windows come row by row, all of one row with the same height."""
        rows, columns = part.valid.shape
        is_whole = (rows, columns) == (self.height, self.width)
        if is_whole and self.masked is not None and part.valid.all():
            self.masked.close()
            self.masked = None
        if is_whole and self.masked is None and self.plain is not None:
            self.plain.add(self._stored(_pixels(part.channels, self.channels)))
            return
        if self.strip is None:
            self.strip = self._allocate(rows)
            self.missing = rows * self.width
        where = slice(part.left, part.left + columns)
        self.strip[:, where, : self.channels] = np.moveaxis(part.channels, 0, -1)
        self.strip[:, where, self.channels] = np.where(part.valid, np.iinfo(self.dtype).max, 0)
        self.missing -= part.valid.size
        if not self.missing:
            self._encode(self.strip)
            self.strip = None

    def _allocate(self, rows: int) -> np.ndarray:
        """Rows, columns, channels with one more for alpha; in a scratch file where many would fill the memory."""
        shape = (rows, self.width, self.channels + 1)
        if int(np.prod(shape)) * self.dtype.itemsize * self.pictures <= TILE_BUDGET:
            return np.empty(shape, self.dtype)
        with TemporaryFile(dir=self.path.parent) as file:
            return np.memmap(file, self.dtype, "w+", shape=shape)

    def _encode(self, strip: np.ndarray) -> None:
        stored = self._stored(strip)
        if len(strip) == self.height and self.masked is not None and strip[..., self.channels].all():
            self.masked.close()
            self.masked = None
        if self.masked is not None:
            self.masked.add(stored)
            if self.plain is not None and not strip[..., self.channels].all():
                self.plain.close()
                self.plain = None
        if self.plain is not None:
            self.plain.add(stored[..., : self.channels])

    def _stored(self, values: np.ndarray) -> np.ndarray:
        return values.astype(self.dtype.newbyteorder(">"), copy=False)

    def finish(self) -> None:
        """Writes the file."""
        data, channels = (self.plain, self.channels) if self.plain is not None else (self.masked, self.channels + 1)
        assert data is not None
        with self.path.open("wb") as out:
            out.write(b"\x89PNG\r\n\x1a\n")
            size = struct.pack(">II", self.width, self.height)
            _write_chunk(out, b"IHDR", size + bytes([8 * self.dtype.itemsize, _COLOUR_TYPES[channels], 0, 0, 0]))
            data.copy(out)
            _write_chunk(out, b"IEND", b"")
        for stream in (self.plain, self.masked):
            if stream is not None:
                stream.close()


def _pixels(channels: np.ndarray, count: int) -> np.ndarray:
    """Channels (channel, row, column) pixel by pixel; one after the other, which takes a third of moving the axis."""
    pixels = np.empty((*channels.shape[1:], count), channels.dtype)
    for number in range(count):
        pixels[..., number] = channels[number]
    return pixels


class _Idat:
    """The compressed pixels of a PNG: rows as differences to the row above.

    :param held: bytes above which they are in a scratch file.
    """

    piece = 2**20

    def __init__(self, folder: Path, row_bytes: int, held: int) -> None:
        self.file = SpooledTemporaryFile(held + 1, "w+b", dir=str(folder))  # noqa: SIM115 - closed by `close`
        self.squeeze = compressor()
        self.above = np.zeros(row_bytes, "u1")

    def add(self, strip: np.ndarray) -> None:
        rows = np.ascontiguousarray(strip).reshape(len(strip), -1).view("u1")
        coded = np.empty((len(rows), rows.shape[1] + 1), "u1")
        coded[:, 0] = 2
        np.subtract(rows[1:], rows[:-1], out=coded[1:, 1:])
        np.subtract(rows[0], self.above, out=coded[0, 1:])
        self.above = rows[-1].copy()
        self.file.write(self.squeeze.compress(coded.data))

    def copy(self, out: IO[bytes]) -> None:
        self.file.write(self.squeeze.flush())
        self.file.seek(0)
        while data := self.file.read(self.piece):
            _write_chunk(out, b"IDAT", data)

    def close(self) -> None:
        self.file.close()


def _write_chunk(out: IO[bytes], kind: bytes, data: bytes) -> None:
    out.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))


FORMAT = Format(
    name="PNG",
    title="Portable Network Graphics",
    description="A picture per temporal label: one band becomes grey, three red, green and blue, four with alpha. "
    "Numbers are written as they are and clipped: bytes, booleans and floating point numbers to 0-255, other integers "
    "to 0-65535 (16 bits); scale them before, or with the option scale. Missing pixels are transparent. Not "
    "georeferenced.",
    gis_data_types=("raster",),
    extension=".png",
    media_type=MEDIA_TYPE,
    parameters=schema.PNG,
    write=write,
)
