"""Statistics of bands, gathered from blocks while they are written."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from openeo_backend.cube.compiled import kernels

#: Types whose values are exact as float64.
_COMPILED = frozenset({"int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"})


@dataclass
class Statistics:
    """Count, range, mean and (population) standard deviation of the valid values seen so far.

    Infinite values count as valid but stay out of the other figures.
    """

    pixels: int = 0
    valid: int = 0
    count: int = 0
    minimum: float = math.inf
    maximum: float = -math.inf
    mean: float = 0.0
    squares: float = 0.0

    def add(self, other: Statistics) -> None:
        """Joins the figures of two disjoint sets of pixels."""
        self.pixels += other.pixels
        self.valid += other.valid
        if not other.count:
            return
        count = self.count + other.count
        delta = other.mean - self.mean
        self.squares += other.squares + delta * delta * self.count * other.count / count
        self.mean += delta * other.count / count
        self.count = count
        self.minimum = min(self.minimum, other.minimum)
        self.maximum = max(self.maximum, other.maximum)

    @property
    def stddev(self) -> float:
        return math.sqrt(self.squares / self.count) if self.count else math.nan

    @property
    def valid_percent(self) -> float:
        return 100.0 * self.valid / self.pixels if self.pixels else 0.0


def measure(values: np.ndarray, nodata: float | None) -> Statistics:
    """Statistics of one array; NaN and `nodata` are not valid."""
    if nodata is not None and math.isnan(nodata):
        nodata = None
    compiled = kernels("openeo_backend.formats.kernels")
    if compiled is None or values.dtype.name not in _COMPILED:
        return _measured(values, nodata)
    if nodata is not None and not _holds(values.dtype, nodata):
        nodata = None
    marker = values.dtype.type(0 if nodata is None else nodata)
    found = Statistics()
    for index in np.ndindex(values.shape[:-2]):
        rows = np.ascontiguousarray(np.atleast_2d(values[index]))
        zero = compiled.pivot(rows, marker, nodata is not None)
        valid, count, low, high, total, squares = compiled.measure(rows, marker, nodata is not None, zero)
        mean = total / count if count else 0.0
        shift = mean - zero
        squares = max(squares - count * shift * shift, 0.0) if count else 0.0
        found.add(Statistics(rows.size, valid, count, low, high, mean, squares))
    return found


def warm() -> None:
    """Compile, or load what was compiled before, so that children of this process need not."""
    compiled = kernels("openeo_backend.formats.kernels")
    if compiled is not None:
        compiled.warm()


def _holds(dtype: np.dtype, nodata: float) -> bool:
    return dtype.kind == "f" or np.iinfo(dtype).min <= nodata <= np.iinfo(dtype).max


def _measured(values: np.ndarray, nodata: float | None) -> Statistics:
    """The same by numpy."""
    if values.dtype.kind == "f":
        valid = ~np.isnan(values)
        if nodata is not None:
            valid &= values != nodata
        finite = valid & np.isfinite(values)
    elif nodata is None:
        valid = finite = np.ones(values.shape, bool)
    else:
        valid = finite = values != nodata
    stats = Statistics(pixels=values.size, valid=int(np.count_nonzero(valid)))
    chosen = values.reshape(-1) if stats.valid == values.size and finite is valid else values[finite]
    if chosen.size:
        precise = chosen.astype("float64")
        stats.count = chosen.size
        stats.minimum, stats.maximum = float(chosen.min()), float(chosen.max())
        with np.errstate(over="ignore", invalid="ignore"):
            stats.mean = float(precise.mean())
            precise -= stats.mean
            stats.squares = float(np.dot(precise, precise))
    return stats
