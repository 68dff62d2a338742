"""Statistics over geometries."""

from __future__ import annotations

from typing import Any

from openeo_backend.cube import Cube, blocks, zonal
from openeo_backend.cube.features import parse_features
from openeo_backend.cube.grid import horizontal, need_crs
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.callback import Callback
from openeo_backend.graph.effects import Effect, Narrow
from openeo_backend.processes.environment import Env
from openeo_backend.processes.registry import process


@process("aggregate_spatial", effect=Effect(spatial=Narrow("geometries", alone=True)))
def aggregate_spatial(
    data: Cube,
    geometries: Any,
    reducer: Callback,
    target_dimension: str | None = None,
    context: Any = None,
    *,
    env: Env,
) -> Cube:
    """The vector cube of `reducer(data, context)` of the pixels that each geometry selects.

    The geometry dimension comes first, then all dimensions of the data but x and y, then `target_dimension`.

    :raises OpenEOError: TargetDimensionExists; ProcessParameterInvalid for geometries that are none.
    """
    horizontal(data)
    need_crs(data)
    zones = parse_features(geometries)
    if target_dimension is not None and (
        data.has(target_dimension) or zones.of_type("geometry")[0].name == target_dimension
    ):
        raise OpenEOError(
            "TargetDimensionExists",
            f"A dimension '{target_dimension}' already exists. There are: {', '.join(data.names)}.",
            hint="Choose another name for 'target_dimension'.",
        )
    function = blocks.bind(reducer, "data", context=context)
    return zonal.aggregate(data, zones, function, target_dimension, env.scratch)
