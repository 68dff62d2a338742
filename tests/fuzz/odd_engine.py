"""Running graphs that take odd cubes."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from limited import limited
from odd_cubes import CUBES

from openeo_backend.cube import Cube
from openeo_backend.graph.effects import BLOCKED
from openeo_backend.processes.registry import Mark, Registry
from openeo_backend.run.engine import Engine
from openeo_backend.run.execute import execute
from openeo_backend.run.request import Outcome, RunRequest

NAME = {"name": "name", "description": "Which cube.", "schema": {"type": "string"}}
ODD_CUBE = {
    "id": "odd_cube",
    "description": "A cube that graphs rarely have.",
    "parameters": [NAME],
    "returns": {"description": "The cube.", "schema": {"type": "object", "subtype": "datacube"}},
}


def odd_cube(name: str) -> Cube:
    return CUBES[name]()


def with_odd_cubes(engine: Engine) -> Engine:
    """The engine with a process that makes odd cubes."""
    registry = Registry.predefined()
    registry.add(odd_cube, Mark("odd_cube", ODD_CUBE, BLOCKED, None, hidden=True))
    return replace(engine, processes=registry)


def call(process: str, /, **arguments: Any) -> dict[str, Any]:
    return {"process_id": process, "arguments": arguments}


def odd(name: str) -> dict[str, Any]:
    return call("odd_cube", name=name)


def run(graph: dict[str, Any], engine: Engine, folder: Path) -> Outcome:
    """The outcome of a graph, which crosses process borders; its files are deleted."""
    folder.mkdir()
    request = RunRequest(id="r", process={"process_graph": graph}, folder=folder, limit_samples=1e7, threads=1)
    try:
        with limited():
            outcome = execute(request, engine, lambda event: None)
        json.dumps(outcome.json())
    finally:
        shutil.rmtree(folder)
    return outcome
