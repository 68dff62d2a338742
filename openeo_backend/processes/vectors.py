"""Vector cubes: making them from GeoJSON, and changing or choosing their geometries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import shapely
import xarray as xr

from openeo_backend.cube import Cube, Dimension
from openeo_backend.cube.bounds import refuse_far, refuse_large
from openeo_backend.cube.extent import parse_crs
from openeo_backend.cube.features import parse_features, with_geometries
from openeo_backend.cube.geometry import parse_geometries, project, transform_points
from openeo_backend.cube.grid import need_crs, take
from openeo_backend.cube.points import need_metres
from openeo_backend.cube.storage import choose
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.effects import BLOCKED
from openeo_backend.processes.environment import Env
from openeo_backend.processes.registry import process

#: Name of the dimension that load_geojson makes of properties.
PROPERTIES = "properties"

#: Vertices that approximate a quarter of a circle in buffers.
QUARTER = 16

# -- GeoJSON ----------------------------------------------------------------------------------------------


@process("load_geojson", effect=BLOCKED)
def load_geojson(data: Any, properties: list[str] | None = None, *, env: Env) -> Cube:
    """A vector cube of GeoJSON; `properties` become the dimension `properties`, without them there are no values.

    Feature properties are all kept, whether or not they make values.

    :raises OpenEOError: ProcessParameterInvalid, FeatureUnsupported.
    """
    if not isinstance(data, Mapping):
        raise OpenEOError("ProcessParameterInvalid", f"GeoJSON is an object, not {type(data).__name__}.")
    cube = parse_features(data, "data")
    count = cube.data.shape[0]
    if count > env.limits.features:
        raise OpenEOError(
            "ProcessParameterInvalid", f"The GeoJSON has {count} features; the most allowed are {env.limits.features}."
        )
    if not properties or data.get("type") not in ("Feature", "FeatureCollection"):
        return cube
    labels, rows = _table(cube, list(properties))
    geometry = cube.dimensions[0]
    values = xr.DataArray(
        np.empty((count, len(labels)), dtype=object),
        dims=(geometry.name, PROPERTIES),
        coords={geometry.name: (geometry.name, cube.labels(geometry.name)), PROPERTIES: (PROPERTIES, labels)},
    )
    for position, row in enumerate(rows):
        values.data[position, :] = row
    return _typed(cube.patch(data=values, dimensions=(geometry, Dimension(PROPERTIES, "other"))))


def _table(cube: Cube, names: list[str]) -> tuple[np.ndarray, list[list[Any]]]:
    """Labels of the dimension of properties, and a row of values per feature."""
    table = cube.properties
    count = cube.data.shape[0]
    columns = [list(table[name]) if table is not None and name in table.columns else [None] * count for name in names]
    nested = [any(isinstance(value, list | dict) for value in column) for column in columns]
    if len(names) == 1 and any(isinstance(value, list) for value in columns[0]):
        arrays = [value if isinstance(value, list) else [] if value is None else [value] for value in columns[0]]
        length = max(len(array) for array in arrays)
        refuse_large({"geometry": len(arrays), PROPERTIES: length}, "load_geojson", lazy=False)
        return np.arange(length), [[*array, *[None] * (length - len(array))] for array in arrays]
    if any(nested):
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"The property '{names[nested.index(True)]}' holds arrays or objects, which cannot be values.",
            hint="Give properties with numbers or texts, or a single property with arrays.",
        )
    labels = np.empty(len(names), dtype=object)
    labels[:] = names
    return labels, [list(row) for row in zip(*columns, strict=True)]


def _typed(cube: Cube) -> Cube:
    """The cube of objects as numbers or truth values, where all of its values are."""
    values = cube.data.values
    missing = np.array([_is_missing(value) for value in values.ravel()], bool).reshape(values.shape)
    known = [value for value in values[~missing]]
    if all(isinstance(value, bool) for value in known) and known:
        dtype: np.dtype = np.dtype(bool)
    elif all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        whole = known and not missing.any() and all(isinstance(value, int) for value in known)
        dtype = np.dtype(np.int64 if whole and max(map(abs, known)) < 2**63 else np.float64)
    else:
        values[missing] = None
        return cube
    storage = choose(dtype, bool(missing.any()))
    typed = storage.empty(values.shape)
    typed[~missing] = known
    if missing.any():
        typed[missing] = storage.null
    return cube.patch(data=cube.data.copy(data=typed).assign_attrs(storage.attributes), nodata=storage.nodata)


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value)


# -- geometries -------------------------------------------------------------------------------------------


@process("vector_buffer", effect=BLOCKED)
def vector_buffer(geometries: Any, distance: float) -> Cube:
    """The vector cube with each geometry grown (or shrunk, by a negative distance in metres) to polygons.

    :raises OpenEOError: UnitMismatch; ProcessParameterInvalid for a distance of 0.
    """
    cube = parse_features(geometries)
    need_metres(cube)
    if distance == 0:
        raise OpenEOError("ProcessParameterInvalid", "The distance of a buffer cannot be 0.")
    refuse_far(np.array([distance]), "Distances")
    shapes = cube.geometries().to_numpy(dtype=object)
    skip = shapely.is_missing(shapes) | shapely.is_empty(shapes)
    grown = np.where(skip, shapes, shapely.buffer(shapes, distance, quad_segs=QUARTER))
    refuse_far(shapely.get_coordinates(grown), "Coordinates of buffers")
    return with_geometries(cube, grown)


@process("vector_reproject", effect=BLOCKED)
def vector_reproject(data: Any, projection: int | str, dimension: str | None = None) -> Cube:
    """The vector cube with its geometries in another reference system, vertex by vertex.

    :raises OpenEOError: DimensionNotAvailable; ProcessParameterInvalid where the system is not known, or a geometry has
        no image in it.
    """
    cube = parse_features(data, "data")
    if dimension is not None and cube.dimension(dimension).type != "geometry":
        raise OpenEOError("DimensionNotAvailable", f"The dimension '{dimension}' has no geometries.")
    source, target = need_crs(cube), parse_crs(projection)
    if source == target:
        return cube
    return with_geometries(cube, transform_points(cube.geometries().to_numpy(dtype=object), source, target), target)


# -- choosing ---------------------------------------------------------------------------------------------

RELATIONS = ("intersects", "disjoint", "equals", "touches", "crosses", "overlaps", "contains", "within")


@process("filter_vector", effect=BLOCKED)
def filter_vector(data: Any, geometries: Any, relation: str = "intersects") -> Cube:
    """Keep the geometries that the union of the base `geometries` has a relation to.

    `contains` keeps what the base contains, `within` keeps what the base is within. Empty geometries are dropped.

    :raises OpenEOError: ProcessParameterInvalid for another relation.
    """
    if relation not in RELATIONS:
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"The relation '{relation}' is not known.",
            hint=f"One of: {', '.join(RELATIONS)}.",
        )
    cube = parse_features(data, "data")
    crs = need_crs(cube)
    base = shapely.union_all(project(parse_geometries(geometries), crs))
    shapes = cube.geometries()
    candidates = np.flatnonzero(~(shapes.isna() | shapes.is_empty).to_numpy())
    shapely.prepare(base)
    kept = getattr(shapely, relation)(base, project(shapes, crs))
    return take(cube, cube.of_type("geometry")[0].name, candidates[np.asarray(kept, bool)])
