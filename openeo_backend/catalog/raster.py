"""Open raster files."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property, partial

import numpy as np
import rasterio
import rasterio.errors
from affine import Affine
from odc.geo.crs import CRS
from rasterio.io import DatasetReader, MemoryFile
from rasterio.session import DummySession
from rasterio.windows import Window

from openeo_backend.catalog.layer import Layer
from openeo_backend.catalog.ranges import RangedFile
from openeo_backend.catalog.tiff import is_described
from openeo_backend.catalog.tiles import LocalFile, Tiles, tiles_of
from openeo_backend.sandbox.gdal import DRIVERS

#: Where GDAL tells how the overviews of a file were made.
_RESAMPLED = "OVERVIEW_RESAMPLING"

#: Bytes of a description without the places of tiles.
_DESCRIPTION = 8192


class Raster:
    """A file as GDAL describes it. Its pixels come from GDAL, or where they are stored in a common way straight from
    the file: then any thread may read them.

    :param tiles: where GDAL is not needed for pixels.
    """

    def __init__(self, file: DatasetReader, tiles: Tiles | None = None) -> None:
        self.transform: Affine = file.transform
        self.shape: tuple[int, int] = tuple(file.shape)
        self.count: int = file.count
        self.dtypes: tuple[str, ...] = tuple(file.dtypes)
        self.nodatavals: tuple[float | None, ...] = tuple(file.nodatavals)
        self.block_shapes: tuple[tuple[int, int], ...] = tuple(file.block_shapes)
        self.interleaving = file.interleaving
        self.tiles = tiles
        self.agrees: dict[int, tuple[Layer, CRS]] = {}
        """By band: the metadata with which it was compared last, and the reference system."""
        self._crs = file.crs
        self._file = file
        if tiles is not None:
            file.close()

    @property
    def nbytes(self) -> int:
        """Memory that it takes, about, without what GDAL has."""
        if self.tiles is None:
            return _DESCRIPTION
        held = len(self.tiles.source.head) if isinstance(self.tiles.source, RangedFile) else 0
        return _DESCRIPTION + self.tiles.layout.nbytes + held

    @cached_property
    def crs(self) -> CRS | None:
        """The reference system; None where the file has none."""
        return CRS(self._crs) if self._crs is not None else None

    def read(
        self,
        index: int,
        window: tuple[slice, slice],
        out: np.ndarray | None = None,
        whole: tuple[slice, slice] | None = None,
    ) -> np.ndarray:
        """Stored values of a band (counted from 1) in a window of rows and columns.

        :param out: the array to fill, of the shape of the window and the data type of the band.
        :param whole: the window of which others will ask for the rest.
        :raises rasterio.errors.RasterioIOError: where it cannot be read.
        """
        if self.tiles is None:
            return np.asarray(self._file.read(index, window=Window.from_slices(*window), out=out))
        if out is None:
            out = np.empty([part.stop - part.start for part in window], self.dtypes[index - 1])
        self.tiles.read(index - 1, window, out, whole)
        return out

    def is_current(self) -> bool:
        """Whether the file is still the one that was opened, as far as that is known."""
        return self.tiles is None or self.tiles.source.is_current()

    def is_unpacked(self, index: int, window: tuple[slice, slice]) -> bool:
        """Whether reading a window takes nothing but copying pixels that are here."""
        return self.tiles is not None and self.tiles.are_unpacked(index - 1, window)

    def fetch(
        self, index: int, window: tuple[slice, slice], submit: Callable[[Callable[[], None]], object]
    ) -> Callable[[], None]:
        """Have the bytes here that reading a window needs, where these are elsewhere.

        :param submit: runs a function at some time.
        :returns: how to let them go.
        """
        source = self.tiles.source if self.tiles is not None else None
        if self.tiles is None or not isinstance(source, RangedFile):
            return lambda: None
        spans = self.tiles.spans(index - 1, window)
        taken = source.fetch(spans, submit)
        if len(spans) == 1 and source.is_here(*spans[0]):
            self.tiles.unpack(index - 1, window)  # while others are still fetched
        return partial(source.release, taken)

    def close(self) -> None:
        self._file.close()


def open_raster(address: str) -> Raster:
    """The file at an address as GDAL opens and reads it, for one thread.

    :raises rasterio.errors.RasterioIOError: where it cannot be opened.
    """
    with rasterio.Env():
        return Raster(DatasetReader(address, driver=list(DRIVERS), sharing=False))


def open_local(path: str) -> Raster | None:
    """The file at a path for all threads; None where GDAL has to read its pixels.

    :raises rasterio.errors.RasterioIOError: where it cannot be opened.
    """
    local = LocalFile.at(path) if os.path.isfile(path) else None
    with rasterio.Env(session=DummySession()):
        file = DatasetReader(path, driver=list(DRIVERS), sharing=False)
    if local is not None and local == LocalFile.at(path) and (tiles := tiles_of(file, local)) is not None:
        return Raster(file, tiles)
    file.close()
    return None


def open_ranged(source: RangedFile) -> Raster | None:
    """A file that is read in ranges, for all threads; None where its first bytes do not describe it, or GDAL has to
    read its pixels."""
    if not is_described(source.head):
        return None
    try:
        with rasterio.Env(session=DummySession()), MemoryFile(source.head) as memory:
            file = DatasetReader(memory.name, driver=["GTiff"], sharing=False)
            tiles = tiles_of(file, source)
            raster = Raster(file, tiles) if tiles is not None else None
            file.close()
            source.forget_head()
            return raster
    except rasterio.errors.RasterioIOError:
        return None


def open_overview(source: str | RangedFile, factor: int, trusted: bool) -> Raster | None:
    """The overview of means with pixels so many times as large, for one thread; None where there is none.

    GDAL looks at files of this machine and at what is in memory: whatever else it asks for, other threads of this
    process would have to get for it, which they cannot meanwhile.

    :param source: a path, or a file that is read in ranges.
    :param trusted: whether all overviews are means; else those are that the file tells to be.
    :raises rasterio.errors.RasterioIOError: where it cannot be opened.
    """
    if isinstance(source, str):
        return _overview(source, LocalFile.at(source), factor, trusted) if os.path.isfile(source) else None
    if not is_described(source.head):
        return None
    try:
        with MemoryFile(source.head) as memory:
            found = _overview(memory.name, source, factor, trusted)
    except rasterio.errors.RasterioIOError:  # the first bytes do not describe it
        return None
    source.forget_head()
    return found if found is not None and found.tiles is not None else None


def _overview(name: str, source: LocalFile | RangedFile, factor: int, trusted: bool) -> Raster | None:
    with rasterio.Env(session=DummySession()):
        with DatasetReader(name, driver=list(DRIVERS), sharing=False) as file:
            level = _level(file, factor, trusted)
        if level is None:
            return None
        file = DatasetReader(name, driver=list(DRIVERS), sharing=False, overview_level=level)
        return Raster(file, tiles_of(file, source))


def _level(file: DatasetReader, factor: int, trusted: bool) -> int | None:
    told = file.tags().get("OVR_RESAMPLING_ALG") or file.tags(ns="IMAGE_STRUCTURE").get(_RESAMPLED)
    if file.height % factor or file.width % factor or not (trusted or str(told).upper() == "AVERAGE"):
        return None
    factors: list[list[int]] = [file.overviews(band) for band in file.indexes]
    return factors[0].index(factor) if all(factor in own for own in factors) else None
