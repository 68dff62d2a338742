"""Extents as process graphs give them: bounding boxes, GeoJSON, vector cubes, temporal intervals."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from odc.geo.crs import CRS
from pyproj.exceptions import ProjError
from shapely.geometry.base import BaseGeometry

from openeo_backend.cube.crs import read_crs
from openeo_backend.cube.cube import Cube
from openeo_backend.cube.labels import instant
from openeo_backend.errors import OpenEOError

#: Longest edge, as a share of the whole, before a boundary is bent by a change of reference system.
_DENSITY = 64

#: What reading GeoJSON that is none ends with.
_NO_GEOJSON = (TypeError, ValueError, KeyError, AttributeError, IndexError, OverflowError, shapely.errors.ShapelyError)

_PART = re.compile(r"\d{4}(-\d{2})?")


@dataclass(frozen=True, eq=False)
class Area:
    """A spatial extent: one geometry in one reference system."""

    geometry: BaseGeometry
    """Polygon or MultiPolygon. A box across the antimeridian runs beyond 180 degrees east."""

    crs: CRS

    is_box: bool
    """Given as a bounding box: its reprojection is again a box."""

    def to(self, crs: CRS) -> BaseGeometry:
        """The geometry in another reference system, its edges bent as the projection bends them.

        :raises OpenEOError: ProcessParameterInvalid where it cannot be expressed there.
        """
        if crs == self.crs:
            return self.geometry
        moved = reproject(self.geometry, self.crs, crs)
        if moved.is_empty or not np.isfinite(moved.bounds).all():
            raise OpenEOError(
                "ProcessParameterInvalid",
                f"The spatial extent {_bounds_text(self.geometry)} ({self.crs}) cannot be expressed in {crs}.",
                hint="Choose an extent within the area in which the reference system is valid.",
            )
        return moved

    def bounds(self, crs: CRS) -> tuple[float, float, float, float]:
        """West, south, east, north of the geometry in `crs`."""
        west, south, east, north = self.to(crs).bounds
        return float(west), float(south), float(east), float(north)

    def describe(self) -> str:
        return f"{_bounds_text(self.geometry)} ({self.crs})"


def reproject(geometry: BaseGeometry, source: CRS, target: CRS) -> BaseGeometry:
    """A geometry in another reference system, with vertices added so that long edges bend as they should.

    Coordinates that have no counterpart there become infinite.

    :raises OpenEOError: ProcessParameterInvalid where that cannot be computed.
    """
    if source == target or geometry.is_empty:
        return geometry
    try:
        convert = source.transformer_to_crs(target)
        size = max(_size(geometry))
        dense = shapely.segmentize(geometry, size / _DENSITY) if size else geometry
    except (ProjError, shapely.errors.GEOSException) as error:
        told = f"The geometry cannot be brought from {str(source)[:200]} to {str(target)[:200]}: {str(error)[:200]}"
        raise OpenEOError("ProcessParameterInvalid", told, hint="Use a reference system with an EPSG code.") from error
    return shapely.transform(dense, lambda points: np.column_stack(convert(points[:, 0], points[:, 1])))


def _size(geometry: BaseGeometry) -> tuple[float, float]:
    west, south, east, north = geometry.bounds
    return east - west, north - south


def _bounds_text(geometry: BaseGeometry) -> str:
    return "west {:.10g}, south {:.10g}, east {:.10g}, north {:.10g}".format(*geometry.bounds)


def parse_crs(value: Any) -> CRS:
    """A reference system from an EPSG code (number or `EPSG:...`) or WKT2 text.

    :raises OpenEOError: ProcessParameterInvalid for anything else, and for one that refers to files.
    """
    try:
        return read_crs(value)
    except ValueError as error:
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"Unknown reference system {str(value)[:200]!r}.",
            hint="Give an EPSG code such as 32631, or WKT2.",
        ) from error


def parse_surroundings(value: Any) -> Area | None:
    """Where the geometries of GeoJSON or a vector cube are, points and lines included; or a bounding box.

    None where there are no geometries. The area may be empty: a point.

    :raises OpenEOError: ProcessParameterInvalid, saying which part is missing or wrong.
    """
    if isinstance(value, Mapping) and "type" in value:
        shapes, crs = _shapes_of_geojson(value)
    elif isinstance(value, Cube):
        shapes, crs = list(value.geometries()), value.crs or CRS("EPSG:4326")
    else:
        return parse_area(value)
    found = [shapely.make_valid(shape) for shape in shapes if shape is not None and not shape.is_empty]
    return Area(shapely.union_all(found), crs, is_box=False) if found else None


def parse_area(value: Any) -> Area | None:
    """A spatial extent from a bounding box, GeoJSON with polygons, or a vector cube; None stays None.

    :raises OpenEOError: ProcessParameterInvalid, saying which part is missing or wrong.
    """
    if value is None:
        return None
    if isinstance(value, Cube):
        return _of_cube(value)
    if isinstance(value, Mapping) and "west" in value:
        return _of_box(value)
    if isinstance(value, Mapping) and "type" in value:
        return _of_geojson(value)
    raise OpenEOError(
        "ProcessParameterInvalid",
        f"The spatial extent is neither a bounding box nor GeoJSON nor a vector cube: {str(value)[:200]}.",
        hint='Give {"west": ..., "south": ..., "east": ..., "north": ...}, polygons as GeoJSON, or a vector cube.',
    )


def _of_box(box: Mapping[str, Any]) -> Area:
    try:
        west, south, east, north = (float(box[side]) for side in ("west", "south", "east", "north"))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"The bounding box {str(dict(box))[:200]} lacks one of the numbers west, south, east, north.",
        ) from error
    crs = parse_crs(box.get("crs") or 4326)
    if crs.geographic and west > east:
        east += 360
    if not np.isfinite([west, south, east, north]).all() or west > east or south > north:
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"The bounding box west {west}, south {south}, east {east}, north {north} is not a box.",
            hint="West must not exceed east, south must not exceed north.",
        )
    return Area(shapely.box(west, south, east, north), crs, is_box=True)


def _of_geojson(value: Mapping[str, Any]) -> Area:
    return _of_shapes(*_shapes_of_geojson(value))


def _shapes_of_geojson(value: Mapping[str, Any]) -> tuple[list[BaseGeometry], CRS]:
    try:
        if value["type"] == "FeatureCollection":
            parts = [feature.get("geometry") for feature in value.get("features", ())]
        else:
            parts = [value.get("geometry") if value["type"] == "Feature" else value]
        shapes = [shapely.geometry.shape(part) for part in parts if part]
    except _NO_GEOJSON as error:
        raise OpenEOError("ProcessParameterInvalid", f"The spatial extent is not valid GeoJSON: {error}.") from error
    member = value.get("crs")
    properties = member.get("properties") if isinstance(member, Mapping) else None
    named = properties.get("name") if isinstance(properties, Mapping) else None
    return shapes, parse_crs(_epsg(str(named))) if named else CRS("EPSG:4326")


def _epsg(name: str) -> str:
    """`EPSG:n` from the names of the old GeoJSON crs member (urn:ogc:def:crs:EPSG::n, OGC:CRS84)."""
    last = name.rsplit(":", 1)[-1]
    return "EPSG:4326" if last == "CRS84" else f"EPSG:{last}" if last.isdigit() else name


def _of_cube(cube: Cube) -> Area:
    return _of_shapes(list(cube.geometries()), cube.crs or CRS("EPSG:4326"))


def _of_shapes(shapes: Sequence[BaseGeometry], crs: CRS) -> Area:
    shapes = [shape for shape in shapes if shape is not None and not shape.is_empty]
    polygons = [part for part in shapes if part.geom_type in ("Polygon", "MultiPolygon")]
    if not shapes:
        raise OpenEOError("ProcessParameterInvalid", "The spatial extent has no geometries.")
    if len(polygons) < len(shapes):
        kinds = sorted({part.geom_type for part in shapes} - {"Polygon", "MultiPolygon"})
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"The spatial extent holds {', '.join(kinds)}; only Polygon and MultiPolygon have an area.",
            hint="Buffer points and lines (vector_buffer), or give a bounding box.",
        )
    return Area(shapely.union_all([shapely.make_valid(part) for part in polygons]), crs, is_box=False)


@dataclass(frozen=True)
class Interval:
    """A half-open interval [start, end) of UTC times (naive datetime64[ns]); None is unbounded."""

    start: np.datetime64 | None = None
    end: np.datetime64 | None = None

    def meet(self, other: Interval) -> Interval:
        """What both intervals share; empty where `end` does not exceed `start`."""
        starts = [s for s in (self.start, other.start) if s is not None]
        ends = [e for e in (self.end, other.end) if e is not None]
        return Interval(max(starts) if starts else None, min(ends) if ends else None)

    def contains(self, times: np.ndarray) -> np.ndarray:
        """For each time whether it lies in the interval."""
        inside = np.ones(np.shape(times), dtype=bool)
        if self.start is not None:
            inside &= times >= self.start
        if self.end is not None:
            inside &= times < self.end
        return inside

    def describe(self) -> str:
        ends = [".." if t is None else f"{np.datetime_as_string(t, unit='s')}Z" for t in (self.start, self.end)]
        return f"[{ends[0]}, {ends[1]})"


def parse_time(value: str) -> np.datetime64:
    """A UTC time from an RFC 3339 date or date-time (also a year or month: its first instant).

    :raises OpenEOError: ProcessParameterInvalid for other text.
    """
    text = str(value).upper()
    if _PART.fullmatch(text):
        text += "-01-01"[3 * text.count("-") :]
    found = instant(text)
    if found is not None:
        return found
    raise OpenEOError(
        "ProcessParameterInvalid",
        f"{value!r} is not a date or date-time.",
        hint="Give text such as 2023-04-01 or 2023-04-01T10:00:00Z.",
    )


def parse_interval(value: Sequence[str | None] | None) -> Interval:
    """An interval from a `temporal_extent` argument; None is unbounded.

    :raises OpenEOError: TemporalExtentEmpty where the end does not come after the start;
        ProcessParameterInvalid for anything but two dates of which one may be null.
    """
    if value is None:
        return Interval()
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != 2:
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"The temporal extent {value!r} is not an array of two dates.",
            hint="Give [start, end]; the end is excluded, and one of the two may be null.",
        )
    if value[0] is None and value[1] is None:
        raise OpenEOError(
            "ProcessParameterInvalid",
            "Both ends of the temporal extent are null.",
            hint="Give null instead of the array to set no limit.",
        )
    start, end = (None if text is None else parse_time(text) for text in value)
    if start is not None and end is not None and end <= start:
        raise OpenEOError(
            "TemporalExtentEmpty",
            f"The temporal extent [{value[0]}, {value[1]}) is empty: the end must come after the start.",
            hint="The end is excluded: for one day give the next day as the end.",
        )
    return Interval(start, end)
