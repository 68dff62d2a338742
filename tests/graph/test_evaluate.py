"""Evaluation: order, scopes, freeing, errors with their path."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from openeo_backend.errors import OpenEOError
from openeo_backend.graph import trace
from openeo_backend.graph.callback import Scope
from openeo_backend.graph.evaluate import evaluate
from openeo_backend.graph.parse import parse


@dataclass
class Entry:
    implementation: Callable[..., Any]
    wants_env: bool = False
    optional: frozenset[str] = frozenset()

    def admit(self, arguments: dict[str, Any]) -> None:
        """Takes everything."""


def run(process_graph: dict[str, Any], processes: dict[str, Entry], **parameters: Any) -> Any:
    return evaluate(parse(process_graph), processes, Scope(parameters), None)


def node(process: str, result: bool = False, /, **arguments: Any) -> dict[str, Any]:
    return {"process_id": process, "arguments": arguments, "result": result}


def callback(process_graph: dict[str, Any]) -> dict[str, Any]:
    return {"process_graph": process_graph}


ADD = Entry(lambda x, y: x + y)
EACH = Entry(lambda data, process, context=None: [process(x=value, context=context) for value in data])


def param(name: str) -> dict[str, str]:
    return {"from_parameter": name}


def test_callbacks_are_evaluated_afresh_for_each_call() -> None:
    graph = {"a": node("each", True, data=[1, 2, 3], process=callback({"s": node("add", True, x=param("x"), y=10)}))}
    assert run(graph, {"add": ADD, "each": EACH}) == [11, 12, 13]


def test_parameters_are_looked_up_from_the_inside_out() -> None:
    inner = {"s": node("add", True, x=param("x"), y=param("k"))}
    outer = {"e": node("each", True, data=param("x"), process=callback(inner))}
    graph = {"a": node("each", True, data=[[1], [2, 3]], process=callback(outer))}
    assert run(graph, {"add": ADD, "each": EACH}, k=100, x="outermost") == [[101], [102, 103]]


def test_every_node_runs_also_those_the_result_does_not_need() -> None:
    seen: list[Any] = []
    graph = {"a": node("note", x=1), "b": node("note", True, x=2)}
    run(graph, {"note": Entry(lambda x: seen.append(x))})
    assert sorted(seen) == [1, 2]


def test_a_diamond_evaluates_each_node_once() -> None:
    calls: list[int] = []
    counted = Entry(lambda x, y: calls.append(1) or x + y)
    graph = {"n0": node("add", x=1, y=1)}
    for i in range(1, 60):
        graph[f"n{i}"] = node("add", i == 59, x={"from_node": f"n{i - 1}"}, y={"from_node": f"n{i - 1}"})
    assert run(graph, {"add": counted}) == 2**60
    assert len(calls) == 60


def test_values_are_freed_after_their_last_use() -> None:
    class Big:
        pass

    alive: list[weakref.ref[Big]] = []

    def make() -> Big:
        value = Big()
        alive.append(weakref.ref(value))
        return value

    def look(x: Any) -> int:
        gc.collect()
        return sum(reference() is not None for reference in alive)

    graph = {
        "big": node("make"),
        "use": node("drop", x={"from_node": "big"}),
        "after": node("look", True, x={"from_node": "use"}),
    }
    processes = {"make": Entry(make), "drop": Entry(lambda x: 1), "look": Entry(look)}
    assert run(graph, processes) == 0


def test_null_for_an_optional_parameter_that_forbids_it_is_the_default() -> None:
    entry = Entry(lambda x=5: x, optional=frozenset({"x"}))
    assert run({"a": node("p", True, x=None)}, {"p": entry}) == 5
    assert run({"a": node("p", True, x=None)}, {"p": Entry(lambda x=5: x)}) is None


def test_errors_carry_the_path_into_callbacks() -> None:
    def fail(x: Any) -> Any:
        raise OpenEOError("MinMaxSwapped", "No good.")

    graph = {"a": node("each", True, data=[1], process=callback({"s": node("fail", True, x=param("x"))}))}
    with pytest.raises(OpenEOError) as raised:
        run(graph, {"fail": Entry(fail), "each": EACH})
    assert [(n.node_id, n.process_id) for n in raised.value.path] == [("a", "each"), ("s", "fail")]
    assert raised.value.describe() == "Node 's' (fail): No good."


def test_unexpected_failures_become_internal_errors_without_their_text() -> None:
    def fail() -> Any:
        raise ValueError("a secret path")

    with pytest.raises(OpenEOError) as raised:
        run({"a": node("fail", True)}, {"fail": Entry(fail)})
    assert raised.value.code == "Internal"
    assert "secret" not in raised.value.describe()
    assert isinstance(raised.value.__cause__, ValueError)


def test_work_done_later_keeps_its_place_in_the_graph() -> None:
    def plan() -> Callable[[], None]:
        def work() -> None:
            raise OpenEOError("NoDataAvailable", "Late.")

        return trace.located(work)

    work = run({"late": node("plan", True)}, {"plan": Entry(plan)})
    with pytest.raises(OpenEOError) as raised:
        work()
    assert raised.value.path[0].node_id == "late"


def test_a_parameter_without_value_is_named() -> None:
    with pytest.raises(OpenEOError, match="'nix'") as raised:
        run({"a": node("add", True, x=param("nix"), y=1)}, {"add": ADD})
    assert raised.value.code == "ProcessParameterMissing"
