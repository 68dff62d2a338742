"""Statistics of bands, gathered from blocks while they are written."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


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
    if values.dtype.kind == "f":
        valid = ~np.isnan(values)
        if nodata is not None and not math.isnan(nodata):
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
