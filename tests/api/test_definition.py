"""What is wrong with the definition of a process around its graph."""

from __future__ import annotations

from typing import Any

import pytest

from openeo_backend.api.definition import problems_of_definition

NUMBER = {"type": "number"}


@pytest.mark.parametrize(
    "process",
    [
        {},
        {"id": None, "parameters": None, "returns": None},
        {"id": "0b5cad-a_b", "parameters": [], "returns": {"description": "x"}},
        {
            "id": "evi",
            "parameters": [{"name": "a", "description": "", "schema": NUMBER}, {"name": "b", "schema": [NUMBER, {}]}],
            "returns": {"description": "", "schema": [NUMBER, {"type": ["array", "null"]}]},
        },
    ],
)
def test_good_definitions(process: dict[str, Any]) -> None:
    assert problems_of_definition(process) == []


@pytest.mark.parametrize(
    ("process", "says"),
    [
        ({"id": "no id"}, "'no id'"),
        ({"id": ""}, "''"),
        ({"id": 5}, "'5'"),
        ({"parameters": {}}, "'parameters' is not an array"),
        ({"parameters": ["a"]}, "Parameter 1"),
        ({"parameters": [{"name": "a b", "schema": {}}]}, "'a b'"),
        ({"parameters": [{"name": "a", "schema": {}}, {"name": "a", "schema": {}}]}, "'a' is defined twice"),
        ({"parameters": [{"name": "a", "schema": 5}]}, "schema of the parameter 'a' is not an object"),
        ({"parameters": [{"name": "a", "schema": {"type": "numbre"}}]}, "not a JSON schema"),
        ({"parameters": [{"name": "a", "schema": [NUMBER, {"minimum": "0"}]}]}, "not a JSON schema"),
        ({"returns": 5}, "'returns' is not an object"),
        ({"returns": {"schema": 5}}, "schema of what is returned is not an object"),
    ],
)
def test_each_mistake_is_told(process: dict[str, Any], says: str) -> None:
    (problem,) = problems_of_definition(process)
    assert problem.code == "ProcessInvalid"
    assert says in problem.message


def test_all_mistakes_are_told_at_once() -> None:
    assert len(problems_of_definition({"id": "/", "parameters": [{"name": "/"}, 1], "returns": []})) == 4
