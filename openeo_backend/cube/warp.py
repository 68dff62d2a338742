"""Resampling raster cubes to other grids, lazily: one task per block of the target, which reads only what it needs.

The nearest neighbours are looked up. Bilinear and cubic interpolation at about the resolution of the source or a finer
one is compiled code (:mod:`.sampling`) where positions can be interpolated to :data:`ERROR`; all else is resampled by
GDAL's warper, with the same rules for missing values. The factor between the grids, which widens the kernels when
downsampling, is taken from the whole grids and given to GDAL, and positions are computed to a hundredth of a pixel: a
block gives the same values however the cube is cut.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import dask.array as da
import numpy as np
import xarray as xr
from affine import Affine
from dask.highlevelgraph import HighLevelGraph
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.warp import reproject

from openeo_backend.cube import lookup
from openeo_backend.cube.compatible import same_grid
from openeo_backend.cube.compiled import kernels
from openeo_backend.cube.cube import Cube
from openeo_backend.cube.grid import horizontal, need_geobox, pixel_centers, transformer, with_grid
from openeo_backend.cube.joining import covering, join, slices
from openeo_backend.cube.nodata import nullable, to_float
from openeo_backend.cube.positions import control
from openeo_backend.cube.storage import Storage
from openeo_backend.errors import OpenEOError

#: GDAL's algorithms by openEO's names.
METHODS: dict[str, Resampling] = {
    "near": Resampling.nearest,
    "bilinear": Resampling.bilinear,
    "cubic": Resampling.cubic,
    "cubicspline": Resampling.cubic_spline,
    "lanczos": Resampling.lanczos,
    "average": Resampling.average,
    "mode": Resampling.mode,
    "max": Resampling.max,
    "min": Resampling.min,
    "med": Resampling.med,
    "q1": Resampling.q1,
    "q3": Resampling.q3,
    "sum": Resampling.sum,
    "rms": Resampling.rms,
}

#: Methods that choose one of the source's values, and so keep its type; the others compute floating point numbers.
CHOOSING = frozenset({"near", "mode", "max", "min", "med", "q1", "q3"})

#: Half the width of the kernels in source pixels.
RADIUS = {"near": 1, "bilinear": 1, "cubic": 2, "cubicspline": 2, "lanczos": 3}

#: Shortest and longest edge of a block of the result.
EDGES = (256, 1024)

#: Largest error of interpolated positions in source pixels, and the distances of control points to try.
ERROR, STEPS = 1e-3, (32, 8)

#: Types that GDAL does not warp, and those used instead, which hold all their values (of 64 bits: up to 2**53).
_STAND_IN = {"bool": "uint8", "int8": "int16", "float16": "float32", "int64": "float64", "uint64": "float64"}

#: Types that compiled code interpolates.
_SAMPLED = ("float32", "float64")


def warp(cube: Cube, target: GeoBox, method: str = "near") -> Cube:
    """The cube on the grid `target`, outside of its own pixels without data.

    Dimensions keep their names and order. Types are kept by methods that choose values; the others give floating
    point numbers. Data that are the same everywhere but outside get a no-data value if they have none.

    :raises OpenEOError: FeatureUnsupported for other methods; ProcessParameterInvalid for irregular grids.
    """
    if method not in METHODS:
        raise OpenEOError(
            "FeatureUnsupported",
            f"The resampling method '{method}' is not supported.",
            hint=f"Choose one of: {', '.join(METHODS)}.",
        )
    x, y = horizontal(cube)
    if not method_keeps_type(method):
        cube = to_float(cube)
    if cube.data.dtype.kind == "O":
        raise OpenEOError("FeatureUnsupported", "Texts cannot be resampled in space.")
    cube = nullable(cube)
    others = [name for name in cube.names if name not in (x.name, y.name)]
    ordered = cube.data.transpose(*others, y.name, x.name)
    if ordered.sizes[y.name] == 0 or ordered.sizes[x.name] == 0:
        values = _nothing(cube, ordered.shape[:-2], target)
    else:
        step = _Step.between(need_geobox(cube), target, method, Storage.of(cube))
        if method == "average" and step.is_nothing():  # loads may have made the means
            values = ordered.data
        else:
            values = _lazy(ordered.data, step) if cube.is_lazy else step.run(np.asarray(ordered.data))
    coords = {name: ordered[name] for name in others}
    data = xr.DataArray(values, dims=ordered.dims, coords=coords, attrs=cube.data.attrs)
    return with_grid(cube, data.transpose(*cube.names), target)


def warp_like(cube: Cube, target: Cube, method: str = "near") -> Cube:
    """The cube on the pixels of another one, with exactly its labels; unchanged where it is on them already."""
    if method in METHODS and same_grid(cube, target):
        labels = zip(horizontal(cube), horizontal(target), strict=True)
        return cube.patch(data=cube.data.assign_coords({mine.name: target.labels(its.name) for mine, its in labels}))
    warped = warp(cube, need_geobox(target), method)
    labels = zip(horizontal(warped), horizontal(target), strict=True)
    return warped.patch(data=warped.data.assign_coords({mine.name: target.labels(its.name) for mine, its in labels}))


def method_keeps_type(method: str) -> bool:
    """Whether a method gives values of the source."""
    return method in CHOOSING


def warm() -> None:
    """Compile, or load what was compiled before, so that children of this process need not."""
    sampling = kernels("openeo_backend.cube.sampling")
    if sampling is not None:
        at, plane = np.array([0, 1]), np.zeros((1, 2, 2), "float32")
        sampling.resample(plane, np.zeros((2, 2)), np.zeros((2, 2)), at, at, False, plane.copy())


def _nothing(cube: Cube, lead: tuple[int, ...], target: GeoBox) -> Any:
    shape = (*lead, *target.shape)
    if cube.is_lazy:
        return da.full(shape, Storage.of(cube).null, dtype=cube.data.dtype, chunks=(*lead, EDGES[1], EDGES[1]))
    return np.full(shape, Storage.of(cube).null, dtype=cube.data.dtype)


# -- one step between two grids -------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Step:
    """The way from one grid to another."""

    source: GeoBox
    target: GeoBox
    method: str
    storage: Storage
    scale: tuple[float, float]
    """Target pixels per source pixel along y and x, in the middle of the target."""

    @classmethod
    def between(cls, source: GeoBox, target: GeoBox, method: str, storage: Storage) -> _Step:
        return cls(source, target, method, storage, scale(source, target))

    def is_nothing(self) -> bool:
        """Whether the grids are the same, up to a thousandth of a pixel."""
        own, other = self.source, self.target
        if own.crs != other.crs or own.shape != other.shape:
            return False
        corners = [(0, 0), (own.shape[1], own.shape[0])]
        moved = [~own.affine @ (other.affine @ corner) for corner in corners]
        return bool(np.allclose(moved, corners, rtol=0, atol=1e-3))

    def run(self, values: np.ndarray) -> np.ndarray:
        """The values (..., y, x) of the source grid on the target grid."""
        if self.method == "near":
            return self._nearest(values)
        found = self._interpolated(values)
        return self._resampled(values) if found is None else found

    def _nearest(self, values: np.ndarray) -> np.ndarray:
        assert self.source.crs is not None
        found = lookup.find(
            self.target, self.source.affine, (self.source.shape[0], self.source.shape[1]), self.source.crs
        )
        shape = (*values.shape[:-2], *self.target.shape)
        if found is None:
            return np.full(shape, self.storage.null, dtype=values.dtype)
        pixels, inside = found.take(values[(..., *found.window)])
        if inside is None and pixels.shape == shape:
            return pixels
        out = np.full(shape, self.storage.null, dtype=values.dtype)
        np.copyto(out[(..., *found.place)], pixels, where=True if inside is None else inside)
        return out

    def _interpolated(self, values: np.ndarray) -> np.ndarray | None:
        """The values between pixels by compiled code; None where that cannot be done."""
        narrow = self.method in ("bilinear", "cubic") and min(self.scale) >= 1.0
        sampling = kernels("openeo_backend.cube.sampling") if narrow and values.dtype.name in _SAMPLED else None
        if sampling is None:
            return None
        x, y = pixel_centers(self.target)
        found = control(x, y, lambda xs, ys: np.stack(_positions(self.source, self.target, xs, ys)), ERROR, STEPS)
        if found is None:
            return None
        planes = np.ascontiguousarray(values).reshape(math.prod(values.shape[:-2]), *values.shape[-2:])
        out = np.empty((len(planes), *self.target.shape), values.dtype)
        sampling.resample(planes, found.rows, found.cols, found.at_y, found.at_x, self.method == "cubic", out)
        return out.reshape(*values.shape[:-2], *self.target.shape)

    def _resampled(self, values: np.ndarray) -> np.ndarray:
        name = values.dtype.name
        work = values.astype(_STAND_IN.get(name, name), copy=False)
        null = self.storage.null
        out = np.full((*values.shape[:-2], *self.target.shape), null, dtype=work.dtype)
        planes = work.reshape(-1, *work.shape[-2:])
        for plane, result in zip(planes, out.reshape(-1, *self.target.shape), strict=True):
            reproject(
                np.ascontiguousarray(_finite(plane)),
                result,
                src_transform=self.source.affine,
                src_crs=str(self.source.crs),
                src_nodata=float(null),
                dst_transform=self.target.affine,
                dst_crs=str(self.target.crs),
                dst_nodata=float(null),
                resampling=METHODS[self.method],
                tolerance=0.01,
                XSCALE=self.scale[1],
                YSCALE=self.scale[0],
            )
        return out.astype(values.dtype, copy=False)

    def part(self, source: tuple[slice, slice], target: tuple[slice, slice]) -> _Step:
        """The same step between parts of the grids."""
        return replace(self, source=_cropped(self.source, source), target=_cropped(self.target, target))

    def _under(self, block: tuple[slice, slice]) -> tuple[slice, slice] | None:
        """Exactly the source pixels under a block of a parallel grid, so that blocks that lie within each other share
        nothing with their neighbours; None where the grids are not parallel, or rounding makes a difference."""
        assert self.source.crs is not None
        if self.source.crs != self.target.crs:
            return None
        target, shape = _cropped(self.target, block), (self.source.shape[0], self.source.shape[1])
        found = lookup.find(target, self.source.affine, shape, self.source.crs)
        if found is None or not found.parallel:
            return None
        part = _cropped(self.source, found.window)
        again = lookup.find(target, part.affine, (part.shape[0], part.shape[1]), self.source.crs)
        if again is None or not again.parallel or again.place != found.place:
            return None
        for own, whole, cut in zip((again.rows, again.cols), (found.rows, found.cols), found.window, strict=True):
            if not np.array_equal(own + cut.start, whole):
                return None
        return found.window

    def window(self, block: tuple[slice, slice]) -> tuple[slice, slice] | None:
        """The source pixels that a block of the target needs; None where it lies outside."""
        exact = self._under(block) if self.method == "near" else None
        if exact is not None:
            return exact
        rows, columns = _source_pixels(self.source, _cropped(self.target, block))
        pads = [
            math.ceil(RADIUS.get(self.method, 1) * max(1.0, 1.0 / scale) + max(1.0, 1.0 / scale)) + 2
            for scale in self.scale
        ]
        found = []
        for positions, size, pad in zip((rows, columns), self.source.shape, pads, strict=True):
            finite = positions[np.isfinite(positions)]
            if not len(finite):
                return None
            low, high = math.floor(finite.min()) - pad, math.ceil(finite.max()) + pad
            low, high = max(low, 0), min(high, size)
            if low >= high:
                return None
            found.append(slice(low, high))
        return found[0], found[1]


def _finite(plane: np.ndarray) -> np.ndarray:
    """The values without infinite ones: they are not valid, and would spread to all that they are weighted with."""
    if plane.dtype.kind != "f":
        return plane
    infinite = np.isinf(plane)
    return np.where(infinite, plane.dtype.type(np.nan), plane) if infinite.any() else plane


def _source_pixels(source: GeoBox, target: GeoBox, density: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Row and column in the source of points all over a target grid, edges included."""
    rows, columns = target.shape
    v, u = np.meshgrid(np.linspace(0, rows, density), np.linspace(0, columns, density), indexing="ij")
    own = target.affine
    columns_of, rows_of = u.ravel(), v.ravel()
    xs, ys = own.a * columns_of + own.b * rows_of + own.c, own.d * columns_of + own.e * rows_of + own.f
    return _positions(source, target, xs, ys)


def _positions(source: GeoBox, target: GeoBox, xs: np.ndarray, ys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row and column in the source of coordinates of the target; infinite where there are none."""
    back = ~source.affine
    if source.crs != target.crs:
        assert source.crs is not None
        assert target.crs is not None
        xs, ys = transformer(target.crs, source.crs).transform(xs, ys)
    xs, ys = np.asarray(xs), np.asarray(ys)
    return back.d * xs + back.e * ys + back.f, back.a * xs + back.b * ys + back.c


def _cropped(geobox: GeoBox, part: tuple[slice, slice]) -> GeoBox:
    """Some rows and columns of a grid that is parallel to its axes."""
    rows, columns = part
    own = geobox.affine
    affine = Affine(own.a, 0, own.c + columns.start * own.a, 0, own.e, own.f + rows.start * own.e)
    return GeoBox((rows.stop - rows.start, columns.stop - columns.start), affine, geobox.crs)


def scale(source: GeoBox, target: GeoBox) -> tuple[float, float]:
    """Target pixels per source pixel along the axes of the target, around its middle."""
    if source.crs == target.crs:
        return _rounded(abs(source.affine.e / target.affine.e)), _rounded(abs(source.affine.a / target.affine.a))
    row, column = target.shape[0] // 2, target.shape[1] // 2
    pixel = _cropped(target, (slice(row, row + 1), slice(column, column + 1)))
    rows, columns = _source_pixels(source, pixel, 2)
    if not (np.isfinite(rows).all() and np.isfinite(columns).all()):
        return 1.0, 1.0
    # corners of one target pixel: upper left, upper right, lower left
    along_x = math.hypot(rows[1] - rows[0], columns[1] - columns[0])
    along_y = math.hypot(rows[2] - rows[0], columns[2] - columns[0])
    return _rounded(1.0 / max(along_y, 1e-9)), _rounded(1.0 / max(along_x, 1e-9))


def _rounded(scale: float) -> float:
    """A factor that is nearly one or one over an integer as exactly that, as GDAL has it."""
    ratio = round(1.0 / scale)
    return 1.0 / ratio if ratio >= 1 and abs(1.0 / scale - ratio) < 0.05 else scale


# -- blocks ---------------------------------------------------------------------------------------------


def _lazy(data: da.Array, step: _Step) -> da.Array:
    """The step over a dask array (..., y, x), as one task per block of the target."""
    lead_chunks = data.chunks[:-2]
    target_chunks = tuple(
        _cut(size, chunks, scale)
        for size, chunks, scale in zip(step.target.shape, data.chunks[-2:], step.scale, strict=True)
    )
    name = f"warp-{uuid.uuid4().hex}"
    tasks: dict[Any, Any] = {}
    for row, rows in enumerate(slices(target_chunks[0])):
        for column, columns in enumerate(slices(target_chunks[1])):
            block = (rows, columns)
            window = step.window(block)
            for lead in np.ndindex(*(len(chunks) for chunks in lead_chunks)):
                key = (name, *lead, row, column)
                lead_shape = tuple(chunks[index] for chunks, index in zip(lead_chunks, lead, strict=True))
                if window is None:
                    shape = (*lead_shape, rows.stop - rows.start, columns.stop - columns.start)
                    tasks[key] = (np.full, shape, step.storage.null, data.dtype)
                    continue
                row_blocks = covering(data.chunks[-2], window[0])
                column_blocks = covering(data.chunks[-1], window[1])
                keys = [[(data.name, *lead, r, c) for c in column_blocks[0]] for r in row_blocks[0]]
                cut = tuple(
                    slice(part.start - offset, part.stop - offset)
                    for part, offset in zip(window, (row_blocks[1], column_blocks[1]), strict=True)
                )
                tasks[key] = (_warp_block, keys, cut, step.part(window, block))
    graph = HighLevelGraph.from_collections(name, tasks, dependencies=cast(Any, [data]))
    return da.Array(graph, name, chunks=(*lead_chunks, *target_chunks), dtype=data.dtype)


def _warp_block(blocks: Sequence[Sequence[np.ndarray]], cut: tuple[slice, slice], step: _Step) -> np.ndarray:
    return step.run(join(blocks, cut))


def _cut(size: int, chunks: tuple[int, ...], scale: float) -> tuple[int, ...]:
    """Chunks of the target that take about as much of the source as its own chunks."""
    edge = int(min(max(max(chunks) * scale, EDGES[0]), EDGES[1]))
    return tuple(min(edge, size - start) for start in range(0, size, edge))
