"""Reducing all pixels: how much is in memory at a time, and that the result is the same."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import dask
import numpy as np
import xarray as xr
from dask.array.optimization import optimize
from dask.core import flatten

from openeo_backend.cube import Cube, Dimension, blocks, fusion, memory, overall
from openeo_backend.cube.pixels import PixelArray

SHAPE, SIDE = (4, 2, 96, 64), 32
PLANE = 96 * 64 * 2
NAMES = ("t", "bands", "y", "x")


def fill(place: Sequence[slice], out: np.ndarray) -> None:
    t, band, y, x = np.ogrid[tuple(place)]
    out[:] = (t * 1000 + band * 100 + y * 7 + x * 5) % 901


def loaded() -> Cube:
    chunks = ((4,), (2,), (SIDE,) * 3, (SIDE,) * 2)
    data = fusion.filled("loaded", chunks, np.dtype("uint16"), fill)
    kinds = ("temporal", "bands", "spatial", "spatial")
    dimensions = [
        Dimension(name, kind, name if kind == "spatial" else None) for name, kind in zip(NAMES, kinds, strict=True)
    ]
    coords = {name: np.arange(size) for name, size in zip(NAMES, SHAPE, strict=True)}
    return Cube(xr.DataArray(data, coords, NAMES), tuple(dimensions))


def median(data: PixelArray) -> Any:
    return np.median(data.values, axis=0)


def graph_of(cube: Cube) -> tuple[Mapping[Hashable, Any], list[Hashable]]:
    """The graph as results compute it."""
    array = cube.data.data
    keys = list(flatten(array.__dask_keys__()))
    with dask.config.set({"optimization.fuse.active": False}):
        return fusion.fuse(dict(optimize(array.__dask_graph__(), keys)), keys), keys


def test_what_is_loaded_is_cut_by_plane_for_functions_of_whole_planes() -> None:
    reduced = overall.reduce_pixels(loaded(), median, "y", "x")
    need = memory.need(*graph_of(reduced))
    assert 2 * PLANE <= need.least < 2.1 * PLANE  # its blocks, and these together
    whole = np.empty(SHAPE, np.uint16)
    fill([slice(0, size) for size in SHAPE], whole)
    np.testing.assert_allclose(reduced.data.values, np.median(whole, axis=(2, 3)))


def test_planes_of_what_was_computed_together_count_together() -> None:
    """All planes come out of the same blocks, so all of them are there before the first is whole."""
    doubled = blocks.apply(loaded(), lambda x: x * np.uint16(2))
    need = memory.need(*graph_of(overall.reduce_pixels(doubled, median, "y", "x")))
    assert need.least >= 8 * PLANE
