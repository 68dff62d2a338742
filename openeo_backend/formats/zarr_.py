"""Zarr: the whole cube as a version 3 store in one zip file, laid out as the netCDF files are."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import xarray as xr
import zarr
from numcodecs.zstd import Zstd
from zarr.codecs import ZstdCodec
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.errors import ZarrUserWarning
from zarr.storage import LocalStore, ZipStore

from openeo_backend.cube.cube import Cube
from openeo_backend.errors import OpenEOError
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
from openeo_backend.formats.chunks import Chunking, Chunks, compressing
from openeo_backend.formats.images import suggest, unsuitable
from openeo_backend.formats.layout import Layout, arrange
from openeo_backend.formats.names import extents
from openeo_backend.formats.statistics import Statistics
from openeo_backend.sandbox.blocks import refuse_huge_chunks

MEDIA_TYPE = "application/zip"

#: Most bytes of one unpacked part of a zip file: of a chunk.
_LARGEST_PART = 512 * 2**20


def write(value: Any, folder: Path, stem: str, options: Mapping[str, Any], progress: Progress) -> list[Asset]:
    """Writes one zip file with a Zarr group: a variable per band, and the dimensions as in netCDF files.

    The cube is computed once, window by window; chunks are compressed where their window is computed, and stored
    once, not compressed again by the zip.

    :raises OpenEOError: FormatUnsuitable for values that are no cube of numbers.
    """
    if not isinstance(value, Cube) or value.data.dtype.kind not in "biuf" or not value.dimensions:
        raise unsuitable("Zarr", "it takes data cubes of numbers", suggest(value))
    refuse_names(value, "Zarr")
    layout = arrange(value, options)
    path = folder / f"{stem}.zarr.zip"
    with warnings.catch_warnings():
        # Text labels are stored as the extension of version 3 for texts, which the library calls unsettled.
        warnings.simplefilter("ignore", ZarrUserWarning)
        store = ZipStore(path, mode="w")
        try:
            level = int(options.get("compression_level", 1))
            chunking = layout.chunking(len(layout.planes), partial(_compress, level=level))
            variables = _create(store, layout, chunking, level)
            statistics = _fill(store, layout, variables, chunking, folder, progress)
        finally:
            store.close()
    bands = tuple(layout.describe(index, stats) for index, stats in enumerate(statistics))
    fields = extents(value)
    return [Asset(path=path, media_type=MEDIA_TYPE, title=path.stem, bands=bands, geobox=value.geobox, **fields)]


def _create(store: ZipStore, layout: Layout, chunking: Chunking, level: int) -> list[Any]:
    """The group with coordinates, and one empty array per band."""
    cube = layout.cube
    coordinates = [(d, *encoded) for d in layout.dimensions for encoded in encode_labels(cube, d)]
    others = (*cube.names, *(name for _, name, _, _ in coordinates))
    names = variable_names([plane.name for plane in layout.planes], others)
    described = describe_global(cube, dict(zip(names, (p.name for p in layout.planes), strict=True)))
    group = zarr.create_group(store, attributes=described)
    for dimension, name, values, attributes in coordinates:
        texts = values.astype(np.dtypes.StringDType()) if values.dtype.kind in "OU" else values
        _store_small(group, name, texts, attributes, (dimension.name,))
    if (mapping := grid_mapping(cube)) is not None:
        _store_small(group, "crs", np.array(0, "i4"), mapping, ())
    count = len(layout.array.shape[1:]) if layout.tiled else len(layout.array.shape[1:]) - 2
    chunks = tuple(min(c, n) for c, n in zip(chunking.chunks, layout.shape, strict=True))
    fill = layout.storage.nodata
    out = []
    for name, plane in zip(names, layout.planes, strict=True):
        attributes = band_attributes(cube, plane, layout.storage)
        if fill is not None and layout.storage.dtype.kind != "f":
            attributes["_FillValue"] = fill
        out.append(
            group.create_array(
                name,
                shape=layout.shape[:count],
                chunks=chunks[:count],
                dtype=layout.storage.dtype,
                fill_value=0 if fill is None else fill,
                dimension_names=[d.name for d in layout.dimensions],
                compressors=[ZstdCodec(level=level)],
                attributes=_plain(attributes),
                config={"write_empty_chunks": True},
            )
        )
    return out


def _store_small(
    group: Any, name: str, values: np.ndarray, attributes: Mapping[str, Any], dims: tuple[str, ...]
) -> None:
    array = group.create_array(
        name,
        shape=values.shape,
        chunks=tuple(max(n, 1) for n in values.shape),
        dtype=values.dtype,
        dimension_names=list(dims),
        attributes=_plain(attributes),
        config={"write_empty_chunks": True},
    )
    array[...] = values


def _plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
        for key, value in attributes.items()
    }


def _fill(
    store: ZipStore, layout: Layout, variables: list[Any], chunking: Chunking, folder: Path, progress: Progress
) -> list[Statistics]:
    """Streams the cube into the arrays, each chunk once."""
    statistics = [Statistics() for _ in variables]
    make = default_buffer_prototype().buffer.from_bytes

    def keep(band: int, start: tuple[int, ...], data: bytes) -> None:
        variable = variables[band]
        # Axes that stand in for y and x are not in the store.
        index = tuple(place // length for place, length in zip(start, variable.chunks, strict=False))
        sync(store.set(f"{variable.path}/{variable.metadata.encode_chunk_key(index)}", make(data)))

    with compressing() as pool:
        chunks = Chunks(chunking, len(variables), layout.storage.dtype, keep, pool, folder)
        for part in layout.parts(chunking, progress, folder):
            for index, cuttings in enumerate(part.bands):
                statistics[part.first + index].add(part.statistics[index])
                chunks.add(part.first + index, cuttings)
        chunks.drain()
    return statistics


def _compress(chunk: np.ndarray, level: int) -> bytes:
    """A chunk as the codecs of the arrays would store it: little-endian bytes, then zstd."""
    return bytes(Zstd(level=level).encode(chunk.astype(chunk.dtype.newbyteorder("<"), copy=False)))


def read(path: Path, options: Mapping[str, Any] | None = None) -> Cube:
    """A lazy cube of a Zarr store, in a zip file or a folder (version 2 or 3), read as netCDF files are.

    :raises OpenEOError: FileContentInvalid for a zip file with a part that unpacks to more than any chunk should.
    """
    if not path.is_dir():
        _refuse_bomb(path)
    store = LocalStore(path, read_only=True) if path.is_dir() else ZipStore(path, mode="r")
    plain: dict[str, Any] = {"mask_and_scale": False, "decode_times": False, "consolidated": False}
    found = xr.open_dataset(store, engine="zarr", chunks=None, create_default_indexes=False, **plain)  # type: ignore[arg-type]
    refuse_huge_chunks(found, path.name)
    return decode(xr.open_dataset(store, engine="zarr", chunks={}, **plain))  # type: ignore[arg-type]


def _refuse_bomb(path: Path) -> None:
    with ZipFile(path) as archive:
        for part in archive.infolist():
            if part.file_size > _LARGEST_PART:
                size, most = part.file_size / 1e6, _LARGEST_PART / 1e6
                message = (
                    f"The part '{part.filename[:80]}' of {path.name} unpacks to {size:,.0f} MB, over {most:,.0f} MB."
                )
                raise OpenEOError("FileContentInvalid", message)


FORMAT = Format(
    name="Zarr",
    title="Zarr",
    description="One zip file with a Zarr version 3 group that Zarr and xarray open as it is: an array per band over "
    "all other dimensions, chunked and compressed (zstd), with the same names and metadata as netCDF.",
    gis_data_types=("raster", "vector", "other"),
    extension=".zarr.zip",
    media_type=MEDIA_TYPE,
    parameters=schema.ZARR,
    write=write,
    read=read,
)
