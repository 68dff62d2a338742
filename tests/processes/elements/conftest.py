"""Callbacks for tests of processes over single values and arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from openeo_backend.graph.callback import Callback, Scope
from openeo_backend.graph.evaluate import evaluate
from openeo_backend.graph.parse import parse
from openeo_backend.processes import arrays, comparison, dates, logic, math, sequences, statistics, text, trigonometry
from openeo_backend.processes.environment import Env, Limits
from openeo_backend.processes.registry import Registry


def silent(*_: Any, **__: Any) -> None:
    pass


@pytest.fixture(scope="session")
def env() -> Env:
    return Env(log=silent, limits=Limits(elements=1000, text=50))


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry.build([arrays, comparison, dates, logic, math, sequences, statistics, text, trigonometry])


@pytest.fixture(scope="session")
def callback(registry: Registry, env: Env) -> Callable[..., Callback]:
    """`callback(id, outer, **arguments)`: a process graph of one call (or the given one), as processes receive it;
    `outer` gives values of parameters of the graph around it."""

    def make(id: str | dict[str, Any], outer: dict[str, Any] | None = None, /, **arguments: Any) -> Callback:
        call = {"call": {"process_id": id, "arguments": arguments, "result": True}}
        graph = parse(call if isinstance(id, str) else id)
        return Callback(graph, Scope(outer or {}), lambda inner, scope: evaluate(inner, registry, scope, env))

    return make
