"""netCDF: the whole cube in one file by the CF conventions, one variable per band."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
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
    refuse_names,
    variable_names,
)
from openeo_backend.formats.chunks import Chunking, Chunks, compressing, shuffled
from openeo_backend.formats.deflate import compress
from openeo_backend.formats.images import (
    suggest,
    unsuitable,
)
from openeo_backend.formats.layout import Layout, Part, arrange
from openeo_backend.formats.names import extents, slug
from openeo_backend.formats.statistics import Statistics
from openeo_backend.sandbox.hdf5 import refuse_hostile

MEDIA_TYPE = "application/x-netcdf"


def write(value: Any, folder: Path, stem: str, options: Mapping[str, Any], progress: Progress) -> list[Asset]:
    """Writes one file (one per band with `separate_asset_per_band`) with every dimension and its metadata.

    Chunks are compressed where their window is computed and stored as they are; the cube is computed once, window by
    window.

    :raises OpenEOError: FormatUnsuitable for values that are no cube of numbers.
    """
    if not isinstance(value, Cube) or value.data.dtype.kind not in "biuf" or not value.dimensions:
        raise unsuitable("netCDF", "it takes data cubes of numbers", suggest(value))
    refuse_names(value, "netCDF")
    layout = arrange(value, options)
    separate = bool(options.get("separate_asset_per_band"))
    count = len(layout.planes)
    groups = [[index] for index in range(count)] if separate else [list(range(count))]
    level = int(options.get("compression_level", 1))
    # A variable without dimensions has no chunks to compress.
    pack = partial(_compress, level=level) if layout.dimensions else np.ndarray.tobytes
    chunking = layout.chunking(len(groups[0]), pack)
    with compressing() as pool:
        files = []
        try:
            for group in groups:
                name = f"{stem}_{slug(layout.planes[group[0]].name)}.nc" if separate else f"{stem}.nc"
                files.append(_File(folder / name, layout, group, level, chunking, pool))
            for part in layout.parts(chunking, progress, folder):
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
        self, path: Path, layout: Layout, planes: list[int], level: int, chunking: Chunking, pool: ThreadPoolExecutor
    ) -> None:
        self.path, self.layout, self.planes, self.level = path, layout, planes, level
        self.statistics = [Statistics() for _ in planes]
        self.file = h5.Dataset(path, "w")
        self.variables = self._create(chunking)
        self._stored = [variable._h5ds.id for variable in self.variables]  # each look-up takes longer than a chunk
        self.chunks = Chunks(chunking, len(planes), layout.storage.dtype, self._store, pool, path.parent)

    def _create(self, chunking: Chunking) -> list[Any]:
        layout, cube = self.layout, self.layout.cube
        planes = [layout.planes[index] for index in self.planes]
        coordinates = [(d, *encoded) for d in layout.dimensions for encoded in encode_labels(cube, d)]
        others = (*cube.names, *(name for _, name, _, _ in coordinates))
        names = variable_names([plane.name for plane in planes], others)
        _attach(self.file, describe_global(cube, dict(zip(names, (p.name for p in planes), strict=True))))
        for dimension in layout.dimensions:
            self.file.createDimension(dimension.name, len(cube.labels(dimension.name)))
        for dimension, name, values, attributes in coordinates:
            dtype: Any = str if values.dtype.kind in "OU" else values.dtype
            variable = self.file.createVariable(name, dtype, (dimension.name,))
            variable[...] = [_text(value) for value in values] if dtype is str else values
            _attach(variable, attributes)
        if (mapping := grid_mapping(cube)) is not None:
            variable = self.file.createVariable("crs", "i4", ())
            variable[...] = 0
            _attach(variable, mapping)
        visible = layout.shape if layout.tiled else layout.shape[:-2]
        out = []
        for name, plane in zip(names, planes, strict=True):
            variable = self.file.createVariable(
                name,
                layout.storage.dtype,
                tuple(d.name for d in layout.dimensions),
                zlib=True,
                complevel=self.level,
                shuffle=True,
                chunksizes=tuple(min(c, n) for c, n in zip(chunking.chunks, visible, strict=False)),
                fill_value=layout.storage.nodata,
            )
            _attach(variable, band_attributes(cube, plane, layout.storage))
            out.append(variable)
        return out

    def add(self, part: Part) -> None:
        """Takes the bands of a window that belong to this file."""
        for index, cuttings in enumerate(part.bands):
            if self.planes[0] <= part.first + index <= self.planes[-1]:
                own = part.first + index - self.planes[0]
                self.statistics[own].add(part.statistics[index])
                self.chunks.add(own, cuttings)

    def _store(self, band: int, start: tuple[int, ...], data: bytes) -> None:
        if not self.layout.dimensions:
            self.variables[band][...] = np.frombuffer(data, self.layout.storage.dtype)[0]
            return
        self._stored[band].write_direct_chunk(start if self.layout.tiled else start[:-2], data)

    def finish(self, fields: Mapping[str, Any]) -> Asset:
        """Stores what is under way and describes the file."""
        self.chunks.drain()
        bands = []
        for index, variable, stats in zip(self.planes, self.variables, self.statistics, strict=True):
            bands.append(self.layout.describe(index, stats))
            if stats.count and self.layout.storage.dtype.kind in "iuf":
                variable.setncattr("actual_range", _range(stats, self.layout.storage.dtype))
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


def _range(stats: Statistics, dtype: np.dtype) -> np.ndarray:
    """Least and largest value; those of 64-bit integers went through floats, which may exceed them."""
    found = (stats.minimum, stats.maximum)
    if dtype.kind == "f":
        return np.array(found, dtype)
    limits = np.iinfo(dtype)
    return np.array([min(max(int(value), limits.min), limits.max) for value in found], dtype)


def _attach(target: Any, attributes: Mapping[str, Any]) -> None:
    for name, value in attributes.items():
        target.setncattr(name, _text(value) if isinstance(value, str) else value)


def _text(text: str) -> str:
    """Text as HDF5 can hold it: it ends at NUL."""
    return text.replace("\0", "")


def _compress(chunk: np.ndarray, level: int) -> bytes:
    """A chunk as HDF5's shuffle and deflate filters would store it."""
    return compress(shuffled(chunk).data, level)


def read(path: Path, options: Mapping[str, Any] | None = None) -> Cube:
    """A lazy cube of the file's data variables; variables of equal dimensions become labels of `bands`.

    :raises OpenEOError: FileContentInvalid for a file that takes data from other files, or holds too large parts.
    """
    refuse_hostile(path, path.name)
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
