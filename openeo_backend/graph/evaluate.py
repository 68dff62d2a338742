"""Evaluating a graph: iterative, in topological order, each node once, each value freed after its last use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from openeo_backend.errors import NodeRef, OpenEOError
from openeo_backend.graph import trace
from openeo_backend.graph.callback import Callback, Processes, Scope
from openeo_backend.graph.nodes import FromNode, FromParameter, Graph, Node


class Surroundings(Protocol):
    """What travels to every process as `env`."""

    def at(self, node: Node) -> Any:
        """The surroundings seen from `node`."""


class Keep(Protocol):
    """Knows values of nodes from the last time, and keeps them for the next."""

    def __call__(self, node: Node, inputs: Mapping[str, Any], call: Callable[[], Any]) -> Any:
        """The value of a node: what `call` gives, or gave for the very same values of other nodes."""


class Process(Protocol):
    """The part of a registry entry that evaluation needs."""

    implementation: Callable[..., Any] | None
    wants_env: bool
    optional: frozenset[str]

    def admit(self, arguments: dict[str, Any]) -> None:
        """Refuse arguments of the wrong kind that a graph tells only when it runs; bring the others into form."""


def evaluate(
    graph: Graph, processes: Processes, scope: Scope, env: Surroundings | None, keep: Keep | None = None
) -> Any:
    """The value of the graph's result node; every other node is evaluated, too.

    :param scope: values of the parameters that the graph refers to.
    :param keep: may know values of its nodes (not of those of callbacks) already.
    :raises OpenEOError: with the path to the node that failed.
    """
    uses = _uses(graph)
    values: dict[str, Any] = {}
    for node in graph:
        with trace.entered((*trace.path(), NodeRef(node.id, node.process))):
            call = partial(_call, node, processes, values, scope, env)
            values[node.id] = call() if keep is None else keep(node, {id: values[id] for id in node.inputs()}, call)
        for used in node.inputs():
            uses[used] -= 1
            if uses[used] == 0:
                del values[used]
        if uses[node.id] == 0:
            del values[node.id]
    return values[graph.result]


def _uses(graph: Graph) -> Counter[str]:
    uses: Counter[str] = Counter({graph.result: 1})
    for node in graph:
        uses.update(node.inputs())
    return uses


def _call(node: Node, processes: Processes, values: Mapping[str, Any], scope: Scope, env: Surroundings | None) -> Any:
    if node.process not in processes:
        raise OpenEOError("ProcessUnsupported", f"The process '{node.process}' is not available.")
    process = processes[node.process]
    here = env.at(node) if env is not None else None

    def call_graph(inner: Graph, inner_scope: Scope) -> Any:
        return evaluate(inner, processes, inner_scope, here)

    referring = node.referring
    resolved = {
        name: _resolve(value, values, scope, call_graph, processes) if name in referring else value
        for name, value in node.arguments.items()
    }
    arguments = {name: value for name, value in resolved.items() if value is not None or name not in process.optional}
    process.admit(arguments)
    if process.wants_env:
        arguments["env"] = here
    return process.implementation(**arguments)


def _resolve(
    value: Any, values: Mapping[str, Any], scope: Scope, call: Callable[[Graph, Scope], Any], processes: Processes
) -> Any:
    if isinstance(value, FromNode):
        return values[value.node]
    if isinstance(value, FromParameter):
        try:
            return scope.lookup(value.name)
        except KeyError:
            raise OpenEOError(
                "ProcessParameterMissing", f"The parameter '{value.name}' is used but has no value."
            ) from None
    if isinstance(value, Graph):
        bound = {name: _resolve(entry, values, scope, call, processes) for name, entry in value.bound.items()}
        return Callback(value, Scope(bound, scope) if bound else scope, call, processes)
    if isinstance(value, list):
        return [_resolve(entry, values, scope, call, processes) for entry in value]
    if isinstance(value, Mapping):
        return {key: _resolve(entry, values, scope, call, processes) for key, entry in value.items()}
    return value
