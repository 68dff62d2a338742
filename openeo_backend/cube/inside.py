"""Which pixels geometries select, block by block.

Polygons select the pixels whose centres they intersect, edges included; points the pixel with the nearest centre;
lines every pixel whose area they touch.
"""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import shapely
import xarray as xr
from affine import Affine
from rasterio.features import rasterize

from openeo_backend.cube.cube import Cube
from openeo_backend.cube.grid import Bounds, horizontal, need_crs, step
from openeo_backend.errors import OpenEOError

POLYGONS = (3, 6)
"""GEOS type ids of Polygon and MultiPolygon."""


def type_ids(geometries: np.ndarray) -> np.ndarray:
    """GEOS type ids of geometries."""
    return np.asarray(shapely.get_type_id(geometries))


def inside(cube: Cube, geometries: np.ndarray) -> xr.DataArray:
    """A boolean array over y and x of a raster cube, true where a geometry selects the pixel; lazy as the cube.

    :param geometries: object array, in the reference system of the cube.
    """
    need_crs(cube)
    x, y = horizontal(cube)
    xs, ys = cube.labels(x.name).astype("float64"), cube.labels(y.name).astype("float64")
    if cube.crs is not None and cube.crs.geographic:
        geometries = _turned(geometries, xs)
    sizes = (abs(step(cube, x) or 0.0), abs(step(cube, y) or 0.0))
    data: Any
    if cube.is_lazy and len(xs) and len(ys):
        chunks = dict(zip(cube.data.dims, cube.data.chunks or (), strict=True))
        rows = da.from_array(ys, chunks=(chunks[y.name],), name=False)[:, None]
        columns = da.from_array(xs, chunks=(chunks[x.name],), name=False)[None, :]
        data = da.map_blocks(_select_block, rows, columns, geometries=geometries, sizes=sizes, dtype=bool, meta=_META)
    else:
        data = _select_block(ys[:, None], xs[None, :], geometries, sizes)
    return xr.DataArray(data, dims=(y.name, x.name), coords={y.name: cube.data[y.name], x.name: cube.data[x.name]})


_META = np.empty((0, 0), dtype=bool)


def selected_bounds(cube: Cube, geometries: np.ndarray) -> list[Bounds]:
    """The rectangle around the centres of all pixels that geometries may select; empty for no geometries."""
    if not len(geometries):
        return []
    x, y = horizontal(cube)
    half_x, half_y = abs(step(cube, x) or 0.0) / 2, abs(step(cube, y) or 0.0) / 2
    loose = ~np.isin(shapely.get_type_id(geometries), POLYGONS)
    bounds = shapely.bounds(geometries)
    grow = np.where(loose[:, None], [-half_x, -half_y, half_x, half_y], 0.0)
    bounds = bounds + grow
    return [Bounds(bounds[:, 0].min(), bounds[:, 1].min(), bounds[:, 2].max(), bounds[:, 3].max())]


def _turned(geometries: np.ndarray, xs: np.ndarray) -> np.ndarray:
    """The geometries, and their copies 360 degrees around where the labels of x go there."""
    if not len(geometries) or not len(xs):
        return geometries
    bounds = shapely.bounds(geometries)
    found = [geometries]
    for turn in (-360.0, 360.0):
        reach = (bounds[:, 2] + turn >= xs.min()) & (bounds[:, 0] + turn <= xs.max())
        if reach.any():
            found.append(shapely.transform(geometries[reach], lambda points, turn=turn: points + [turn, 0.0]))
    return np.concatenate(found)


def _select_block(ys: np.ndarray, xs: np.ndarray, geometries: np.ndarray, sizes: tuple[float, float]) -> np.ndarray:
    """The pixels of one block, given the labels of its rows (n, 1) and columns (1, m)."""
    selected = np.zeros((ys.shape[0], xs.shape[1]), dtype=bool)
    if not selected.size or not len(geometries):
        return selected
    ys, xs = ys[:, 0], xs[0, :]
    window = shapely.box(xs.min() - sizes[0], ys.min() - sizes[1], xs.max() + sizes[0], ys.max() + sizes[1])
    near = geometries[shapely.intersects(shapely.envelope(geometries), window)]
    polygonal = np.isin(shapely.get_type_id(near), POLYGONS)
    if polygonal.any():
        selected |= _centers_in(near[polygonal], ys, xs)
    for geometry in near[~polygonal]:
        selected |= _cells_touched(geometry, ys, xs, sizes)
    return selected


def _centers_in(polygons: np.ndarray, ys: np.ndarray, xs: np.ndarray) -> np.ndarray:
    """Pixels whose centres polygons intersect: rasterised, and tested one by one along the boundaries."""
    affine = _affine(ys, xs)
    if affine is None:
        doubtful = np.ones((len(ys), len(xs)), dtype=bool)
        found = np.zeros_like(doubtful)
    else:
        shape = (len(ys), len(xs))
        burned = rasterize(polygons, out_shape=shape, transform=affine, dtype="uint8")
        edges = rasterize(
            shapely.boundary(polygons), out_shape=shape, transform=affine, dtype="uint8", all_touched=True
        )
        found, doubtful = burned.astype(bool), _grown(edges.astype(bool))
    rows, columns = np.nonzero(doubtful)
    if len(rows):
        tree = shapely.STRtree(polygons)
        points = shapely.points(xs[columns], ys[rows])
        hits = np.zeros(len(rows), dtype=bool)
        hits[np.unique(tree.query(points, predicate="intersects")[0])] = True
        found[rows, columns] = hits
    return found


def _cells_touched(geometry: Any, ys: np.ndarray, xs: np.ndarray, sizes: tuple[float, float]) -> np.ndarray:
    """Pixels nearest to a point, or nearest to any point of a line."""
    selected = np.zeros((len(ys), len(xs)), dtype=bool)
    if not all(sizes):
        raise OpenEOError("ProcessParameterInvalid", "Pixels of unknown size cannot be found from points and lines.")
    if shapely.get_dimensions(geometry) == 0:
        for px, py in shapely.get_coordinates(geometry):
            # half-open cells: a point between two pixels selects one, whatever the blocks
            in_row = (py - ys >= -sizes[1] / 2) & (py - ys < sizes[1] / 2)
            in_column = (px - xs >= -sizes[0] / 2) & (px - xs < sizes[0] / 2)
            selected |= in_row[:, None] & in_column[None, :]
        return selected
    affine = _affine(ys, xs)
    if affine is None:
        doubtful = np.ones(selected.shape, dtype=bool)
    else:
        touched = rasterize([geometry], out_shape=selected.shape, transform=affine, dtype="uint8", all_touched=True)
        doubtful = _grown(touched.astype(bool))
    rows, columns = np.nonzero(doubtful)
    half_x, half_y = sizes[0] / 2, sizes[1] / 2
    cells = shapely.box(xs[columns] - half_x, ys[rows] - half_y, xs[columns] + half_x, ys[rows] + half_y)
    shapely.prepare(geometry)
    selected[rows, columns] = shapely.intersects(geometry, cells)
    return selected


def _affine(ys: np.ndarray, xs: np.ndarray) -> Affine | None:
    """The grid of a block; None for single rows or columns and irregular labels."""
    if len(ys) < 2 or len(xs) < 2:
        return None
    step_x, step_y = (xs[-1] - xs[0]) / (len(xs) - 1), (ys[-1] - ys[0]) / (len(ys) - 1)
    if not (np.allclose(np.diff(xs), step_x, rtol=1e-3) and np.allclose(np.diff(ys), step_y, rtol=1e-3)):
        return None
    return Affine(step_x, 0, xs[0] - step_x / 2, 0, step_y, ys[0] - step_y / 2)


def _grown(pixels: np.ndarray) -> np.ndarray:
    """The pixels and their neighbours."""
    grown = pixels.copy()
    grown[1:] |= pixels[:-1]
    grown[:-1] |= pixels[1:]
    wide = grown.copy()
    wide[:, 1:] |= grown[:, :-1]
    wide[:, :-1] |= grown[:, 1:]
    return wide
