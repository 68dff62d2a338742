"""Reading pixels: one task fills one block of a cube with all its dates and bands."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import rasterio
import rasterio.errors
import rasterio.features
import rasterio.windows
import shapely
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from rasterio.io import DatasetReader
from shapely.geometry.base import BaseGeometry

from openeo_backend.catalog.arrays import ArrayError, Kind, open_array
from openeo_backend.catalog.remote import Requests
from openeo_backend.cube import lookup
from openeo_backend.errors import OpenEOError
from openeo_backend.observe import share
from openeo_backend.sandbox.blocks import refuse_huge_blocks
from openeo_backend.sandbox.gdal import DRIVERS

#: Open files that each thread keeps.
_HANDLES = 64

#: How far a file's georeference may be from the metadata, in pixels.
_SHIFT = 0.05


@dataclass(frozen=True, eq=False)
class Layer:
    """One band of one asset of one item: where it is and how its values become those of the cube."""

    address: str
    """As GDAL opens it; a path or URL for files that GDAL does not read."""

    index: int
    item: str
    asset: str
    kind: Kind | None = None
    """Of a file that is read as arrays; None for rasters."""

    band: str = ""
    """Name of the band; arrays are found by it."""

    number: int = 1
    count: int = 1
    """Number of the band among so many of the asset, for arrays with other names."""

    moment: np.datetime64 | None = None
    """The date to read of an array with several."""

    crs: CRS | None = None
    """Reference system according to the metadata, for arrays that do not tell it."""

    target: tuple[float, float] | None = None
    """Scale and offset of the cube's values, if those of the layer are the file's own."""

    dtype: str | None = None
    """Data type according to the metadata; a file of another type is an error."""

    nodata: float | None = None
    """No-data value according to the metadata, else the file's own."""

    grid: GeoBox | None = None
    """Grid according to the metadata; a file on another grid is an error."""

    bounds: tuple[float, float, float, float] | None = None
    """Where it lies, in the reference system of the cube; None where that is not known."""

    factor: float = 1.0
    summand: float = 0.0
    """Stored values times `factor` plus `summand` are stored values as the collection has them."""

    @property
    def key(self) -> tuple[object, ...]:
        """What has the same grid and data type."""
        return self.address, self.band if self.kind else None

    @property
    def name(self) -> str:
        return f"asset '{self.asset}' of item '{self.item}'"


class Handles:
    """Open files by address, a bounded number per thread.

    :param door: the way to array files behind URLs.
    """

    def __init__(self, door: Requests | None = None) -> None:
        self._door = door
        self._local = threading.local()

    def __reduce__(self) -> tuple[type[Handles], tuple[Requests | None]]:
        return Handles, (self._door,)

    def open_layer(self, layer: Layer) -> Any:
        """The open file of a layer, or the part of it that its band is.

        :raises rasterio.errors.RasterioIOError, ArrayError, OpenEOError: where it cannot be opened.
        """
        file = self.open(layer.address, layer.kind)
        if layer.kind is None:
            return file
        name = file.find(layer.band, layer.number, layer.count)
        return file.band(name, layer.moment, layer.grid, layer.crs)

    def open(self, address: str, kind: Kind | None = None) -> Any:
        """The open file at an address: an ArrayFile, or a rasterio.DatasetReader where there is no kind.

        :raises rasterio.errors.RasterioIOError, ArrayError, OpenEOError: where it cannot be opened.
        """
        kept: OrderedDict[str, Any] = self._local.__dict__.setdefault("kept", OrderedDict())
        if address in kept:
            kept.move_to_end(address)
            return kept[address]
        if len(kept) >= _HANDLES:
            kept.popitem(last=False)[1].close()
        if kind is not None:
            kept[address] = open_array(address, kind, self._door)
        else:
            if self._door is not None and address.startswith(("/vsicurl/", "/vsis3/")):
                # GDAL reads it whenever it connects, from any thread.
                os.environ["GDAL_HTTP_PROXY"] = self._door.tunnel()
            with rasterio.Env():
                kept[address] = DatasetReader(address, driver=list(DRIVERS), sharing=False)
        return kept[address]


def unreadable(layer: Layer, reason: str) -> OpenEOError:
    """The error for an asset that cannot be read or is not what its metadata say."""
    # users know files by their names; where they lie on this machine is the operator's business
    shown = (
        reason.replace(layer.address, PurePosixPath(layer.address).name) if layer.address.startswith("/") else reason
    )
    return OpenEOError(
        "AssetUnreadable",
        f"The {layer.name} cannot be used: {shown}.",
        hint="Exclude the item by a narrower extent or a property filter, or set the option 'soft_errors' to skip it.",
        status=500,
    )


@dataclass(frozen=True, eq=False)
class BlockReader:
    """Fills blocks of a cube of (t, bands, y, x)."""

    geobox: GeoBox
    layers: Sequence[Sequence[Sequence[Layer]]]
    """By time step and band: what is read, the first one on top."""

    dtype: np.dtype
    fill: float | int | None
    """What stands for missing values; None where nothing can be missing."""

    handles: Handles
    mask: BaseGeometry | None = None
    """Pixels whose centre is outside are missing."""

    physical: Sequence[tuple[float, float]] | None = None
    """Scale and offset to apply, by band; values are floating point then."""

    soft: Callable[[str], None] | None = None
    """Told about assets that cannot be read, which are then skipped; None: they are errors."""

    def fill_block(self, place: tuple[slice, ...], out: np.ndarray) -> None:
        """Fill an array with the values of a part of the cube."""
        steps, bands, rows, cols = place
        block = crop(self.geobox, rows, cols)
        found: dict[Any, lookup.Lookup | None] = {}
        for t, by_band in enumerate(self.layers[steps]):
            for b, layers in enumerate(by_band[bands]):
                share.tell((t * out.shape[1] + b) / (out.shape[0] * out.shape[1]))
                self._fill(out[t, b], layers, block, found)
                if self.physical is not None:
                    scale, offset = self.physical[bands.start + b]
                    out[t, b] *= self.dtype.type(scale)
                    out[t, b] += self.dtype.type(offset)
        self._mask(out, block)

    def _mask(self, out: np.ndarray, block: GeoBox) -> None:
        if self.mask is None:
            return
        box = shapely.box(*tuple(block.boundingbox)[:4])
        if shapely.contains_properly(self.mask, box):
            return
        outside = (
            rasterio.features.geometry_mask([self.mask], block.shape, block.affine)
            if self.mask.intersects(box)
            else np.ones(block.shape, dtype=bool)
        )
        out[:, :, outside] = self.fill

    def _fill(
        self, plane: np.ndarray, layers: Sequence[Layer], block: GeoBox, found: dict[Any, lookup.Lookup | None]
    ) -> None:
        """Lay the layers below each other into a plane, and missing values where there are none."""
        missing: np.ndarray | None = None
        box = tuple(block.boundingbox)[:4]
        near = [layer for layer in layers if layer.bounds is None or _meet(layer.bounds, box)]
        for number, layer in enumerate(near):
            if missing is not None and not missing.any():
                return
            try:
                if missing is None and (place := self._read_into(plane, layer, block, found)) is not None:
                    if number < len(near) - 1:
                        missing = np.ones(plane.shape, dtype=bool)
                        missing[place] = self._lacks(plane[place])
                        continue
                    return
                part = self._read(layer, block, found)
            except (rasterio.errors.RasterioError, ArrayError, OpenEOError) as error:
                self._fail(layer, error)
                continue
            if part is None:
                continue
            if missing is None:
                plane.fill(self._blank)
                missing = np.ones(plane.shape, dtype=bool)
            place, values, valid = part
            if valid is None and len(near) == 1:
                plane[place] = values
                return
            take = missing[place] if valid is None else missing[place] & valid
            np.copyto(plane[place], values, where=take)
            missing[place] &= ~take
        if missing is None:
            plane.fill(self._blank)

    @property
    def _blank(self) -> float | int:
        return self.fill if self.fill is not None else 0

    def _lacks(self, values: np.ndarray) -> np.ndarray | bool:
        """Which values of the cube are missing."""
        if self.fill is None:
            return False
        return np.isnan(values) if values.dtype.kind == "f" else values == self.fill

    def _read_into(
        self, plane: np.ndarray, layer: Layer, block: GeoBox, found: dict[Any, lookup.Lookup | None]
    ) -> tuple[slice, slice] | None:
        """Read a raster straight into a plane where its pixels and values are those of the cube.

        :returns: where it lies (elsewhere the plane is missing then), or None where the layer needs more than a copy.
        """
        if layer.kind is not None or layer.target is not None or (layer.factor, layer.summand) != (1, 0):
            return None
        file = self.handles.open_layer(layer)
        match = self._match(file, layer, block, found)
        nodata = layer.nodata if layer.nodata is not None else file.nodatavals[layer.index - 1]
        dtype = np.dtype(file.dtypes[layer.index - 1])
        if match is None or dtype != self.dtype or not match.is_copy or not self._means_missing(nodata):
            return None
        if plane[match.place].shape != plane.shape:
            plane.fill(self._blank)
        window = rasterio.windows.Window.from_slices(*match.window)
        file.read(layer.index, window=window, out=plane[match.place])
        return match.place

    def _means_missing(self, nodata: float | None) -> bool:
        """Whether a file's no-data value, if it has one, is the cube's missing value."""
        if nodata is None or self.fill is None:
            return nodata is None
        return nodata == self.fill or bool(np.isnan(nodata) and np.isnan(self.fill))

    def _match(
        self, file: Any, layer: Layer, block: GeoBox, found: dict[Any, lookup.Lookup | None]
    ) -> lookup.Lookup | None:
        """Where a file's pixels lie in a block."""
        crs = check(file, layer)
        key = (crs, file.transform, file.shape)
        if key not in found:
            found[key] = lookup.find(block, file.transform, file.shape, crs)
        return found[key]

    def _fail(self, layer: Layer, error: Exception) -> None:
        if isinstance(error, OpenEOError):
            problem = error
        else:
            problem = unreadable(layer, str(error).rstrip("."))
        if self.soft is None or self.fill is None:
            raise problem from error
        self.soft(problem.message)

    def _read(
        self, layer: Layer, block: GeoBox, found: dict[Any, lookup.Lookup | None]
    ) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray | None] | None:
        """Where in the block a layer has pixels, their values as the cube has them, and which of them are valid."""
        file = self.handles.open_layer(layer)
        match = self._match(file, layer, block, found)
        if match is None:
            return None
        layer = _tuned(layer, file)
        pixels = file.read(layer.index, window=rasterio.windows.Window.from_slices(*match.window))
        values, inside = match.take(pixels)
        nodata = layer.nodata if layer.nodata is not None else file.nodatavals[layer.index - 1]
        valid = _valid(values, nodata)
        if inside is not None:
            valid = inside if valid is None else valid & inside
        return match.place, self._convert(values, layer), valid

    def _convert(self, values: np.ndarray, layer: Layer) -> np.ndarray:
        """Stored values of a layer as those of the cube: brought to the collection's scale, kept in range.

        A valid value never becomes the missing one: it moves to the next.
        """
        if layer.factor == 1 and layer.summand == 0:
            if not np.can_cast(values.dtype, self.dtype, "safe") and self.physical is None:
                raise unreadable(
                    layer, f"its data type {values.dtype} does not fit into that of the others, {self.dtype}"
                )
            return values.astype(self.dtype, copy=False)
        moved = values.astype("float64") * layer.factor + layer.summand
        if self.dtype.kind not in "iu":
            return moved.astype(self.dtype)
        source = np.iinfo(values.dtype) if values.dtype.kind in "iu" else np.iinfo(self.dtype)
        kept = np.clip(np.rint(moved), source.min, source.max).astype(self.dtype)
        if self.fill is not None and source.min <= self.fill <= source.max:
            step = -1 if self.fill == source.max else 1
            kept[kept == self.fill] = self.fill + step
        return kept


def _tuned(layer: Layer, file: Any) -> Layer:
    """A layer with what brings its file's own scale and offset to those of the cube."""
    if layer.target is None:
        return layer
    scale, offset = file.linear
    wanted_scale, wanted_offset = layer.target
    scale, offset = 1.0 if scale is None else scale, 0.0 if offset is None else offset
    return replace(layer, factor=scale / wanted_scale, summand=round((offset - wanted_offset) / wanted_scale, 9))


def crop(grid: GeoBox, rows: slice, cols: slice) -> GeoBox:
    """A part of an unrotated grid."""
    a, _, c, _, e, f = tuple(grid.affine)[:6]
    shape = (rows.stop - rows.start, cols.stop - cols.start)
    return GeoBox(shape, Affine(a, 0, c + cols.start * a, 0, e, f + rows.start * e), grid.crs)


def _meet(one: Sequence[float], other: Sequence[float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _valid(values: np.ndarray, nodata: float | None) -> np.ndarray | None:
    """Which values are not missing; None where all are valid."""
    if values.dtype.kind == "f":
        valid = ~np.isnan(values)
        if nodata is not None and not np.isnan(nodata):
            valid &= values != values.dtype.type(nodata)
        return valid
    if nodata is None or np.isnan(nodata):
        return None
    if not float(nodata).is_integer() or not np.iinfo(values.dtype).min <= nodata <= np.iinfo(values.dtype).max:
        return None
    return np.asarray(values != values.dtype.type(int(nodata)))


def check(file: Any, layer: Layer) -> CRS:
    """The reference system of an open file that is what its metadata say.

    :raises OpenEOError: AssetUnreadable, saying in what the file differs.
    """
    if file.crs is None:
        raise unreadable(layer, "the file has no georeference")
    if layer.kind is None:
        refuse_huge_blocks(file, layer.name)
    if layer.index > file.count:
        raise unreadable(layer, f"it has {file.count} bands, according to the metadata at least {layer.index}")
    dtype = file.dtypes[layer.index - 1]
    if layer.dtype is not None and np.dtype(dtype) != np.dtype(layer.dtype):
        raise unreadable(layer, f"its data type is {dtype}, according to the metadata {layer.dtype}")
    crs = CRS(file.crs)
    if layer.grid is not None:
        if crs != layer.grid.crs:
            raise unreadable(layer, f"its reference system is {crs}, according to the metadata {layer.grid.crs}")
        corners = [(0, 0), (file.width, file.height)]
        for corner in corners:
            col, row = ~layer.grid.affine @ (file.transform @ corner)
            if max(abs(col - corner[0]), abs(row - corner[1])) > max(_SHIFT, 1e-5 * max(file.shape)):
                said = f"proj:transform {list(layer.grid.affine)[:6]} and proj:shape {list(layer.grid.shape)}"
                raise unreadable(
                    layer, f"its grid {list(file.transform)[:6]} {list(file.shape)} is not the one of {said}"
                )
        if tuple(file.shape) != tuple(layer.grid.shape):
            raise unreadable(
                layer, f"its shape is {list(file.shape)}, according to the metadata {list(layer.grid.shape)}"
            )
    return crs


@dataclass(frozen=True, eq=False)
class Probe:
    """What a file tells about itself."""

    grid: GeoBox
    dtype: str
    nodata: float | None
    linear: tuple[float | None, float | None] = (None, None)
    """Scale and offset, of arrays."""

    unit: str | None = None


def probe(layer: Layer, handles: Handles) -> Probe:
    """Grid, data type and no-data value of a file whose metadata do not tell.

    :raises OpenEOError: AssetUnreadable.
    """
    try:
        file = handles.open_layer(layer)
    except (rasterio.errors.RasterioError, ArrayError) as error:
        raise unreadable(layer, str(error).rstrip(".")) from error
    crs = check(file, layer)
    position = layer.index - 1
    found = Probe(GeoBox(file.shape, file.transform, crs), str(file.dtypes[position]), file.nodatavals[position])
    return found if layer.kind is None else replace(found, linear=file.linear, unit=file.unit)
