"""Zarr: the whole cube as a version 3 store in one zip file, laid out as the netCDF files are."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import ZstdCodec
from zarr.errors import ZarrUserWarning
from zarr.storage import LocalStore, ZipStore

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
from openeo_backend.formats.images import suggest, unsuitable
from openeo_backend.formats.layout import Layout, arrange
from openeo_backend.formats.names import extents
from openeo_backend.formats.statistics import Statistics
from openeo_backend.formats.tiles import Pyramid, Tile, decimate_nearest

MEDIA_TYPE = "application/zip"


def write(value: Any, folder: Path, stem: str, options: Mapping[str, Any], progress: Progress) -> list[Asset]:
    """Writes one zip file with a Zarr group: a variable per band, and the dimensions as in netCDF files.

    The cube is computed once, window by window; each chunk is stored once, uncompressed by the zip itself.

    :raises OpenEOError: FormatUnsuitable for values that are no cube of numbers.
    """
    if not isinstance(value, Cube) or value.data.dtype.kind not in "biuf" or not value.dimensions:
        raise unsuitable("Zarr", "it takes data cubes of numbers", suggest(value))
    layout = arrange(value, options)
    path = folder / f"{stem}.zarr.zip"
    with warnings.catch_warnings():
        # Text labels are stored as the extension of version 3 for texts, which the library calls unsettled.
        warnings.simplefilter("ignore", ZarrUserWarning)
        store = ZipStore(path, mode="w")
        try:
            variables = _create(store, layout, int(options.get("compression_level", 1)))
            statistics = _fill(layout, variables, folder, progress)
        finally:
            store.close()
    bands = tuple(layout.describe(index, stats) for index, stats in enumerate(statistics))
    fields = extents(value)
    return [Asset(path=path, media_type=MEDIA_TYPE, title=path.stem, bands=bands, geobox=value.geobox, **fields)]


def _create(store: ZipStore, layout: Layout, level: int) -> list[Any]:
    """The group with coordinates, and one empty array per band."""
    cube = layout.cube
    names = variable_names([plane.name for plane in layout.planes], cube)
    described = describe_global(cube, dict(zip(names, (p.name for p in layout.planes), strict=True)))
    group = zarr.create_group(store, attributes=described)
    for dimension in layout.dimensions:
        for name, values, attributes in encode_labels(cube, dimension):
            if values.dtype.kind in "OU":
                values = values.astype(np.dtypes.StringDType())
            _store_small(group, name, values, attributes, (dimension.name,))
    if (mapping := grid_mapping(cube)) is not None:
        _store_small(group, "crs", np.array(0, "i4"), mapping, ())
    count = len(layout.array.shape[1:]) if layout.tiled else len(layout.array.shape[1:]) - 2
    chunks = tuple(min(c, n) for c, n in zip(layout.chunks(len(names)), layout.shape, strict=True))
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


def _fill(layout: Layout, variables: list[Any], folder: Path, progress: Progress) -> list[Statistics]:
    """Streams the cube into the arrays, tile by tile, so that each chunk is written once."""
    statistics = [Statistics() for _ in variables]
    leading = layout.shape[:-2]
    side = layout.chunks(len(variables))[-1]

    def store(tile: Tile) -> None:
        y, x = tile.row * side, tile.column * side
        height, width = layout.shape[-2:]
        rows, columns = slice(y, min(y + side, height)), slice(x, min(x + side, width))
        values = tile.values[:, : rows.stop - y, : columns.stop - x]
        for variable, band in zip(variables, values.reshape(len(variables), *leading, *values.shape[1:]), strict=True):
            if layout.tiled:
                variable[(..., rows, columns)] = band
            else:
                variable[...] = band[..., 0, 0]
        pyramid.release(tile)

    fill = layout.storage.nodata
    shape = (len(variables) * prod(leading), *layout.shape[-2:])
    pyramid = Pyramid(
        (shape[0], shape[1], shape[2]),
        layout.storage.dtype,
        side,
        0,
        decimate_nearest,
        0 if fill is None else fill,
        store,
        folder,
    )
    for part in layout.parts(progress):
        for index, band in enumerate(part.bands):
            statistics[part.first + index].add(part.statistics[index])
            layout.paste(pyramid, part.first + index, part.place, band)
    return statistics


def read(path: Path, options: Mapping[str, Any] | None = None) -> Cube:
    """A lazy cube of a Zarr store, in a zip file or a folder (version 2 or 3), read as netCDF files are."""
    store = LocalStore(path, read_only=True) if path.is_dir() else ZipStore(path, mode="r")
    dataset = xr.open_dataset(
        store,  # type: ignore[arg-type]
        engine="zarr",
        chunks={},
        mask_and_scale=False,
        decode_times=False,
        consolidated=False,
    )
    return decode(dataset)


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
