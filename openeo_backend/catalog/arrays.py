"""netCDF and Zarr assets, read as bands of raster files are: a variable at a date is a band.

xarray opens them without decoding, so values are those stored; coordinates, dates and attributes are read by the
CF conventions.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyproj
import xarray as xr
import zarr
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from pyproj.exceptions import ProjError
from zarr.storage import LocalStore, ObjectStore

from openeo_backend.catalog.remote import ReadStore, RemoteFile, Requests, http_store, zip_store
from openeo_backend.cube.crs import read_crs
from openeo_backend.errors import OpenEOError
from openeo_backend.sandbox.blocks import refuse_huge_chunks
from openeo_backend.sandbox.hdf5 import refuse_hostile

Kind = Literal["netcdf", "zarr"]

#: How far coordinates may be from a regular grid, in pixels.
_UNEVEN = 0.05

_AXES = {
    "x": ("x", "lon", "longitude", "easting", "projection_x_coordinate"),
    "y": ("y", "lat", "latitude", "northing", "projection_y_coordinate"),
}
_NETCDF = re.compile(r"^application/(x-)?netcdf|^application/x-hdf", re.I)
_ZARR = re.compile(r"^application/vnd[.+]zarr", re.I)
_ZARR_PATH = re.compile(r"\.zarr(\.zip)?(/|$)", re.I)

#: What the libraries raise where files are not what they should be.
_FAILURES = (OSError, ValueError, KeyError, TypeError, RuntimeError, IndexError, AttributeError, zipfile.BadZipFile)


def array_kind(asset: Mapping[str, Any]) -> Kind | None:
    """Whether an asset is read by this module, by its media type or else its name."""
    media = str(asset.get("type") or "")
    if media not in ("", "application/zip"):
        return _kind_of(media)
    path = str(asset.get("href") or "").split("?", 1)[0]
    if not media and path.lower().endswith(".nc"):
        return "netcdf"
    return "zarr" if _ZARR_PATH.search(path) else None


@lru_cache(maxsize=1024)
def _kind_of(media: str) -> Kind | None:
    """What a media type says."""
    return "netcdf" if _NETCDF.match(media) else "zarr" if _ZARR.match(media) else None


class ArrayError(Exception):
    """What is wrong with an array file."""


@contextmanager
def _reading() -> Iterator[None]:
    """Turns what the libraries raise into ArrayError."""
    try:
        yield
    except _FAILURES as error:
        raise ArrayError(f"{type(error).__name__}: {error}" if not str(error).strip("'") else str(error)) from error


def open_array(address: str, kind: Kind, door: Requests | None) -> ArrayFile:
    """The file at a path, http(s) URL or s3:// address.

    :raises OpenEOError: for a URL that cannot be read.
    :raises ArrayError: where it is not such a file.
    """
    with _reading():
        dataset = _open_netcdf(address, door) if kind == "netcdf" else _open_zarr(address, door)
        refuse_huge_chunks(dataset, _shown(address))
        return ArrayFile(dataset)


def _shown(address: str) -> str:
    return address.split("?", 1)[0].rstrip("/").rpartition("/")[2]


def _open_netcdf(address: str, door: Requests | None) -> xr.Dataset:
    options: dict[str, Any] = {"decode_cf": False, "chunks": None, "cache": False, "create_default_indexes": False}
    if address.startswith(("http://", "https://")):
        assert door is not None, "only callers with a way out have URLs"
        remote = RemoteFile(door, address)
        refuse_hostile(remote, _shown(address))  # type: ignore[arg-type]
        return xr.open_dataset(remote, engine="h5netcdf", **options)  # type: ignore[arg-type]
    if address.startswith("s3://"):
        raise ArrayError("netCDF files in S3 are not read")
    with Path(address).open("rb") as file:
        engine = "h5netcdf" if file.read(4) == b"\x89HDF" else "netcdf4"
    if engine == "h5netcdf":
        refuse_hostile(Path(address), _shown(address))
    return xr.open_dataset(address, engine=engine, **options)


def _open_zarr(address: str, door: Requests | None) -> xr.Dataset:
    place, _, query = address.partition("?")
    match = _ZARR_PATH.search(place)
    end = match.end() if match else len(place)
    root, inner = place[:end].rstrip("/"), place[end:].strip("/")
    store = _store(f"{root}?{query}" if query else root, root.lower().endswith(".zip"), door)
    if inner and isinstance(zarr.open(store, path=inner, mode="r"), zarr.Array):
        inner = inner.rpartition("/")[0]
    return xr.open_dataset(
        store,
        engine="zarr",
        group=inner or None,
        decode_cf=False,
        chunks=None,
        cache=False,
        create_default_indexes=False,
        consolidated=_is_consolidated(store.read if isinstance(store, ReadStore) else partial(_read, root)),
    )


def _store(root: str, is_zip: bool, door: Requests | None) -> Any:
    if root.startswith(("http://", "https://")):
        assert door is not None, "only callers with a way out have URLs"
        return zip_store(root, RemoteFile(door, root)) if is_zip else http_store(door, root)  # type: ignore[arg-type]
    if root.startswith("s3://"):
        from obstore.store import S3Store

        return ObjectStore(S3Store.from_url(root), read_only=True)
    return zip_store(root, root) if is_zip else LocalStore(root, read_only=True)


def _read(root: str, key: str) -> bytes | None:
    path = Path(root) / key
    return path.read_bytes() if path.is_file() else None


def _is_consolidated(read: Callable[[str], bytes | None]) -> bool:
    """Whether the metadata of all arrays are in one document, without which a store elsewhere cannot be listed."""
    text = read("zarr.json")
    told = json.loads(text) if text else {}
    return bool(told.get("consolidated_metadata")) or read(".zmetadata") is not None


class ArrayFile:
    """An open dataset."""

    def __init__(self, dataset: xr.Dataset) -> None:
        self._dataset = dataset
        self._bands: dict[tuple[Any, ...], ArrayBand] = {}
        self._known = json.loads(dataset.attrs.get("openeo_cube", "{}"))

    def close(self) -> None:
        self._dataset.close()

    def names(self) -> list[str]:
        """Variables with numbers along x and y."""
        return [
            str(name)
            for name, variable in self._dataset.variables.items()
            if variable.dtype.kind in "biuf" and {"x", "y"} <= self._axes(variable).keys()
        ]

    def times(self, names: Sequence[str]) -> np.ndarray:
        """The dates (datetime64[ns]) of the first of the variables that has any; empty where none has."""
        with _reading():
            for name in names:
                dimension = self._time(self._dataset.variables[name])
                if dimension is not None:
                    return self._dates(dimension)
        return np.array([], dtype="datetime64[ns]")

    def find(self, name: str, index: int, count: int) -> str:
        """The variable that a band of the metadata is.

        :param name: of the band; it is that of the variable, in any case, or of the only one.
        :param index: 1-based number of the band among `count`, which counts where the names are others.
        :raises ArrayError: where none is.
        """
        own = {band: variable for variable, band in self._known.get("variables", {}).items()}
        if own.get(name, name) in self._dataset.variables:
            return own.get(name, name)
        names = self.names()
        same = [known for known in names if known.lower() == name.lower()]
        if len(same) == 1:
            return same[0]
        if len(names) == count:
            return names[index - 1]
        raise ArrayError(f"it has no variable '{name}' but {', '.join(names[:10]) or 'none along x and y'}")

    def band(
        self, name: str, moment: np.datetime64 | None = None, grid: GeoBox | None = None, crs: CRS | None = None
    ) -> ArrayBand:
        """A variable at a date.

        :param moment: the date, where the variable has several.
        :param grid: the grid of the metadata, where the file does not tell it.
        :param crs: the reference system of the metadata, likewise.
        :raises ArrayError: where it is not on a regular grid, or has other dimensions.
        """
        key = (name, moment, grid, crs)
        if key not in self._bands:
            with _reading():
                self._bands[key] = self._band(name, moment, grid, crs)
        return self._bands[key]

    def _band(self, name: str, moment: np.datetime64 | None, grid: GeoBox | None, crs: CRS | None) -> ArrayBand:
        variable = self._dataset.variables[name]
        axes = self._axes(variable)
        if not {"x", "y"} <= axes.keys():
            raise ArrayError(f"its variable '{name}' has the dimensions {list(variable.dims)}, not x and y")
        position = self._position(variable, axes, moment)
        shape = (variable.sizes[axes["y"]], variable.sizes[axes["x"]])
        transform = self._transform(variable, axes)
        own = self._crs(variable) or crs
        if grid is not None and (transform is None or own is None):
            own, transform = grid.crs, grid.affine
        if transform is None:
            raise ArrayError(f"its variable '{name}' has no coordinates along x and y")
        return ArrayBand(variable, axes["y"], axes["x"], position, shape, transform, own)

    def _axes(self, variable: xr.Variable) -> dict[str, str]:
        """The dimensions along x and y."""
        found: dict[str, str] = {}
        for dimension in map(str, variable.dims):
            coordinate = self._dataset.variables.get(dimension)
            told = {} if coordinate is None else coordinate.attrs
            words = {dimension.lower(), str(told.get("standard_name", "")).lower()}
            for axis, names in _AXES.items():
                if str(told.get("axis", "")).lower() == axis or words & set(names):
                    found.setdefault(axis, dimension)
        return found

    def _time(self, variable: xr.Variable) -> str | None:
        for dimension in map(str, variable.dims):
            coordinate = self._dataset.variables.get(dimension)
            if coordinate is not None and " since " in str(coordinate.attrs.get("units", "")):
                return dimension
        return None

    def _dates(self, dimension: str) -> np.ndarray:
        coordinate = self._dataset.variables[dimension]
        decoded = xr.conventions.decode_cf_variable(dimension, coordinate, decode_timedelta=False)
        if decoded.dtype.kind != "M":
            raise ArrayError(f"its dates are in the calendar {coordinate.attrs.get('calendar')!r}")
        return np.asarray(decoded.values).astype("datetime64[ns]")

    def _position(self, variable: xr.Variable, axes: Mapping[str, str], moment: np.datetime64 | None) -> dict[str, int]:
        """The indices along all dimensions but x and y."""
        position = {}
        time = self._time(variable)
        for dimension in map(str, variable.dims):
            size = variable.sizes[dimension]
            if dimension in axes.values():
                continue
            if dimension == time and moment is not None:
                places = np.flatnonzero(self._dates(dimension) == moment)
                if not len(places):
                    raise ArrayError(f"it has no date {np.datetime_as_string(moment, unit='s')}")
                position[dimension] = int(places[0])
            elif size == 1:
                position[dimension] = 0
            else:
                one = "according to the metadata one" if dimension == time else "only 1 can be read"
                raise ArrayError(f"its dimension '{dimension}' has {size} labels, {one}")
        return position

    def _mapping(self, variable: xr.Variable) -> Mapping[str, Any]:
        """The attributes of the grid mapping of a variable."""
        for name in (variable.attrs.get("grid_mapping"), "crs", "spatial_ref"):
            found = self._dataset.variables.get(str(name).split(":")[0]) if name else None
            if found is not None:
                return found.attrs
        return {}

    def _crs(self, variable: xr.Variable) -> CRS | None:
        told = self._mapping(variable)
        text = told.get("crs_wkt") or told.get("spatial_ref") or variable.attrs.get("proj:epsg")
        try:
            if text is not None:
                return read_crs(text)
            if "grid_mapping_name" in told:
                return read_crs(pyproj.CRS.from_cf({key: _plain(value) for key, value in told.items()}).to_wkt())
        except (ValueError, ProjError, KeyError) as error:
            message = f"The grid mapping of the data is no reference system: {str(error)[:200]}"
            raise OpenEOError("FileContentInvalid", message) from error
        units = [
            self._dataset.variables[name].attrs.get("units")
            for name in map(str, variable.dims)
            if name in self._dataset.variables
        ]
        return CRS("EPSG:4326") if {"degrees_east", "degrees_north"} <= set(units) else None

    def _transform(self, variable: xr.Variable, axes: Mapping[str, str]) -> Affine | None:
        """The grid of the coordinates, exactly as GDAL's attribute has it where that fits them."""
        steps = [self._steps(axes[axis]) for axis in ("x", "y")]
        told = str(self._mapping(variable).get("GeoTransform", "")).split()
        exact = Affine.from_gdal(*map(float, told)) if len(told) == 6 else None
        if exact is not None and not exact.b and not exact.d:
            sides = ((exact.c, exact.a), (exact.f, exact.e))
            if all(_fits(step, *side) for step, side in zip(steps, sides, strict=True)):
                return exact
        (left, width), (top, height) = (step if step is not None else (None, None) for step in steps)
        if left is None or top is None or width is None or height is None:
            return None
        return Affine(width, 0, left - width / 2, 0, height, top - height / 2)

    def _steps(self, dimension: str) -> tuple[float, float | None] | None:
        """First coordinate and step of a dimension; the step is unknown for a single one."""
        coordinate = self._dataset.variables.get(dimension)
        if coordinate is None or coordinate.ndim != 1 or coordinate.dtype.kind not in "iuf":
            return None
        values = np.asarray(coordinate.values).astype("float64")
        if len(values) == 1:
            return float(values[0]), None
        step = (values[-1] - values[0]) / (len(values) - 1)
        regular = values[0] + step * np.arange(len(values))
        if not step or not np.abs(values - regular).max() <= _UNEVEN * abs(step):
            raise ArrayError(f"its coordinates along '{dimension}' are not evenly spaced")
        return float(values[0]), _rounded(float(step))


def _fits(steps: tuple[float, float | None] | None, edge: float, size: float) -> bool:
    """Whether an edge and pixel size are those of coordinates of centres, as far as these tell."""
    if steps is None:
        return True
    first, step = steps
    return abs(first - edge - size / 2) <= _UNEVEN * abs(size) and (step is None or abs(step / size - 1) < 1e-3)


def _rounded(step: float) -> float:
    """A step without the noise of its computation."""
    short = round(step, 9)
    return short if abs(short / step - 1) < 1e-6 else step


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


@dataclass(frozen=True, eq=False)
class ArrayBand:
    """A variable at a date, with the members of an open raster file with one band."""

    variable: xr.Variable
    y: str
    x: str
    position: Mapping[str, int]
    shape: tuple[int, int]
    transform: Affine
    crs: CRS | None
    count: int = 1

    @property
    def dtypes(self) -> tuple[str, ...]:
        return (str(self._dtype),)

    @property
    def _dtype(self) -> np.dtype:
        dtype = self.variable.dtype
        if dtype.kind in "iu" and "_Unsigned" in self.variable.attrs:
            kind = "u" if str(self.variable.attrs["_Unsigned"]).lower() == "true" else "i"
            return np.dtype(f"{kind}{dtype.itemsize}")
        return np.dtype(dtype.newbyteorder("="))

    @property
    def nodatavals(self) -> tuple[float | None, ...]:
        told = self.variable.attrs
        value = told.get("_FillValue", told.get("missing_value"))
        if value is None:
            return (None,)
        number = np.asarray(value).astype(self.variable.dtype).view(self.variable.dtype).ravel()[0]
        return (float(np.asarray(number).astype(self._dtype)),)

    @property
    def linear(self) -> tuple[float | None, float | None]:
        """Scale and offset of the file."""
        scale, offset = (self.variable.attrs.get(name) for name in ("scale_factor", "add_offset"))
        return (
            None if scale is None else float(np.asarray(scale).ravel()[0]),
            None if offset is None else float(np.asarray(offset).ravel()[0]),
        )

    @property
    def unit(self) -> str | None:
        unit = self.variable.attrs.get("units")
        return str(unit) if unit else None

    def read(self, index: int, window: tuple[slice, slice]) -> np.ndarray:
        """Stored values in a window, rows first."""
        rows, cols = window
        with _reading():
            part = self.variable.isel({**self.position, self.y: rows, self.x: cols})
            values = part.transpose(self.y, self.x).values
        return values.astype(values.dtype.newbyteorder("="), copy=False).astype(self._dtype, copy=False)
