"""Training samples: a table of features and a target from vector cubes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from openeo_backend.cube import Cube
from openeo_backend.errors import OpenEOError

#: The feature property that holds the target in GeoJSON, as VITO's back-end reads it.
TARGET = "target"


@dataclass(frozen=True)
class Samples:
    """Rows without a missing value."""

    features: tuple[str, ...]
    values: np.ndarray
    """float32, (samples, features)."""
    target: tuple[Any, ...]
    dropped: int
    """Rows left out because a feature or the target was missing."""


def collect(predictors: Cube, target: Cube | Mapping[str, Any]) -> Samples:
    """The samples of a training set; `predictors` are computed here, one row per geometry.

    :param predictors: vector cube; all its other dimensions together are the features.
    :param target: as many geometries, in the same order: a vector cube with one value each, or with a property
        `target`; or GeoJSON with a property `target`.
    :raises OpenEOError: ProcessParameterInvalid, when the two do not fit together or nothing is left.
    """
    if not isinstance(predictors, Cube) or not predictors.is_vector:
        raise _invalid("The predictors are not a vector cube.", "Use aggregate_spatial to get one value per geometry.")
    geometry = predictors.of_type("geometry")[0].name
    others = [name for name in predictors.names if name != geometry]
    data = predictors.data.transpose(geometry, *others)
    labels = _labels(predictors, others)
    wanted = _target(target)
    if len(wanted) != data.sizes[geometry]:
        raise _invalid(
            f"There are {data.sizes[geometry]} geometries with predictors, but {len(wanted)} target values.",
            "Use the same geometries, in the same order, for both.",
        )
    values = np.asarray(data.compute().values, "float32").reshape(len(wanted), math.prod(data.shape[1:]))
    if predictors.nodata is not None:
        values[values == predictors.nodata] = np.nan
    known = np.array([value is not None and value == value for value in wanted], bool)
    valid = known & np.isfinite(values).all(axis=1)
    if not valid.any() or not values.size:
        raise _invalid("No training sample has a value for every feature and the target.", "Check extents and clouds.")
    kept = tuple(value for value, keep in zip(wanted, valid, strict=True) if keep)
    return Samples(labels, values[valid], kept, int((~valid).sum()))


def _labels(cube: Cube, names: list[str]) -> tuple[str, ...]:
    labels = [""]
    for name in names:
        labels = [f"{before}{'_' if before else ''}{label}" for before in labels for label in cube.labels(name)]
    return tuple(labels)


def _target(target: Cube | Mapping[str, Any]) -> list[Any]:
    if isinstance(target, Cube):
        return _target_of_cube(target)
    features = target.get("features")
    if not isinstance(features, list):
        raise _invalid("The target is not a GeoJSON FeatureCollection.", f"Give features with a property '{TARGET}'.")
    values = [(feature.get("properties") or {}).get(TARGET) for feature in features]
    if all(value is None for value in values):
        raise _invalid(f"No feature of the target has a property '{TARGET}'.", "Name the property so.")
    return values


def _target_of_cube(cube: Cube) -> list[Any]:
    if cube.properties is not None and TARGET in cube.properties:
        return [_plain(value) for value in cube.properties[TARGET]]
    geometry = cube.of_type("geometry")
    if not geometry:
        raise _invalid("The target is not a vector cube.", "Give one value per geometry.")
    data = cube.data.transpose(geometry[0].name, ...).compute()
    if data.size != data.sizes[geometry[0].name]:
        others = ", ".join(name for name in cube.names if name != geometry[0].name)
        raise _invalid(f"The target has more than one value per geometry ({others}).", "Select one of them.")
    return [_plain(value) for value in data.values.reshape(-1)]


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _invalid(message: str, hint: str) -> OpenEOError:
    return OpenEOError("ProcessParameterInvalid", message, hint=hint)
