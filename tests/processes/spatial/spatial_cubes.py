"""Small raster cubes for the tests of spatial processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dask
import numpy as np
import xarray as xr
from odc.geo.crs import CRS

from openeo_backend.cube import Band, Cube, Dimension
from openeo_backend.processes.environment import Env

UTM = CRS("EPSG:32631")
WGS84 = CRS("EPSG:4326")


class Messages:
    """Collects the entries of the user's log."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, str]] = []

    def __call__(self, level: str, message: str, **_: Any) -> None:
        self.entries.append((level, message))


def environment() -> Env:
    return Env(Messages())


def raster(
    values: Any,
    *,
    x0: float = 500_000.0,
    y0: float = 5_700_000.0,
    dx: float = 10.0,
    dy: float = -10.0,
    crs: CRS = UTM,
    nodata: int | None = None,
    dims: tuple[str, ...] | None = None,
    bands: list[str] | None = None,
    dates: list[str] | None = None,
    known: dict[str, Band] | None = None,
    chunks: Any = None,
) -> Cube:
    """A cube of `values`; x0, y0 are the outer corner of the first pixel."""
    values = np.asarray(values)
    dims = dims or ("t", "bands", "y", "x")[-values.ndim :]
    sizes = dict(zip(dims, values.shape, strict=True))
    coords: dict[str, Any] = {
        "x": x0 + (np.arange(sizes["x"]) + 0.5) * dx,
        "y": y0 + (np.arange(sizes["y"]) + 0.5) * dy,
    }
    kinds: dict[str, Dimension] = {
        "x": Dimension("x", "spatial", "x", dx),
        "y": Dimension("y", "spatial", "y", dy),
        "t": Dimension("t", "temporal"),
        "bands": Dimension("bands", "bands"),
    }
    if "bands" in dims:
        coords["bands"] = np.array(bands or [f"B{i:02}" for i in range(sizes["bands"])], dtype=object)
    if "t" in dims:
        coords["t"] = np.array(dates or [f"2023-05-{i + 1:02}" for i in range(sizes["t"])], dtype="datetime64[ns]")
    data = xr.DataArray(values, dims=dims, coords={name: (name, coords[name]) for name in dims})
    if chunks is not None:
        data = chunked(data, chunks)
    return Cube(data, tuple(kinds[name] for name in dims), crs, nodata, known or {})


def chunked(data: xr.DataArray, chunks: Any) -> xr.DataArray:
    """The array with dask chunks: one size for all dims, or a tuple for the last ones."""
    sizes = chunks if isinstance(chunks, tuple) else (chunks,) * data.ndim
    return data.chunk(dict(zip(data.dims[-len(sizes) :], sizes, strict=True)))


@contextmanager
def no_computes() -> Iterator[None]:
    """Fails where anything is computed."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a lazy cube was computed while building the result")

    with dask.config.set(scheduler=refuse):
        yield


def both(cube: Cube, function: Callable[[Cube], Cube], chunks: Any) -> Cube:
    """The result for a numpy-backed cube; that for a dask-backed one must be lazy and the same."""
    eager = function(cube)
    lazy = cube.patch(data=chunked(cube.data, chunks))
    with no_computes():
        result = function(lazy)
    assert result.is_lazy
    assert not eager.is_lazy
    assert result.data.dtype == eager.data.dtype
    assert result.nodata == eager.nodata
    assert result.names == eager.names
    assert result.crs == eager.crs
    computed = result.data.compute()
    np.testing.assert_array_equal(computed.values, eager.data.values)
    for name in eager.names:
        assert list(result.labels(name)) == list(eager.labels(name))
    return eager
