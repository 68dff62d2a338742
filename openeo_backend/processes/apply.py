"""Processes that give every value, or every array along a dimension, to a callback."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from openeo_backend.cube import Cube, Dimension, blocks
from openeo_backend.cube.dimension import relabelled
from openeo_backend.cube.fusion import merge_axes
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

    Two cases that the specification leaves open are met in graphs in use. A process that returns a single value makes
    an array of one element. An existing target dimension may have several labels: the values of each of them follow
    each other, in the order of its labels, under the labels 0, 1, 2 ...

    :raises OpenEOError: DimensionNotAvailable.
    """
    computed = blocks.along(data, blocks.bind(process, "data", context=context), dimension)
    if target_dimension is None or target_dimension == dimension:
        return computed
    return _moved(computed, dimension, target_dimension)


def _moved(cube: Cube, source: str, target: str) -> Cube:
    """The cube with the values along `source` along `target`, a new dimension or an existing one."""
    kept = [name for name in cube.names if name != target]
    place = kept.index(source)
    array, described = cube.data, Dimension(target, "other")
    if cube.has(target):
        described = relabelled(cube.dimension(target))
        array = array.transpose(*kept[:place], target, *kept[place:])
    else:
        array = array.expand_dims(target, axis=place)
    values = merge_axes(array.data, place)
    names = [target if name == source else name for name in kept]
    coords = {name: (name, cube.labels(name)) for name in kept if name != source}
    coords[target] = (target, np.arange(values.shape[place]))
    moved = xr.DataArray(values, dims=names, coords=coords, attrs=cube.data.attrs)
    dimensions = tuple(described if name == target else cube.dimension(name) for name in names)
    types = {entry.type for entry in dimensions if entry is not described}
    properties = cube.properties if "geometry" in types else None
    bands = cube.bands if "bands" in types else {}
    return cube.patch(data=moved, dimensions=dimensions, bands=bands, properties=properties)
