"""Geometries given as GeoJSON or vector cubes, in the reference system of a raster cube."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from odc.geo.crs import CRS
from shapely.errors import GEOSException
from shapely.geometry import shape

from openeo_backend.cube.bounds import refuse_far
from openeo_backend.cube.cube import Cube
from openeo_backend.cube.extent import parse_crs
from openeo_backend.cube.grid import describe_crs, transformer
from openeo_backend.errors import OpenEOError

#: Edges are cut to at most this part of the extent of a geometry before projecting, so that they stay straight.
EDGE = 1 / 50

TYPES = ("Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon")


def parse_geometries(value: Any, parameter: str = "geometries") -> gpd.GeoSeries:
    """The geometries of a vector cube or of GeoJSON (geometry, Feature, FeatureCollection), with their CRS.

    The old `crs` member of GeoJSON is obeyed; without it, coordinates are WGS 84. Heights are dropped. Features
    without geometry give None. The order is kept.

    :raises OpenEOError: ProcessParameterInvalid where `value` is neither, FeatureUnsupported for GeometryCollection.
    """
    if isinstance(value, Cube):
        if not value.is_vector:
            raise _refuse(parameter, "a raster data cube")
        return value.geometries()
    if not isinstance(value, Mapping):
        raise _refuse(parameter, type(value).__name__)
    geometries = [_shape(geometry, parameter) for geometry in _geojson_geometries(value, parameter)]
    refuse_far(shapely.get_coordinates(np.array(geometries, dtype=object)), f"Coordinates of '{parameter}'")
    return gpd.GeoSeries(geometries, crs=_geojson_crs(value).proj)


def _geojson_geometries(value: Mapping[str, Any], parameter: str) -> Iterator[Any]:
    kind = value.get("type")
    if kind == "FeatureCollection":
        features = value.get("features")
        if not isinstance(features, list):
            raise _refuse(parameter, "a FeatureCollection without features")
        for feature in features:
            yield feature.get("geometry") if isinstance(feature, Mapping) else None
    elif kind == "Feature":
        yield value.get("geometry")
    else:
        yield value


def _shape(geometry: Any, parameter: str) -> Any:
    if geometry is None:
        return None
    if not isinstance(geometry, Mapping):
        raise _refuse(parameter, f"a feature with the geometry {str(geometry)[:80]!r}")
    kind = geometry.get("type")
    if kind == "GeometryCollection":
        raise OpenEOError(
            "FeatureUnsupported",
            f"'{parameter}' holds a GeometryCollection.",
            hint="Give the geometries as features of a FeatureCollection.",
        )
    if kind not in TYPES:
        raise _refuse(parameter, f"an object of type {kind!r}")
    try:
        return shapely.force_2d(shape(geometry))
    except (GEOSException, ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError) as error:
        raise OpenEOError(
            "ProcessParameterInvalid", f"The coordinates of a {kind} in '{parameter}' are not valid: {error}."
        ) from error


def _refuse(parameter: str, found: str) -> OpenEOError:
    return OpenEOError(
        "ProcessParameterInvalid", f"'{parameter}' must be GeoJSON or a vector data cube, but is {found}."
    )


def _geojson_crs(value: Mapping[str, Any]) -> CRS:
    member = value.get("crs")
    if isinstance(member, Mapping):
        properties = member.get("properties")
        name = str(properties.get("name", "") if isinstance(properties, Mapping) else "")
        # axis order of GeoJSON is x before y, whatever the authority says
        if name.endswith("CRS84"):
            return parse_crs(4326)
        return parse_crs(name.rsplit(":", 1)[-1] if name.startswith("urn:") else name)
    return parse_crs(member or 4326)


# -- projecting -----------------------------------------------------------------------------------------


def project(geometries: gpd.GeoSeries, crs: CRS) -> np.ndarray:
    """The geometries in another reference system, an object array; empty or missing ones are left out.

    Geometries over the antimeridian (longitudes beyond 180 degrees, or edges that jump from one side to the other)
    are cut there. Long edges are densified, as they are straight in their own system. Invalid polygons are mended.

    :raises OpenEOError: ProcessParameterInvalid where a geometry has no image in `crs`.
    """
    own = parse_crs(geometries.crs.to_wkt() if geometries.crs is not None else 4326)
    found = geometries.to_numpy(dtype=object)
    found = found[~(shapely.is_missing(found) | shapely.is_empty(found))]
    if own.geographic:
        found = np.array([cut_at_antimeridian(geometry) for geometry in found], dtype=object)
    if own != crs and len(found):
        found = _transform(found, own, crs)
    broken = ~shapely.is_valid(found)
    if broken.any():
        found[broken] = shapely.make_valid(found[broken])
    return found


def _transform(found: np.ndarray, own: CRS, crs: CRS) -> np.ndarray:
    bounds = shapely.bounds(found)
    extent = np.hypot(bounds[:, 2] - bounds[:, 0], bounds[:, 3] - bounds[:, 1])
    dense = np.where(extent > 0, shapely.segmentize(found, np.where(extent > 0, extent * EDGE, 1.0)), found)
    return transform_points(dense, own, crs)


def transform_points(geometries: np.ndarray, own: CRS, crs: CRS) -> np.ndarray:
    """The geometries with each vertex in another reference system; missing and empty ones stay.

    :raises OpenEOError: ProcessParameterInvalid where a vertex has no image in `crs`.
    """
    change = transformer(own, crs)

    def project_points(points: np.ndarray) -> np.ndarray:
        return np.column_stack(change.transform(points[:, 0], points[:, 1]))

    projected = shapely.transform(geometries, project_points)
    if not np.isfinite(shapely.get_coordinates(projected)).all():
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"A geometry has no image in the reference system {describe_crs(crs)}.",
            hint="Give geometries within the area that this system is made for.",
        )
    return np.asarray(projected, dtype=object)


def _crosses(geometry: Any) -> bool:
    """Whether edges jump over the antimeridian: all longitudes far east or west, but not at the edges of a world."""
    longitudes = shapely.get_coordinates(geometry)[:, 0]
    if longitudes.min() <= -180.0 and longitudes.max() >= 180.0:
        return False
    if np.abs(longitudes).min() < 90.0:
        return False
    parts = shapely.get_parts(geometry)
    return any(np.ptp(shapely.get_coordinates(part)[:, 0]) > 180.0 for part in parts)


def cut_at_antimeridian(geometry: Any) -> Any:
    """A geometry in degrees, cut where it runs or jumps over the antimeridian, within -180 and 180 degrees."""
    west, _, east, _ = geometry.bounds
    if _crosses(geometry):
        geometry = shapely.transform(geometry, _to_the_east)
        west, _, east, _ = geometry.bounds
    if west >= -180.0 and east <= 180.0:
        return geometry
    parts = []
    for turn in range(math.floor((west + 180.0) / 360.0), math.ceil((east - 180.0) / 360.0) + 1):
        part = shapely.clip_by_rect(geometry, -180.0 + 360.0 * turn, -90.0, 180.0 + 360.0 * turn, 90.0)
        if not part.is_empty:
            parts.append(shapely.transform(part, lambda points, turn=turn: points - [360.0 * turn, 0.0]))
    return shapely.union_all(parts) if parts else geometry


def _to_the_east(points: np.ndarray) -> np.ndarray:
    return np.column_stack([np.where(points[:, 0] < 0, points[:, 0] + 360.0, points[:, 0]), points[:, 1]])
