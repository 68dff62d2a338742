"""GeoJSON: features with properties and values, in longitude and latitude."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
from shapely.geometry import mapping

from openeo_backend.cube.cube import Cube
from openeo_backend.cube.geometry import parse_geometries
from openeo_backend.errors import OpenEOError
from openeo_backend.formats import options as schema
from openeo_backend.formats.asset import Asset, Format, Progress
from openeo_backend.formats.images import suggest, unsuitable
from openeo_backend.formats.names import extents
from openeo_backend.formats.tables import collect, describe_columns, feature_cube, plain, wide_table

MEDIA_TYPE = "application/geo+json"


def write(value: Any, folder: Path, stem: str, options: Mapping[str, Any], progress: Progress) -> list[Asset]:
    """Writes a FeatureCollection in EPSG:4326; values are properties `date~band`, `date` or `band`.

    :raises OpenEOError: FormatUnsuitable for values that are no vector cube.
    """
    if not isinstance(value, Cube) or not value.is_vector:
        raise unsuitable("GeoJSON", "it takes vector data cubes", suggest(value))
    values = collect(value, "GeoJSON", progress)
    frame = wide_table(value, values, "EPSG:4326" if value.crs is not None else None)
    columns = [c for c in frame.columns if c != frame.geometry.name]
    rows = {column: _json_column(frame[column]) for column in columns}
    features = [
        {
            "type": "Feature",
            "geometry": None if shape is None or shape.is_empty else mapping(shape),
            "properties": {column: rows[column][index] for column in columns},
        }
        for index, shape in enumerate(frame.geometry)
    ]
    path = folder / f"{stem}.geojson"
    with path.open("w", encoding="utf-8") as file:
        json.dump({"type": "FeatureCollection", "features": features}, file, allow_nan=False, ensure_ascii=False)
    bands = describe_columns(value, values)
    return [Asset(path=path, media_type=MEDIA_TYPE, title=path.stem, bands=bands, **extents(value))]


def _json_column(column: Any) -> list[Any]:
    values = column.to_numpy(dtype=object) if column.dtype.kind not in "f" else column.to_numpy()
    if values.dtype.kind == "f":
        return plain(values, None)
    return [_json_value(value) for value in values]


def _json_value(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (str, bool, int, list, dict)):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return None if str(value) in ("<NA>", "NaT") else str(value)


def read(path: Path, options: Mapping[str, Any] | None = None) -> Cube:
    """A vector cube of the file's features.

    :raises OpenEOError: FileContentInvalid for anything but GeoJSON.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise OpenEOError("FileContentInvalid", f"The file {path.name} is not JSON: {error}.") from None
    if not isinstance(content, Mapping):
        raise OpenEOError("FileContentInvalid", f"The file {path.name} is not GeoJSON: it holds no object.")
    shapes = parse_geometries(content, "data")
    if content.get("type") == "FeatureCollection":
        properties = [feature.get("properties") or {} for feature in content["features"]]
    else:
        properties = [content.get("properties") or {}] * len(shapes)
    if len(properties) != len(shapes):
        properties = [{} for _ in shapes]
    frame = gpd.GeoDataFrame(properties, geometry=list(shapes), crs=shapes.crs)
    return feature_cube(frame)


FORMAT = Format(
    name="GeoJSON",
    title="GeoJSON",
    description="Features in longitude and latitude (EPSG:4326) with their properties; values are properties named "
    "date~band, or date or band where there is only one of the other.",
    gis_data_types=("vector",),
    extension=".geojson",
    media_type=MEDIA_TYPE,
    parameters=schema.FILENAME_PREFIX,
    write=write,
    read=read,
)
