"""Open files, and whether they are what their metadata say."""

from __future__ import annotations

import math
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import rasterio.errors
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from openeo_backend.catalog.ahead import ReadAhead
from openeo_backend.catalog.arrays import ArrayError, Kind, open_array
from openeo_backend.catalog.coarse import MeanRaster
from openeo_backend.catalog.layer import Layer, unreadable
from openeo_backend.catalog.ranges import RangedFile, Room, Unreachable, Unsuited, is_remote
from openeo_backend.catalog.raster import Raster, open_local, open_overview, open_ranged, open_raster
from openeo_backend.catalog.remote import Requests
from openeo_backend.errors import OpenEOError
from openeo_backend.sandbox.blocks import refuse_huge_blocks

#: Open files that each thread keeps, and bytes of those for all threads, which are descriptions only.
_HANDLES, _SHARED_BYTES = 64, 2**25

#: Threads that fetch from elsewhere, and bytes that a block has fetched ahead of the file that is read.
_FETCHES, _AHEAD_BYTES = 32, 2**26

#: How far a file's georeference may be from the metadata, in pixels.
_SHIFT = 0.05


class Handles:
    """Open files by address: a bounded number per thread, and those that all threads may read.

    :param door: the way to array files behind URLs.
    :param plain: have GDAL read the pixels of all raster files.
    :param keeps: whether several requests share them, one after the other.
    """

    def __init__(self, door: Requests | None = None, plain: bool = False, keeps: bool = False) -> None:
        self._door = door
        self._plain = plain
        self._keeps = keeps
        self._local = threading.local()
        self._shared: OrderedDict[str, Raster | None] = OrderedDict()
        self._bytes = 0
        self._opening: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._describer: ThreadPoolExecutor | None = None
        self._room = Room()
        self.reads = 0
        """Grows whenever pixels of a block are read."""

    def __reduce__(self) -> tuple[type[Handles], tuple[Requests | None, bool]]:
        return Handles, (self._door, self._plain)

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
        """The open file at an address: an ArrayFile, or a Raster where there is no kind.

        :raises rasterio.errors.RasterioIOError, ArrayError, OpenEOError: where it cannot be opened.
        """
        shared = self.open_shared(address) if kind is None else None
        if shared is not None:
            return shared
        kept: OrderedDict[str, Any] = self._local.__dict__.setdefault("kept", OrderedDict())
        if address in kept:
            kept.move_to_end(address)
            return kept[address]
        file = open_array(address, kind, self._door) if kind is not None else self._open_alone(address)
        if len(kept) >= _HANDLES:
            kept.popitem(last=False)[1].close()
        kept[address] = file
        return file

    def open_means(self, layer: Layer) -> MeanRaster:
        """The file of a layer as means over larger pixels, for one thread.

        :raises rasterio.errors.RasterioIOError, OpenEOError: where it cannot be opened.
        """
        return MeanRaster(self.open(layer.address), self._overview(layer), layer.reduce)

    def _overview(self, layer: Layer) -> Raster | None:
        kept: OrderedDict[object, Raster | None] = self._local.__dict__.setdefault("overviews", OrderedDict())
        key = layer.address, layer.reduce, layer.trusted
        found = kept.pop(key) if key in kept else self._open_overview(layer)
        if found is not None and not found.is_current():
            found = self._open_overview(layer)
        if len(kept) >= _HANDLES:
            kept.popitem(last=False)
        kept[key] = found
        return found

    def _open_overview(self, layer: Layer) -> Raster | None:
        if not is_remote(layer.address):
            found = open_overview(layer.address, layer.reduce, layer.trusted)
        elif self._door is None or self._plain:
            return None
        else:
            try:
                source = RangedFile(self._door, layer.address, self._room)
            except (Unsuited, Unreachable):  # told when it is read
                return None
            found = open_overview(source, layer.reduce, layer.trusted)
        if found is not None:
            refuse_huge_blocks(found, layer.name)
        return found

    def open_shared(self, address: str) -> Raster | None:
        """The open raster file at an address that all threads may read; None where each needs its own.

        :raises rasterio.errors.RasterioIOError: where it cannot be opened.
        """
        with self._lock:
            known, found = self._known(address)
            if known or self._plain:
                return found
            opening = self._opening.setdefault(address, threading.Lock())
        with opening:
            with self._lock:
                known, found = self._known(address)
            if known:
                return found
            try:
                found = self._open_tiled(address)
                if found is not None and found.tiles is not None:
                    found.tiles.keeps = self._keeps
                with self._lock:
                    self._share(address, found)
            finally:
                with self._lock:
                    self._opening.pop(address, None)
            return found

    def opened(self, address: str) -> Raster | None:
        """The raster file at an address that is open for all threads; None where it is not."""
        with self._lock:
            return self._known(address)[1]

    def _known(self, address: str) -> tuple[bool, Raster | None]:
        """Whether it is known how to read an address, and the file if it may be read by all threads."""
        if address not in self._shared:
            return False, None
        found = self._shared[address]
        if found is not None and self._keeps and not found.is_current():
            self._unshare(address)
            return False, None
        self._shared.move_to_end(address)
        return True, found

    def _share(self, address: str, file: Raster | None) -> None:
        self._shared[address] = file
        self._bytes += file.nbytes if file is not None else 0
        while self._bytes > _SHARED_BYTES and len(self._shared) > 1:
            self._unshare(next(iter(self._shared)))

    def _unshare(self, address: str) -> None:
        file = self._shared.pop(address)
        self._bytes -= file.nbytes if file is not None else 0

    def _open_tiled(self, address: str) -> Raster | None:
        if not is_remote(address):
            return open_local(address) if address.startswith("/") else None
        if self._door is None:
            return None
        try:
            source = RangedFile(self._door, address, self._room)
            with self._lock:
                if self._describer is None:
                    # each thread that has GDAL look at a file begins with milliseconds of preparations
                    self._describer = ThreadPoolExecutor(1, thread_name_prefix="describe")
            return self._describer.submit(open_ranged, source).result()
        except Unsuited:
            return None
        except Unreachable as error:
            raise rasterio.errors.RasterioIOError(str(error)) from error

    def _open_alone(self, address: str) -> Raster:
        if self._door is not None and is_remote(address):
            # GDAL reads it whenever it connects, from any thread.
            os.environ["GDAL_HTTP_PROXY"] = self._door.tunnel()
        return open_raster(address)

    def ahead(self, jobs: Sequence[Callable[[], Callable[[], None]]], size: int) -> ReadAhead:
        """Jobs that fetch what is read soon, some of which run ahead.

        :param size: bytes that a job fetches, about.
        """
        return ReadAhead(self.submit, jobs, max(2, min(_FETCHES // 2, _AHEAD_BYTES // max(size, 1))))

    def submit(self, job: Callable[[], Any]) -> Future[Any]:
        """Run a job in one of the threads that fetch. Such a job must not wait for others."""
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(_FETCHES, thread_name_prefix="fetch")
        return self._pool.submit(job)


def check(file: Any, layer: Layer) -> CRS:
    """The reference system of an open file that is what its metadata say.

    :raises OpenEOError: AssetUnreadable, saying in what the file differs.
    """
    if not isinstance(file, Raster):
        return _checked(file, layer)
    known, crs = file.agrees.get(layer.index, (None, None))  # blocks of a cube, and requests, ask again and again
    if known is None or crs is None or known.dtype != layer.dtype or known.grid is not layer.grid:
        crs = _checked(file, layer)
        file.agrees[layer.index] = layer, crs
    return crs


def _checked(file: Any, layer: Layer) -> CRS:
    if file.crs is None:
        raise unreadable(layer, "the file has no georeference")
    if layer.kind is None:
        refuse_huge_blocks(file, layer.name)
    if layer.index > file.count:
        raise unreadable(layer, f"it has {file.count} bands, according to the metadata at least {layer.index}")
    dtype = file.dtypes[layer.index - 1]
    if layer.dtype is not None and np.dtype(dtype) != np.dtype(layer.dtype):
        raise unreadable(layer, f"its data type is {dtype}, according to the metadata {layer.dtype}")
    crs = file.crs
    assert isinstance(crs, CRS)
    if layer.grid is not None:
        if crs != layer.grid.crs:
            raise unreadable(layer, f"its reference system is {crs}, according to the metadata {layer.grid.crs}")
        for corner in ((0, 0), file.shape[::-1]):
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
        return layer.grid.crs or crs  # the same object as elsewhere: comparing others takes long
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


def tile_shape(layer: Layer, grid: GeoBox, handles: Handles) -> tuple[float, float]:
    """Rows and columns of a file's tiles, in pixels of a grid.

    Infinite where it would have to be fetched from elsewhere, cannot be read (which reading tells), or lies in another
    reference system.
    """
    unknown = math.inf, math.inf
    if layer.kind is not None or is_remote(layer.address):
        return unknown
    try:
        file = handles.open_layer(layer)
        crs = check(file, layer)
    except (rasterio.errors.RasterioError, OpenEOError):
        return unknown
    height, width = file.block_shapes[layer.index - 1]
    down, across = file.transform.e / grid.affine.e, file.transform.a / grid.affine.a
    return (height * abs(down), width * abs(across)) if crs == grid.crs else unknown
