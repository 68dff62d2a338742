"""Raster cubes and polygons: applying a process in polygons, and turning geometries into pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely

from openeo_backend.cube import Cube
from openeo_backend.cube.blocks import bind
from openeo_backend.cube.features import parse_features
from openeo_backend.cube.geometry import parse_geometries, project
from openeo_backend.cube.grid import horizontal, need_crs
from openeo_backend.cube.inside import POLYGONS, type_ids
from openeo_backend.cube.rasterize import rasterize
from openeo_backend.cube.segments import apply_to_polygons
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.callback import Callback
from openeo_backend.graph.effects import BLOCKED, Block, Effect, Narrow
from openeo_backend.processes.environment import Env
from openeo_backend.processes.registry import process


@process("apply_polygon", effect=Effect(Narrow("geometries", alone=True), Block(), Block()))
def apply_polygon(
    data: Cube, geometries: Any, process: Callback, mask_value: Any = None, context: Any = None, *, env: Env
) -> Cube:
    """Apply a process to the part of the cube in each polygon; elsewhere values become `mask_value` or missing.

    :raises OpenEOError: GeometriesOverlap; ProcessParameterInvalid for geometries that are no polygons.
    """
    polygons = _polygons(data, geometries, "geometries")
    return apply_to_polygons(data, polygons, bind(process, "data", context=context), mask_value, env.scratch)


@process("chunk_polygon", effect=Effect(Narrow("chunks", alone=True), Block(), Block()))
def chunk_polygon(
    data: Cube, chunks: Any, process: Callback, mask_value: Any = None, context: Any = None, *, env: Env
) -> Cube:
    """As apply_polygon, but each polygon of a MultiPolygon is a part of its own.

    :raises OpenEOError: as apply_polygon.
    """
    polygons = np.asarray(shapely.get_parts(_polygons(data, chunks, "chunks")), dtype=object)
    return apply_to_polygons(data, polygons, bind(process, "data", context=context), mask_value, env.scratch)


def _polygons(data: Cube, geometries: Any, parameter: str) -> np.ndarray:
    horizontal(data)
    found = project(parse_geometries(geometries, parameter), need_crs(data))
    if not np.isin(type_ids(found), POLYGONS).all():
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"'{parameter}' holds geometries that are not polygons.",
            hint="Give Polygon or MultiPolygon geometries, e.g. with vector_buffer.",
        )
    return found


@process("vector_to_raster", effect=BLOCKED)
def vector_to_raster(data: Any, target: Cube | None = None, target_data_cube: Cube | None = None) -> Cube:
    """The values (or numeric properties, as bands) of geometries on the pixels that they select of `target`.

    Dimensions: those of the vector cube but the geometries, then y and x. The last of overlapping geometries counts.

    :raises OpenEOError: ProcessParameterMissing; ProcessParameterInvalid where there are no numbers.
    """
    grid = target if target is not None else target_data_cube
    if grid is None:
        raise OpenEOError("ProcessParameterMissing", "'target', a raster data cube, is missing.")
    return rasterize(parse_features(data, "data"), grid)
