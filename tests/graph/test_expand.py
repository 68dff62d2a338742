"""Stored processes: their nodes in the place of the call, scopes kept apart, blow-up refused."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from openeo_backend.errors import OpenEOError
from openeo_backend.graph.callback import Scope
from openeo_backend.graph.evaluate import evaluate
from openeo_backend.graph.expand import bind, expand
from openeo_backend.graph.parse import parse


@dataclass
class Entry:
    implementation: Callable[..., Any]
    wants_env: bool = False
    optional: frozenset[str] = frozenset()

    def admit(self, arguments: dict[str, Any]) -> None:
        """Takes everything."""


PROCESSES = {
    "add": Entry(lambda x, y: x + y),
    "each": Entry(lambda data, process: [process(x=value) for value in data]),
    "constant": Entry(lambda x: x),
}


def own(process: str, argument: str) -> frozenset[str]:
    return frozenset({"x"}) if (process, argument) == ("each", "process") else frozenset()


def run(process_graph: dict[str, Any], stored: Mapping[str, Any]) -> Any:
    graph = expand(parse(process_graph), lambda id, namespace: stored.get(id), own)
    return evaluate(graph, PROCESSES, Scope(), None)


def node(process: str, result: bool = False, /, **arguments: Any) -> dict[str, Any]:
    return {"process_id": process, "arguments": arguments, "result": result}


def param(name: str) -> dict[str, str]:
    return {"from_parameter": name}


INCREMENT = {
    "parameters": [{"name": "x"}, {"name": "by", "optional": True, "default": 1}],
    "process_graph": {"add1": node("add", True, x=param("x"), y=param("by"))},
}


def test_calls_with_defaults_and_given_values() -> None:
    graph = {
        "add1": node("increment", x=1),
        "b": node("increment", True, x={"from_node": "add1"}, by=10),
    }
    assert run(graph, {"increment": INCREMENT}) == 12


def test_a_node_id_of_the_body_may_also_be_one_of_the_caller() -> None:
    graph = {"add1": node("add", x=1, y=1), "c": node("increment", True, x={"from_node": "add1"})}
    assert run(graph, {"increment": INCREMENT}) == 3


def test_nested_calls_and_calls_in_callbacks() -> None:
    twice = {
        "parameters": [{"name": "x"}],
        "process_graph": {
            "one": node("increment", x=param("x")),
            "two": node("increment", True, x={"from_node": "one"}),
        },
    }
    inner = {"process_graph": {"t": node("twice", True, x=param("x"))}}
    assert run({"a": node("each", True, data=[1, 5], process=inner)}, {"increment": INCREMENT, "twice": twice}) == [
        3,
        7,
    ]


def test_callbacks_in_the_body_see_the_parameters_of_the_process() -> None:
    shift = {
        "parameters": [{"name": "data"}, {"name": "by"}, {"name": "x", "optional": True, "default": 1000}],
        "process_graph": {
            "e": node(
                "each",
                True,
                data=param("data"),
                process={"process_graph": {"s": node("add", True, x=param("x"), y=param("by"))}},
            )
        },
    }
    graph = {"k": node("add", x=2, y=3), "s": node("shift", True, data=[1, 2], by={"from_node": "k"})}
    # `x` of the callback hides the parameter `x` of the process
    assert run(graph, {"shift": shift}) == [6, 7]


def test_a_process_that_returns_its_parameter() -> None:
    same = {"parameters": [{"name": "v"}], "process_graph": {"c": node("constant", True, x=param("v"))}}
    assert run({"a": node("same", True, v=[1, 2])}, {"same": same}) == [1, 2]


def test_missing_and_unknown_parameters_name_the_call() -> None:
    with pytest.raises(OpenEOError) as raised:
        run({"call": node("increment", True)}, {"increment": INCREMENT})
    assert raised.value.code == "ProcessParameterRequired"
    assert raised.value.path[0].node_id == "call"
    with pytest.raises(OpenEOError, match="'z'"):
        run({"call": node("increment", True, x=1, z=2)}, {"increment": INCREMENT})


def test_recursion_and_blow_up_are_refused_fast() -> None:
    stored: dict[str, Any] = {
        "self": {"process_graph": {"s": node("self", True)}},
        "ping": {"process_graph": {"s": node("pong", True)}},
        "pong": {"process_graph": {"s": node("ping", True)}},
        "l0": {"process_graph": {"s": node("add", True, x=1, y=1)}},
    }
    for level in range(1, 15):  # ten calls a level: 10^14 nodes
        calls = {f"c{i}": node(f"l{level - 1}", i == 9) for i in range(10)}
        stored[f"l{level}"] = {"process_graph": calls}
    start = time.process_time()
    for id, code, told in [
        ("self", "ProcessGraphInvalid", "call each other"),
        ("ping", "ProcessGraphInvalid", "call each other"),
        ("l14", "ProcessGraphComplexity", r"more than \d+ nodes"),
    ]:
        with pytest.raises(OpenEOError, match=told) as raised:
            run({"a": node(id, True)}, stored)
        assert raised.value.code == code
    assert time.process_time() - start < 30


@pytest.mark.parametrize(
    ("wrap", "told"),
    [
        (lambda value: [value] * 4, "more than 2000000 elements"),
        (lambda value: {"a": value, "b": {"c": [value, value]}}, "more than 2000000 elements"),
        (lambda value: [[[[value]]]], "more than 40 levels"),
    ],
)
def test_values_that_grow_with_each_call_are_refused_fast(wrap: Callable[[Any], Any], told: str) -> None:
    callback = {"process_graph": {"sum": node("add", True, x=param("x"), y=param("v"))}}
    for last in (node("constant", True, x=param("v")), node("each", True, data=[1], process=callback)):
        stored = {"l0": {"parameters": [{"name": "v"}], "process_graph": {"last": last}}}
        for level in range(1, 15):
            call = node(f"l{level - 1}", True, v=wrap(param("v")))
            stored[f"l{level}"] = {"parameters": [{"name": "v"}], "process_graph": {"call": call}}
        start = time.process_time()
        with pytest.raises(OpenEOError, match=told) as raised:
            run({"a": node("l14", True, v=1)}, stored)
        assert raised.value.code == "ProcessGraphComplexity"
        assert time.process_time() - start < 20


def test_bind_puts_values_in_the_place_of_parameters() -> None:
    graph = bind(parse({"a": node("add", True, x=param("k"), y=[param("k"), param("open")])}), {"k": 7}, own)
    assert graph.nodes["a"].arguments["x"] == 7
    assert graph.nodes["a"].arguments["y"][0] == 7
