"""File names, labels as text, and what a cube says about its own extents."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from openeo_backend.cube.cube import Cube
from openeo_backend.cube.dimension import Dimension
from openeo_backend.cube.grid import grid_bounds, project_bounds

#: Name of the one band (or variable) of a cube without a band dimension.
UNNAMED = "var"

#: Longest part of a file name that texts of users become; file systems end at 255 bytes.
LONGEST = 100


def instant(label: Any) -> str:
    """A temporal label as openEO text: RFC 3339 for dates, other labels as they are."""
    if isinstance(label, np.datetime64):
        stamp = pd.Timestamp(label)
        return stamp.strftime("%Y-%m-%dT%H:%M:%S") + (f".{stamp.microsecond:06d}" if stamp.microsecond else "") + "Z"
    return str(label)


def suffixes(labels: np.ndarray) -> list[str]:
    """One file name part per temporal label, all different: days where that tells them apart, else instants."""
    if labels.dtype.kind == "M":
        days = [str(np.datetime_as_string(label, "D")) for label in labels]
        if len(set(days)) == len(days):
            return days
        return distinct(str(np.datetime_as_string(label, "s")).replace(":", "") + "Z" for label in labels)
    return distinct(slug(str(label)) for label in labels)


def distinct(names: Iterable[str]) -> list[str]:
    """The names, later equal ones numbered."""
    seen: dict[str, int] = {}
    out = []
    for name in names:
        count = seen[name] = seen.get(name, 0) + 1
        out.append(name if count == 1 else f"{name}-{count}")
    return out


def slug(text: str) -> str:
    """Text as a part of a file name: letters, digits, `_`, `-` and `.` only."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-.")[:LONGEST] or "unnamed"


def text(label: Any) -> str:
    """A label as text; whole numbers without a fraction."""
    if isinstance(label, np.datetime64):
        return instant(label)
    if isinstance(label, (float, np.floating)) and float(label).is_integer():
        return str(int(label))
    return str(label)


def describe_dimensions(cube: Cube) -> dict[str, Any]:
    """The `cube:dimensions` of a cube (STAC datacube extension)."""
    return {dimension.name: _describe(cube, dimension) for dimension in cube.dimensions}


def _describe(cube: Cube, dimension: Dimension) -> dict[str, Any]:
    labels = cube.labels(dimension.name)
    entry: dict[str, Any] = {"type": dimension.type}
    if dimension.unit:
        entry["unit"] = dimension.unit
    if dimension.type == "spatial":
        half = abs(cube.step(dimension) or 0) / 2
        entry |= {"axis": dimension.axis, "extent": [float(labels.min()) - half, float(labels.max()) + half]}
        if half:
            entry["step"] = 2 * half
        entry |= _reference_system(cube)
    elif dimension.type == "temporal":
        values = [instant(label) for label in labels]
        entry["values"] = values
        if len(values):
            entry["extent"] = [min(values), max(values)] if labels.dtype.kind == "M" else [None, None]
    elif dimension.type == "geometry":
        bounds = cube.geometries().total_bounds.tolist()
        kinds = sorted({geometry.geom_type for geometry in labels if geometry is not None})
        entry |= {"bbox": bounds, "geometry_types": kinds, **_reference_system(cube)}
    elif dimension.type == "bands" or labels.dtype.kind not in "iuf":
        entry["values"] = [text(label) for label in labels]
    else:
        entry["values"] = labels.tolist()
    return entry


def _reference_system(cube: Cube) -> dict[str, Any]:
    if cube.crs is None:
        return {}
    return {"reference_system": cube.crs.epsg or cube.crs.to_wkt()}


def period(labels: np.ndarray) -> tuple[str | None, str | None]:
    """First and last instant of temporal labels, None where they are not dates."""
    if labels.dtype.kind != "M" or not len(labels):
        return None, None
    return instant(labels.min()), instant(labels.max())


def extents(cube: Cube) -> dict[str, Any]:
    """The fields `bbox`, `start`, `end` and `dimensions` of an asset that holds all of `cube`."""
    start: str | None = None
    end: str | None = None
    for dimension in cube.of_type("temporal")[:1]:
        start, end = period(cube.labels(dimension.name))
    return {"bbox": bbox(cube), "start": start, "end": end, "dimensions": describe_dimensions(cube)}


def bbox(cube: Cube) -> tuple[float, float, float, float] | None:
    """West, south, east, north in degrees, where the cube has a known place."""
    if cube.crs is None:
        return None
    if cube.is_vector:
        shapes = cube.geometries()
        if not len(shapes) or shapes.is_empty.all():
            return None
        west, south, east, north = shapes.to_crs("EPSG:4326").total_bounds
        return float(west), float(south), float(east), float(north)
    return None if cube.geobox is None else geobox_bbox(cube.geobox)


def geobox_bbox(geobox: GeoBox) -> tuple[float, float, float, float]:
    """West, south, east, north in degrees of a grid with a reference system."""
    assert geobox.crs is not None
    parts = project_bounds(grid_bounds(geobox), geobox.crs, CRS("EPSG:4326"))
    # Across the antimeridian there are two parts; west is then larger than east, as GeoJSON has it.
    return parts[0].left, min(p.bottom for p in parts), parts[-1].right, max(p.top for p in parts)
