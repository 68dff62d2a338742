"""Processes that give every value, or every array along a dimension, to a callback."""

from __future__ import annotations

from typing import Any

import numpy as np

from openeo_backend.cube import Cube, Dimension, blocks
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.callback import Callback
from openeo_backend.graph.effects import Effect
from openeo_backend.processes.registry import process


@process("apply", effect=Effect())
def apply(data: Cube, process: Callback, context: Any = None) -> Cube:
    """The cube with `process(x, context)` for each value."""
    return blocks.apply(data, blocks.bind(process, "x", context=context))


@process("apply_dimension", effect=Effect(along="dimension"))
def apply_dimension(
    data: Cube, process: Callback, dimension: str, target_dimension: str | None = None, context: Any = None
) -> Cube:
    """The cube with the array `process(data, context)` along `dimension`, or along `target_dimension` instead of it.

    :raises OpenEOError: DimensionNotAvailable; ProcessParameterInvalid for a target dimension with several labels.
    """
    data.dimension(dimension)
    same = target_dimension is None or target_dimension == dimension
    if not same and data.has(str(target_dimension)) and data.data.sizes[target_dimension] != 1:
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"The target dimension '{target_dimension}' has {data.data.sizes[target_dimension]} labels, "
            "but an existing target dimension must have a single one.",
            hint="Choose a new name for the target dimension, or reduce it first.",
        )
    computed = blocks.along(data, blocks.bind(process, "data", context=context), dimension)
    return computed if same else _moved(computed, dimension, str(target_dimension))


def _moved(cube: Cube, source: str, target: str) -> Cube:
    """The cube with the values along `source` along `target`, a new dimension or one with a single label."""
    array, kept = cube.data, list(cube.dimensions)
    described = Dimension(target, "other")
    if cube.has(target):
        described = cube.dimension(target).patch(step=None)
        array = array.isel({target: 0}, drop=True)
        kept.remove(cube.dimension(target))
    array = array.drop_vars(source).rename({source: target})
    array = array.assign_coords({target: np.arange(array.sizes[target])})
    dimensions = tuple(described if entry.name == source else entry for entry in kept)
    types = {entry.type for entry in dimensions if entry is not described}
    properties = cube.properties if "geometry" in types else None
    bands = cube.bands if "bands" in types else {}
    return cube.patch(data=array, dimensions=dimensions, bands=bands, properties=properties)
