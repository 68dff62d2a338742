"""Values that are too many for memory wait in files of a folder, plane by plane."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from tempfile import mkstemp

import numpy as np

#: Bytes of values that one task hands on in memory.
IN_MEMORY = 8 * 2**20


def is_large(size: int) -> bool:
    """Whether so many bytes of values wait in a file."""
    return size > IN_MEMORY


def place_for(dtype: np.dtype, size: int, folder: Path | None) -> Path | None:
    """The folder, where `size` bytes of values go to a file there; None where they stay in memory.

    They stay where they are few or objects, and where the folder is not on this machine.
    """
    if folder is None or dtype.kind == "O" or not is_large(size) or not folder.is_dir():
        return None
    return folder


def write(planes: Iterable[np.ndarray], folder: Path) -> Path:
    """A new file in the folder that holds the values of the planes, one after the other."""
    handle, path = mkstemp(dir=folder, suffix=".pixels")
    with os.fdopen(handle, "wb") as file:
        for plane in planes:
            np.ascontiguousarray(plane).tofile(file)
    return Path(path)
