"""What the files of results say about themselves. They may be anything: what cannot be read is an openEO error."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import h5py
import netCDF4
import numpy as np
import rasterio
import rasterio.warp
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader, MemoryFile

from openeo_backend.errors import OpenEOError

#: Side of a picture from which overviews and tiles are asked for.
SMALL = 512


@dataclass(frozen=True)
class Tiff:
    """A GeoTIFF file."""

    width: int
    height: int
    count: int
    crs: str | None
    bounds: tuple[float, float, float, float]
    """West, south, east, north in degrees where it has a reference system."""
    nodata: float | None
    descriptions: tuple[str | None, ...]
    has_statistics: bool
    problems: tuple[str, ...]
    """Why it is not cloud optimized; none if it is."""


def read_tiff(content: bytes) -> Tiff:
    """A GeoTIFF file from its bytes.

    :raises OpenEOError: FileContentInvalid where it is none.
    """
    if not content.startswith((b"II", b"MM")):
        raise OpenEOError("FileContentInvalid", "The file is no GeoTIFF.")
    try:
        with warnings.catch_warnings(), MemoryFile(content) as memory, memory.open(driver="GTiff") as file:
            warnings.simplefilter("ignore")
            box = tuple(file.bounds)
            if file.crs:
                box = rasterio.warp.transform_bounds(file.crs, "EPSG:4326", *box)
            statistics = all("STATISTICS_MINIMUM" in file.tags(band) for band in file.indexes)
            return Tiff(
                file.width, file.height, file.count, str(file.crs) if file.crs else None, box, file.nodata,
                tuple(file.descriptions), statistics, tuple(_not_optimized(file)),
            )  # fmt: skip
    except (RasterioError, OSError, ValueError) as error:
        raise OpenEOError("FileContentInvalid", f"The file is no readable GeoTIFF ({_short(error)}).") from error


def _not_optimized(file: DatasetReader) -> list[str]:
    """What GDAL's own validation asks for: tiles, overviews, and the directories before the data."""
    problems = []
    block = file.block_shapes[0]
    is_large = file.width > SMALL or file.height > SMALL
    if is_large and block[1] == file.width and block[0] < file.height:
        problems.append(f"it has strips of {block[1]} x {block[0]} pixels, no tiles")
    overviews = file.overviews(1)
    if is_large and not overviews:
        problems.append(f"it is {file.width} x {file.height} pixels large and has no overviews")
    places = [_number(file.get_tag_item("IFD_OFFSET", "TIFF", bidx=1))]
    places += [_number(file.get_tag_item("IFD_OFFSET", "TIFF", bidx=1, ovr=level)) for level in range(len(overviews))]
    data = _number(file.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1))
    known = [place for place in places if place is not None]
    if known != sorted(known):
        problems.append("the directories of its overviews are not in order of size")
    if data is not None and known and max(known) > data:
        problems.append("its directories do not all come before the data")
    return problems


@dataclass(frozen=True)
class Picture:
    """A PNG or JPEG file."""

    format: str
    bands: int
    size: tuple[int, int]


def read_picture(content: bytes) -> Picture:
    """A PNG or JPEG file from its bytes.

    :raises OpenEOError: FileContentInvalid where it is none.
    """
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as picture:
            return Picture(str(picture.format), len(picture.getbands()), picture.size)
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise OpenEOError("FileContentInvalid", f"The file is no readable picture ({_short(error)}).") from error


@dataclass(frozen=True)
class NetCDF:
    """A netCDF file."""

    dimensions: Mapping[str, int]
    """Size by name."""
    variables: Mapping[str, tuple[str, ...]]
    """Names of the dimensions by name of the variable."""
    attributes: Mapping[str, Mapping[str, Any]]
    """Of the variables; of the file under the empty name."""
    labels: Mapping[str, tuple[str, ...]]
    """Text labels by name of the variable that holds them."""
    times: Mapping[str, tuple[np.datetime64, ...]] = field(default_factory=dict)
    """Instants by name of the variable."""
    values: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """Data of the numeric variables with two or more dimensions; NaN where there are none."""
    packed: Mapping[str, tuple[bool, bool]] = field(default_factory=dict)
    """Whether it is in chunks and compressed, by name of the variable; empty where that is not known."""

    @property
    def cubes(self) -> list[str]:
        """Variables with data, those with the most dimensions."""
        most = max((len(self.variables[name]) for name in self.values), default=0)
        return [name for name in self.values if len(self.variables[name]) == most]


def read_netcdf(content: bytes) -> NetCDF:
    """A netCDF file (3 or 4) from its bytes.

    :raises OpenEOError: FileContentInvalid where it is none.
    """
    try:
        with netCDF4.Dataset("in-memory.nc", mode="r", memory=content) as file:
            return _netcdf(file, _packed(content))
    except (OSError, ValueError, RuntimeError, OverflowError) as error:
        raise OpenEOError("FileContentInvalid", f"The file is no readable netCDF ({_short(error)}).") from error


def _netcdf(file: Any, packed: Mapping[str, tuple[bool, bool]]) -> NetCDF:
    attributes: dict[str, Mapping[str, Any]] = {"": {name: file.getncattr(name) for name in file.ncattrs()}}
    labels, times, values = {}, {}, {}
    for name, variable in file.variables.items():
        own = {key: variable.getncattr(key) for key in variable.ncattrs()}
        attributes[name] = own
        if " since " in str(own.get("units")):
            times[name] = tuple(_instants(variable, own))
        elif variable.dtype is str:
            labels[name] = tuple(str(text) for text in np.ravel(variable[:]))
        elif variable.dtype.kind == "S":
            labels[name] = tuple(str(text).strip() for text in np.ravel(netCDF4.chartostring(variable[:])))
        elif variable.ndim >= 2 and variable.dtype.kind in "iuf":
            values[name] = np.ma.filled(np.ma.asarray(variable[:], dtype=np.float64), np.nan)
    dimensions = {name: len(dimension) for name, dimension in file.dimensions.items()}
    shapes = {name: tuple(variable.dimensions) for name, variable in file.variables.items()}
    return NetCDF(dimensions, shapes, attributes, labels, times, values, packed)


def _instants(variable: Any, attributes: Mapping[str, Any]) -> list[np.datetime64]:
    found = netCDF4.num2date(
        np.ravel(variable[:]),
        str(attributes["units"]),
        str(attributes.get("calendar", "standard")),
        only_use_cftime_datetimes=False,
        only_use_python_datetimes=True,
    )
    return [np.datetime64(instant, "us") for instant in np.atleast_1d(np.asarray(found, dtype=object))]


def _packed(content: bytes) -> dict[str, tuple[bool, bool]]:
    """Chunks and compression of each dataset of an HDF5 file; nothing for a netCDF-3 file."""
    if not content.startswith(b"\x89HDF"):
        return {}
    with h5py.File(io.BytesIO(content), "r") as file:
        sets = {name: entry for name, entry in file.items() if isinstance(entry, h5py.Dataset)}
        return {
            name: (entry.chunks is not None, entry.id.get_create_plist().get_nfilters() > 0)
            for name, entry in sets.items()
        }


def _number(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"\d+", text) else None


def _short(error: BaseException) -> str:
    return str(error).replace("\n", " ")[:120]
