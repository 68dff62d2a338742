"""Cubes, surroundings and elevation models made for the tests of analysis-ready data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import dask
import numpy as np
import xarray as xr
from odc.geo.crs import CRS

from openeo_backend.cube import Band, Cube, Dimension, Provenance
from openeo_backend.errors import OpenEOError
from openeo_backend.processes.environment import Env

UTM = CRS("EPSG:32631")


def scene(
    values: Any,
    bands: Sequence[str],
    *,
    times: Sequence[str] = ("2023-06-21T10:50:31",),
    known: dict[str, Band] | None = None,
    nodata: int | None = None,
    levels: tuple[str, ...] = (),
    coefficients: tuple[str, ...] = (),
    corner: tuple[float, float] = (500_000.0, 5_700_000.0),
    step: float = 10.0,
) -> Cube:
    """A cube (t, bands, y, x) in UTM zone 31; `corner` is the upper left of the first pixel."""
    values = np.asarray(values)
    data = xr.DataArray(
        values,
        dims=("t", "bands", "y", "x"),
        coords={
            "t": np.array(times, dtype="datetime64[ns]"),
            "bands": np.array(bands, dtype=str),
            "y": corner[1] - (np.arange(values.shape[2]) + 0.5) * step,
            "x": corner[0] + (np.arange(values.shape[3]) + 0.5) * step,
        },
    )
    dimensions = (
        Dimension("t", "temporal"),
        Dimension("bands", "bands"),
        Dimension("y", "spatial", "y", -step),
        Dimension("x", "spatial", "x", step),
    )
    provenance = Provenance(levels=levels, coefficients=coefficients)
    return Cube(data, dimensions, UTM, nodata, known or {}, provenance=provenance)


class Collections:
    """Loads the given cubes by id, whatever the extent."""

    def __init__(self, cubes: dict[str, Cube]) -> None:
        self.cubes = cubes

    def load(self, id: str, request: Any, env: Env) -> Cube:
        if id not in self.cubes:
            raise OpenEOError("CollectionNotFound", f"Collection '{id}' does not exist.")
        return self.cubes[id]

    def load_url(self, url: str, request: Any, env: Env) -> Cube:
        raise AssertionError("nothing is loaded by address here")


class Messages:
    """Collects the entries of the user's log."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, str]] = []

    def __call__(self, level: str, message: str, **_: Any) -> None:
        self.entries.append((level, message))


def surroundings(**cubes: Cube) -> tuple[Env, Messages]:
    """The `env` of a process with collections by id, and its log."""
    messages = Messages()
    return Env(messages, collections=Collections(cubes)), messages


@contextmanager
def no_computes() -> Iterator[None]:
    """Fails where anything is computed."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a lazy cube was computed while building the result")

    with dask.config.set(scheduler=refuse):
        yield


def lazily(function: Callable[[Cube], Cube], cube: Cube, chunks: int) -> Cube:
    """The result for a cube in blocks; nothing is computed to get it."""
    with no_computes():
        result = function(cube.patch(data=cube.data.chunk({"y": chunks, "x": chunks})))
    assert result.is_lazy
    return result
