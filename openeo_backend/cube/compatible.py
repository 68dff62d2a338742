"""Bringing one cube onto the labels of another."""

from __future__ import annotations

import numpy as np

from openeo_backend.cube.cube import Cube
from openeo_backend.cube.grid import horizontal, step


def same_grid(one: Cube, other: Cube) -> bool:
    """Whether the pixels of two raster cubes are at the same places, up to a thousandth of a pixel."""
    if one.crs != other.crs:
        return False
    for own, foreign in zip(horizontal(one), horizontal(other), strict=True):
        mine, theirs = one.labels(own.name).astype("float64"), other.labels(foreign.name).astype("float64")
        if mine.shape != theirs.shape:
            return False
        slack = abs(step(one, own) or 1.0) * 1e-3
        if not np.allclose(mine, theirs, rtol=0, atol=slack):
            return False
    return True


def positions_in(labels: np.ndarray, wanted: np.ndarray) -> np.ndarray | None:
    """Where each wanted label is among `labels`; None where both do not hold the same labels."""
    known = {label: index for index, label in enumerate(labels.tolist())}
    asked = wanted.tolist()
    if len(known) != len(asked) or any(label not in known for label in asked):
        return None
    return np.array([known[label] for label in asked], dtype="int64")
