"""Memory that an evaluation plans with: a long series within it, and what does not fit refused before it starts."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from scenes import write_scenes

from openeo_backend.cube.memory import BASE_MB
from openeo_backend.run.engine import Engine
from openeo_backend.run.execute import execute
from openeo_backend.run.request import Outcome, RunRequest
from openeo_backend.settings import Settings

DATES, FILES, SIDE = 1000, 20, 256
DAYS = [str(np.datetime64("2020-01-01") + index) for index in range(DATES)]
REDUCER = {"process_graph": {"m": {"process_id": "median", "arguments": {"data": {"from_parameter": "data"}}}}}
REDUCER["process_graph"]["m"]["result"] = True

#: Tells the most memory that the process that runs the command held.
COMMAND = """
import os, sys, threading, time
from openeo_backend.cli import main
from openeo_backend.sandbox.child import memory_of
peak = 0
def look():
    global peak
    while True:
        peak = max(peak, memory_of(os.getpid()))
        time.sleep(0.01)
threading.Thread(target=look, daemon=True).start()
try:
    main(sys.argv[1:])
finally:
    print(peak)
"""


def series(nodes: dict[str, Any]) -> dict[str, Any]:
    load = {"process_id": "load_collection", "arguments": {"id": "SCENES", "spatial_extent": None}}
    load["arguments"] |= {"temporal_extent": None, "bands": ["B1"]}
    return {"process_graph": {"load": load, **nodes}}


def median() -> dict[str, Any]:
    arguments = {"data": {"from_node": "load"}, "dimension": "t", "reducer": REDUCER}
    return series({"middle": {"process_id": "reduce_dimension", "arguments": arguments, "result": True}})


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    return np.random.default_rng(5).integers(1, 60_000, (FILES, SIDE, SIDE)).astype("uint16")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, values: np.ndarray) -> Path:
    path = write_scenes(tmp_path_factory.mktemp("long") / "scenes", {"B1": values}, days=DAYS[:FILES])
    document = json.loads(path.read_text())
    item = json.loads((path.parent / f"{DAYS[0]}.json").read_text())
    for index, day in enumerate(DAYS):
        asset = item["assets"]["B1"] | {"href": f"./{DAYS[index % FILES]}-B1.tif"}
        properties = item["properties"] | {"datetime": f"{day}T10:50:00Z"}
        again = item | {"id": day, "assets": {"B1": asset}, "properties": properties}
        (path.parent / f"{day}.json").write_text(json.dumps(again))
    document["links"] = [{"rel": "item", "href": f"./{day}.json"} for day in DAYS]
    path.write_text(json.dumps(document))
    return path


def run(archive: Path, folder: Path, process: dict[str, Any], planned: int, **more: Any) -> Outcome:
    settings = {"catalog": {"sources": [str(archive)]}, "compute": {"memory_mb": planned, "threads": 2}}
    request = RunRequest(id="memory", process=process, folder=folder, roles=None)
    return execute(replace(request, **more), Engine.open(Settings.model_validate(settings)), lambda event: None)


def test_a_thousand_dates_take_the_memory_that_is_planned(tmp_path: Path, archive: Path, values: np.ndarray) -> None:
    planned = 80
    (tmp_path / "graph.json").write_text(json.dumps(median()))
    config = f"[catalog]\nsources = [{json.dumps(str(archive))}]\n[compute]\nthreads = 2\n"
    (tmp_path / "settings.toml").write_text(config + f"memory_mb = {BASE_MB + planned}\n")
    command = [sys.executable, "-c", COMMAND, "run", "graph.json", "-o", "out", "--config", "settings.toml"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert 1.5e6 * planned < DATES * SIDE**2 * 2  # the series itself, which would be twice as much as floats
    assert float(done.stdout.splitlines()[-1]) < BASE_MB + planned
    with rasterio.open(next((tmp_path / "out").glob("*.tif"))) as file:
        np.testing.assert_allclose(file.read(1), np.median(values, axis=0))


def test_what_does_not_fit_is_refused_with_numbers_before_it_starts(tmp_path: Path, archive: Path) -> None:
    outcome = run(archive, tmp_path / "out", median(), BASE_MB + 10)
    assert outcome.error is not None
    assert outcome.error["code"] == "ProcessGraphComplexity"
    block = DATES * 128 * 128 * 2  # the smallest blocks that are loaded; their halves are joined
    message = outcome.error["message"]
    assert f"at least {math.ceil(2 * block / 1e6)} MB" in message
    assert f"may take {BASE_MB + 10} MB" in message
    assert "'middle' (reduce_dimension)" in message
    assert "x 64 x 128 values" in message
    assert not list((tmp_path / "out").glob("*.tif"))


def test_a_job_may_ask_for_more_memory_to_plan_with(tmp_path: Path, archive: Path) -> None:
    asked = {"options": {"memory": "600MB"}, "memory_mb": 600.0}
    assert run(archive, tmp_path / "out", median(), BASE_MB + 10, **asked).error is None


def test_a_job_plans_with_no_more_than_it_may_take(tmp_path: Path, archive: Path) -> None:
    outcome = run(archive, tmp_path / "out", median(), 2048, memory_mb=BASE_MB + 10.0)
    assert outcome.error is not None
    assert outcome.error["code"] == "ProcessGraphComplexity"


def test_threads_are_the_cores_that_the_process_may_use() -> None:
    own = min(os.sched_getaffinity(0))
    code = (
        f"import os; os.sched_setaffinity(0, [{own}])\nfrom openeo_backend.cube import memory; print(memory.threads())"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "1\n"
