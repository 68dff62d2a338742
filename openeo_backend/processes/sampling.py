"""Sampling: points of geometries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import shapely

from openeo_backend.cube import Cube
from openeo_backend.cube.features import objects, parse_features, with_geometries
from openeo_backend.cube.grid import take
from openeo_backend.cube.points import MOST, capacity, need_metres, random_points, regular_points, share
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.effects import BLOCKED
from openeo_backend.processes.environment import Env
from openeo_backend.processes.registry import process


@process("vector_to_random_points", effect=BLOCKED)
def vector_to_random_points(
    data: Any,
    geometry_count: int | None = None,
    total_count: int | None = None,
    group: bool = True,
    seed: int | None = None,
    *,
    env: Env,
) -> Cube:
    """The vector cube with random points of each geometry: MultiPoints (`group`), or one geometry per point.

    Values and properties go with the points. Empty geometries stay as they are.

    :raises OpenEOError: CountMismatch; ProcessParameterInvalid for counts below 1, or too many points.
    """
    cube = parse_features(data, "data")
    for name, count in (("geometry_count", geometry_count), ("total_count", total_count)):
        if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
            raise OpenEOError("ProcessParameterInvalid", f"'{name}' must be an integer of at least 1, not {count!r}.")
    shapes = cube.geometries().to_numpy(dtype=object)
    if total_count is not None and total_count < len(shapes):
        raise OpenEOError(
            "CountMismatch",
            f"There are {len(shapes)} geometries, but only {total_count} points in total are allowed.",
            hint="Give a 'total_count' of at least the number of geometries.",
        )
    full = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes))
    capacities = [capacity(shape) if filled else 0 for shape, filled in zip(shapes, full, strict=True)]
    counts = share(capacities, geometry_count, total_count)
    if sum(counts) > MOST:
        raise OpenEOError("ProcessParameterInvalid", f"{sum(counts)} points are too many; at most {MOST} are allowed.")
    # Seeds may be negative, which numpy does not take.
    generator = np.random.default_rng(seed if seed is None or seed >= 0 else [-seed, 1])
    geographic = cube.crs is not None and bool(cube.crs.geographic)
    points = [
        random_points(shape, count, generator, geographic) if count else None
        for shape, count in zip(shapes, counts, strict=True)
    ]
    return _with_points(cube, shapes, points, group, env)


@process("vector_to_regular_points", effect=BLOCKED)
def vector_to_regular_points(data: Any, distance: float, group: bool = True, *, env: Env) -> Cube:
    """The vector cube with points at a distance in metres: MultiPoints (`group`), or one geometry per point.

    Values and properties go with the points. Empty geometries stay as they are.

    :raises OpenEOError: UnitMismatch; ProcessParameterInvalid for a distance that is not positive or far too small.
    """
    cube = parse_features(data, "data")
    need_metres(cube)
    if not np.isfinite(distance) or distance <= 0:
        raise OpenEOError("ProcessParameterInvalid", f"The distance must be positive, not {distance}.")
    shapes = cube.geometries().to_numpy(dtype=object)
    skipped = shapely.is_missing(shapes) | shapely.is_empty(shapes)
    points = [
        None if skip else regular_points(shape, float(distance)) for shape, skip in zip(shapes, skipped, strict=True)
    ]
    return _with_points(cube, shapes, points, group, env)


def _with_points(cube: Cube, shapes: np.ndarray, points: Sequence[np.ndarray | None], group: bool, env: Env) -> Cube:
    """The cube with points for its geometries; None keeps the geometry."""
    if group:
        grouped = [
            shape if own is None else shapely.multipoints(own) for shape, own in zip(shapes, points, strict=True)
        ]
        return with_geometries(cube, objects(grouped))
    lengths = [1 if own is None else len(own) for own in points]
    if sum(lengths) > env.limits.features:
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"{sum(lengths)} points are more than the {env.limits.features} geometries that a vector cube may have.",
            hint="Group the points, or ask for fewer of them.",
        )
    single: list[Any] = []
    for shape, own in zip(shapes, points, strict=True):
        single += [shape] if own is None else list(shapely.points(own))
    repeated = take(cube, cube.of_type("geometry")[0].name, np.repeat(np.arange(len(shapes)), lengths))
    return with_geometries(repeated, objects(single))
