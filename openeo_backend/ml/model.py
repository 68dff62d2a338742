"""A trained model as a value in a process graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, Protocol

import numpy as np

from openeo_backend.cube.blank import blank
from openeo_backend.cube.pixels import PixelArray
from openeo_backend.errors import OpenEOError
from openeo_backend.ml.trees import Trees

#: Pixels predicted at once, so that the temporary arrays stay in the cache's reach.
PIXELS = 65_536


class Estimator(Protocol):
    """The part of a scikit-learn estimator that prediction needs."""

    def predict(self, samples: np.ndarray) -> np.ndarray:
        """One value per row."""


@dataclass(frozen=True, eq=False)
class Model:
    """A trained estimator, and what it was trained on."""

    subtype: ClassVar[str] = "ml-model"

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
        floats = _floats(data.values)
        values, valid = self._predicted(floats) if self.trees is None else self.trees.predict(floats)
        shape = data.values.shape[1:]
        if self.dtype.kind == "f":
            return np.where(valid, values, np.nan).astype(self.dtype).reshape(shape)
        return np.ma.MaskedArray(np.asarray(self.classes, self.dtype)[values], ~valid).reshape(shape)

    @cached_property
    def trees(self) -> Trees | None:
        """The estimator as arrays for compiled code; None where it predicts itself."""
        return Trees.of(self.estimator)

    def _predicted(self, floats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the estimator says about pixels (features, pixels), and where all their features are finite."""
        samples = np.ascontiguousarray(floats.T)
        valid = np.isfinite(samples).all(axis=1)
        values = np.zeros(len(samples), "float64" if self.task == "regression" else "int64")
        rows = np.flatnonzero(valid)
        for start in range(0, len(rows), PIXELS):
            some = rows[start : start + PIXELS]
            values[some] = self.estimator.predict(samples[some])
        return values, valid


def _floats(values: np.ndarray) -> np.ndarray:
    """Pixels as float32 (features, pixels), C-contiguous; null as NaN."""
    floating = np.ma.getdata(values).astype("float32", copy=np.ma.is_masked(values))
    if np.ma.is_masked(values):
        blank(floating, np.ma.getmaskarray(values))
    return np.ascontiguousarray(floating.reshape(len(floating), -1))


def _shown(labels: Sequence[str]) -> str:
    return ", ".join(labels[:5]) + (" ..." if len(labels) > 5 else "")
