"""Random forests (Breiman 2001), as scikit-learn implements them."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from openeo_backend.errors import OpenEOError
from openeo_backend.ml.model import Model
from openeo_backend.ml.samples import Samples

#: Bounds of a forest that one process call may grow.
MOST_TREES = 2_000


def fit(
    samples: Samples,
    task: Literal["classification", "regression"],
    *,
    max_variables: int | str | None,
    num_trees: int,
    seed: int | None,
) -> Model:
    """Train a forest.

    :param max_variables: features tried at a split: a number, `all`, `sqrt`, `log2`, `onethird`; None for the
        usual choice, the square root for classification and one third for regression.
    :raises OpenEOError: ProcessParameterInvalid for values out of range, fewer than two classes, or a target
        that regression cannot use.
    """
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor  # takes half a second

    if not 1 <= num_trees <= MOST_TREES:
        raise _invalid(f"num_trees is {num_trees}; it must be from 1 to {MOST_TREES}.")
    options: dict[str, Any] = {
        "n_estimators": int(num_trees),
        "max_features": _max_features(max_variables, len(samples.features), task),
        "random_state": None if seed is None else int(seed) % 2**32,
        "n_jobs": 1,
    }
    if task == "regression":
        if not all(isinstance(value, int | float) for value in samples.target):
            raise _invalid("Regression needs numbers as target values.")
        regressor = RandomForestRegressor(**options).fit(samples.values, np.asarray(samples.target, "float64"))
        return Model(regressor, task, samples.features)
    classes = tuple(sorted(set(map(_class, samples.target))))
    if len(classes) < 2:
        raise _invalid(f"All training samples have the same class ({classes[0]}).")
    positions = {value: position for position, value in enumerate(classes)}
    target = np.array([positions[_class(value)] for value in samples.target])
    return Model(RandomForestClassifier(**options).fit(samples.values, target), task, samples.features, classes)


def _class(value: Any) -> int:
    """Classes are whole numbers: they become pixel values."""
    try:
        number = int(value)
    except (TypeError, ValueError):
        raise _invalid(f"The class '{value}' is not a whole number, so pixels cannot hold it.") from None
    if number != float(value):
        raise _invalid(f"The class {value} is not a whole number.")
    return number


def _max_features(given: int | str | None, count: int, task: str) -> int | float | str:
    named: dict[str, int | float | str] = {
        "all": 1.0,
        "sqrt": "sqrt",
        "log2": "log2",
        "onethird": max(1, count // 3),
    }
    if given is None:
        given = "sqrt" if task == "classification" else "onethird"
    if isinstance(given, str):
        if given not in named:
            raise _invalid(f"max_variables is '{given}'; it must be a number or one of {', '.join(named)}.")
        return named[given]
    if not 1 <= given <= count:
        raise _invalid(f"max_variables is {given}; with {count} features it must be from 1 to {count}.")
    return int(given)


def _invalid(message: str) -> OpenEOError:
    return OpenEOError("ProcessParameterInvalid", message)
