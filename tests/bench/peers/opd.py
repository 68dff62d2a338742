"""openeo-processes-dask: the benchmark's graphs, with its own `load_stac` and with a good one.

Neither has `save_result`, a forest or a catalog of its own: files are written as xarray does it, scikit-learn
classifies what its processes made of the images, and a STAC API (BENCH_STAC) is searched. Only the validation of
documents against schemas on the web is left out.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import dask
import forest
import numpy as np
import odc.stac
import openeo_processes_dask.process_implementations.cubes.load as own
import openeo_processes_dask.specs as specs
import pystac_client
import rioxarray  # noqa: F401 - registers the accessor
import season
import workload as work
import xarray as xr
from openeo.local.processing import PROCESS_REGISTRY
from openeo_pg_parser_networkx.graph import OpenEOProcessGraph
from openeo_pg_parser_networkx.process_registry import Process
from PIL import Image

logging.disable(logging.WARNING)
STAC = os.environ["BENCH_STAC"]


def _kind(url: str) -> str:
    if url.rstrip("/").endswith("bench-s2"):
        return "COLLECTION"
    if url.rstrip("/") == STAC:
        return "CATALOG"
    raise ValueError(url)


own._validate_stac = _kind
own._search_for_parent_catalog = lambda url: (STAC, "bench-s2")


def good(url: str, spatial_extent: Any = None, temporal_extent: Any = None, bands: Any = None, **more: Any) -> Any:
    """A `load_stac` as a practitioner would write it: only the extent, in chunks, float32 with NaN."""
    moments = [str(moment.to_numpy()) for moment in temporal_extent]
    items = pystac_client.Client.open(STAC).search(collections=["bench-s2"], datetime=moments).item_collection()
    box = {"x": (spatial_extent.west, spatial_extent.east), "y": (spatial_extent.south, spatial_extent.north)}
    grid = {"crs": f"EPSG:{season.TILE.epsg}", "resolution": season.TILE.metres}
    data = odc.stac.load(items, bands=bands, chunks={"x": 1024, "y": 1024}, **box, **grid)
    if bands != ["SCL"]:
        data = data.astype("float32").where(data != 0)
    return data.to_dataarray(dim="bands").rename(time="t")


def save(data: Any, format: str, options: Any = None, *, out: Path, **more: Any) -> Path:
    """A file as xarray writes it."""
    y, x = data.openeo.y_dim, data.openeo.x_dim
    times = [name for name in ("time", "t") if name in data.dims]
    if format != "netCDF":
        data = data.isel(dict.fromkeys(times, 0)) if times else data
    data.attrs.clear()
    if format == "GTiff":
        data = data.transpose(..., y, x)
        data = data if data.rio.crs else data.rio.write_crs(season.TILE.epsg)
        data.rio.to_raster(out / "peer.tif", compress="deflate", tiled=True, num_threads=2)
        return out / "peer.tif"
    if format == "PNG":
        values = np.nan_to_num(data.transpose(y, x, "bands").values)
        Image.fromarray(np.clip(values, 0, 255).astype(np.uint8)).save(out / "peer.png", compress_level=1)
        return out / "peer.png"
    table = data.to_dataset(dim="bands").drop_vars("spatial_ref", errors="ignore")
    for band in table:
        table[band].attrs, table[band].encoding = {}, {"zlib": True, "complevel": 1}
    table.transpose(*times, y, x).to_netcdf(out / "peer.nc", engine="netcdf4")
    return out / "peer.nc"


def adapted(process: dict[str, Any], time: str) -> dict[str, Any]:
    """A graph with `load_stac`, and the name that its loads give to time."""
    text = json.dumps(process["process_graph"]).replace('"dimension": "t"', f'"dimension": "{time}"')
    graph = json.loads(text)
    for node in graph.values():
        if node["process_id"] == "load_collection":
            arguments = {k: v for k, v in node["arguments"].items() if k != "id"}
            arguments["temporal_extent"] = [f"{day}T00:00:00Z" for day in arguments["temporal_extent"]]
            node |= {"process_id": "load_stac", "arguments": {"url": f"{STAC}/collections/bench-s2", **arguments}}
    return dict(graph)


def evaluate(graph: dict[str, Any], out: Path) -> Any:
    PROCESS_REGISTRY["save_result"] = Process(spec=specs.save_result, implementation=partial(save, out=out))
    with dask.config.set(scheduler="threads", num_workers=2):
        return OpenEOProcessGraph({"process_graph": graph}).to_callable(PROCESS_REGISTRY)()


def run_own(name: str, folder: Path, size: int, out: Path) -> Path:
    """Compute a workload with the unchanged `load_stac`; the file."""
    return _run(name, folder, size, out, "time")


def run_good(name: str, folder: Path, size: int, out: Path) -> Path:
    """Compute a workload with the good `load_stac`; the file."""
    PROCESS_REGISTRY["load_stac"] = Process(spec=specs.load_stac, implementation=good)
    return _run(name, folder, size, out, "t")


def _run(name: str, folder: Path, size: int, out: Path, time: str) -> Path:
    graph = adapted(work.process(name, size, folder), time)
    if name == "d":
        return _classes(graph, folder, out, time)
    found = evaluate(graph, out)
    return found if isinstance(found, Path) else next(path for path in out.iterdir() if path.stem == "peer")


def _classes(graph: dict[str, Any], folder: Path, out: Path, time: str) -> Path:
    """d: percentiles by its processes (which fail with `target_dimension`), the forest by scikit-learn."""

    def table(load: str, features: str) -> tuple[np.ndarray, Any]:
        part = {"load": graph[load], "features": json.loads(json.dumps(graph[features]))}
        part["features"]["arguments"]["data"] = {"from_node": "load"}
        del part["features"]["arguments"]["target_dimension"]
        part["features"]["result"] = True
        cube = evaluate(part, out)
        y, x = cube.openeo.y_dim, cube.openeo.x_dim
        values = np.asarray(cube.transpose("bands", time, y, x).values, np.float32)
        return np.ascontiguousarray(values.reshape(-1, values.shape[2] * values.shape[3]).T), cube

    model = forest.grow(table("window", "known")[0], folder)
    values, cube = table("load", "features")
    y, x = cube.openeo.y_dim, cube.openeo.x_dim
    shape = (cube.sizes[y], cube.sizes[x])
    with dask.config.set(scheduler="threads", num_workers=2):
        result = xr.DataArray(forest.classify(model, values).reshape(shape), {"y": cube[y], "x": cube[x]}, ("y", "x"))
    result = result.rio.write_crs(season.TILE.epsg).rio.write_nodata(0)
    result.rio.to_raster(out / "peer.tif", compress="deflate", tiled=True)
    return out / "peer.tif"


def tiles(kind: str, out: Path) -> None:
    """e: prints seconds of requests for tiles, as interactive.py asks for them on standard input, one per line."""
    if kind == "good":
        PROCESS_REGISTRY["load_stac"] = Process(spec=specs.load_stac, implementation=good)
    for line in sys.stdin:
        graph = adapted(json.loads(line), "t" if kind == "good" else "time")
        start, used = time.perf_counter(), time.process_time()
        try:
            evaluate(graph, out)
        except Exception as error:
            print(json.dumps({"failed": str(error)[:200]}), flush=True)
            continue
        print(json.dumps({"wall": time.perf_counter() - start, "cpu": time.process_time() - used}), flush=True)


if __name__ == "__main__":
    tiles(sys.argv[1], Path(sys.argv[2]))
