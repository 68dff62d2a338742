"""The examples that specifications give are true of this back-end."""

from __future__ import annotations

import math
from typing import Any

import pytest

from openeo_backend.graph.callback import Scope
from openeo_backend.graph.check import check
from openeo_backend.graph.evaluate import evaluate
from openeo_backend.graph.parse import parse
from openeo_backend.processes.environment import Env
from openeo_backend.processes.registry import Registry

#: Examples that cannot be run, by process and position, and why.
BROKEN = {("count", 4): "the condition is not wrapped into a process graph, and uses a parameter that does not exist"}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.predefined(lambda name: True)


def same(found: Any, expected: Any) -> bool:
    if isinstance(expected, list):
        return isinstance(found, (list, tuple)) and len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, bool) or expected is None:
        return found is expected
    if isinstance(expected, (int, float)):
        return not isinstance(found, bool) and math.isclose(found, expected, rel_tol=1e-9)
    return bool(found == expected)


def test_examples_with_results_have_these_results(registry: Registry) -> None:
    env = Env(log=lambda *_, **__: None)
    tried, wrong = 0, []
    for id in registry.ids():
        for position, example in enumerate(registry[id].spec.get("examples", ())):
            if "returns" not in example or (id, position) in BROKEN:
                continue
            graph = parse({"it": {"process_id": id, "arguments": example["arguments"], "result": True}})
            found = evaluate(graph, registry, Scope({}), env)
            problems = check(graph, registry)
            tried += 1
            if problems or not same(found, example["returns"]):
                wrong.append((id, position, example, found, problems))
    assert wrong == []
    assert tried > 300
