"""Raster and vector cubes for the tests of vector processes, and a way to call a process as a process graph does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import xarray as xr
from affine import Affine
from odc.geo.crs import CRS
from shapely.geometry import mapping

from openeo_backend.cube import Cube, Dimension
from openeo_backend.graph.callback import Scope
from openeo_backend.graph.evaluate import evaluate
from openeo_backend.graph.parse import parse
from openeo_backend.processes import apply as apply_
from openeo_backend.processes import (
    arrays,
    comparison,
    filters,
    logic,
    masks,
    math,
    polygons,
    sampling,
    statistics,
    urls,
    vectors,
    zonal,
)
from openeo_backend.processes.environment import Env
from openeo_backend.processes.registry import Registry

MODULES = (
    apply_, arrays, comparison, filters, logic, masks, math, polygons, sampling, statistics, urls, vectors, zonal,
)  # fmt: skip

UTM = CRS("EPSG:32631")
X0, Y0, SIZE = 500_000.0, 5_700_000.0, 10.0
"""Upper left corner and pixel size of rasters."""

TRANSFORM = Affine(SIZE, 0, X0, 0, -SIZE, Y0)

DATA = {"from_parameter": "data"}


def raster(values: Any, *, chunks: Any = None, nodata: int | None = None, up: bool = False, crs: CRS = UTM) -> Cube:
    """A cube (of t, bands, y, x or the last of them) of pixels of 10 m; `up`: rows run northwards."""
    values = np.asarray(values)
    dims = ("t", "bands", "y", "x")[-values.ndim :]
    sizes = dict(zip(dims, values.shape, strict=True))
    ys = Y0 - (np.arange(sizes["y"]) + 0.5) * SIZE
    coords: dict[str, Any] = {"x": X0 + (np.arange(sizes["x"]) + 0.5) * SIZE, "y": ys[::-1] if up else ys}
    if "bands" in dims:
        coords["bands"] = np.array([f"B{i:02}" for i in range(sizes["bands"])], dtype=object)
    if "t" in dims:
        coords["t"] = np.array([f"2023-05-{i + 1:02}" for i in range(sizes["t"])], dtype="datetime64[ns]")
    kinds = {
        "x": Dimension("x", "spatial", "x", SIZE),
        "y": Dimension("y", "spatial", "y", SIZE if up else -SIZE),
        "t": Dimension("t", "temporal"),
        "bands": Dimension("bands", "bands"),
    }
    data = values[..., ::-1, :] if up else values
    array = da.from_array(data, chunks=chunks) if chunks is not None else data
    return Cube(
        xr.DataArray(array, dims=dims, coords={name: (name, coords[name]) for name in dims}),
        tuple(kinds[name] for name in dims),
        crs,
        nodata,
    )


def place(column: float, row: float) -> tuple[float, float]:
    """Where a position in pixels from the upper left corner is."""
    return X0 + column * SIZE, Y0 - row * SIZE


def geojson(
    shapes: Sequence[Any], properties: Sequence[dict[str, Any]] | None = None, epsg: int | None = 32631
) -> dict[str, Any]:
    """A FeatureCollection of shapely geometries (None: a feature without geometry)."""
    rows = properties or [{"number": index} for index in range(len(shapes))]
    features = [
        {"type": "Feature", "properties": row, "geometry": None if shape is None else mapping(shape)}
        for shape, row in zip(shapes, rows, strict=True)
    ]
    content: dict[str, Any] = {"type": "FeatureCollection", "features": features}
    if epsg is not None:
        content["crs"] = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:EPSG::{epsg}"}}
    return content


class Messages:
    """Collects the user's log."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, str]] = []

    def __call__(self, level: str, message: str, **_: Any) -> None:
        self.entries.append((level, message))


def call_process(registry: Registry, process_id: str, *, env: Env | None = None, **arguments: Any) -> Any:
    """The value of one process: cubes are handed over as parameters, everything else as JSON."""
    cubes = {name: value for name, value in arguments.items() if isinstance(value, Cube)}
    given = {name: {"from_parameter": name} if name in cubes else value for name, value in arguments.items()}
    graph = parse({"node": {"process_id": process_id, "arguments": given, "result": True}})
    return evaluate(graph, registry, Scope(cubes), env or Env(log=Messages()))


def environment(folder: Path, pages: dict[str, bytes]) -> Env:
    """Surroundings in which some URLs can be fetched."""

    def download(url: str, file: Path) -> None:
        file.write_bytes(pages[url])

    return Env(log=Messages(), folder=folder, download=download)


def callback(process_id: str, **arguments: Any) -> dict[str, Any]:
    """A callback of one process of the parameter `data`."""
    return {
        "process_graph": {"one": {"process_id": process_id, "arguments": {"data": DATA, **arguments}, "result": True}}
    }


def gathered(process_id: str, **arguments: Any) -> dict[str, Any]:
    """The same in two nodes, so that nothing can tell that it is a simple statistic."""
    return {
        "process_graph": {
            "one": {"process_id": process_id, "arguments": {"data": DATA, **arguments}},
            "same": {"process_id": "multiply", "arguments": {"x": {"from_node": "one"}, "y": 1}, "result": True},
        }
    }


@contextmanager
def nothing_computed() -> Iterator[None]:
    """Fails where anything is computed inside."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a lazy cube was computed while the graph was built")

    with dask.config.set(scheduler=refuse):
        yield


def values(cube: Cube) -> np.ndarray:
    """The computed values as float64 with NaN for missing ones."""
    stored = np.asarray(cube.data.values)
    found = stored.astype(np.float64)
    if cube.nodata is not None:
        found[stored == cube.nodata] = np.nan
    return found
