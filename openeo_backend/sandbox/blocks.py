"""Looking at the blocks of open files before pixels are read: a block is unpacked whole, whatever is read of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from openeo_backend.errors import OpenEOError
from openeo_backend.sandbox.hdf5 import MOST_CHUNK, MOST_COORDINATES


def refuse_huge_blocks(file: Any, shown: str) -> None:
    """Refuse a raster file (of rasterio) whose blocks are larger than any should be.

    :raises OpenEOError: FileContentInvalid.
    """
    together = file.count if str(getattr(file, "interleaving", "")).upper().endswith("PIXEL") else 1
    for (rows, columns), dtype in zip(file.block_shapes, file.dtypes, strict=True):
        _refuse(rows * columns * np.dtype(dtype).itemsize * together, shown)


def refuse_huge_chunks(dataset: Any, shown: str) -> None:
    """Refuse a dataset (of xarray, opened without indexes) with chunks or coordinates larger than any should be.

    :raises OpenEOError: FileContentInvalid.
    """
    for name, variable in dataset.variables.items():
        chunks = variable.encoding.get("chunks") or variable.encoding.get("chunksizes")
        if chunks:
            _refuse(math.prod(map(int, chunks)) * variable.dtype.itemsize, shown)
        if variable.dims == (name,) and variable.size > MOST_COORDINATES:
            _raise(shown, f"'{str(name)[:80]}' in it has {variable.size:,} coordinates, over {MOST_COORDINATES:,}")


def _refuse(size: int, shown: str) -> None:
    if size > MOST_CHUNK:
        _raise(shown, f"its blocks unpack to {size / 1e6:,.0f} MB each, over {MOST_CHUNK / 1e6:,.0f} MB")


def _raise(shown: str, reason: str) -> None:
    raise OpenEOError("FileContentInvalid", f"The file {shown} is not read: {reason}.")
