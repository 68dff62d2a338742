"""Processes that collapse dimensions with a reducer."""

from __future__ import annotations

from typing import Any

from openeo_backend.cube import Cube, blocks, overall
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.callback import Callback
from openeo_backend.graph.effects import Block, Effect
from openeo_backend.processes.registry import process


@process("reduce_dimension", effect=Effect(along="dimension"))
def reduce_dimension(data: Cube, reducer: Callback, dimension: str, context: Any = None) -> Cube:
    """The cube without `dimension`: `reducer(data, context)` of the values along it.

    :raises OpenEOError: DimensionNotAvailable.
    """
    return blocks.reduce(data, blocks.bind(reducer, "data", context=context), [dimension])


@process("reduce_spatial", effect=Effect(spatial=Block()))
def reduce_spatial(data: Cube, reducer: Callback, context: Any = None) -> Cube:
    """The cube without its x and y dimensions: `reducer(data, context)` of all pixels.

    :raises OpenEOError: DimensionNotAvailable where the cube has no x or no y dimension.
    """
    axes = [data.axis("y"), data.axis("x")]
    names = [dimension.name for dimension in axes if dimension is not None]
    if len(names) < 2:
        raise OpenEOError(
            "DimensionNotAvailable",
            f"The data cube has no dimensions with the axes x and y, but: {', '.join(data.names) or 'none'}.",
            hint="Reduce a single dimension with reduce_dimension.",
        )
    return overall.reduce_pixels(data, blocks.bind(reducer, "data", context=context), *names)
