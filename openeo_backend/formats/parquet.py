"""GeoParquet: features with properties and values in columns."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import geopandas as gpd
import pandas as pd
import pyarrow as pa
from pyarrow import ArrowException

from openeo_backend.cube.cube import Cube
from openeo_backend.errors import OpenEOError
from openeo_backend.formats import options as schema
from openeo_backend.formats.asset import Asset, Format, Progress
from openeo_backend.formats.images import suggest, unsuitable
from openeo_backend.formats.names import extents
from openeo_backend.formats.tables import collect, describe_columns, feature_cube, long_table, wide_table

MEDIA_TYPE = "application/vnd.apache.parquet"

Table = TypeVar("Table", bound=pd.DataFrame)


def write(value: Any, folder: Path, stem: str, options: Mapping[str, Any], progress: Progress) -> list[Asset]:
    """Writes GeoParquet with one row per feature for vector cubes, a plain table as in CSV for others.

    :raises OpenEOError: FormatUnsuitable for values that are no cube, or too many.
    """
    if not isinstance(value, Cube):
        raise unsuitable("Parquet", "it takes data cubes", suggest(value))
    values = collect(value, "Parquet", progress)
    path = folder / f"{stem}.parquet"
    if value.is_vector:
        _uniform(wide_table(value, values, None)).to_parquet(path, index=False)
    else:
        _uniform(long_table(value, values)).to_parquet(path, index=False)
    bands = describe_columns(value, values)
    return [Asset(path=path, media_type=MEDIA_TYPE, title=path.stem, bands=bands, **extents(value))]


def _uniform(table: Table) -> Table:
    """The table, whose columns of values that no type of Arrow holds together are JSON texts."""
    for name in table.columns:
        if table[name].dtype != object:
            continue
        try:
            pa.array(table[name], from_pandas=True)
        except (ArrowException, OverflowError):
            table[name] = [None if _is_missing(value) else json.dumps(value, default=str) for value in table[name]]
    return table


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and value != value)


def read(path: Path, options: Mapping[str, Any] | None = None) -> Cube:
    """A vector cube of the file's features.

    :raises OpenEOError: FileContentInvalid for files that are no GeoParquet.
    """
    try:
        frame = gpd.read_parquet(path)
    except (ArrowException, ValueError, KeyError) as error:
        raise OpenEOError("FileContentInvalid", f"The file {path.name} is not GeoParquet: {error}.") from None
    return feature_cube(frame)


FORMAT = Format(
    name="Parquet",
    title="(Geo)Parquet",
    description="GeoParquet for vector data, in their own reference system: one row per feature with its properties "
    "and a column per value (date~band, date or band). Data without geometries become a table as in CSV.",
    gis_data_types=("vector", "table"),
    extension=".parquet",
    media_type=MEDIA_TYPE,
    parameters=schema.FILENAME_PREFIX,
    write=write,
    read=read,
)
