"""Filters moved into the loads give the pixels that the same graph gives when nothing is moved."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import xarray as xr

from openeo_backend.cube import Cube
from openeo_backend.graph.callback import Scope
from openeo_backend.graph.evaluate import evaluate
from openeo_backend.processes.environment import Env
from openeo_backend.run.engine import Engine

BBOX = {"west": 719300, "south": 5378100, "east": 719800, "north": 5378500, "crs": 32632}
SMALLER = {"west": 719400, "south": 5378200, "east": 719700, "north": 5378400, "crs": 32632}
Step = dict[str, Any]


def callback(process: str, **arguments: Any) -> dict[str, Any]:
    return {"process_graph": {"only": {"process_id": process, "arguments": arguments, "result": True}}}


def over(parameter: str) -> dict[str, str]:
    return {"from_parameter": parameter}


MAX = callback("max", data=over("data"))

#: Steps by name; `needs` are the dimensions that must be there, `drops` those that are gone afterwards.
STEPS: dict[str, tuple[Step, set[str], set[str]]] = {
    "bbox": ({"process_id": "filter_bbox", "arguments": {"extent": BBOX}}, set(), set()),
    "smaller": ({"process_id": "filter_bbox", "arguments": {"extent": SMALLER}}, set(), set()),
    "time": (
        {"process_id": "filter_temporal", "arguments": {"extent": ["2025-05-05", "2025-06-20"]}},
        {"t"},
        set(),
    ),
    "bands": ({"process_id": "filter_bands", "arguments": {"bands": ["B08", "B04"]}}, {"bands"}, set()),
    "double": (
        {"process_id": "apply", "arguments": {"process": callback("multiply", x=over("x"), y=2)}},
        set(),
        set(),
    ),
    "max_time": ({"process_id": "reduce_dimension", "arguments": {"dimension": "t", "reducer": MAX}}, {"t"}, {"t"}),
    "max_bands": (
        {"process_id": "reduce_dimension", "arguments": {"dimension": "bands", "reducer": MAX}},
        {"bands"},
        {"bands"},
    ),
    "months": (
        {"process_id": "aggregate_temporal_period", "arguments": {"period": "month", "reducer": MAX}},
        {"t"},
        {"t"},  # labels are no dates any more
    ),
    "kernel": (
        {"process_id": "apply_kernel", "arguments": {"kernel": [[0, 1, 0], [1, 1, 1], [0, 1, 0]]}},
        set(),
        set(),
    ),
    "cumulative": (
        {
            "process_id": "apply_dimension",
            "arguments": {"dimension": "t", "process": callback("cumsum", data=over("data"))},
        },
        {"t"},
        set(),
    ),
}


def chain(seed: int) -> list[Step]:
    """Steps in a random order in which each finds the dimensions it needs."""
    choose = random.Random(seed)
    there, steps = {"t", "bands"}, []
    for _ in range(choose.randint(3, 6)):
        name = choose.choice([name for name, (_, needs, _) in STEPS.items() if needs <= there])
        step, _, drops = STEPS[name]
        there -= drops
        steps.append(step)
    return steps


def graph_of(steps: list[Step]) -> dict[str, Any]:
    load = {"id": "SENTINEL2_L2A", "spatial_extent": None, "temporal_extent": None, "bands": ["B04", "B08", "B03"]}
    nodes: dict[str, Any] = {"n0": {"process_id": "load_collection", "arguments": load}}
    for number, step in enumerate(steps, 1):
        arguments = {"data": {"from_node": f"n{number - 1}"}, **step["arguments"]}
        nodes[f"n{number}"] = {"process_id": step["process_id"], "arguments": arguments}
    nodes[f"n{len(steps)}"]["result"] = True
    return nodes


def compute(engine: Engine, nodes: dict[str, Any], pushed: bool) -> xr.DataArray:
    plan, problems = engine.plan({"process_graph": nodes})
    assert plan is not None, problems
    env = Env(log=quiet, collections=engine.catalog, hints=plan.hints if pushed else {})
    cube = evaluate(plan.graph, engine.processes, Scope(), env)
    assert isinstance(cube, Cube)
    data = cube.data.compute()
    return data.where(data != cube.nodata) if cube.nodata is not None else data


def quiet(*args: Any, **kwargs: Any) -> None:
    """No log."""


@pytest.mark.parametrize("seed", range(30))
def test_random_chains(engine: Engine, seed: int) -> None:
    nodes = graph_of(chain(seed))
    with_pushdown = compute(engine, nodes, pushed=True)
    without = compute(engine, nodes, pushed=False)
    assert with_pushdown.dims == without.dims
    for name in without.dims:
        assert np.array_equal(with_pushdown[name].values, without[name].values), name
    assert np.array_equal(with_pushdown.values, without.values, equal_nan=True)
