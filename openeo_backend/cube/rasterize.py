"""Vector cubes on the pixels of a raster cube."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr
from dask.highlevelgraph import HighLevelGraph

from openeo_backend.cube.cube import Cube
from openeo_backend.cube.dimension import Dimension
from openeo_backend.cube.grid import horizontal
from openeo_backend.cube.inside import Selection
from openeo_backend.cube.nodata import nullable
from openeo_backend.cube.storage import Storage
from openeo_backend.cube.zonal import Places, slices_of
from openeo_backend.errors import OpenEOError


def rasterize(zones: Cube, grid: Cube) -> Cube:
    """The values of `zones`, or its numeric properties as bands, on the pixels of `grid` that geometries select.

    Lazy if `grid` or the values are. Where geometries overlap, the last one counts.

    :raises OpenEOError: ProcessParameterInvalid where there are no numbers.
    """
    x, y = horizontal(grid)
    valued = nullable(_valued(zones))
    geometry = valued.of_type("geometry")[0].name
    others = [d for d in valued.dimensions if d.name != geometry]
    _refuse_twice(others, (x, y))
    array = valued.data.transpose(geometry, *(d.name for d in others))
    places = Places.of(grid, zones.geometries())
    storage = Storage.of(valued)
    values: Any
    if grid.is_lazy or valued.is_lazy:
        values = _lazy(array.data, places, _chunks(grid, y.name), _chunks(grid, x.name), storage)
    else:
        selection = places.select(np.arange(len(places.ids)), slice(None), slice(None))()
        values = _paint(np.asarray(array.data), selection, (len(places.ys), len(places.xs)), storage)
    coords: dict[str, Any] = {d.name: (d.name, valued.labels(d.name)) for d in others}
    coords |= {d.name: (d.name, grid.labels(d.name)) for d in (y, x)}
    data = xr.DataArray(values, dims=[*(d.name for d in others), y.name, x.name], coords=coords, attrs=array.attrs)
    dimensions = tuple(_band_like(d) for d in others)
    return valued.patch(data=data, dimensions=(*dimensions, y, x), crs=grid.crs, properties=None)


def _refuse_twice(own: Sequence[Dimension], grid: Sequence[Dimension]) -> None:
    taken = [d.name for d in own if d.type == "spatial" or d.name in [g.name for g in grid]]
    if taken:
        raise OpenEOError(
            "DimensionExists",
            f"The vector data cube has the dimension '{taken[0]}', but pixels have their x and y from the target.",
            hint="Remove it before, e.g. with reduce_dimension.",
        )


def _band_like(dimension: Dimension) -> Dimension:
    """A dimension of properties as bands."""
    return dimension.patch(type="bands") if dimension.name == "properties" else dimension


def _chunks(grid: Cube, name: str) -> tuple[int, ...]:
    return tuple(grid.data.chunksizes[name]) if grid.is_lazy else (grid.data.sizes[name],)


def _valued(zones: Cube) -> Cube:
    """The vector cube with its values, or with those of its numeric properties if it has no other dimension."""
    if len(zones.dimensions) > 1 or zones.is_lazy or not bool(zones.data.isnull().all()):
        if zones.data.dtype.kind not in "biuf":
            raise _refuse("values")
        return zones
    table = zones.properties
    names = [] if table is None else [name for name in table.columns if table[name].dtype.kind in "iuf"]
    if table is None or not names:
        raise _refuse("values and no properties")
    geometry = zones.dimensions[0]
    values = np.stack([_numbers(table[name]) for name in names], axis=-1)
    labels = np.empty(len(names), dtype=object)
    labels[:] = [str(name) for name in names]
    data = xr.DataArray(
        values,
        dims=(geometry.name, "properties"),
        coords={geometry.name: (geometry.name, zones.labels(geometry.name)), "properties": ("properties", labels)},
    )
    return zones.patch(data=data, dimensions=(geometry, Dimension("properties", "bands")), nodata=None)


def _numbers(column: pd.Series) -> np.ndarray:
    return column.to_numpy("float64", na_value=np.nan) if column.hasnans else column.to_numpy()


def _refuse(what: str) -> OpenEOError:
    return OpenEOError(
        "ProcessParameterInvalid",
        f"The vector data cube has no {what} that are numbers.",
        hint="Name numeric properties in load_geojson, or use the result of aggregate_spatial.",
    )


def _paint(values: np.ndarray, selection: Selection, shape: tuple[int, int], storage: Storage) -> np.ndarray:
    """Values (geometries, others) on the pixels of a block: (others, rows, columns)."""
    out = storage.empty((*values.shape[1:], shape[0] * shape[1]))
    out[...] = storage.null
    for position, id in enumerate(selection.ids.tolist()):
        pixels = selection.pixels[selection.starts[position] : selection.starts[position + 1]]
        out[..., pixels] = values[id][..., np.newaxis]
    return out.reshape(*values.shape[1:], *shape)


def _lazy(values: Any, places: Places, rows: tuple[int, ...], columns: tuple[int, ...], storage: Storage) -> da.Array:
    values = da.asarray(values)
    values = values.rechunk({0: -1})
    name = f"rasterize-{uuid.uuid4().hex}"
    parts = slices_of(rows), slices_of(columns)
    touched = places.touched(*parts)
    tasks: dict[Any, Any] = {}
    for row, column in np.ndindex(len(rows), len(columns)):
        chosen = touched.get((row, column), np.zeros(0, int))
        select = places.select(chosen, parts[0][row], parts[1][column])
        task = _Block(select, (rows[row], columns[column]), storage)
        for index in np.ndindex(*values.numblocks[1:]):
            tasks[(name, *index, row, column)] = (task, (values.name, 0, *index))
    graph = HighLevelGraph.from_collections(name, tasks, dependencies=cast(Any, [values]))
    return da.Array(graph, name, chunks=(*values.chunks[1:], rows, columns), dtype=storage.dtype)


@dataclass(frozen=True, eq=False)
class _Block:
    """The pixels of one block."""

    select: Callable[[], Selection]
    shape: tuple[int, int]
    storage: Storage

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return _paint(values, self.select(), self.shape, self.storage)
