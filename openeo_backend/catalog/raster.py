"""Open raster files."""

from __future__ import annotations

import os
from functools import cached_property

import numpy as np
import rasterio
from affine import Affine
from odc.geo.crs import CRS
from rasterio.io import DatasetReader
from rasterio.windows import Window

from openeo_backend.catalog.tiles import LocalFile, Tiles, tiles_of
from openeo_backend.sandbox.gdal import DRIVERS


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
        self._crs = file.crs
        self._file = file
        if tiles is not None:
            file.close()

    @property
    def width(self) -> int:
        return self.shape[1]

    @property
    def height(self) -> int:
        return self.shape[0]

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

    def close(self) -> None:
        self._file.close()


def open_raster(address: str, *, plain: bool = False) -> Raster:
    """The file at an address as GDAL opens it.

    :param plain: have GDAL read all pixels.
    :raises rasterio.errors.RasterioIOError: where it cannot be opened.
    """
    local = LocalFile.at(address) if not plain and address.startswith("/") and os.path.isfile(address) else None
    with rasterio.Env():
        file = DatasetReader(address, driver=list(DRIVERS), sharing=False)
    if local is None or local != LocalFile.at(address):
        return Raster(file)
    return Raster(file, tiles_of(file, local))
