"""The forest that the samples of a season make, for all who grow it by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import season
from sklearn.ensemble import RandomForestClassifier

#: Pixels for which the forest is asked at once: what its answers take in memory stays small.
ROWS = 2**17


def grow(table: np.ndarray, folder: Path) -> RandomForestClassifier:
    """The forest of a season.

    :param table: (pixels, features) of its window, row by row.
    """
    rows, columns, classes = season.places(folder)
    side = round(len(table) ** 0.5)
    model = RandomForestClassifier(100, max_features="sqrt", random_state=42, n_jobs=1)
    return model.fit(table[rows * side + columns], classes)


def classify(model: RandomForestClassifier, table: np.ndarray) -> np.ndarray:
    """A class (uint8) per row; 0 where a feature is missing."""
    result = np.zeros(len(table), np.uint8)
    for start in range(0, len(table), ROWS):
        some = table[start : start + ROWS]
        fine = np.isfinite(some).all(axis=1)
        if fine.any():
            result[start : start + ROWS][fine] = model.predict(some if fine.all() else some[fine])
    return result
