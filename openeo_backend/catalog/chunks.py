"""How a loaded cube is cut into blocks."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

from openeo_backend.cube import memory

#: Side of blocks in pixels: the usual one, the one for few blocks or many dates and bands, and the least.
_SIDE, _SMALL, _LEAST = 1024, 512, 128
_MANY = 60

#: Dates times bands of small tiles from which reading a small block takes much longer than all that comes with it.
_SEVERAL = 12

#: Bytes that what follows a load takes, its blocks included, per byte of a block.
_SHARE = 2

#: Side of the tiles that files usually have: smaller blocks unpack each of them several times.
_TILE = 512


def chunks(
    shape: tuple[int, int, int, int],
    itemsize: int,
    origin: tuple[int, int] = (0, 0),
    tile: Callable[[], tuple[float, float]] = lambda: (math.inf, math.inf),
    is_far: bool = False,
) -> tuple[tuple[int, ...], ...]:
    """Blocks with all dates and bands; smaller ones where there are few or many dates and bands, or where threads
    would take more memory together than there is, and fewer bands or dates where even small ones would.

    :param origin: row and column of the first pixel in the source. Blocks end where its tiles do (as far as their
        size divides that of blocks), so that each tile is read once.
    :param tile: tells the rows and columns of these tiles, infinite where they are not known. Blocks are small where
        that allows it, too: they take a quarter of the memory, and a coarse mask's are no larger than the finer blocks
        that they are for. Where tiles are strips of the image, blocks have whole rows: each strip is unpacked once.
    :param is_far: whether files are elsewhere: parts of a tile that several blocks need might be fetched for each.
    """
    steps, bands, height, width = shape
    few = not is_far and math.ceil(height / _SIDE) * math.ceil(width / _SIDE) < 4
    pixel, there = steps * bands * itemsize, memory.planned() // _SHARE
    rows, columns = (math.inf, math.inf) if few else tile()
    small = few or steps * bands > _MANY or (steps * bands >= _SEVERAL and max(rows, columns) <= _SMALL)
    side = _fitting(_SMALL if small else _SIDE, pixel, there)
    tall, wide = _sides(side, width, rows, columns)
    planes = max(1, there // max(itemsize * min(tall, height) * min(wide, width), 1))
    bands_at_once = bands if steps * bands <= planes else max(1, min(bands, planes // steps))
    steps_at_once = steps if steps * bands_at_once <= planes else max(1, planes // bands_at_once)
    return (
        _split(steps, steps_at_once),
        _split(bands, bands_at_once),
        _aligned(height, tall, origin[0]),
        _aligned(width, side, origin[1]) if wide == side else (width,),
    )


def _sides(side: int, width: int, rows: float, columns: float) -> tuple[int, int]:
    """Rows and columns of blocks: whole rows of the cube where tiles are strips, of at most as many pixels."""
    if math.isfinite(rows) and side < min(columns, width):
        strip = max(1, round(rows))
        strips = side**2 // (strip * width)
        if strips:
            return strip << strips.bit_length() - 1, width
    return side, side


def _fitting(side: int, pixel: int, there: int) -> int:
    """The side of blocks with which computing takes the least time, of those that fit with one thread or more.

    :param pixel: bytes of a pixel with all dates and bands.
    :param there: bytes that blocks may take.
    """
    sides = [side >> step for step in range(side.bit_length()) if side >> step >= _LEAST]
    able = [
        (max(_TILE / one, 1) ** 2 / threads, -one)
        for one, threads in product(sides, range(1, memory.threads() + 1))
        if threads * pixel * one**2 <= there
    ]
    return -min(able)[1] if able else sides[-1]


def _split(length: int, at_once: int) -> tuple[int, ...]:
    full, rest = divmod(length, max(at_once, 1))
    return (at_once,) * full + ((rest,) if rest else ())


def _aligned(length: int, side: int, origin: int) -> tuple[int, ...]:
    """Lengths that end at multiples of `side` counted from the source's edge; no slivers at the beginning."""
    first = -origin % side
    if not first or first >= length:
        return _split(length, side)
    if first < side // 4:
        first = min(first + side, length)
    return (first, *_split(length - first, side))
