"""Points in geometries: at random, or at regular distances."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import shapely

from openeo_backend.cube.cube import Cube
from openeo_backend.cube.geometry import cut_at_antimeridian
from openeo_backend.cube.grid import describe_crs
from openeo_backend.errors import OpenEOError

#: Most points, tried ones included, that are made of one geometry, and of all geometries of a cube.
MOST = 10_000_000

#: How often points are drawn again; geometries so small that their points are hard to tell apart give fewer.
TURNS = 50


def need_metres(cube: Cube) -> None:
    """Check that distances can be measured in metres in the reference system of a cube.

    :raises OpenEOError: UnitMismatch.
    """
    units = set() if cube.crs is None else {axis.unit_name for axis in cube.crs.proj.axis_info[:2]}
    if units != {"metre"}:
        found = f"has the unit {', '.join(sorted(units))}" if units else "is not known"
        raise OpenEOError(
            "UnitMismatch",
            f"The distance is in metres, but the reference system ({describe_crs(cube.crs)}) {found}.",
            hint="Convert the geometries with vector_reproject to a system in metres, such as a UTM zone.",
        )


# -- at random --------------------------------------------------------------------------------------------


def capacity(geometry: Any) -> float:
    """How many different points there are in a geometry: infinitely many in lines and polygons."""
    if shapely.get_dimensions(geometry) > 0:
        return math.inf
    return len(np.unique(shapely.get_coordinates(geometry), axis=0))


def share(capacities: Sequence[float], most: int | None, total: int | None) -> list[int]:
    """How many points each geometry gets: as evenly as can be, the first ones more where it does not divide.

    :param most: most points per geometry; with neither limit it is 1.
    :param total: most points of all geometries, at least as many as there are geometries.
    """
    limit = most if most is not None else (1 if total is None else math.inf)
    room = [min(available, limit) for available in capacities]
    if total is None:
        return [int(number) for number in room]
    counts = [0] * len(room)
    left, open_ = total, [i for i, number in enumerate(room) if number > 0]
    while left > 0 and open_:
        each = max(1, left // len(open_))
        for index in open_:
            taken = int(min(each, room[index] - counts[index], left))
            counts[index] += taken
            left -= taken
        open_ = [index for index in open_ if counts[index] < room[index]]
    return counts


def random_points(geometry: Any, count: int, generator: np.random.Generator, geographic: bool) -> np.ndarray:
    """`count` different points (count, 2) of a geometry, evenly distributed over its area, length or points.

    Invalid polygons are mended, and count as lines or points where they have no area.

    :param geographic: coordinates are degrees; polygons and lines over the antimeridian are cut there.
    """
    if geographic:
        geometry = cut_at_antimeridian(geometry)
    if not shapely.is_valid(geometry):
        geometry = shapely.make_valid(geometry)
    if shapely.get_dimensions(geometry) == 0:
        own = np.unique(shapely.get_coordinates(geometry), axis=0)
        return own[generator.choice(len(own), min(count, len(own)), replace=False)]
    parts = shapely.get_parts(geometry)
    largest = parts[shapely.get_dimensions(parts) == shapely.get_dimensions(geometry)]
    return (_on_lines if shapely.get_dimensions(geometry) == 1 else _in_polygons)(largest, count, generator)


def _on_lines(lines: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    points, part = shapely.get_coordinates(shapely.get_parts(lines), return_index=True)
    same = part[1:] == part[:-1]
    start, end = points[:-1][same], points[1:][same]
    lengths = np.hypot(*(end - start).T)
    chosen = generator.choice(len(lengths), count, p=lengths / lengths.sum())
    return np.asarray(start[chosen] + generator.random((count, 1)) * (end - start)[chosen])


def _in_polygons(parts: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    polygons = shapely.multipolygons(shapely.get_parts(parts))
    triangles = shapely.get_parts(shapely.constrained_delaunay_triangles(polygons))
    corners = shapely.get_coordinates(triangles).reshape(-1, 4, 2)[:, :3]
    areas = shapely.area(triangles)
    found = np.empty((0, 2))
    shapely.prepare(polygons)
    # rounding may put a point beyond an edge: such points are drawn again
    for _ in range(TURNS):
        chosen = generator.choice(len(areas), count - len(found), p=areas / areas.sum())
        weights = generator.random((len(chosen), 2))
        weights = np.where(weights.sum(axis=1, keepdims=True) > 1, 1 - weights, weights)
        a, b, c = corners[chosen].transpose(1, 0, 2)
        points = a + weights[:, :1] * (b - a) + weights[:, 1:] * (c - a)
        found = np.unique(np.concatenate([found, points[shapely.intersects_xy(polygons, *points.T)]]), axis=0)
        if len(found) == count:
            return generator.permutation(found)
    return found if len(found) else shapely.get_coordinates(shapely.point_on_surface(polygons))


# -- at regular distances ---------------------------------------------------------------------------------


def regular_points(geometry: Any, distance: float) -> np.ndarray:
    """Points (count, 2) of a geometry: centres of a grid in polygons, steps along lines, points as they are.

    :raises OpenEOError: ProcessParameterInvalid where there would be too many.
    """
    dimension = shapely.get_dimensions(geometry)
    if dimension == 0:
        return np.asarray(shapely.get_coordinates(geometry))
    if dimension == 1:
        return np.concatenate([_along(line, distance) for line in shapely.get_parts(geometry)])
    return _grid(geometry, distance)


def _along(line: Any, distance: float) -> np.ndarray:
    length = shapely.length(line)
    _limit(length / distance, distance)
    steps = np.arange(math.floor(length / distance + 1e-9) + 1) * distance
    return np.asarray(shapely.get_coordinates(shapely.line_interpolate_point(line, steps)))


def _grid(polygon: Any, distance: float) -> np.ndarray:
    left, bottom, right, top = polygon.bounds
    columns, rows = (max(1.0, size / distance) for size in (right - left, top - bottom))
    _limit(columns * rows, distance)
    columns, rows = (math.ceil(count - 1e-9) for count in (columns, rows))
    xs = left + (np.arange(columns) + 0.5) * distance
    ys = top - (np.arange(rows) + 0.5) * distance
    x, y = (axis.ravel() for axis in np.meshgrid(xs, ys))
    shapely.prepare(polygon)
    inside = shapely.intersects_xy(polygon, x, y)
    if not inside.any():
        return np.asarray(shapely.get_coordinates(polygon)[:1])
    return np.column_stack([x[inside], y[inside]])


def _limit(count: float, distance: float) -> None:
    if count > MOST:
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"Points every {distance} m would be {count:.3g} in one geometry; the most allowed are {MOST}.",
            hint="Give a larger distance.",
        )
