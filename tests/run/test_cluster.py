"""The same graph on threads and on a Dask cluster of two worker processes."""

from __future__ import annotations

import os
import pkgutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from odc.geo.crs import CRS
from zarr.storage import ZipStore

from openeo_backend.cube import Cube
from openeo_backend.cube.dimension import Dimension
from openeo_backend.errors import NodeRef, OpenEOError
from openeo_backend.formats.blocks import stream
from openeo_backend.formats.writing import write_result
from openeo_backend.run.compute import computing
from openeo_backend.run.engine import Engine
from openeo_backend.run.execute import execute
from openeo_backend.run.request import Event, Outcome, RunRequest
from openeo_backend.settings import Settings

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Sending large graph"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address="127.0.0.1:0",
        host="127.0.0.1",
        memory_limit=0,
    ) as cluster:
        yield cluster


def callback(process: str, **arguments: Any) -> dict[str, Any]:
    return {"process_graph": {"only": {"process_id": process, "arguments": arguments, "result": True}}}


def graph(format: str, reducer: str = "median") -> dict[str, Any]:
    """NDVI-like: two bands of all dates reduced to one image, with a UTM grid of several chunks."""
    nodes = {
        "load": {
            "process_id": "load_collection",
            "arguments": {
                "id": "SENTINEL2_L2A",
                "spatial_extent": None,
                "temporal_extent": ["2025-05-01", "2025-06-15"],
                "bands": ["B04", "B08"],
            },
        },
        "best": {
            "process_id": "reduce_dimension",
            "arguments": {
                "data": {"from_node": "load"},
                "dimension": "t",
                "reducer": callback(reducer, data={"from_parameter": "data"}),
            },
        },
        "double": {
            "process_id": "apply",
            "arguments": {
                "data": {"from_node": "best"},
                "process": callback("multiply", x={"from_parameter": "x"}, y=2),
            },
        },
        "save": {
            "process_id": "save_result",
            "arguments": {"data": {"from_node": "double"}, "format": format},
            "result": True,
        },
    }
    return {"process_graph": nodes}


def run(settings: Settings, folder: Path, process: dict[str, Any]) -> Outcome:
    folder.mkdir()
    events: list[Event] = []
    outcome = execute(RunRequest(id="r", process=process, folder=folder), Engine.open(settings), events.append)
    assert outcome.error is None, outcome.error
    percents = [event.data["percent"] for event in events if event.kind == "progress"]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    return outcome


def on_cluster(settings: Settings, cluster: Any) -> Settings:
    compute = settings.compute.model_copy(update={"kind": "cluster", "scheduler": cluster.scheduler_address})
    return settings.model_copy(update={"compute": compute})


@pytest.mark.parametrize(
    "format", ["GTiff", pytest.param("netCDF", marks=pytest.mark.full), pytest.param("Zarr", marks=pytest.mark.full)]
)
def test_pixels_and_metadata_are_the_same(settings: Settings, cluster: Any, tmp_path: Path, format: str) -> None:
    ours = run(settings, tmp_path / "threads", graph(format))
    theirs = run(on_cluster(settings, cluster), tmp_path / "cluster", graph(format))

    def facts(outcome: Outcome) -> list[dict[str, Any]]:
        unstable = {"size"} if format != "GTiff" else set()
        return [{name: value for name, value in file.items() if name not in unstable} for file in outcome.files]

    assert facts(ours) == facts(theirs)
    assert {**ours.provenance, "computed": ""} == {**theirs.provenance, "computed": ""}
    name = ours.files[0]["name"]
    if format == "GTiff":
        assert (tmp_path / "threads" / name).read_bytes() == (tmp_path / "cluster" / name).read_bytes()
    else:
        from openeo_backend.formats.registry import find

        read = find(format).read
        assert read is not None
        one, other = (read(tmp_path / where / name).data.values for where in ("threads", "cluster"))
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("format", "compressor"),
    [
        ("GTiff", "openeo_backend.formats.tiff.compress"),
        ("netCDF", "openeo_backend.formats.netcdf.compress"),
        ("Zarr", "openeo_backend.formats.zarr_.Zstd"),
    ],
)
def test_workers_compress(
    settings: Settings, cluster: Any, tmp_path: Path, monkeypatch: Any, format: str, compressor: str
) -> None:
    """Chunks of 700 pixels: some tiles lie in one window, others in two or four, whose parts meet here."""
    rows = da.arange(1900, chunks=700, dtype="f4")[None, :, None]
    columns = da.arange(1500, chunks=700, dtype="f4")[None, None, :]
    array = (rows * 10 + columns) * da.from_array(np.array([1, 2], "f4")[:, None, None], chunks=1)
    data = xr.DataArray(
        array,
        dims=("bands", "y", "x"),
        coords={"bands": ["a", "b"], "y": 6e6 - 10.0 * np.arange(1900), "x": 5e5 + 10.0 * np.arange(1500)},
    )
    dimensions = (Dimension("bands", "bands"), Dimension("y", "spatial", "y", -10), Dimension("x", "spatial", "x", 10))
    cube = Cube(data, dimensions, CRS("EPSG:32631"))
    pids: list[int] = []
    *place, name = compressor.split(".")
    original = pkgutil.resolve_name(compressor)

    def recorded(*arguments: Any, **options: Any) -> Any:
        pids.append(os.getpid())
        return original(*arguments, **options)

    counts, files = [], []
    for where in (settings, on_cluster(settings, cluster)):
        pids.clear()
        folder = tmp_path / where.compute.kind
        folder.mkdir()
        with computing(where.compute), monkeypatch.context() as patch:
            patch.setattr(pkgutil.resolve_name(".".join(place)), name, recorded)
            assets = write_result(cube, format, {}, folder, "out", lambda done, planned: None, lambda message: None)
        counts.append(len(pids))
        files.append(assets[0].path)
    on_threads, here = counts
    assert on_threads >= 24
    assert here <= on_threads * 0.8
    if format == "GTiff":
        assert files[0].read_bytes() == files[1].read_bytes()
    else:
        if format == "netCDF":
            opened = [xr.open_dataset(path, engine="h5netcdf") for path in files]
        else:
            opened = [xr.open_zarr(ZipStore(path, mode="r"), consolidated=False) for path in files]
        expected = np.arange(1900, dtype="f4")[:, None] * 10 + np.arange(1500, dtype="f4")
        for dataset in opened:
            np.testing.assert_array_equal(dataset["a"].values, expected)
            np.testing.assert_array_equal(dataset["b"].values, expected * 2)
            dataset.close()


def test_the_cluster_computes(settings: Settings, cluster: Any, tmp_path: Path) -> None:
    from distributed import Client

    with Client(cluster.scheduler_address, set_as_default=False) as client:
        before = client.run(lambda dask_worker: dask_worker.state.executed_count)
        run(on_cluster(settings, cluster), tmp_path / "out", graph("GTiff"))
        after = client.run(lambda dask_worker: dask_worker.state.executed_count)
    assert sum(after.values()) > sum(before.values())


def test_a_cluster_that_is_not_there_is_told(settings: Settings, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("openeo_backend.run.compute.CONNECT_SECONDS", 0.5)
    compute = settings.compute.model_copy(update={"kind": "cluster", "scheduler": "tcp://127.0.0.1:1"})
    request = RunRequest(id="r", process=graph("GTiff"), folder=tmp_path)
    outcome = execute(request, Engine.open(settings.model_copy(update={"compute": compute})), lambda event: None)
    assert outcome.error is not None
    assert outcome.error["code"] == "InfrastructureBusy"


def slow(block_info: Any = None) -> np.ndarray:
    """A window that takes its time and tells its place."""
    time.sleep(0.2)
    (_, _), (top, bottom), (left, right) = block_info[None]["array-location"]
    return np.full((1, bottom - top, right - left), top // 1024 * 4 + left // 1024, "uint8")


def test_a_worker_that_is_killed_does_not_fail_the_run(settings: Settings, cluster: Any) -> None:
    array = da.map_blocks(slow, chunks=((1,), (1024,) * 4, (1024,) * 4), dtype="uint8", meta=np.empty((0, 0, 0), "u1"))
    compute = on_cluster(settings, cluster).compute
    killed: list[int] = []

    def progress(done: int, planned: int) -> None:
        if done == 3:
            victim = next(iter(cluster.workers.values())).process.pid
            os.kill(victim, signal.SIGKILL)
            killed.append(victim)

    found = np.zeros((1, 4096, 4096), "uint8")
    with computing(compute):
        for block in stream(array, lambda values, place: values, progress):
            found[block.place] = block.result
    assert len(killed) == 1
    expected = np.repeat(np.repeat(np.arange(16, dtype="uint8").reshape(1, 4, 4), 1024, 1), 1024, 2)
    np.testing.assert_array_equal(found, expected)


def test_the_error_of_a_process_comes_back_whole(settings: Settings, cluster: Any) -> None:
    def refuse(block: np.ndarray) -> np.ndarray:
        raise OpenEOError("ProcessParameterInvalid", "No.", hint="Yes.", path=[NodeRef("a", "apply")])

    array = da.zeros((10, 10)).map_blocks(refuse, dtype="f4", meta=np.empty((0, 0), "f4"))
    with computing(on_cluster(settings, cluster).compute), pytest.raises(OpenEOError, match=r"No\. Yes\.") as caught:
        list(stream(array, lambda values, place: values, lambda done, planned: None))
    assert caught.value.path == (NodeRef("a", "apply"),)
