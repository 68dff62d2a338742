"""Deflate: the compressed form of tiles, chunks and pixels in most formats."""

from __future__ import annotations

import zlib
from typing import Any

from isal import isal_zlib

#: Levels that ISA-L has: about an eighth of zlib's time for tiles of floats, at the same size.
_FAST = 3

#: Of differences of neighbouring pixels, higher levels make nothing smaller, and take up to twice the time.
_FASTEST = 1


def compress(data: Any, level: int) -> bytes:
    """Bytes (any buffer) as a zlib stream (RFC 1950); readable by every reader of deflate."""
    return isal_zlib.compress(data, level) if 1 <= level <= _FAST else zlib.compress(data, level)


def compressor() -> Any:
    """Makes one zlib stream of several parts: `compress(part)`, then `flush()`."""
    return isal_zlib.compressobj(_FASTEST)
