"""Processes of cubes, given cubes and other arguments that graphs rarely have, and what comes out written to files."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from explore import explore
from hypothesis import strategies as st
from limited import Stopped, limited
from odd_arguments import CALLS, FORMATS
from odd_cubes import CUBES, VECTORS

from openeo_backend.cube import Cube
from openeo_backend.graph.effects import BLOCKED
from openeo_backend.processes.registry import Mark, Registry
from openeo_backend.run.engine import Engine
from openeo_backend.run.execute import execute
from openeo_backend.run.request import RunRequest

NAME = {"name": "name", "description": "Which cube.", "schema": {"type": "string"}}
ODD_CUBE = {
    "id": "odd_cube",
    "description": "A cube that graphs rarely have.",
    "parameters": [NAME],
    "returns": {"description": "The cube.", "schema": {"type": "object", "subtype": "datacube"}},
}

#: Most processes after one another.
LONGEST = 3


def odd_cube(name: str) -> Cube:
    return CUBES[name]()


@pytest.fixture(scope="module")
def engine(node: Any) -> Engine:
    """The engine of the back-end, with one more process."""
    registry = Registry.predefined()
    registry.add(odd_cube, Mark("odd_cube", ODD_CUBE, BLOCKED, None, hidden=True))
    return replace(node.backend.engine, processes=registry)


def call(process: str, /, **arguments: Any) -> dict[str, Any]:
    return {"process_id": process, "arguments": arguments}


@st.composite
def chains(draw: st.DrawFn) -> dict[str, Any]:
    """A graph of one process or a few, of cubes, whose result is saved."""
    graph = {
        "cube": call("odd_cube", name=draw(st.sampled_from([*CUBES]))),
        "second": call("odd_cube", name=draw(st.sampled_from([*CUBES]))),
        "shapes": call("odd_cube", name=draw(st.sampled_from([*VECTORS]))),
    }
    names = draw(st.lists(st.sampled_from([*CALLS]), min_size=1, max_size=draw(st.sampled_from([1, 1, LONGEST]))))
    last = "cube"
    for index, name in enumerate(names):
        usual, odd = CALLS[name]
        arguments = dict(usual)
        for argument in draw(st.lists(st.sampled_from([*odd]), max_size=3, unique=True)) if odd else ():
            arguments[argument] = draw(st.sampled_from(odd[argument]))
        text = json.dumps(arguments).replace('{"from_node": "cube"}', json.dumps({"from_node": last}))
        last = f"n{index}"
        graph[last] = call(name, **json.loads(text))
    graph["save"] = call("save_result", data={"from_node": last}, format=draw(st.sampled_from(FORMATS)))
    graph["save"]["result"] = True
    return graph


def test_odd_cubes(engine: Engine, tmp_path: Path) -> None:
    def check(graph: dict[str, Any]) -> None:
        assert not run(graph, engine, tmp_path / "run"), json.dumps(graph)

    explore(check, chains(), examples=400, share=3)


def run(graph: dict[str, Any], engine: Engine, folder: Path) -> str | None:
    """What is wrong with running a graph, if anything is."""
    folder.mkdir()
    request = RunRequest(id="r", process={"process_graph": graph}, folder=folder, limit_samples=1e7, threads=1)
    try:
        with limited():
            outcome = execute(request, engine, lambda event: None)
        json.dumps(outcome.json())
    except Stopped:
        return None
    finally:
        shutil.rmtree(folder)
    return outcome.error["message"] if outcome.error and outcome.error["code"] == "Internal" else None
