"""Random forests under the names that the clients use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from openeo_backend.cube import Cube
from openeo_backend.cube.pixels import PixelArray
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.effects import BLOCKED
from openeo_backend.ml import forest
from openeo_backend.ml.model import Model
from openeo_backend.ml.samples import collect
from openeo_backend.processes.environment import Env
from openeo_backend.processes.registry import process


@process("fit_class_random_forest", effect=BLOCKED)
def fit_class_random_forest(
    predictors: Cube,
    target: Cube | Mapping[str, Any],
    max_variables: int | str | None = None,
    num_trees: int = 100,
    seed: int | None = None,
    *,
    env: Env,
) -> Model:
    """Train a forest that predicts classes; the training set is computed now."""
    return _fit("classification", predictors, target, max_variables, num_trees, seed, env)


@process("fit_regr_random_forest", effect=BLOCKED)
def fit_regr_random_forest(
    predictors: Cube,
    target: Cube | Mapping[str, Any],
    max_variables: int | str | None = None,
    num_trees: int = 100,
    seed: int | None = None,
    *,
    env: Env,
) -> Model:
    """Train a forest that predicts numbers; the training set is computed now."""
    return _fit("regression", predictors, target, max_variables, num_trees, seed, env)


def _fit(
    task: Literal["classification", "regression"],
    predictors: Cube,
    target: Cube | Mapping[str, Any],
    max_variables: int | str | None,
    num_trees: int,
    seed: int | None,
    env: Env,
) -> Model:
    samples = collect(predictors, target)
    if samples.dropped:
        env.log("warning", f"{samples.dropped} training samples without a value for every feature were left out.")
    model = forest.fit(samples, task, max_variables=max_variables, num_trees=num_trees, seed=seed)
    env.log("info", f"Trained a random forest on {len(samples.target)} samples with {len(samples.features)} features.")
    return model


@process("predict_random_forest")
def predict_random_forest(data: PixelArray | list[Any], model: Model) -> Any:
    """The prediction for an array of features; null where one of them is null."""
    if not isinstance(model, Model):
        raise OpenEOError(
            "ProcessParameterInvalid",
            "The model is not one that fit_class_random_forest or fit_regr_random_forest made.",
        )
    if isinstance(data, PixelArray):
        return model.predict(data)
    values = np.array([np.nan if value is None else value for value in data], "float32")
    predicted = model.predict(PixelArray(values[:, np.newaxis]))[0]
    missing = predicted is np.ma.masked or predicted != predicted
    return None if missing else predicted.item()
