"""T14: what would become huge is refused before it is made, with numbers."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from odc.geo.crs import CRS

from openeo_backend.cube import Cube, Dimension
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.callback import Scope
from openeo_backend.graph.evaluate import evaluate
from openeo_backend.graph.parse import parse
from openeo_backend.processes.environment import Env
from openeo_backend.processes.registry import Registry
from openeo_backend.run.execute import execute
from openeo_backend.run.request import RunRequest

PROCESSES = Registry.predefined(lambda setting: False)


@pytest.fixture(autouse=True)
def _bounded() -> Iterator[None]:
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    yield
    assert time.process_time() - begun < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000, "kilobytes"


def raster(side: int = 1000, dates: Any = ("2020-01-01", "2020-06-01"), lazy: bool = True, west: float = 0) -> Cube:
    """A cube (t, y, x) of pixels of 10 m."""
    labels = np.asarray(dates, dtype="datetime64[ns]")
    shape = (len(labels), side, side)
    values: Any = (
        da.zeros(shape, chunks=(1, max(500, side // 20), max(500, side // 20)), dtype="uint8")
        if lazy
        else np.zeros(shape, "uint8")
    )
    coords = {"t": labels, "y": 5_000_000 - np.arange(side) * 10.0, "x": west + np.arange(side) * 10.0}
    across = Dimension("x", "spatial", "x", step=10.0)
    dimensions = (Dimension("t", "temporal"), Dimension("y", "spatial", "y", step=-10.0), across)
    return Cube(xr.DataArray(values, dims=("t", "y", "x"), coords=coords), dimensions, crs=CRS("EPSG:32631"))


def line(name: str) -> Cube:
    """A cube of one dimension with five million labels."""
    labels = np.arange(5_000_000)
    values = da.zeros(len(labels), chunks=1_000_000, dtype="uint8")
    return Cube(xr.DataArray(values, dims=(name,), coords={name: labels}), (Dimension(name, "other"),))


MEAN = {"process_graph": {"m": {"process_id": "mean", "arguments": {"data": {"from_parameter": "data"}},
                                "result": True}}}  # fmt: skip
SAME = {"process_graph": {"m": {"process_id": "apply", "result": True, "arguments": {
    "data": {"from_parameter": "data"}, "process": {"process_graph": {
        "a": {"process_id": "absolute", "arguments": {"x": {"from_parameter": "x"}}, "result": True}}}}}}}  # fmt: skip
FIRST = {"process_graph": {"m": {"process_id": "add", "result": True,
                                 "arguments": {"x": {"from_parameter": "x"}, "y": 0}}}}  # fmt: skip


def run(called: str, cubes: dict[str, Any], /, **arguments: Any) -> Any:
    given = {name: {"from_parameter": name} for name in cubes}
    graph = {"n": {"process_id": called, "arguments": {**arguments, **given}, "result": True}}
    env = Env(log=lambda level, message, **more: None)
    return evaluate(parse(graph, max_nodes=100, max_depth=20), PROCESSES, Scope(cubes), env)


def near(value: float, unit: str = "px", *names: str) -> list[dict[str, Any]]:
    return [{"dimension": name, "value": value, "unit": unit} for name in names or ("x", "y")]


HOURS = pd.date_range("2020-01-01", periods=3, freq="h").values
LONG = ("1900-01-01", "2150-01-01")

BLOW_UPS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "a centimetre": ("resample_spatial", {"data": raster(10_000)}, {"resolution": 0.001}),
    "a centimetre at once": ("resample_spatial", {"data": raster(100, lazy=False)}, {"resolution": 0.01}),
    "degrees of a centimetre": (
        "resample_spatial", {"data": raster(10_000)}, {"resolution": 1e-9, "projection": 4326}
    ),
    "hours of centuries": (
        "aggregate_temporal_period", {"data": raster(10, LONG)}, {"period": "hour", "reducer": MEAN}
    ),
    "windows beyond": (
        "apply_neighborhood", {"data": raster()}, {"process": SAME, "size": near(10**12)}
    ),
    "overlap beyond": (
        "apply_neighborhood", {"data": raster()}, {"process": SAME, "size": near(10), "overlap": near(10**9)}
    ),
    "overlap in metres": (
        "apply_neighborhood", {"data": raster()},
        {"process": SAME, "size": near(10), "overlap": near(10**7, "m")},
    ),
    "overlap along one": (
        "apply_neighborhood", {"data": raster()},
        {"process": SAME, "size": near(1, "px", "t", "x", "y"), "overlap": near(10**9, "px", "x")},
    ),
    "seconds of centuries": (
        "apply_neighborhood", {"data": raster(10, LONG)},
        {"process": SAME, "size": [{"dimension": "t", "value": "PT1S"}, *near(10)]},
    ),
    "windows of a pixel": (
        "apply_neighborhood", {"data": raster(50_000, LONG)}, {"process": SAME, "size": near(1, "px", "t", "x", "y")}
    ),
    "padding": (
        "aggregate_spatial_window", {"data": raster()}, {"size": [10**12, 1], "reducer": MEAN}
    ),
    "long kernel": ("apply_kernel", {"data": raster()}, {"kernel": [[1.0] * 9999]}),
    "merge of others": ("merge_cubes", {"cube1": line("p"), "cube2": line("q")}, {"overlap_resolver": FIRST}),
    "merge at once": (
        "merge_cubes",
        {"cube1": raster(5200, lazy=False), "cube2": raster(5200, HOURS, lazy=False, west=10**7)}, {},
    ),
    "all pixels as labels": (
        "flatten_dimensions", {"data": raster(50_000)}, {"dimensions": ["x", "y"], "target_dimension": "p"}
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BLOW_UPS)
def test_t14_cubes_that_would_be_huge_are_refused(name: str) -> None:
    process, cubes, arguments = BLOW_UPS[name]
    with pytest.raises(OpenEOError) as failure:
        run(process, cubes, **arguments)
    assert failure.value.code == "ProcessGraphComplexity", failure.value
    assert any(figure.isdigit() for figure in failure.value.message)


def test_t14_what_is_large_but_possible_is_not_refused() -> None:
    assert run("resample_spatial", {"data": raster()}, resolution=1).data.shape[-1] == 10_000
    hours = run("aggregate_temporal_period", {"data": raster(10)}, period="hour", reducer=MEAN)
    assert hours.data.shape == (152 * 24 + 1, 10, 10)
    run("apply_neighborhood", {"data": raster()}, process=SAME, size=near(100), overlap=near(100))
    merged = run("merge_cubes", {"cube1": raster(), "cube2": raster(west=10_000)})
    assert merged.data.shape == (2, 1000, 2000)


def test_t14_dates_by_dates() -> None:
    dates = np.datetime64("1900-01-01", "ns") + np.arange(20_000) * np.timedelta64(1, "D")
    with pytest.raises(OpenEOError) as failure:
        run("resample_cube_temporal", {"data": raster(2, dates), "target": raster(2, dates)})
    assert failure.value.code == "ProcessGraphComplexity"


def test_t14_labels_that_look_like_many_combinations() -> None:
    labels = [f"{n}~{n}~{n}" for n in range(1000)]
    cube = Cube(xr.DataArray(np.zeros(1000), dims=("p",), coords={"p": labels}), (Dimension("p", "other"),))
    with pytest.raises(OpenEOError) as failure:
        run("unflatten_dimension", {"data": cube}, dimension="p", target_dimensions=["a", "b", "c"])
    assert failure.value.code == "ProcessGraphComplexity"


def call(process: str, result: bool = False, **arguments: Any) -> dict[str, Any]:
    return {"process_id": process, "arguments": arguments, "result": result}


def doubling(process: str, **first: Any) -> dict[str, Any]:
    """Each node uses the one before twice."""
    graph = {"n0": call("array_create", data=[1] * 1000)}
    for number in range(1, 31):
        before = {"from_node": f"n{number - 1}"}
        given = {"array1": before, "array2": before} if process == "array_concat" else {"data": [before, before]}
        graph[f"n{number}"] = call(process, number == 30, **given)
    return graph


@pytest.mark.parametrize("process", ["array_concat", "array_create"])
def test_t14_arrays_do_not_double_without_end(node: Any, tmp_path: Path, process: str) -> None:
    request = RunRequest("r", {"process_graph": doubling(process)}, tmp_path, user="ada")
    outcome = execute(request, node.backend.engine, lambda event: None)
    assert outcome.error is not None
    assert outcome.error["code"] == "ProcessGraphComplexity", outcome.error


def test_t14_many_labels_take_linear_time() -> None:
    labels = list(range(200_000))
    both = run("array_create_labeled", {}, data=labels, labels=labels)
    assert len(both) == 200_000


def test_t14_geojson_with_one_long_array(tmp_path: Path) -> None:
    features = [
        {"type": "Feature", "geometry": {"type": "Point", "coordinates": [0, 0]}, "properties": {"v": [n]}}
        for n in range(5000)
    ]
    features[0]["properties"] = {"v": [0] * 100_000}
    with pytest.raises(OpenEOError) as failure:
        run("load_geojson", {}, data={"type": "FeatureCollection", "features": features}, properties=["v"])
    assert failure.value.code == "ProcessGraphComplexity"
