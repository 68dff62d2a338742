"""What is wrong with the definition of a process around its graph."""

from __future__ import annotations

from typing import Any

import pytest

from openeo_backend.api.definition import problems_of_definition
from openeo_backend.settings import LimitsSettings

NUMBER = {"type": "number"}
LIMITS = LimitsSettings()


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
    assert problems_of_definition(process, LIMITS) == []


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
    (problem,) = problems_of_definition(process, LIMITS)
    assert problem.code == "ProcessInvalid"
    assert says in problem.message


def test_all_mistakes_are_told_at_once() -> None:
    assert len(problems_of_definition({"id": "/", "parameters": [{"name": "/"}, 1], "returns": []}, LIMITS)) == 4


@pytest.mark.parametrize(
    ("process", "words"),
    [
        ({"parameters": [{"name": f"p{i}", "schema": NUMBER} for i in range(1001)]}, "1001 parameters"),
        ({"parameters": [{"name": "a", "schema": {"enum": [*range(20_001)]}}]}, "more than 20000 values"),
        ({"returns": {"schema": {"properties": {str(i): NUMBER for i in range(11_000)}}}}, "more than 20000 values"),
    ],
)
def test_definitions_too_large_to_look_at(process: dict[str, Any], words: str) -> None:
    (problem,) = problems_of_definition(process, LIMITS)
    assert problem.code == "ProcessInvalid"
    assert words in problem.message
