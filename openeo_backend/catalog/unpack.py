"""The pixels of a tile from its bytes: what GDAL does for the common ways to store them, in half the time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from isal import isal_zlib

from openeo_backend.catalog.tiff import DEFLATE, Layout
from openeo_backend.cube.compiled import compile_loop

#: Unsigned types by size in bytes; differences are those of bits.
_UNSIGNED: dict[int, Any] = {1: np.dtype("u1"), 2: np.dtype("u2"), 4: np.dtype("u4"), 8: np.dtype("u8")}


class Damaged(Exception):
    """What is wrong with a tile."""


def bands_together(layout: Layout) -> int:
    """Bands in a tile."""
    return 1 if layout.apart else layout.samples


def row_bytes(layout: Layout) -> int:
    """Bytes of a row of a tile."""
    return layout.tile[1] * bands_together(layout) * layout.dtype.itemsize


def most_bytes(layout: Layout) -> int:
    """The most bytes that a tile has in the file; those beyond are not its pixels."""
    return 10 * layout.tile[0] * row_bytes(layout) + 4096


class Rows:
    """The rows of a tile as they were before compression, from the first one on.

    :param stored: rows that the tile has.
    """

    def __init__(self, data: bytes, layout: Layout, stored: int) -> None:
        self._rest, self._layout, self._stored = data, layout, stored
        self._inflater = isal_zlib.decompressobj() if layout.compression == DEFLATE else None
        self.read = 0
        """Rows that were taken."""

    def take(self, until: int) -> bytes:
        """The rows after those that were taken before, at least up to one, never more than there are.

        :raises Damaged: where the bytes are not such a tile.
        """
        # where little is left, it is looked at, too: then the checksum of the whole is compared
        whole = until > 0.75 * self._stored
        until = self._stored if whole else until
        needed = (until - self.read) * row_bytes(self._layout)
        if needed <= 0:
            return b""
        raw = self._inflate(needed, whole) if self._inflater is not None else self._cut(needed)
        if len(raw) < needed:
            raise Damaged(f"it has {len(raw)} bytes where {needed} are expected")
        self.read = until
        return raw

    def _cut(self, size: int) -> bytes:
        raw, self._rest = self._rest[:size], self._rest[size:]
        return raw

    def _inflate(self, size: int, whole: bool) -> bytes:
        """The next bytes of what was deflated, never more of them.

        :param whole: look at the rest, too, whose checksum tells damage.
        """
        inflater = self._inflater
        assert inflater is not None
        try:
            found = bytes(inflater.decompress(self._rest, size))
            self._rest = inflater.unconsumed_tail
            if whole and len(found) == size and not inflater.eof:
                # last strips may have been written with all the rows of others
                inflater.decompress(self._rest, 2 * self._layout.tile[0] * row_bytes(self._layout))
                if not inflater.eof:
                    raise Damaged("it does not end where it should")
        except isal_zlib.error as error:  # type: ignore[misc] # stubs take the class for one of its instances
            raise Damaged(f"it cannot be inflated ({error})") from error
        return found


def inflate(data: bytes, layout: Layout, rows: int, stored: int) -> bytes:
    """The first rows of a tile (at least), as they were before compression, never more than its rows.

    :param stored: rows that the tile has.
    :raises Damaged: where the bytes are not such a tile.
    """
    return Rows(data, layout, stored).take(rows)


def put(raw: bytes, layout: Layout, band: int, rows: slice, columns: slice, out: np.ndarray) -> None:
    """Put a part of a band into an array of its shape and the data type of the file, in this machine's byte order.

    :param raw: the tile, at least as far as the part.
    :param band: number among those in the tile.
    """
    together, size = bands_together(layout), layout.dtype.itemsize
    length = layout.tile[1] * together
    if layout.predictor == 3:
        np.copyto(out, _from_bytes(raw, layout, rows)[:, columns, band])
        return
    unsigned = _UNSIGNED[size]
    bits = np.frombuffer(raw, layout.dtype, rows.stop * length)
    bits = bits.astype(layout.dtype.newbyteorder("="), copy=False).view(unsigned)
    shaped = bits.reshape(rows.stop, layout.tile[1], together)
    if layout.predictor == 1:
        np.copyto(out.view(unsigned), shaped[rows, columns, band])
        return
    kernel = _summing(size)
    if kernel is None:
        sums = np.add.accumulate(shaped[rows, : columns.stop, band], axis=1, dtype=unsigned)
        np.copyto(out.view(unsigned), sums[:, columns])
    else:
        kernel(bits, length, together, band, rows.start, columns.start, out.view(unsigned))


def warm() -> None:
    """Compile, or load what was compiled before, so that children of this process need not."""
    for size in (1, 2, 4):
        _summing(size)


def _from_bytes(raw: bytes, layout: Layout, rows: slice) -> np.ndarray:
    """Floating point numbers (rows, columns, bands) whose bytes were laid apart, highest first, and subtracted."""
    size, width, together = layout.dtype.itemsize, layout.tile[1], bands_together(layout)
    count, length = rows.stop - rows.start, row_bytes(layout)
    coded = np.frombuffer(raw, "u1", count * length, rows.start * length).reshape(count, -1, together)
    planes = np.add.accumulate(coded, axis=1, dtype="u1").reshape(count, size, width * together)
    joined = np.ascontiguousarray(planes.transpose(0, 2, 1))
    return joined.view(np.dtype(f">f{size}")).reshape(count, width, together)


def _summing(size: int) -> Callable[..., None] | None:
    """The compiled kernel for numbers of that many bytes; None where compiled code cannot be kept."""
    # Bytes of a tile cannot be written to, which only a type in words says.
    number = f"uint{8 * size}"
    place = "intp, intp, intp, intp, intp"
    signature = f"void(Array({number}, 1, 'C', readonly=True), {place}, Array({number}, 2, 'A'))"
    return compile_loop(_sum_up, signature)


def _sum_up(bits: np.ndarray, length: int, step: int, first: int, top: int, left: int, out: np.ndarray) -> None:
    """What numba compiles: values from differences to their left neighbours, as far as they are wanted.

    :param length: numbers of a row; `step` of them are a pixel, of which number `first` is the band's.
    """
    for y in range(out.shape[0]):
        place = (top + y) * length + first
        value = out.dtype.type(0)
        for _ in range(left):
            value = out.dtype.type(value + bits[place])
            place += step
        for x in range(out.shape[1]):
            value = out.dtype.type(value + bits[place])
            place += step
            out[y, x] = value
