"""JSON: values as they are, time series and small cubes."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from openeo_backend.cube.cube import Cube
from openeo_backend.cube.pixels import PixelArray
from openeo_backend.formats import options as schema
from openeo_backend.formats.asset import Asset, Format, Progress
from openeo_backend.formats.images import unsuitable
from openeo_backend.formats.names import extents, instant
from openeo_backend.formats.tables import collect, describe_columns, plain

MEDIA_TYPE = "application/json"


def write(value: Any, folder: Path, stem: str, options: Mapping[str, Any], progress: Progress) -> list[Asset]:
    """Writes one file of strict JSON (missing and infinite numbers are null).

    Cubes of (time, geometries, bands) or some of them become {date: [[value per band] per geometry]}, without time
    the list per geometry alone; other cubes {"dimensions": [{"name", "coordinates"}], "data": nested lists}.

    :raises OpenEOError: FormatUnsuitable for cubes with too many values and for values that have no JSON form.
    """
    path = folder / f"{stem}.json"
    fields: dict[str, Any] = {}
    if isinstance(value, Cube):
        values = collect(value, "JSON", progress)
        content = cube_json(value, values)
        fields = {"bands": describe_columns(value, values), **extents(value)}
    else:
        content = to_json(value)
        progress(1, 1)
    with path.open("w", encoding="utf-8") as file:
        json.dump(content, file, allow_nan=False, ensure_ascii=False)
    return [Asset(path=path, media_type=MEDIA_TYPE, title=path.stem, **fields)]


def cube_json(cube: Cube, values: np.ndarray) -> Any:
    """A cube's values in the layout that fits its dimensions; see `write`."""
    time, geometry, bands = (cube.of_type(kind) for kind in ("temporal", "geometry", "bands"))
    known = len(time) + len(geometry) + len(bands) == len(cube.dimensions)
    if not known or len(time) > 1 or len(geometry) > 1 or len(bands) > 1 or not (time or geometry):
        return _array_json(cube, values)
    order = [cube.names.index(d.name) for d in (*time, *geometry, *bands)]
    turned = values.transpose(order)
    if not geometry:
        turned = np.expand_dims(turned, len(time))
    if not bands:
        turned = turned[..., None]
    if not time:
        return plain(turned, cube.nodata)
    dates = [instant(label) for label in cube.labels(time[0].name)]
    return dict(zip(dates, plain(turned, cube.nodata), strict=True))


def _array_json(cube: Cube, values: np.ndarray) -> dict[str, Any]:
    dimensions = []
    for dimension in cube.dimensions:
        labels = cube.labels(dimension.name)
        if dimension.type == "geometry":
            coordinates: Any = [None if geometry is None else geometry.wkt for geometry in labels]
        else:
            coordinates = plain(labels, None) if labels.dtype.kind != "U" else labels.tolist()
        dimensions.append({"name": dimension.name, "type": dimension.type, "coordinates": coordinates})
    content: dict[str, Any] = {"id": "cube", "dimensions": dimensions, "data": plain(values, cube.nodata)}
    if cube.crs is not None:
        content["crs"] = f"EPSG:{cube.crs.epsg}" if cube.crs.epsg else cube.crs.to_wkt()
    return content


def to_json(value: Any) -> Any:
    """A value of a process graph as strict JSON.

    :raises OpenEOError: FormatUnsuitable for values without a JSON form.
    """
    if value is None or isinstance(value, (bool, str, int)):
        return value
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, (np.bool_, np.integer)):
        return value.item()
    if isinstance(value, (np.datetime64, datetime.date)):
        return instant(np.datetime64(value)) if isinstance(value, np.datetime64) else value.isoformat()
    if isinstance(value, np.ma.MaskedArray):
        return to_json(value.tolist())
    if isinstance(value, np.ndarray):
        return plain(value, None) if value.dtype.kind in "biufM" else to_json(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): to_json(entry) for key, entry in value.items()}
    if isinstance(value, PixelArray):
        return [to_json(entry) for entry in value.values]
    if isinstance(value, (list, tuple)):
        return [to_json(entry) for entry in value]
    raise unsuitable("JSON", f"a value of type {type(value).__name__} has no JSON form", "Save another value.")


FORMAT = Format(
    name="JSON",
    title="JavaScript Object Notation",
    description="Numbers, texts, arrays and objects as they are. Time series and vector cubes as "
    "{date: [[value per band] per geometry]}, or just the list per geometry where there are no dates. Other small data "
    "cubes with their dimensions, labels and nested values. Missing values are null.",
    gis_data_types=("raster", "vector", "table", "other"),
    extension=".json",
    media_type=MEDIA_TYPE,
    parameters=schema.FILENAME_PREFIX,
    write=write,
)
