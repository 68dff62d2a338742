"""What stands for missing pixels."""

from __future__ import annotations

import numpy as np

from openeo_backend.errors import OpenEOError


def missing_value(dtype: np.dtype, kinds: set[tuple[np.dtype, float | None]]) -> tuple[np.dtype, int]:
    """An integer type at least as wide as `dtype` and a value in it that no layer uses for anything but no-data.

    :param kinds: data types of the layers with their no-data values.
    """
    while True:
        limits = np.iinfo(dtype)
        declared = sorted({int(nodata) for _, nodata in kinds if nodata is not None}, reverse=True)
        for value in (*declared, int(limits.max), int(limits.min)):
            free = all(nodata == value or not _holds(kind, value) for kind, nodata in kinds)
            if free and limits.min <= value <= limits.max:
                return dtype, value
        dtype = np.dtype(f"i{min(dtype.itemsize * 2, 8)}") if dtype.itemsize < 8 else np.dtype("float64")
        if dtype.kind == "f":
            raise OpenEOError(
                "FeatureUnsupported", "The 64-bit integer bands of this load leave no value for missing pixels."
            )


def _holds(dtype: np.dtype, value: int) -> bool:
    if dtype.kind == "b":
        return value in (0, 1)
    limits = np.iinfo(dtype)
    return bool(limits.min <= value <= limits.max)
