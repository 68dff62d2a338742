"""netCDF: the whole cube in one file by the CF conventions, one variable per band."""

from __future__ import annotations

import os
import zlib
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import h5netcdf.legacyapi as h5
import numpy as np
import xarray as xr

from openeo_backend.cube.cube import Cube
from openeo_backend.formats import options as schema
from openeo_backend.formats.asset import Asset, Format, Progress
from openeo_backend.formats.cf import (
    band_attributes,
    decode,
    describe_global,
    encode_labels,
    grid_mapping,
    variable_names,
)
from openeo_backend.formats.hdf5 import refuse_outside
from openeo_backend.formats.images import (
    suggest,
    unsuitable,
)
from openeo_backend.formats.layout import Layout, Part, arrange
from openeo_backend.formats.names import extents, slug
from openeo_backend.formats.statistics import Statistics
from openeo_backend.formats.tiles import TILE_BUDGET, Pyramid, Tile, decimate_nearest

MEDIA_TYPE = "application/x-netcdf"


def write(value: Any, folder: Path, stem: str, options: Mapping[str, Any], progress: Progress) -> list[Asset]:
    """Writes one file (one per band with `separate_asset_per_band`) with every dimension and its metadata.

    Chunks are compressed in threads and stored as they are; the cube is computed once, window by window.

    :raises OpenEOError: FormatUnsuitable for values that are no cube of numbers.
    """
    if not isinstance(value, Cube) or value.data.dtype.kind not in "biuf" or not value.dimensions:
        raise unsuitable("netCDF", "it takes data cubes of numbers", suggest(value))
    layout = arrange(value, options)
    separate = bool(options.get("separate_asset_per_band"))
    count = len(layout.planes)
    groups = [[index] for index in range(count)] if separate else [list(range(count))]
    threads = os.cpu_count() or 1
    level = int(options.get("compression_level", 1))
    with ThreadPoolExecutor(threads, thread_name_prefix="deflate") as pool:
        files = []
        try:
            for group in groups:
                name = f"{stem}_{slug(layout.planes[group[0]].name)}.nc" if separate else f"{stem}.nc"
                files.append(_File(folder / name, layout, group, level, pool, 2 * threads))
            for part in layout.parts(progress):
                for file in files:
                    file.add(part)
            fields = extents(value)
            return [file.finish(fields) for file in files]
        finally:
            for file in files:
                file.close()


class _File:
    """One netCDF file that grows chunk by chunk."""

    def __init__(
        self, path: Path, layout: Layout, planes: list[int], level: int, pool: ThreadPoolExecutor, limit: int
    ) -> None:
        self.path, self.layout, self.planes = path, layout, planes
        self.level, self.pool, self.limit = level, pool, limit
        self.shape = tuple(int(n) for n in layout.array.shape[1:])
        self.statistics = [Statistics() for _ in planes]
        self.pending: deque[tuple[list[_Chunk], Tile]] = deque()
        self.chunks = layout.chunks(len(planes))
        self.file = h5.Dataset(path, "w")
        self.variables = self._create()
        leading = self.shape[:-2]
        fill = layout.storage.nodata
        self.fill = 0 if fill is None else fill
        self.pyramid = Pyramid(
            (len(planes) * int(np.prod(leading)), self.shape[-2], self.shape[-1]),
            layout.storage.dtype,
            self.chunks[-1],
            0,
            decimate_nearest,
            self.fill,
            self._emit,
            path.parent,
            TILE_BUDGET,
        )

    def _create(self) -> list[Any]:
        layout, cube = self.layout, self.layout.cube
        planes = [layout.planes[index] for index in self.planes]
        names = variable_names([plane.name for plane in planes], cube)
        _attach(self.file, describe_global(cube, dict(zip(names, (p.name for p in planes), strict=True))))
        for dimension in layout.dimensions:
            self.file.createDimension(dimension.name, len(cube.labels(dimension.name)))
            for name, values, attributes in encode_labels(cube, dimension):
                dtype: Any = str if values.dtype.kind in "OU" else values.dtype
                variable = self.file.createVariable(name, dtype, (dimension.name,))
                variable[...] = values
                _attach(variable, attributes)
        if (mapping := grid_mapping(cube)) is not None:
            variable = self.file.createVariable("crs", "i4", ())
            variable[...] = 0
            _attach(variable, mapping)
        visible = self.shape if layout.tiled else self.shape[:-2]
        out = []
        for name, plane in zip(names, planes, strict=True):
            variable = self.file.createVariable(
                name,
                layout.storage.dtype,
                tuple(d.name for d in layout.dimensions),
                zlib=True,
                complevel=self.level,
                shuffle=True,
                chunksizes=tuple(min(c, n) for c, n in zip(self.chunks, visible, strict=False)),
                fill_value=layout.storage.nodata,
            )
            _attach(variable, band_attributes(cube, plane, layout.storage))
            out.append(variable)
        return out

    def add(self, part: Part) -> None:
        """Takes the bands of a window that belong to this file."""
        for index, band in enumerate(part.bands):
            if self.planes[0] <= part.first + index <= self.planes[-1]:
                own = part.first + index - self.planes[0]
                self.statistics[own].add(part.statistics[index])
                self.layout.paste(self.pyramid, own, part.place, band)

    def _emit(self, tile: Tile) -> None:
        """Sends the chunks of a finished tile to compression."""
        leading, depth = self.shape[:-2], self.chunks[:-2]
        values = tile.values.reshape(len(self.planes), *leading, *tile.values.shape[-2:])
        side_y, side_x = (min(self.chunks[-1], n) for n in self.shape[-2:])
        values = values[..., :side_y, :side_x]
        chunks = []
        for plane in range(len(self.planes)):
            for start in product(*(range(0, n, d) for n, d in zip(leading, depth, strict=True))):
                cut = tuple(slice(s, s + d) for s, d in zip(start, depth, strict=True))
                offset = (*start, tile.row * self.chunks[-1], tile.column * self.chunks[-1])
                full = (*depth, side_y, side_x)
                future = self.pool.submit(_encode, values[plane][cut], full, self.fill, self.level)
                chunks.append(_Chunk(plane, offset, future))
        self.pending.append((chunks, tile))
        while len(self.pending) > self.limit:
            self._store()

    def _store(self) -> None:
        chunks, tile = self.pending.popleft()
        for chunk in chunks:
            offset = chunk.offset if self.layout.tiled else chunk.offset[:-2]
            self.variables[chunk.plane]._h5ds.id.write_direct_chunk(offset, chunk.data.result())
        self.pyramid.release(tile)

    def finish(self, fields: Mapping[str, Any]) -> Asset:
        """Stores what is under way and describes the file."""
        while self.pending:
            self._store()
        bands = []
        for index, variable, stats in zip(self.planes, self.variables, self.statistics, strict=True):
            bands.append(self.layout.describe(index, stats))
            if stats.count and self.layout.storage.dtype.kind in "iuf":
                low, high = np.array([stats.minimum, stats.maximum]).astype(self.layout.storage.dtype)
                variable.setncattr("actual_range", np.array([low, high]))
        self.close()
        cube = self.layout.cube
        return Asset(
            path=self.path,
            media_type=MEDIA_TYPE,
            title=self.path.stem,
            bands=tuple(bands),
            geobox=cube.geobox,
            **fields,
        )

    def close(self) -> None:
        self.file.close()


def _attach(target: Any, attributes: Mapping[str, Any]) -> None:
    for name, value in attributes.items():
        target.setncattr(name, value)


@dataclass(frozen=True)
class _Chunk:
    plane: int
    offset: tuple[int, ...]
    data: Future[bytes]


def _encode(values: np.ndarray, shape: tuple[int, ...], fill: float, level: int) -> bytes:
    """A chunk as HDF5's shuffle and deflate filters would store it; edges are filled up to the chunk's size."""
    if values.shape != shape:
        whole = np.full(shape, fill, values.dtype)
        whole[tuple(slice(0, n) for n in values.shape)] = values
        values = whole
    raw = np.ascontiguousarray(values).view("u1").reshape(-1, values.dtype.itemsize)
    return zlib.compress(np.ascontiguousarray(raw.T).data, level)


def read(path: Path, options: Mapping[str, Any] | None = None) -> Cube:
    """A lazy cube of the file's data variables; variables of equal dimensions become labels of `bands`.

    :raises OpenEOError: FileContentInvalid for a file that takes data from other files.
    """
    refuse_outside(path)
    dataset = xr.open_dataset(path, engine="h5netcdf", chunks={}, mask_and_scale=False, decode_times=False)
    return decode(dataset)


FORMAT = Format(
    name="netCDF",
    title="Network Common Data Form",
    description="One netCDF-4 file with the whole data cube by the CF conventions: a variable per band (called var "
    "where there is no band dimension), all dimensions with their labels and metadata, chunked and compressed. "
    "Vector cubes keep their geometries as WKT and their properties.",
    gis_data_types=("raster", "vector", "other"),
    extension=".nc",
    media_type=MEDIA_TYPE,
    parameters=schema.NETCDF,
    write=write,
    read=read,
)
