"""Checking a graph against the specifications of its processes: all problems together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from openeo_backend.errors import NodeRef, OpenEOError
from openeo_backend.graph.nodes import FromParameter, Graph, Node
from openeo_backend.graph.schema import Rule

#: At most so many problems are told at once.
MOST = 100


class Described(Protocol):
    """A registry entry with its specification."""

    spec: Mapping[str, Any]

    @property
    def rules(self) -> Mapping[str, Rule]:
        """What each parameter takes."""


class Specifications(Protocol):
    """The registry, as checking sees it."""

    def __contains__(self, id: object) -> bool: ...

    def __getitem__(self, id: str) -> Any: ...


Inspect = Callable[[Node], Iterable[OpenEOError]]
"""Looks at one node more closely than its specification can (does the collection exist, has it the bands?)."""


def check(
    graph: Graph,
    processes: Specifications,
    inspect: Mapping[str, Inspect] | None = None,
    parameters: Iterable[str] = (),
) -> list[OpenEOError]:
    """All problems of a graph whose stored processes are expanded.

    Checked are: that processes exist; required and unknown arguments; constant arguments against the JSON schemas;
    callbacks where callbacks are expected; parameters that nothing gives a value.

    :param inspect: closer looks by process id.
    :param parameters: names of the parameters that have values.
    """
    problems = []
    checker = _Checker(processes, inspect or {})
    for problem in checker.graph(graph, frozenset(parameters), ()):
        problems.append(problem)
        if len(problems) >= MOST:
            break
    return problems


def callback_parameters(processes: Specifications) -> Callable[[str, str], frozenset[str]]:
    """Tells which parameters a process hands to the callback in one of its arguments, from its specification."""

    def own(process: str, argument: str) -> frozenset[str]:
        if process not in processes:
            return frozenset()
        return _handed_of(_Same(processes[process].spec)).get(argument, frozenset())

    return own


@dataclass(frozen=True)
class _Takes:
    """A parameter of a process, taken out of its specification."""

    is_optional: bool
    rule: Rule
    handed: frozenset[str]
    """Names of what the process hands to callbacks in it."""


@dataclass(frozen=True, eq=False)
class _Same:
    """A specification, equal to itself only."""

    spec: Mapping[str, Any]

    def __hash__(self) -> int:
        return id(self.spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.spec is self.spec


@lru_cache(maxsize=1024)
def _handed_of(process: _Same) -> Mapping[str, frozenset[str]]:
    """What a process hands to callbacks, by its parameters; specifications do not change while they are in use."""
    return {name: _handed(parameter) for name, parameter in _parameters(process.spec).items()}


class _Checker:
    """One check: looks into each specification once, as graphs call few processes many times."""

    def __init__(self, processes: Specifications, inspect: Mapping[str, Inspect]) -> None:
        self.processes = processes
        self.inspect = inspect
        self.known: dict[str, Mapping[str, _Takes] | None] = {}

    def takes(self, process: str) -> Mapping[str, _Takes] | None:
        """The parameters of a process by name; None where there is no such process."""
        if process not in self.known:
            self.known[process] = _taken(self.processes[process]) if process in self.processes else None
        return self.known[process]

    def graph(self, graph: Graph, scope: frozenset[str], path: tuple[NodeRef, ...]) -> Iterator[OpenEOError]:
        scope = scope | graph.bound.keys()
        for node in graph:
            here = (*path, NodeRef(node.id, node.process))
            takes = self.takes(node.process)
            if takes is None:
                namespace = f" in the namespace '{node.namespace}'" if node.namespace else ""
                yield OpenEOError(
                    "ProcessUnsupported", f"The process '{node.process}' is not available{namespace}.", path=here
                )
                continue
            before = True
            for problem in _check_node(node, takes, here, scope):
                before = False
                yield problem
            for name, references in node.referring.items():
                for inner in references:
                    if not isinstance(inner, Graph):
                        continue
                    handed = takes[name].handed if name in takes else frozenset()
                    yield from self.graph(inner, scope | handed, here)
            if before and node.process in self.inspect:
                for problem in self.inspect[node.process](node):
                    yield problem.at(here)


def _taken(process: Described) -> dict[str, _Takes]:
    handed = _handed_of(_Same(process.spec))
    return {
        name: _Takes(bool(parameter.get("optional")), process.rules[name], handed[name])
        for name, parameter in _parameters(process.spec).items()
    }


def _check_node(
    node: Node, takes: Mapping[str, _Takes], here: tuple[NodeRef, ...], scope: frozenset[str]
) -> Iterator[OpenEOError]:
    def problem(code: str, message: str, argument: str, hint: str | None = None) -> OpenEOError:
        return OpenEOError(code, message, hint=hint, path=(*here[:-1], NodeRef(node.id, node.process, argument)))

    for name, taken in takes.items():
        if not taken.is_optional and name not in node.arguments:
            yield problem("ProcessParameterRequired", "A value is required.", name)
    for name, value in node.arguments.items():
        if name not in takes:
            known = ", ".join(takes) or "none"
            yield problem("ProcessParameterUnsupported", f"The process has no such parameter. It has: {known}.", name)
            continue
        for reference in node.referring.get(name, ()):
            if isinstance(reference, FromParameter) and reference.name not in scope:
                yield problem("ProcessParameterMissing", f"The parameter '{reference.name}' has no value.", name)
        wrong = takes[name].rule.wrong(value)
        if wrong:
            yield problem("ProcessParameterInvalid", f"The value {wrong}.", name)


def _parameters(spec: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {parameter["name"]: parameter for parameter in spec.get("parameters") or ()}


def _handed(parameter: Mapping[str, Any]) -> frozenset[str]:
    """Names of what a process hands to callbacks in one of its parameters, at whatever depth of it they are."""
    names: set[str] = set()
    stack: list[Any] = [parameter.get("schema", {})]
    while stack:
        schema = stack.pop()
        if isinstance(schema, list):
            stack.extend(schema)
        elif isinstance(schema, Mapping):
            if schema.get("subtype") == "process-graph":
                names |= {p["name"] for p in schema.get("parameters", ())}
            stack.extend(value for key, value in schema.items() if key != "parameters")
    return frozenset(names)
