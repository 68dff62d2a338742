"""Checking graphs against the real specifications: all problems at once, each naming node and argument."""

from __future__ import annotations

from typing import Any

import pytest

from openeo_backend.errors import OpenEOError
from openeo_backend.graph.check import callback_parameters, check
from openeo_backend.graph.parse import parse
from openeo_backend.processes.registry import Registry


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.predefined()


def node(process: str, result: bool = False, /, **arguments: Any) -> dict[str, Any]:
    return {"process_id": process, "arguments": arguments, "result": result}


def problems(graph: dict[str, Any], registry: Registry, **options: Any) -> list[OpenEOError]:
    return check(parse(graph), registry, **options)


def test_a_sound_graph_has_no_problems(registry: Registry) -> None:
    reducer = {"process_graph": {"m": node("mean", True, data={"from_parameter": "data"})}}
    graph = {
        "load": node("load_collection", id="S2", spatial_extent=None, temporal_extent=["2020-01-01", None]),
        "mean": node("reduce_dimension", data={"from_node": "load"}, dimension="t", reducer=reducer),
        "save": node("save_result", True, data={"from_node": "mean"}, format="GTiff"),
    }
    assert problems(graph, registry) == []


def test_all_problems_name_node_process_and_argument(registry: Registry) -> None:
    reducer = {"process_graph": {"m": node("meen", True, data={"from_parameter": "date"})}}
    graph = {
        "load": node("load_collection", id=5, temporal_extent="2020", wrong=1, spatial_extent=None),
        "mean": node("reduce_dimension", data={"from_node": "load"}, reducer=reducer),
        "add": node("add", True, x={"from_parameter": "nowhere"}, y="text"),
    }
    found = {(p.code, p.path[-1].node_id, p.path[-1].argument) for p in problems(graph, registry)}
    assert found == {
        ("ProcessParameterInvalid", "load", "id"),
        ("ProcessParameterInvalid", "load", "temporal_extent"),
        ("ProcessParameterUnsupported", "load", "wrong"),
        ("ProcessParameterRequired", "mean", "dimension"),
        ("ProcessUnsupported", "m", None),
        ("ProcessParameterMissing", "add", "x"),
        ("ProcessParameterInvalid", "add", "y"),
    }


def test_problems_in_callbacks_carry_the_whole_path(registry: Registry) -> None:
    inner = {"process_graph": {"a": node("add", True, x={"from_parameter": "x"})}}
    found = problems(
        {"apply": node("apply", True, data={"from_parameter": "d"}, process=inner)}, registry, parameters=["d"]
    )
    assert [[ref.node_id for ref in problem.path] for problem in found] == [["apply", "a"]]
    assert found[0].path[-1].argument == "y"


def test_a_callback_where_none_is_expected_and_none_where_one_is(registry: Registry) -> None:
    callback = {"process_graph": {"a": node("add", True, x=1, y=1)}}
    graph = {"a": node("add", x=callback, y=1), "b": node("apply", True, data={"from_node": "a"}, process=3)}
    told = {(p.path[-1].node_id, p.path[-1].argument) for p in problems(graph, registry)}
    assert told == {("a", "x"), ("b", "process")}


def test_bounds_hold_for_options_and_not_for_values_of_pixels(registry: Registry) -> None:
    graph = {
        "nan": node("arccos", x=2),  # an official case: it is NaN
        "sound": node("quantiles", data=[1, 2], probabilities=4),
        "bad": node("quantiles", True, data=[1, 2], probabilities=1),
    }
    assert [(p.code, p.path[-1].node_id) for p in problems(graph, registry)] == [("ProcessParameterInvalid", "bad")]


def test_the_parameters_of_callbacks_come_from_the_specification(registry: Registry) -> None:
    own = callback_parameters(registry)
    assert own("reduce_dimension", "reducer") == {"data", "context"}
    assert own("apply", "process") == {"x", "context"}
    assert own("merge_cubes", "overlap_resolver") == {"x", "y", "context"}
    assert own("load_collection", "properties") == {"value"}
    assert own("add", "x") == frozenset()


def test_a_closer_look_is_taken_only_at_nodes_that_are_sound(registry: Registry) -> None:
    looked: list[str] = []

    def look(node: Any) -> list[OpenEOError]:
        looked.append(node.id)
        return [OpenEOError("CollectionNotFound", "None such.")]

    graph = {
        "good": node("load_collection", id="S2", spatial_extent=None, temporal_extent=None),
        "bad": node("load_collection", True, id=1, spatial_extent=None, temporal_extent=None),
    }
    found = problems(graph, registry, inspect={"load_collection": look})
    assert looked == ["good"]
    assert {(p.code, p.path[-1].node_id) for p in found} == {
        ("CollectionNotFound", "good"),
        ("ProcessParameterInvalid", "bad"),
    }


def test_no_more_than_a_hundred_problems_are_told(registry: Registry) -> None:
    graph = {f"n{i}": node("nothing", i == 0) for i in range(500)}
    assert len(problems(graph, registry)) == 100
