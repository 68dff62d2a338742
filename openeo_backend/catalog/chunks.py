"""How a loaded cube is cut into blocks."""

from __future__ import annotations

import math

#: Side of blocks in pixels: the usual one, and the one for few blocks or many dates and bands.
_SIDE, _SMALL = 1024, 512
_MANY = 60

#: Bytes that one block may take.
_BLOCK_BYTES = 256 * 2**20


def chunks(
    shape: tuple[int, int, int, int], itemsize: int, origin: tuple[int, int] = (0, 0)
) -> tuple[tuple[int, ...], ...]:
    """Blocks with all dates and bands; smaller ones where there are few or many dates and bands, and fewer bands
    or dates where even small ones would take too much memory.

    :param origin: row and column of the first pixel in the source. Blocks end where its tiles do (as far as their
        size divides that of blocks), so that each tile is read once.
    """
    steps, bands, height, width = shape
    few = math.ceil(height / _SIDE) * math.ceil(width / _SIDE) < 4
    side = _SMALL if few or steps * bands > _MANY else _SIDE
    plane = itemsize * min(side, height) * min(side, width)
    planes = max(1, _BLOCK_BYTES // max(plane, 1))
    bands_at_once = bands if steps * bands <= planes else max(1, min(bands, planes // steps))
    steps_at_once = steps if steps * bands_at_once <= planes else max(1, planes // bands_at_once)
    return (
        _split(steps, steps_at_once),
        _split(bands, bands_at_once),
        _aligned(height, side, origin[0]),
        _aligned(width, side, origin[1]),
    )


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
