"""Parsing: form errors all together, linear time, bounded size."""

from __future__ import annotations

import time
from typing import Any

import pytest

from openeo_backend.errors import OpenEOError
from openeo_backend.graph.nodes import FromNode, FromParameter, Graph
from openeo_backend.graph.parse import parse, read


def add(x: Any, y: Any, **extra: Any) -> dict[str, Any]:
    return {"process_id": "add", "arguments": {"x": x, "y": y}, **extra}


def ref(node: str) -> dict[str, str]:
    return {"from_node": node}


def test_nodes_come_after_the_nodes_they_refer_to() -> None:
    graph = parse({"c": add(ref("b"), ref("a"), result=True), "b": add(ref("a"), 1), "a": add(1, 1)})
    order = list(graph.nodes)
    assert order.index("a") < order.index("b") < order.index("c")
    assert graph.result == "c"
    assert graph.nodes["b"].arguments == {"x": FromNode("a"), "y": 1}


def test_references_are_found_inside_arrays_objects_and_callbacks() -> None:
    inner = {"m": {"process_id": "mean", "arguments": {"data": {"from_parameter": "data"}}, "result": True}}
    graph = parse(
        {
            "a": add(1, 2),
            "b": {
                "process_id": "p",
                "arguments": {"list": [1, [ref("a")]], "object": {"k": ref("a")}, "f": {"process_graph": inner}},
                "result": True,
            },
        }
    )
    node = graph.nodes["b"]
    assert node.inputs() == {"a"}
    callback = node.arguments["f"]
    assert isinstance(callback, Graph)
    assert callback.nodes["m"].arguments["data"] == FromParameter("data")


def test_a_single_end_node_is_the_result_without_a_flag() -> None:
    assert parse({"a": add(1, 2), "b": add(ref("a"), 2)}).result == "b"


@pytest.mark.parametrize(
    ("process_graph", "code", "words"),
    [
        (None, "ProcessGraphMissing", "not an object"),
        ([], "ProcessGraphMissing", "not an object"),
        ({}, "ProcessGraphMissing", "empty"),
        ({"a": 1}, "ProcessGraphInvalid", "'a' is not an object"),
        ({"a": {"arguments": {}}}, "ProcessGraphInvalid", "'process_id'"),
        ({"a": {"process_id": "add", "arguments": 3, "result": True}}, "ProcessGraphInvalid", "'arguments'"),
        ({"a": add(1, 2), "b": add(1, 2)}, "ProcessGraphInvalid", "flagged as the result"),
        ({"a": add(1, 2, result=True), "b": add(1, 2, result=True)}, "ProcessGraphInvalid", "a, b"),
        ({"a": add(ref("b"), 2), "b": add(ref("a"), 2, result=True)}, "ProcessGraphInvalid", "cycle"),
        ({"a": add(ref("zz"), 2, result=True)}, "ProcessGraphInvalid", "'zz'"),
    ],
)
def test_form_errors(process_graph: Any, code: str, words: str) -> None:
    with pytest.raises(OpenEOError) as raised:
        parse(process_graph)
    assert raised.value.code == code
    assert words in raised.value.describe()


def test_all_problems_are_told_at_once() -> None:
    graph, problems = read({"a": add(ref("x1"), ref("x2")), "b": {"process_id": 3}, "c": add(ref("c"), 1)})
    assert graph is None
    text = " ".join(problem.describe() for problem in problems)
    assert "'b'" in text
    graph, problems = read({"a": add(ref("x1"), ref("x2")), "c": add(ref("c"), 1, result=True)})
    text = " ".join(problem.describe() for problem in problems)
    assert "x1" in text
    assert "x2" in text
    assert "cycle" in text


def test_ten_thousand_nodes_and_diamonds_are_linear() -> None:
    graph = {"n0": add(1, 1)}
    graph |= {f"n{i}": add(ref(f"n{i - 1}"), ref(f"n{i - 1}"), result=i == 9_999) for i in range(1, 10_000)}
    start = time.process_time()
    assert len(parse(graph)) == 10_000
    # a quadratic or exponential reading would take minutes; no figure of speed is asserted here
    assert time.process_time() - start < 30


def test_too_many_nodes_and_too_deep_nesting_are_refused() -> None:
    with pytest.raises(OpenEOError, match="more than 5 nodes"):
        parse({f"n{i}": add(1, 1) for i in range(6)}, max_nodes=5)
    deep: Any = 1
    for _ in range(50):
        deep = [deep]
    with pytest.raises(OpenEOError, match="levels deep"):
        parse({"a": add(deep, 1, result=True)})
