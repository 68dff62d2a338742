"""What a writer tells about a file it wrote, and what a format is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from odc.geo.geobox import GeoBox


@dataclass(frozen=True)
class AssetBand:
    """A band of a file, with statistics over all its valid pixels."""

    name: str
    data_type: str
    """STAC data type: uint8, int16, float32 ..."""
    nodata: float | str | None = None
    """A number, or "nan"."""
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    stddev: float | None = None
    valid_percent: float | None = None
    scale: float | None = None
    offset: float | None = None
    unit: str | None = None
    common_name: str | None = None


@dataclass(frozen=True)
class Asset:
    """A file written for a result."""

    path: Path
    """Where the file lies; its name is the asset key."""
    media_type: str
    title: str = ""
    roles: tuple[str, ...] = ("data",)
    bands: tuple[AssetBand, ...] = ()
    geobox: GeoBox | None = None
    """Grid of raster files."""
    bbox: tuple[float, float, float, float] | None = None
    """West, south, east, north in degrees."""
    start: str | None = None
    """First instant covered, ISO 8601."""
    end: str | None = None
    """Last instant covered, ISO 8601; equal to `start` for a single date."""
    dimensions: Mapping[str, Any] = field(default_factory=dict)
    """`cube:dimensions` of the file's content."""


#: Called by writers with (finished blocks, planned blocks); the shares that are done of blocks under way count, too.
Progress = Callable[[float, int], None]


@dataclass(frozen=True)
class Format:
    """A file format as /file_formats lists it, with its functions."""

    name: str
    """GDAL's short name where there is one."""
    title: str
    description: str
    """How cubes map to files: what several dates or bands become."""
    gis_data_types: tuple[str, ...]
    """Of raster, vector, table, other, pointcloud."""
    extension: str
    """File extension with the dot."""
    media_type: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Options by name: JSON schema with description and default, as the API lists them."""
    write: Callable[[Any, Path, str, Mapping[str, Any], Progress], list[Asset]] | None = None
    """`write(value, folder, stem, options, progress)`: streams blocks; raises FormatUnsuitable."""
    read: Callable[..., Any] | None = None
    """`read(path, options)` to a Cube."""
