"""Working on pixels and their neighbours, block by block with overlaps."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, cast

import dask.array as da
import numpy as np
import xarray as xr
from dask.highlevelgraph import HighLevelGraph
from scipy import ndimage

from openeo_backend.cube.bounds import refuse_many
from openeo_backend.cube.compiled import kernels
from openeo_backend.cube.cube import Cube
from openeo_backend.cube.grid import horizontal
from openeo_backend.cube.joining import covering, join, slices

Border = Literal["edge", "symmetric", "reflect", "wrap"]

#: Most pixels on each side that the value of a pixel may depend on.
MOST_AROUND = 1000

#: Weights from which convolution by Fourier transforms is faster.
_DIRECT = 400


def map_focal(
    cube: Cube,
    data: xr.DataArray,
    function: Callable[..., np.ndarray],
    depth: int | tuple[int, int],
    border: Border | float | bool,
    dtype: Any,
    **fixed: Any,
) -> xr.DataArray:
    """`function(pixels, **fixed)` on planes that reach `depth` pixels over the edges of each block.

    :param cube: tells which dims of `data` are y and x.
    :param function: takes (..., y, x) with margins of `depth`, returns (..., y, x) without them; the first rows
        and columns are those of the lowest indices.
    :param depth: pixels on each side, along both axes or along (y, x).
    :param border: what is beyond the edge of the data: a number, or as numpy.pad names it.
    """
    x, y = horizontal(cube)
    depths = (depth, depth) if isinstance(depth, int) else depth
    refuse_many(max(depths), MOST_AROUND, "pixels on each side of a pixel")
    ordered = data.transpose(..., y.name, x.name)
    if 0 in ordered.shape:
        return data.astype(dtype)
    values = ordered.data
    if isinstance(values, da.Array):
        result: Any = _map_lazy(values, function, depths, border, dtype, fixed)
    else:
        pads = [(depth, depth) for depth in depths]
        result = function(_padded(np.asarray(values), pads, border), **fixed).astype(dtype, copy=False)
    return ordered.copy(data=result).transpose(*data.dims)


def _padded(values: np.ndarray, pads: Sequence[tuple[int, int]], border: Border | float | bool) -> np.ndarray:
    """The values with some more rows and columns on each side."""
    widths = [(0, 0)] * (values.ndim - 2) + list(pads)
    if isinstance(border, str):
        return np.pad(values, widths, mode=border)
    with np.errstate(over="ignore"):  # a number beyond those of the type is infinite
        return np.pad(values, widths, mode="constant", constant_values=border)


def _map_lazy(
    values: da.Array,
    function: Callable[..., np.ndarray],
    depths: tuple[int, int],
    border: Border | float | bool,
    dtype: Any,
    fixed: dict[str, Any],
) -> da.Array:
    if border == "wrap":  # what is beyond one edge lies at the other
        widths = [(0, 0)] * (values.ndim - 2) + [(depth, depth) for depth in depths]
        source, offsets = da.pad(values, widths, mode="wrap"), depths
    else:
        source, offsets = values, (0, 0)
    if any(depth >= size for depth, size in zip(depths, values.shape[-2:], strict=True)):
        # borders that repeat more than the data are simplest in one block
        values = values.rechunk({values.ndim - 2: -1, values.ndim - 1: -1})
        source = source.rechunk({values.ndim - 2: -1, values.ndim - 1: -1})
    name = f"focal-{uuid.uuid4().hex}"
    tasks: dict[Any, Any] = {}
    for index in np.ndindex(*values.numblocks):
        keys, cuts, pads = [], [], []
        for axis, depth, offset in zip((values.ndim - 2, values.ndim - 1), depths, offsets, strict=True):
            place = slices(values.chunks[axis])[index[axis]]
            start, stop = place.start + offset - depth, place.stop + offset + depth
            part = slice(max(start, 0), min(stop, source.shape[axis]))
            numbers, first = covering(source.chunks[axis], part)
            keys.append(numbers)
            cuts.append(slice(part.start - first, part.stop - first))
            pads.append((part.start - start, stop - part.stop))
        blocks = [[(source.name, *index[:-2], row, column) for column in keys[1]] for row in keys[0]]
        tasks[name, *index] = (_focal_block, blocks, tuple(cuts), pads, border, partial(function, **fixed))
    graph = HighLevelGraph.from_collections(name, tasks, dependencies=cast(Any, [source]))
    return da.Array(graph, name, chunks=values.chunks, dtype=dtype)


def _focal_block(
    blocks: Sequence[Sequence[np.ndarray]],
    cut: tuple[slice, slice],
    pads: Sequence[tuple[int, int]],
    border: Border | float | bool,
    function: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    values = join(blocks, cut)
    return function(_padded(values, pads, border) if any(map(any, pads)) else values)


# -- functions for map_focal ----------------------------------------------------------------------------


def weigh(values: np.ndarray, kernel: np.ndarray, factor: float, replacement: float) -> np.ndarray:
    """The sum of the neighbours times their weights, times `factor`; margins as wide as half the kernel.

    :param replacement: what values that are not finite count as.
    """
    weights = kernel.astype("float64") * factor
    stencil = kernels("openeo_backend.cube.stencil") if kernel.size <= _DIRECT else None
    if stencil is None:
        return _weigh(values, weights, replacement)
    planes = np.ascontiguousarray(values).reshape(math.prod(values.shape[:-2]), *values.shape[-2:])
    shape = tuple(length - size + 1 for size, length in _lengths(values, kernel))
    out = np.empty((len(planes), *shape), values.dtype)
    stencil.weigh(planes, weights, replacement, out)
    return out.reshape(*values.shape[:-2], *shape)


def _weigh(values: np.ndarray, weights: np.ndarray, replacement: float) -> np.ndarray:
    """The same by scipy, for large kernels and where nothing can be compiled."""
    trim = (..., *(slice(size // 2, length - size // 2) for size, length in _lengths(values, weights)))
    clean = np.where(np.isfinite(values), values, values.dtype.type(replacement))
    if weights.size > _DIRECT:
        from scipy import signal  # takes a quarter of a second, which most processes need not wait for

        flipped = weights[::-1, ::-1].reshape((1,) * (values.ndim - 2) + weights.shape)
        found = signal.fftconvolve(clean.astype("float64"), flipped, mode="same", axes=(-2, -1))
        return np.asarray(found[trim]).astype(values.dtype)
    shaped = weights.reshape((1,) * (values.ndim - 2) + weights.shape)
    return np.asarray(ndimage.correlate(clean, shaped, mode="constant", output=values.dtype)[trim])


def warm() -> None:
    """Compile, or load what was compiled before, so that children of this process need not."""
    weigh(np.zeros((1, 3, 3), "float32"), np.ones((3, 3)), 1.0, 0.0)


def _lengths(values: np.ndarray, kernel: np.ndarray) -> list[tuple[int, int]]:
    return list(zip(kernel.shape, values.shape[-2:], strict=True))


def erode_square(pixels: np.ndarray, size: int) -> np.ndarray:
    """True where all pixels in a square of `size` around are true."""
    half = size // 2
    kept = ndimage.minimum_filter(pixels.astype("uint8"), size=size, axes=(-2, -1), mode="nearest")
    return kept[..., half : kept.shape[-2] - half, half : kept.shape[-1] - half].astype(bool)


def dilate_gauss(pixels: np.ndarray, size: int, threshold: float) -> np.ndarray:
    """True where true pixels cover more than `threshold` of a Gaussian kernel of `size` pixels."""
    half = size // 2
    offsets = np.arange(size) - half
    weights = np.exp(-(offsets**2) / (2.0 * (size / 6.0) ** 2))
    weights /= weights.sum()
    shares = pixels.astype("float32")
    for axis in (-2, -1):
        shares = ndimage.correlate1d(shares, weights, axis=axis, mode="constant", origin=0)
    return shares[..., half : shares.shape[-2] - half, half : shares.shape[-1] - half] > threshold
