"""How the C library gives memory back."""

from __future__ import annotations

import ctypes
import functools

from dask.system import CPU_COUNT

#: Options of glibc's mallopt, and what they are set to in bytes.
_TRIM, _TRIM_BYTES = -1, 32 * 2**20
_MAP, _MAP_BYTES = -3, 8 * 2**20
_ARENAS = -8


@functools.cache
def return_blocks() -> bool:
    """Have blocks of pixels returned to the system when they are freed; false where the C library is not glibc.

    Otherwise glibc learns from the first large block that it frees, and keeps up to 64 MB for each thread. Strips of
    blocks and unpacked tiles, which come and go all the time, stay with the process; threads take them from common
    arenas, of which there are half as many as processor cores: each keeps what it was given for itself.
    """
    try:
        option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    arenas = max(2, CPU_COUNT // 2)
    return all([bool(option(_MAP, _MAP_BYTES)), bool(option(_TRIM, _TRIM_BYTES)), bool(option(_ARENAS, arenas))])
