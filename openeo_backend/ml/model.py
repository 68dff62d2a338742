"""A trained model as a value in a process graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from openeo_backend.cube.pixels import PixelArray
from openeo_backend.errors import OpenEOError

#: Pixels predicted at once, so that the temporary arrays stay in the cache's reach.
PIXELS = 65_536


class Estimator(Protocol):
    """The part of a scikit-learn estimator that prediction needs."""

    def predict(self, samples: np.ndarray) -> np.ndarray:
        """One value per row."""


@dataclass(frozen=True, eq=False)
class Model:
    """A trained estimator, and what it was trained on."""

    estimator: Any
    """A fitted scikit-learn estimator; it predicts in the calling thread only."""
    task: Literal["classification", "regression"]
    features: tuple[str, ...]
    """Labels of the features, in the order of the estimator's columns."""
    classes: tuple[Any, ...] = ()
    """For classification: the classes; the estimator predicts their positions."""

    @property
    def dtype(self) -> np.dtype:
        """Of predictions: the smallest integer type that holds the classes, or float32."""
        if self.task == "regression" or not all(isinstance(c, int) for c in self.classes):
            return np.dtype("float32")
        return np.result_type(np.min_scalar_type(min(self.classes)), np.min_scalar_type(max(self.classes)))

    def predict(self, data: PixelArray) -> np.ndarray:
        """A prediction per pixel; null where any feature is null.

        :param data: the features first, in the order of training.
        :return: class numbers as a masked integer array, or float32 with NaN; shaped like the pixels.
        :raises OpenEOError: ProcessParameterInvalid for another number of features.
        """
        if len(data) != len(self.features):
            raise OpenEOError(
                "ProcessParameterInvalid",
                f"The model was trained with {len(self.features)} features ({_shown(self.features)}), "
                f"but the array has {len(data)} elements.",
                hint="Give the same bands in the same order as in training.",
            )
        shape = data.values.shape[1:]
        samples = _samples(data.values)
        valid = np.isfinite(samples).all(axis=1)
        predicted = np.zeros(len(samples), self.dtype)
        rows = np.flatnonzero(valid)
        lookup = np.asarray(self.classes, self.dtype) if self.classes else None
        for start in range(0, len(rows), PIXELS):
            some = rows[start : start + PIXELS]
            values = self.estimator.predict(samples[some])
            predicted[some] = lookup[values] if lookup is not None else values
        if self.dtype.kind == "f":
            predicted[~valid] = np.nan
            return predicted.reshape(shape)
        return np.ma.MaskedArray(predicted, ~valid).reshape(shape)


def _samples(values: np.ndarray) -> np.ndarray:
    """Pixels as rows of float32, C-contiguous; null as NaN."""
    floating = np.ma.filled(np.ma.asarray(values).astype("float32"), np.nan)
    return np.ascontiguousarray(floating.reshape(len(floating), -1).T)


def _shown(labels: Sequence[str]) -> str:
    return ", ".join(labels[:5]) + (" ..." if len(labels) > 5 else "")
