"""A raster cube as images: north up, one per temporal label, its other dimensions as planes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, Generic, TypeVar

import dask.array as da
import numpy as np
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from openeo_backend.cube.cube import Band, Cube
from openeo_backend.cube.fusion import lifted
from openeo_backend.errors import OpenEOError
from openeo_backend.formats.asset import AssetBand, Progress
from openeo_backend.formats.blocks import Sources, stream
from openeo_backend.formats.names import UNNAMED, distinct, instant, text
from openeo_backend.formats.statistics import Statistics

T = TypeVar("T")


@dataclass(frozen=True)
class Plane:
    """One band of the files to be written."""

    name: str
    band: Band = field(default_factory=Band)


@dataclass(frozen=True)
class Storage:
    """How values become numbers in a file: `stored = (value - offset) / scale` as `dtype`."""

    dtype: np.dtype
    nodata: float | None = None
    """What is stored for missing values: NaN for floats, None where nothing can be missing."""
    source: int | None = None
    """What stands for missing in the cube's integers."""
    scale: float | None = None
    offset: float | None = None

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Stored numbers of a block; outside the range of an integer type they are clipped, never wrapped."""
        same = (
            np.isnan(self.nodata) if self.nodata is not None and self.dtype.kind == "f" else self.source == self.nodata
        )
        if values.dtype == self.dtype and self.scale is None and self.offset is None and same:
            return values
        if values.dtype == bool or (self.scale is None and self.offset is None and self._fits(values.dtype)):
            out = values.astype(self.dtype)
            missing = self._missing(values)
        else:
            missing = self._missing(values)
            numbers = (values.astype("float64") - (self.offset or 0.0)) / (self.scale or 1.0)
            if self.dtype.kind == "f":
                out = numbers.astype(self.dtype)
            else:
                limits = np.iinfo(self.dtype)
                numbers = np.nan_to_num(np.rint(numbers), nan=0, posinf=limits.max, neginf=limits.min)
                out = np.clip(numbers, limits.min, limits.max).astype(self.dtype)
        if missing is not None and self.nodata is not None:
            out[missing] = self.nodata
        return out

    def _fits(self, dtype: np.dtype) -> bool:
        return np.can_cast(dtype, self.dtype) or (self.dtype.kind == "f" and dtype.kind == "f")

    def _missing(self, values: np.ndarray) -> np.ndarray | None:
        if values.dtype.kind == "f":
            return np.isnan(values)
        return None if self.source is None else values == self.source


@dataclass(frozen=True)
class Arranged:
    """How a raster cube is laid out as images."""

    array: Any
    """numpy or dask array with the axes (time, other dimensions ..., bands, y, x); without time its first axis
    has length 1."""
    times: np.ndarray | None
    """Temporal labels, one per image; None where the cube has no temporal dimension."""
    planes: tuple[Plane, ...]
    transform: Affine
    storage: Storage
    sources: Sources = field(default_factory=dict, compare=False)
    """See :func:`openeo_backend.formats.blocks.stream`."""


@dataclass(frozen=True)
class Images(Arranged):
    """A raster cube laid out as (images, planes, rows, columns), north up."""

    cube: Cube = field(kw_only=True)

    @property
    def count(self) -> int:
        return int(self.array.shape[0])

    @property
    def shape(self) -> tuple[int, int, int]:
        """Planes, rows, columns of each image."""
        return len(self.planes), int(self.array.shape[-2]), int(self.array.shape[-1])

    @property
    def geobox(self) -> GeoBox | None:
        if self.cube.crs is None:
            return None
        return GeoBox(self.shape[1:], self.transform, self.cube.crs)

    def blocks(self, progress: Progress, handle: Callable[[Part], T], folder: Path) -> Iterator[T]:
        """What `handle`, which runs where windows are computed, makes of every image and run of planes in each.

        :param folder: where that may wait.
        """
        finish = _Finish(self.storage, tuple(self.array.shape[1:-2]), handle)
        apart = dict.fromkeys(range(self.array.ndim - 2), 1)
        for block in stream(self.array, finish, progress, apart=apart, order="squares", folder=folder):
            yield from block.result


@dataclass(frozen=True)
class Part:
    """Values of neighbouring planes of one image in one window."""

    image: int
    plane: int
    """Index of the first plane."""
    top: int
    left: int
    values: np.ndarray
    """Stored values: planes, rows, columns."""


@dataclass(frozen=True)
class _Finish(Generic[T]):
    """What is done where a window is computed: all it needs, without the cube."""

    storage: Storage
    others: tuple[int, ...]
    handle: Callable[[Part], T]

    def __call__(self, values: np.ndarray, place: tuple[slice, ...]) -> list[T]:
        stored = self.storage.apply(values)
        return [
            self.handle(Part(image, plane, place[-2].start, place[-1].start, chunk))
            for image in range(place[0].start, place[0].stop)
            for plane, chunk in _runs(stored[image - place[0].start], place[1:-2], self.others)
        ]


def _runs(values: np.ndarray, place: tuple[slice, ...], shape: tuple[int, ...]) -> Iterator[tuple[int, np.ndarray]]:
    """The window's planes in pieces that are contiguous in the flattened order of the dimensions `shape`."""
    if values.shape[:-2] == shape:
        yield 0, values.reshape(-1, *values.shape[-2:])
        return
    for index in product(*(range(part.start, part.stop) for part in place)):
        within = tuple(i - part.start for i, part in zip(index, place, strict=True))
        yield int(np.ravel_multi_index(index, shape)), values[within][None]


def arrange(cube: Any, options: Mapping[str, Any], format_name: str) -> Images:
    """The images of a raster cube, values still lazy.

    Options `dtype`, `nodata`, `scale` and `offset` choose how values are stored.

    :raises OpenEOError: FormatUnsuitable for values that are no raster on a regular grid.
    """
    if not isinstance(cube, Cube) or cube.axis("x") is None or cube.axis("y") is None:
        raise unsuitable(format_name, "it takes raster data with the axes x and y", suggest(cube))
    if cube.data.dtype.kind not in "biuf":
        raise unsuitable(format_name, f"it takes numbers, not values of type {cube.data.dtype}", suggest(cube))
    cube = cube.derived("north up", partial(_turned, cube)) or cube
    if options:
        return Images(**vars(_arranged(cube, options, format_name)), cube=cube)
    return Images(**vars(cube.derived("images", partial(_arranged, cube, options, format_name))), cube=cube)


def _arranged(cube: Cube, options: Mapping[str, Any], format_name: str) -> Arranged:
    x, y = cube.axis("x"), cube.axis("y")
    assert x is not None
    assert y is not None
    transform = grid(cube)
    if transform is None:
        raise unsuitable(format_name, "x and y are not regular in steps", "Use netCDF, or resample_spatial before.")
    times = cube.of_type("temporal")[:1]
    bands = cube.of_type("bands")[:1]
    placed = {d.name for d in (*times, *bands, x, y)}
    others = [d for d in cube.dimensions if d.name not in placed]
    order = [*times, *others, *bands, y, x]
    names = tuple(d.name for d in order)
    data = (cube.data if cube.names == names else cube.data.transpose(*names)).data
    if not times:
        data = lifted(data) if isinstance(data, da.Array) else data[None]
    planes = _planes(cube, [d.name for d in others], bands[0].name if bands else None)
    storage = choose_storage(cube, options)
    labels = cube.labels(times[0].name) if times else None
    return Arranged(data, labels, planes, transform, storage)


def _turned(cube: Cube) -> Cube | None:
    turned = north_up(cube)
    return None if turned is cube else turned


def north_up(cube: Cube) -> Cube:
    """The cube with x ascending and y descending."""
    turn = {}
    for axis, sign in (("x", 1), ("y", -1)):
        dimension = cube.axis(axis)
        if dimension is None:
            continue
        labels = cube.labels(dimension.name)
        falling = (dimension.step or 0) * sign < 0 if len(labels) < 2 else (labels[-1] - labels[0]) * sign < 0
        if falling:
            turn[dimension.name] = dimension
    if not turn:
        return cube
    data = cube.data.isel({name: slice(None, None, -1) for name in turn})
    dimensions = tuple(d.patch(step=-d.step) if d.name in turn and d.step is not None else d for d in cube.dimensions)
    return cube.patch(data=data, dimensions=dimensions)


def grid(cube: Cube) -> Affine | None:
    """Transform from pixels to coordinates of a cube on a regular grid, with or without a CRS; None without pixels.

    An axis of one label without a known step counts as one unit wide.
    """
    found = []
    for axis in ("x", "y"):
        dimension = cube.axis(axis)
        if dimension is None:
            return None
        labels = cube.labels(dimension.name)
        step = cube.step(dimension)
        if step is None and len(labels) == 1:
            step = 1.0 if axis == "x" else -1.0
        if step is None or not len(labels):
            return None
        found.append((step, float(labels[0]) - step / 2))
    (step_x, left), (step_y, top) = found
    return Affine(step_x, 0, left, 0, step_y, top)


def _planes(cube: Cube, others: list[str], bands: str | None) -> tuple[Plane, ...]:
    """Bands with the labels of other dimensions in front, in the order of the array."""
    known = [text(label) for label in cube.labels(bands)] if bands else [""]
    planes = []
    for rest in product(*(cube.labels(name) for name in others)):
        for band in known:
            parts = [*(text(label) for label in rest), *([band] if band else [])]
            planes.append(Plane("_".join(parts) or UNNAMED, cube.bands.get(band, Band())))
    names = distinct(plane.name for plane in planes)
    return tuple(replace(plane, name=name) for plane, name in zip(planes, names, strict=True))


def choose_storage(cube: Cube, options: Mapping[str, Any]) -> Storage:
    """Storage by the options, else the cube's own type: half floats as float32, booleans as uint8.

    :raises OpenEOError: ProcessParameterInvalid for a nodata value that the type cannot hold.
    """
    own = cube.data.dtype
    dtype = np.dtype(options.get("dtype") or {"b": "uint8"}.get(own.kind, "float32" if own == "float16" else own))
    scale, offset = options.get("scale"), options.get("offset")
    nodata: float | None = options.get("nodata")
    if nodata is None:
        nodata = _default_nodata(cube, dtype)
    elif isinstance(nodata, str):
        nodata = _number(nodata)
    if nodata is not None and dtype.kind != "f":
        limits = np.iinfo(dtype)
        if not float(nodata).is_integer() or not limits.min <= nodata <= limits.max:
            raise OpenEOError(
                "ProcessParameterInvalid", f"The option nodata is {nodata}, which values of type {dtype} cannot hold."
            )
        nodata = int(nodata)
    return Storage(dtype, nodata, cube.nodata, scale, offset)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        message = f"The option nodata is {text[:80]!r}, which is no number."
        raise OpenEOError("ProcessParameterInvalid", message) from None


def _default_nodata(cube: Cube, dtype: np.dtype) -> float | None:
    if dtype.kind == "f":
        return float("nan")
    if cube.data.dtype.kind == "f":
        limits = np.iinfo(dtype)
        return limits.max if limits.min == 0 else limits.min
    if cube.nodata is None:
        return None
    limits = np.iinfo(dtype)
    if limits.min <= cube.nodata <= limits.max:
        return cube.nodata
    return limits.max if limits.min == 0 else limits.min


def describe_band(plane: Plane, storage: Storage, stats: Statistics) -> AssetBand:
    """The metadata of one written band."""
    found = stats.count > 0
    return AssetBand(
        name=plane.name,
        data_type=str(storage.dtype),
        nodata=stated_nodata(storage.nodata),
        minimum=stats.minimum if found else None,
        maximum=stats.maximum if found else None,
        mean=stats.mean if found else None,
        stddev=stats.stddev if found else None,
        valid_percent=stats.valid_percent,
        scale=storage.scale if storage.scale is not None else plane.band.scale,
        offset=storage.offset if storage.offset is not None else plane.band.offset,
        unit=plane.band.unit,
        common_name=plane.band.common_name,
    )


def stated_nodata(nodata: float | None) -> float | str | None:
    """No-data as STAC states it: a number or "nan"."""
    return "nan" if nodata is not None and np.isnan(nodata) else nodata


def image_dimensions(images: Images, image: int | None, description: Mapping[str, Any]) -> dict[str, Any]:
    """`cube:dimensions` of one image: the cube's, with the temporal dimension narrowed to its label."""
    out = dict(description)
    if images.times is not None and image is not None:
        name = images.cube.of_type("temporal")[0].name
        label = instant(images.times[image])
        is_date = images.times.dtype.kind == "M"
        out[name] = {**out[name], "values": [label], "extent": [label, label] if is_date else [None, None]}
    return out


def crop_dimensions(images: Images, geobox: GeoBox, description: Mapping[str, Any]) -> dict[str, Any]:
    """`cube:dimensions` with the extents of x and y narrowed to a part of the grid."""
    box = geobox.boundingbox
    out = dict(description)
    for axis, extent in (("x", [box.left, box.right]), ("y", [box.bottom, box.top])):
        if (dimension := images.cube.axis(axis)) is not None:
            out[dimension.name] = {**out[dimension.name], "extent": extent}
    return out


def read_crs(wkt: str) -> CRS:
    """The reference system of a file, by its EPSG code where it has one, so that it equals those of other cubes."""
    crs = CRS(wkt)
    return CRS(f"EPSG:{crs.epsg}") if crs.epsg else crs


def unsuitable(format_name: str, reason: str, hint: str) -> OpenEOError:
    """The error for data that a format cannot hold."""
    return OpenEOError("FormatUnsuitable", f"The data cannot be written as {format_name}: {reason}.", hint=hint)


def suggest(value: Any) -> str:
    """Formats that suit a value, as a hint."""
    if not isinstance(value, Cube):
        return "Use JSON."
    if value.is_vector:
        return "Use GeoJSON, JSON, CSV, Parquet or netCDF."
    if prod(value.data.shape) and value.axis("x") is not None and value.axis("y") is not None:
        return "Use netCDF, Zarr or GTiff."
    return "Use JSON, CSV or netCDF."
