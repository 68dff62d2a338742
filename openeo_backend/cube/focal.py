"""Working on pixels and their neighbours, block by block with overlaps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import dask.array as da
import numpy as np
import xarray as xr
from scipy import ndimage

from openeo_backend.cube.cube import Cube
from openeo_backend.cube.grid import horizontal

Border = Literal["edge", "symmetric", "reflect", "wrap"]

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
    ordered = data.transpose(..., y.name, x.name)
    if 0 in ordered.shape:
        return data.astype(dtype)
    values = ordered.data
    if isinstance(values, da.Array):
        result: Any = _map_lazy(values, function, depths, border, dtype, fixed)
    else:
        result = function(_padded(np.asarray(values), depths, border), **fixed).astype(dtype, copy=False)
    return ordered.copy(data=result).transpose(*data.dims)


def _padded(values: np.ndarray, depths: tuple[int, int], border: Border | float | bool) -> np.ndarray:
    widths = [(0, 0)] * (values.ndim - 2) + [(depth, depth) for depth in depths]
    if isinstance(border, str):
        return np.pad(values, widths, mode=border)
    return np.pad(values, widths, mode="constant", constant_values=border)


def _map_lazy(
    values: da.Array,
    function: Callable[..., np.ndarray],
    depths: tuple[int, int],
    border: Border | float | bool,
    dtype: Any,
    fixed: dict[str, Any],
) -> da.Array:
    meta = np.empty((0,) * values.ndim, dtype=dtype)
    # borders that repeat the data far away, or more than the data, are simplest in one block
    whole = tuple(depth >= size for depth, size in zip(depths, values.shape[-2:], strict=True))
    if any(whole) or values.numblocks[-2:] == (1, 1):
        values = values.rechunk({values.ndim - 2: -1, values.ndim - 1: -1})
        return da.map_blocks(_one_block, values, function, depths, border, fixed, dtype=dtype, meta=meta)
    chunks = values.chunks
    least = tuple(max(2 * depth, 1) for depth in depths)
    values = values.rechunk(
        (*chunks[:-2], *(_at_least(own, size) for own, size in zip(chunks[-2:], least, strict=True)))
    )
    chunks = values.chunks
    widths = [(0, 0)] * (values.ndim - 2) + [(depth, depth) for depth in depths]
    if isinstance(border, str):
        padded = da.pad(values, widths, mode=border)
    else:
        padded = da.pad(values, widths, mode="constant", constant_values=border)
    # the padding joins the outer blocks, so that blocks and their results correspond
    grown = [
        (own[0] + 2 * depth,) if len(own) == 1 else (own[0] + depth, *own[1:-1], own[-1] + depth)
        for own, depth in zip(chunks[-2:], depths, strict=True)
    ]
    padded = padded.rechunk((*chunks[:-2], *grown))
    overlap = {values.ndim - 2: depths[0], values.ndim - 1: depths[1]}
    shared = da.overlap.overlap(padded, depth=overlap, boundary=dict.fromkeys(overlap, "none"), allow_rechunk=False)
    return shared.map_blocks(_call, function, fixed, dtype=dtype, meta=meta, chunks=chunks)


def _at_least(chunks: tuple[int, ...], size: int) -> tuple[int, ...]:
    """Chunks joined with their neighbours until each has at least `size` pixels."""
    joined: list[int] = []
    for length in chunks:
        if joined and (joined[-1] < size or length < size):
            joined[-1] += length
        else:
            joined.append(length)
    return tuple(joined)


def _one_block(
    values: np.ndarray,
    function: Callable[..., np.ndarray],
    depths: tuple[int, int],
    border: Border | float | bool,
    fixed: dict[str, Any],
) -> np.ndarray:
    return function(_padded(values, depths, border), **fixed)


def _call(values: np.ndarray, function: Callable[..., np.ndarray], fixed: dict[str, Any]) -> np.ndarray:
    return function(values, **fixed)


# -- functions for map_focal ----------------------------------------------------------------------------


def weigh(values: np.ndarray, kernel: np.ndarray, factor: float) -> np.ndarray:
    """The sum of the neighbours times their weights, times `factor`; margins as wide as half the kernel."""
    trim = (..., *(slice(size // 2, length - size // 2) for size, length in _lengths(values, kernel)))
    weights = kernel.astype("float64") * factor
    if kernel.size > _DIRECT:
        from scipy import signal  # takes a quarter of a second, which most processes need not wait for

        flipped = weights[::-1, ::-1].reshape((1,) * (values.ndim - 2) + weights.shape)
        return signal.fftconvolve(values.astype("float64"), flipped, mode="same", axes=(-2, -1))[trim].astype(
            values.dtype
        )
    shaped = weights.reshape((1,) * (values.ndim - 2) + weights.shape)
    return np.asarray(ndimage.correlate(values, shaped, mode="constant", output=values.dtype)[trim])


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
