"""Reading pixels: one task fills one block of a cube with all its dates and bands."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Lock
from typing import Any

import numpy as np
import rasterio.errors
import rasterio.features
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from shapely.geometry.base import BaseGeometry

from openeo_backend.catalog.ahead import ReadAhead
from openeo_backend.catalog.arrays import ArrayError
from openeo_backend.catalog.handles import Handles, check
from openeo_backend.catalog.layer import Layer, unreadable
from openeo_backend.catalog.ranges import is_remote
from openeo_backend.catalog.raster import Raster
from openeo_backend.cube import lookup
from openeo_backend.errors import OpenEOError
from openeo_backend.observe import share


@dataclass(frozen=True, eq=False)
class _Block:
    """A block of a cube."""

    grid: GeoBox
    corner: tuple[int, int]
    """Row and column of the cube where it begins."""

    found: dict[Any, lookup.Lookup | None] = field(default_factory=dict)
    """The lookups into files by their grids."""

    lock: Lock = field(default_factory=Lock)


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
        self.handles.reads += 1
        steps, bands, rows, cols = place
        block = _Block(crop(self.geobox, rows, cols), (rows.start, cols.start))
        planes = [
            (t, b, self._near(layers, block))
            for t, by_band in enumerate(self.layers[steps])
            for b, layers in enumerate(by_band[bands])
        ]
        with self._ahead([layers for _, _, layers in planes], block) as ahead:
            for number, (t, b, layers) in enumerate(planes):
                share.tell(number / len(planes))
                ahead.reach(number)
                self._fill(out[t, b], layers, block)
                if self.physical is not None:
                    scale, offset = self.physical[bands.start + b]
                    out[t, b] *= self.dtype.type(scale)
                    out[t, b] += self.dtype.type(offset)
        self._mask(out, block.grid)

    def _near(self, layers: Sequence[Layer], block: _Block) -> list[Layer]:
        """The layers that may have pixels in a block."""
        box = tuple(block.grid.boundingbox)[:4]
        return [layer for layer in layers if layer.bounds is None or _meet(layer.bounds, box)]

    def _ahead(self, planes: Sequence[Sequence[Layer]], block: _Block) -> ReadAhead:
        """Fetches what the planes of a block need from elsewhere."""
        remote = [[each for each in layers if _is_ranged(each) and not self._is_here(each, block)] for layers in planes]
        jobs = [partial(self._fetch, layers, block) for layers in remote] if any(remote) else []
        return self.handles.ahead(jobs, math.prod(block.grid.shape) * self.dtype.itemsize)

    def _is_here(self, layer: Layer, block: _Block) -> bool:
        """Whether what a block needs of a layer was fetched and unpacked before."""
        file = self.handles.opened(layer.address)
        try:
            match = self._match(file, layer, block) if file is not None else None
        except OpenEOError:  # told when it is read
            return False
        return file is not None and match is not None and file.is_unpacked(layer.index, match.window)

    def _fetch(self, layers: Sequence[Layer], block: _Block) -> Callable[[], None]:
        """Have the bytes of layers here that a block needs.

        :returns: how to let them go.
        """
        found = []
        for layer in layers:
            with suppress(rasterio.errors.RasterioError, OpenEOError):  # told when it is read
                file = self.handles.open_shared(layer.address)
                match = self._match(file, layer, block) if file is not None else None
                if file is not None and match is not None:
                    found.append(file.fetch(layer.index, match.window, self.handles.submit))
        return partial(_each, found)

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

    def _fill(self, plane: np.ndarray, near: Sequence[Layer], block: _Block) -> None:
        """Lay the layers below each other into a plane, and missing values where there are none."""
        missing: np.ndarray | None = None
        for number, layer in enumerate(near):
            if missing is not None and not missing.any():
                return
            try:
                if missing is None and (place := self._read_into(plane, layer, block)) is not None:
                    if number < len(near) - 1:
                        missing = np.ones(plane.shape, dtype=bool)
                        missing[place] = self._lacks(plane[place])
                        continue
                    return
                part = self._read(layer, block)
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

    def _read_into(self, plane: np.ndarray, layer: Layer, block: _Block) -> tuple[slice, slice] | None:
        """Read a raster straight into a plane where its pixels and values are those of the cube.

        :returns: where it lies (elsewhere the plane is missing then), or None where the layer needs more than a copy.
        """
        plain = layer.kind is None and layer.target is None and layer.reduce == 1
        if not plain or (layer.factor, layer.summand) != (1, 0):
            return None
        file = self.handles.open_layer(layer)
        match = self._match(file, layer, block)
        nodata = layer.nodata if layer.nodata is not None else file.nodatavals[layer.index - 1]
        dtype = np.dtype(file.dtypes[layer.index - 1])
        if match is None or dtype != self.dtype or not match.is_copy or not self._means_missing(nodata):
            return None
        if plane[match.place].shape != plane.shape:
            plane.fill(self._blank)
        file.read(layer.index, match.window, plane[match.place], self._whole(file, match, block.corner))
        return match.place

    def _whole(self, file: Raster, match: lookup.Lookup, corner: tuple[int, int]) -> tuple[slice, slice]:
        """The window of a file that all blocks of the cube together copy."""
        found = []
        for axis in (0, 1):
            start = match.window[axis].start - match.place[axis].start - corner[axis]
            found.append(slice(max(0, start), min(file.shape[axis], start + self.geobox.shape[axis])))
        return found[0], found[1]

    def _means_missing(self, nodata: float | None) -> bool:
        """Whether a file's no-data value, if it has one, is the cube's missing value."""
        if nodata is None or self.fill is None:
            return nodata is None
        return nodata == self.fill or bool(np.isnan(nodata) and np.isnan(self.fill))

    def _match(self, file: Any, layer: Layer, block: _Block) -> lookup.Lookup | None:
        """Where a file's pixels lie in a block."""
        crs = check(file, layer)
        key = (str(crs), file.transform, file.shape)  # whose hash is at hand
        with block.lock:
            if key not in block.found:
                block.found[key] = lookup.find(block.grid, file.transform, file.shape, crs)
            return block.found[key]

    def _fail(self, layer: Layer, error: Exception) -> None:
        if isinstance(error, OpenEOError):
            problem = error
        else:
            problem = unreadable(layer, str(error).rstrip("."))
        if self.soft is None or self.fill is None:
            raise problem from error
        self.soft(problem.message)

    def _read(self, layer: Layer, block: _Block) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray | None] | None:
        """Where in the block a layer has pixels, their values as the cube has them, and which of them are valid."""
        if layer.reduce > 1:
            return self._read_means(layer, block)
        file = self.handles.open_layer(layer)
        match = self._match(file, layer, block)
        if match is None:
            return None
        layer = _tuned(layer, file)
        pixels = file.read(layer.index, match.window)
        values, inside = match.take(pixels)
        nodata = layer.nodata if layer.nodata is not None else file.nodatavals[layer.index - 1]
        valid = _valid(values, nodata)
        if inside is not None:
            valid = inside if valid is None else valid & inside
        return match.place, self._convert(values, layer), valid

    def _read_means(self, layer: Layer, block: _Block) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray] | None:
        """As `_read`, of means over larger pixels."""
        file = self.handles.open_means(layer)
        crs = check(file.file, layer)
        match = lookup.find(block.grid, file.transform, file.shape, crs)
        if match is None:
            return None
        nodata = layer.nodata if layer.nodata is not None else file.file.nodatavals[layer.index - 1]
        values, inside = match.take(file.read(layer.index, match.window, nodata))
        valid = ~np.isnan(values)
        return match.place, self._convert(values, layer), valid if inside is None else valid & inside

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


def _is_ranged(layer: Layer) -> bool:
    return layer.kind is None and layer.reduce == 1 and is_remote(layer.address)


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


def _each(functions: Sequence[Callable[[], None]]) -> None:
    for function in functions:
        function()


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
