"""A process that is wrong in many ways: everything is told at once, each problem with its node."""

from __future__ import annotations

import time
from typing import Any

import pytest

from openeo_backend.processes.registry import Registry
from openeo_backend.run.plan import plan
from openeo_backend.settings import LimitsSettings


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.predefined()


def node(process: str, /, **arguments: Any) -> dict[str, Any]:
    return {"process_id": process, "arguments": arguments}


def found(graph: dict[str, Any], registry: Registry, **options: Any) -> set[tuple[str, str | None, str | None]]:
    planned, problems = plan({"process_graph": graph}, registry, LimitsSettings(), **options)
    assert planned is None
    ends = [problem.path[-1] if problem.path else None for problem in problems]
    return {(p.code, end and end.node_id, end and end.argument) for p, end in zip(problems, ends, strict=True)}


def test_errors_of_form_do_not_hide_those_of_content(registry: Registry) -> None:
    reducer = {"process_graph": {"m": node("mean", data={"from_node": "absent"}, wrong=1)}}
    graph = {
        "a": node("add", x={"from_node": "b"}, y="text"),
        "b": node("add", x={"from_node": "a"}),
        "u": node("nonsense", x=1),
        "r": {**node("reduce_dimension", data={"from_node": "gone"}, dimension=5, reducer=reducer), "result": True},
        "e": node("apply", data={"from_node": "r"}, process={"process_graph": {}}),
        "n": {"process_id": 3},
    }
    assert found(graph, registry) == {
        ("ProcessGraphInvalid", None, None),  # the cycle, and that n is no node
        ("ProcessGraphInvalid", "m", None),
        ("ProcessGraphInvalid", "r", None),
        ("ProcessGraphMissing", "e", None),
        ("ProcessParameterInvalid", "a", "y"),
        ("ProcessParameterRequired", "b", "y"),
        ("ProcessParameterInvalid", "r", "dimension"),
        ("ProcessParameterUnsupported", "m", "wrong"),
        ("ProcessUnsupported", "u", None),
    }


def test_wrong_calls_of_stored_processes_name_their_nodes_and_hide_nothing(registry: Registry) -> None:
    stored = {"twice": {"parameters": [{"name": "x"}], "process_graph": {"m": node("add", x=1, y=1)}}}
    inner = {"process_graph": {"c": {**node("other", x=1), "namespace": "user"}}}
    graph = {
        "call": {**node("twice"), "namespace": "user"},
        "strange": {**node("add", x=1, y=1), "namespace": "elsewhere"},
        "apply": node("apply", data={"from_node": "call"}, process=inner),
        "wrong": {**node("add", x={"from_node": "strange"}, y="text"), "result": True},
    }
    assert found(graph, registry, stored=stored) == {
        ("ProcessParameterRequired", "call", None),
        ("ProcessNamespaceInvalid", "strange", None),
        ("ProcessUnsupported", "c", None),
        ("ProcessParameterInvalid", "wrong", "y"),
    }
    _, problems = plan({"process_graph": graph}, registry, LimitsSettings(), stored=stored)
    assert ["apply", "c"] in [[ref.node_id for ref in problem.path] for problem in problems]


def test_ten_thousand_wrong_nodes_are_told_in_seconds(registry: Registry) -> None:
    graph = {f"n{i}": node("add", x={"from_node": f"n{i - 1}"}, z=1) for i in range(1, 10_000)} | {"n0": node("nope")}
    start = time.process_time()
    _, problems = plan({"process_graph": graph}, registry, LimitsSettings())
    assert time.process_time() - start < 10  # one second; looking at all nodes for each takes more
    assert len(problems) == 100
