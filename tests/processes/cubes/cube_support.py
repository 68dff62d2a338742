"""Cubes to work on, callbacks, and a way to call a process as a process graph does."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import dask
import dask.array as da
import numpy as np
import xarray as xr
from odc.geo.crs import CRS

from openeo_backend.cube import Cube, Dimension
from openeo_backend.cube.labels import coordinate
from openeo_backend.graph.callback import Scope
from openeo_backend.graph.evaluate import evaluate
from openeo_backend.graph.parse import parse
from openeo_backend.processes import (
    apply,
    arrays,
    climate,
    comparison,
    curves,
    dimensions,
    logic,
    math,
    merge,
    reduce,
    sequences,
    statistics,
    temporal,
    trigonometry,
)
from openeo_backend.processes.environment import Env
from openeo_backend.processes.registry import Registry

TYPES = {"t": "temporal", "bands": "bands", "y": "spatial", "x": "spatial", "geometry": "geometry"}
MODULES = (
    apply, arrays, climate, comparison, curves, dimensions, logic, math, merge, reduce, sequences, statistics,
    temporal, trigonometry,
)  # fmt: skip


def make(values: Any, *, nodata: int | None = None, lazy: bool = True, **labels: Sequence[Any]) -> Cube:
    """A cube with the given labels by dimension, in the order of the axes; types follow from the names."""
    values = np.asarray(values)
    described = []
    for name, entries in labels.items():
        kind = TYPES.get(name, "other")
        step = float(entries[1] - entries[0]) if kind == "spatial" and len(entries) > 1 else None
        described.append(Dimension(name, kind, name if kind == "spatial" else None, step))
    coords = {entry.name: coordinate(labels[entry.name], entry.type) for entry in described}
    data = da.from_array(values, chunks=tuple(max(1, -(-size // 2)) for size in values.shape)) if lazy else values
    array = xr.DataArray(data, coords=coords, dims=list(coords))
    return Cube(array, tuple(described), crs=CRS("EPSG:32631"), nodata=nodata)


def call_process(registry: Registry, process_id: str, **arguments: Any) -> Any:
    """The value of one process: cubes are handed over as parameters, everything else as JSON."""
    cubes = {name: value for name, value in arguments.items() if isinstance(value, Cube)}
    given = {name: {"from_parameter": name} if name in cubes else value for name, value in arguments.items()}
    graph = parse({"node": {"process_id": process_id, "arguments": given, "result": True}})
    return evaluate(graph, registry, Scope(cubes), Env(log=lambda level, message, **_: None))


def chain(*nodes: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """A callback of nodes n0, n1 ...; the last one is the result."""
    graph = {f"n{index}": {"process_id": id, "arguments": arguments} for index, (id, arguments) in enumerate(nodes)}
    graph[f"n{len(nodes) - 1}"]["result"] = True  # type: ignore[assignment]
    return {"process_graph": graph}


def node(index: int) -> dict[str, str]:
    return {"from_node": f"n{index}"}


def parameter(name: str) -> dict[str, str]:
    return {"from_parameter": name}


DATA, X, Y, CONTEXT = parameter("data"), parameter("x"), parameter("y"), parameter("context")


@contextmanager
def nothing_computed() -> Iterator[None]:
    """Fails where anything is computed inside."""

    def scheduler(graph: Any, keys: Any, **options: Any) -> Any:
        raise AssertionError("a lazy cube was computed while the graph was built")

    with dask.config.set(scheduler=scheduler):
        yield


def quietly(function: Any, *arguments: Any, **options: Any) -> Any:
    """The value of a numpy function that warns about empty slices."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return function(*arguments, **options)


def values(cube: Cube) -> np.ndarray:
    """The computed values as float64 with NaN for missing ones."""
    stored = np.asarray(cube.data.values)
    found = stored.astype(np.float64)
    if cube.nodata is not None:
        found[stored == cube.nodata] = np.nan
    return found
