"""A parsed process graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Any, ClassVar

#: Classes of values that hold no references: looked at first, since most values are of these.
PLAIN = frozenset({str, int, float, bool, type(None)})


@dataclass(frozen=True)
class FromNode:
    """An argument that is the result of another node of the same graph."""

    node: str


@dataclass(frozen=True)
class FromParameter:
    """An argument that is the value of a process parameter, looked up lexically."""

    name: str


@dataclass(frozen=True)
class Node:
    """One call of a process."""

    id: str
    process: str
    arguments: Mapping[str, Any]
    """JSON values in which references are FromNode and FromParameter, and callbacks are Graph."""

    namespace: str | None = None
    description: str | None = None

    def inputs(self) -> set[str]:
        """Ids of the nodes whose values this node uses."""
        return {reference.node for reference in self.references() if isinstance(reference, FromNode)}

    @cached_property
    def referring(self) -> Mapping[str, Sequence[Reference]]:
        """References by argument, for those that have any; all other arguments are constants."""
        return {name: found for name, value in self.arguments.items() if (found := references_of(value))}

    def references(self) -> Iterator[Reference]:
        """Every reference and callback in the arguments, nested ones and those bound to callbacks included."""
        return chain.from_iterable(self.referring.values())


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes in an order in which each comes after the nodes it refers to."""

    subtype: ClassVar[str] = "process-graph"

    nodes: Mapping[str, Node]
    result: str
    """Id of the node whose value is the value of the graph."""

    bound: Mapping[str, Any] = field(default_factory=dict)
    """For a callback that came out of an expanded user-defined process: the values of that process's parameters,
    as arguments in the graph around the callback."""

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes.values())

    def __len__(self) -> int:
        return len(self.nodes)


Reference = FromNode | FromParameter | Graph


def references_of(value: Any) -> list[Reference]:
    """Every reference and callback in an argument. Constants may be large: they are looked through quickly."""
    found: list[Reference] = []
    stack: list[Any] = [value]
    while stack:
        value = stack.pop()
        kind = value.__class__
        if kind in PLAIN:
            continue
        if kind is list:
            if not PLAIN.issuperset(map(type, value)):
                stack.extend(value)
        elif kind is dict:
            stack.extend(value.values())
        elif isinstance(value, FromNode | FromParameter | Graph):
            found.append(value)
            if isinstance(value, Graph):
                stack.extend(value.bound.values())
        elif isinstance(value, Mapping):
            stack.extend(value.values())
        elif isinstance(value, list | tuple):
            stack.extend(value)
    return found
