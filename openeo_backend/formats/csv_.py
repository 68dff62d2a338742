"""CSV: one row per date and feature, one column per band."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from openeo_backend.cube.cube import Cube
from openeo_backend.formats import options as schema
from openeo_backend.formats.asset import Asset, Format, Progress
from openeo_backend.formats.images import suggest, unsuitable
from openeo_backend.formats.names import extents
from openeo_backend.formats.tables import collect, describe_columns, long_table

MEDIA_TYPE = "text/csv"


def write(value: Any, folder: Path, stem: str, options: Mapping[str, Any], progress: Progress) -> list[Asset]:
    """Writes one file with the columns date, feature_index, feature properties, other dimensions and bands.

    Rows are sorted by date, then feature; missing values are empty.

    :raises OpenEOError: FormatUnsuitable for values that are no cube, or too many.
    """
    if not isinstance(value, Cube):
        raise unsuitable("CSV", "it takes data cubes", suggest(value))
    values = collect(value, "CSV", progress)
    path = folder / f"{stem}.csv"
    long_table(value, values).to_csv(path, index=False, lineterminator="\n")
    bands = describe_columns(value, values)
    return [Asset(path=path, media_type=MEDIA_TYPE, title=path.stem, bands=bands, **extents(value))]


FORMAT = Format(
    name="CSV",
    title="Comma Separated Values",
    description="A table with one row per date and feature, sorted by them: date, feature_index, the features' "
    "properties, other dimensions (x and y of small rasters, for example) and a column per band. Missing values are "
    "empty.",
    gis_data_types=("vector", "table", "raster"),
    extension=".csv",
    media_type=MEDIA_TYPE,
    parameters=schema.FILENAME_PREFIX,
    write=write,
)
