"""Cubes as tables: values in memory, by row and column. Used by JSON, CSV, GeoJSON and Parquet."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import product
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import xarray as xr
from odc.geo.crs import CRS

from openeo_backend.cube.cube import Cube
from openeo_backend.cube.dimension import Dimension
from openeo_backend.cube.storage import Storage as StoredAs
from openeo_backend.errors import OpenEOError
from openeo_backend.formats.asset import AssetBand, Progress
from openeo_backend.formats.blocks import stream
from openeo_backend.formats.images import stated_nodata, unsuitable
from openeo_backend.formats.names import UNNAMED, instant, text
from openeo_backend.formats.statistics import Statistics, measure

#: Most values that text formats take; arrays larger than this belong into binary formats.
VALUES = 10_000_000


def collect(cube: Cube, format_name: str, progress: Progress) -> np.ndarray:
    """All values of a cube, computed window by window, in the order of its dimensions.

    Booleans stored as integers with a no-data value come back as booleans and None (object dtype).

    :raises OpenEOError: FormatUnsuitable beyond the number of values a text format takes.
    """
    size = math.prod(cube.data.shape)
    if size > VALUES:
        raise unsuitable(
            format_name, f"it holds at most {VALUES} values, the data cube has {size}", "Use netCDF, Zarr or GTiff."
        )
    array = cube.data.data
    if array.ndim < 2:
        array = array.reshape((1,) * (2 - array.ndim) + array.shape)
    out = np.empty(array.shape, array.dtype)
    for block in stream(array, lambda values, _: values, progress):
        out[block.place] = block.result
    out = out.reshape(cube.data.shape)
    if StoredAs.of(cube).boolean:
        absent, out = missing(out, cube.nodata), out.astype(bool).astype(object)
        out[absent] = None
    return out


def missing(values: np.ndarray, nodata: int | None) -> np.ndarray:
    """Where values are missing."""
    if values.dtype.kind in "fc":
        return np.isnan(values)
    if values.dtype.kind in "OM":
        return np.asarray(pd.isna(values))
    return np.zeros(values.shape, bool) if nodata is None else values == nodata


def plain(values: np.ndarray, nodata: int | None) -> Any:
    """Nested lists of JSON values: null for what is missing and for infinite numbers, which JSON cannot say."""
    absent = missing(values, nodata)
    if values.dtype.kind == "f":
        absent = absent | np.isinf(values)
    boxed = _shorten(values) if values.dtype.kind == "f" else values.astype(object)
    if values.dtype.kind == "M":
        boxed = np.array([instant(value) for value in values.ravel()], dtype=object).reshape(values.shape)
    boxed[absent] = None
    return boxed.tolist()


def _shorten(values: np.ndarray) -> np.ndarray:
    """Numbers as Python floats with the digits of their own precision (0.1, not 0.10000000149011612)."""
    if values.dtype == np.float64:
        return values.astype(object)
    digits = np.array([float(str(value)) for value in values.ravel()], dtype=object)
    return digits.reshape(values.shape)


def long_table(cube: Cube, values: np.ndarray) -> pd.DataFrame:
    """One row per date, feature and label of other dimensions, one column per band; sorted in that order.

    Columns: `date`, `feature_index`, feature properties, other dimensions, bands.
    """
    time, geometry, bands = (cube.of_type(kind)[:1] for kind in ("temporal", "geometry", "bands"))
    placed = {d.name for d in (*time, *geometry, *bands)}
    others = [d for d in cube.dimensions if d.name not in placed]
    order = [*time, *geometry, *others, *bands]
    axes = [cube.names.index(d.name) for d in order]
    turned = values.transpose(axes) if order else values
    columns = [text(label) for label in cube.labels(bands[0].name)] if bands else [UNNAMED]
    flat = turned.reshape(-1, len(columns))
    absent = missing(flat, cube.nodata)
    keys = [_keys(cube, d) for d in (*time, *geometry, *others)]
    table: dict[str, Any] = {}
    index = np.indices([len(key) for key in keys]).reshape(len(keys), -1) if keys else np.zeros((0, 1), int)
    for dimension, key, where in zip((*time, *geometry, *others), keys, index, strict=True):
        name = {"temporal": "date", "geometry": "feature_index"}.get(dimension.type, dimension.name)
        table[name if name not in table else dimension.name] = key[where]
        if dimension.type == "geometry" and cube.properties is not None:
            for column in cube.properties.columns:
                if str(column) not in columns:
                    table[str(column)] = cube.properties[column].iloc[where].reset_index(drop=True)
    for number, column in enumerate(columns):
        table[_free(column, table)] = _nullable(flat[:, number], absent[:, number])
    frame = pd.DataFrame(table)
    sort = [name for name in ("date", "feature_index") if name in frame]
    return frame.sort_values(sort, kind="stable", ignore_index=True) if sort else frame


def _keys(cube: Cube, dimension: Dimension) -> np.ndarray:
    labels = cube.labels(dimension.name)
    if dimension.type == "geometry":
        return np.arange(len(labels))
    if labels.dtype.kind in "iuf":
        return labels
    return np.array([text(label) for label in labels], dtype=object)


def _nullable(column: np.ndarray, absent: np.ndarray) -> Any:
    """A column that keeps whole numbers whole where others are missing."""
    if column.dtype.kind in "iu" and absent.any():
        return pd.Series(column).astype("Int64" if column.dtype.kind == "i" else "UInt64").mask(absent)
    return column


def _free(name: str, taken: Mapping[str, Any]) -> str:
    return name if name not in taken else f"{name}_value"


def wide_table(cube: Cube, values: np.ndarray, crs: str | None) -> gpd.GeoDataFrame:
    """One row per feature: its properties, then a column per label of all other dimensions (`date~band`).

    :param crs: reference system of the geometries; None keeps the cube's.
    """
    geometry = cube.of_type("geometry")[0]
    time, bands = cube.of_type("temporal")[:1], cube.of_type("bands")[:1]
    others = [d for d in cube.dimensions if d not in (geometry, *time, *bands)]
    rest = [*time, *others, *bands]
    axes = [cube.names.index(d.name) for d in (geometry, *rest)]
    flat = values.transpose(axes).reshape(len(cube.labels(geometry.name)), -1)
    absent = missing(flat, cube.nodata)
    labels = [[text(label) for label in cube.labels(d.name)] for d in rest]
    names = ["~".join(parts) or UNNAMED for parts in product(*labels)]
    table: dict[str, Any] = {}
    if cube.properties is not None:
        table = {
            str(c): cube.properties[c].reset_index(drop=True) for c in cube.properties.columns if str(c) not in names
        }
    if rest or not absent.all():
        for number, name in enumerate(names):
            table[_free(name, table)] = _nullable(flat[:, number], absent[:, number])
    shapes = cube.geometries()
    if crs is not None and shapes.crs is not None:
        shapes = shapes.to_crs(crs)
    return gpd.GeoDataFrame(table, geometry=shapes.to_numpy(), crs=shapes.crs)


def feature_cube(frame: gpd.GeoDataFrame) -> Cube:
    """A vector cube of features: dimensions `geometry` and, for columns of numbers, `properties`.

    All columns are kept as feature properties. Without columns of numbers the only dimension is `geometry`
    and every value is missing.
    """
    if not isinstance(frame, gpd.GeoDataFrame):
        raise OpenEOError("FileContentInvalid", "The file holds no geometries.")
    frame = frame.reset_index(drop=True)
    labels = np.empty(len(frame), dtype=object)
    labels[:] = list(frame.geometry)
    properties = pd.DataFrame(frame.drop(columns=frame.geometry.name))
    numbers = [str(c) for c in properties.columns if properties[c].dtype.kind in "iuf"]
    crs = CRS(frame.crs) if frame.crs is not None else None
    kept = properties if len(properties.columns) else None
    dimension = Dimension("geometry", "geometry")
    if not numbers:
        data = xr.DataArray(np.full(len(frame), np.nan), dims=("geometry",), coords={"geometry": labels})
        return Cube(data, (dimension,), crs, properties=kept)
    data = xr.DataArray(
        properties[numbers].to_numpy("float64", na_value=np.nan),
        dims=("geometry", "properties"),
        coords={"geometry": labels, "properties": np.array(numbers)},
    )
    return Cube(data, (dimension, Dimension("properties", "bands")), crs, properties=kept)


def describe_columns(cube: Cube, values: np.ndarray) -> tuple[AssetBand, ...]:
    """Band metadata with statistics of values in memory."""
    if values.dtype.kind not in "biuf":
        return ()
    bands = cube.of_type("bands")[:1]
    if not bands:
        return (_describe(cube, UNNAMED, measure(values, cube.nodata), values.dtype),)
    turned = np.moveaxis(values, cube.names.index(bands[0].name), 0)
    names = [text(label) for label in cube.labels(bands[0].name)]
    return tuple(
        _describe(cube, name, measure(band, cube.nodata), values.dtype)
        for name, band in zip(names, turned, strict=True)
    )


def _describe(cube: Cube, name: str, stats: Statistics, dtype: np.dtype) -> AssetBand:
    found = stats.count > 0
    known = cube.bands.get(name)
    return AssetBand(
        name=name,
        data_type=str(dtype),
        nodata=stated_nodata(float("nan") if dtype.kind == "f" else cube.nodata),
        minimum=stats.minimum if found else None,
        maximum=stats.maximum if found else None,
        mean=stats.mean if found else None,
        stddev=stats.stddev if found else None,
        valid_percent=stats.valid_percent,
        unit=known.unit if known else None,
        common_name=known.common_name if known else None,
    )
