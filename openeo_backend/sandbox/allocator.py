"""How the C library gives memory back."""

from __future__ import annotations

import ctypes
import functools

#: Options of glibc's mallopt, and what they are set to in bytes.
_TRIM, _TRIM_BYTES = -1, 32 * 2**20
_MAP, _MAP_BYTES = -3, 8 * 2**20


@functools.cache
def return_blocks() -> bool:
    """Have blocks of pixels returned to the system when they are freed; false where the C library is not glibc.

    Otherwise glibc learns from the first large block that it frees, and keeps up to 64 MB for each thread. Strips of
    blocks and unpacked tiles, which come and go all the time, stay with the process.
    """
    try:
        option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return bool(option(_MAP, _MAP_BYTES)) and bool(option(_TRIM, _TRIM_BYTES))
