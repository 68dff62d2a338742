"""Fitting curves to values along a dimension, and predicting values from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from openeo_backend.cube import Cube, Dimension, blocks
from openeo_backend.cube.fit import least_squares
from openeo_backend.cube.labels import coordinate, instant, number
from openeo_backend.cube.pixels import LabeledList, PixelArray, refuse
from openeo_backend.cube.storage import numbers
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.callback import Callback
from openeo_backend.graph.effects import Effect
from openeo_backend.graph.schema import describe
from openeo_backend.processes.registry import process


@process("fit_curve")
def fit_curve(
    data: PixelArray | Sequence[Any], parameters: Sequence[float], function: Callback, ignore_nodata: bool = True
) -> PixelArray | list[float | None]:
    """The parameters with which `function(x, parameters)` fits the values best, by least squares.

    `x` is the label of a value: a number as it is, a date in seconds since 1970-01-01T00:00:00Z.
    Without `ignore_nodata`, pixels with a missing value get missing parameters, as do pixels with fewer values than
    parameters.

    :param data: values with labels; usually the array that apply_dimension hands over.
    """
    if isinstance(data, Cube):
        raise OpenEOError(
            "ProcessParameterInvalid",
            "fit_curve works on an array, not on a data cube.",
            hint="Call it in the callback of apply_dimension, whose parameter 'data' is the labelled array.",
        )
    guess = np.asarray([_real("parameters", value) for value in parameters], dtype=np.float64)
    if not len(guess):
        raise OpenEOError("ProcessParameterInvalid", "At least one parameter with a first guess is needed.")
    array = data if isinstance(data, PixelArray) else _pixel(data)
    labels = array.labels if array.labels is not None else tuple(range(len(array)))
    places = [number(label) for label in labels]
    values = numbers(array.values)
    flat = values.reshape(len(values), math.prod(values.shape[1:])).astype(np.float64)
    valid = ~np.isnan(flat)
    fitted = least_squares(_Model(function, places), guess, flat, valid)
    if not ignore_nodata:
        fitted[:, ~valid.all(axis=0)] = np.nan
    if isinstance(data, PixelArray):
        return PixelArray(fitted.reshape(len(guess), *values.shape[1:]).astype(values.dtype))
    return [None if np.isnan(value) else float(value) for value in fitted[:, 0]]


def _real(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise refuse(name, f"must be numbers, but has {describe(value)}") from None


def _pixel(data: Sequence[Any]) -> PixelArray:
    """An array of JSON as that of a single pixel."""
    labels = tuple(data.labels) if isinstance(data, LabeledList) else None
    values = [np.nan if value is None else _real("data", value) for value in data]
    return PixelArray(np.asarray(values, dtype=np.float64)[:, None], labels)


@dataclass(frozen=True, eq=False)
class _Model:
    """A model function at given places, evaluated for all places and pixels at once."""

    function: Callback
    places: Sequence[float]

    def __call__(self, parameters: np.ndarray) -> np.ndarray:
        """Values (places, pixels) for parameters (k, pixels)."""
        column = np.asarray(self.places, dtype=np.float64)[:, None]
        result = self.function(x=column, parameters=PixelArray(parameters[:, None, :]))
        return np.array(np.broadcast_to(_value(result), (len(self.places), parameters.shape[1])), dtype=np.float64)


def _value(result: Any) -> Any:
    """What a model function returned, as numbers."""
    if isinstance(result, PixelArray | list | dict | str):
        raise OpenEOError(
            "ProcessParameterInvalid",
            "The model function must return a single number.",
            hint="Take the parameters apart with array_element.",
        )
    if result is None:
        return np.nan
    return numbers(result) if isinstance(result, np.ndarray) else result


@process("predict_curve", effect=Effect(along="dimension", cubes=("parameters",)))
def predict_curve(
    parameters: Cube, function: Callback, dimension: str, labels: Sequence[str | float] | None = None
) -> Cube:
    """The values of `function(x, parameters)` at `labels`, along `dimension`.

    The parameters lie along `dimension`, or, where the cube does not have it, along its only dimension of type
    `other`, which `dimension` then replaces: temporal if the labels are dates, else of type `other`.

    :raises OpenEOError: DimensionNotAvailable where the dimension of the parameters is not clear; FeatureUnsupported
        without labels: a cube of parameters has no values whose gaps could be filled.
    """
    if labels is None:
        raise OpenEOError(
            "FeatureUnsupported",
            "predict_curve without labels is not supported: the cube holds parameters, no data with gaps to fill.",
            hint="Give the labels to predict values for, e.g. those of the data from dimension_labels.",
        )
    if not labels:
        raise OpenEOError("ProcessParameterInvalid", "The array of labels is empty; at least one is needed.")
    source = _source(parameters, dimension)
    dated = all(instant(label) is not None for label in labels)
    kind = "temporal" if dated and source.name != dimension else source.type
    coords = coordinate(list(labels), kind)
    predicted = blocks.along(parameters, _Prediction(function, [number(label) for label in labels]), source.name)
    replaced = Dimension(dimension, kind, source.axis if source.name == dimension else None)
    array = predicted.data.drop_vars(source.name)
    if source.name != dimension:
        array = array.rename({source.name: dimension})
    array = array.assign_coords({dimension: (dimension, coords)})
    dimensions = tuple(replaced if entry.name == source.name else entry for entry in predicted.dimensions)
    return predicted.patch(data=array, dimensions=dimensions)


def _source(cube: Cube, dimension: str) -> Dimension:
    """The dimension along which the parameters lie."""
    if cube.has(dimension):
        return cube.dimension(dimension)
    others = cube.of_type("other")
    if len(others) != 1:
        names = ", ".join(entry.name for entry in others) or "none"
        raise OpenEOError(
            "DimensionNotAvailable",
            f"The cube has no dimension '{dimension}', and its dimensions of type 'other' are: {names}. "
            "So it is not clear along which dimension the parameters lie.",
            hint="Let the parameters be along the dimension of the predictions, or along one dimension of type other.",
        )
    return others[0]


@dataclass(frozen=True, eq=False)
class _Prediction:
    """Values of a model function at given places, for the parameters of many pixels."""

    function: Callback
    places: Sequence[float]

    def __call__(self, parameters: PixelArray) -> PixelArray:
        values = numbers(parameters.values)
        exact = values.reshape(len(values), math.prod(values.shape[1:])).astype(np.float64)
        predicted = _Model(self.function, self.places)(exact)
        return PixelArray(predicted.reshape(len(self.places), *values.shape[1:]).astype(values.dtype))
