"""Callbacks: the process graphs that processes receive as arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from openeo_backend.graph.nodes import Graph


@dataclass(frozen=True)
class Scope:
    """Values of process parameters, looked up lexically."""

    values: Mapping[str, Any] = field(default_factory=dict)
    parent: Scope | None = None

    def lookup(self, name: str) -> Any:
        """The value of the nearest parameter called `name`.

        :raises KeyError: where no scope knows it.
        """
        scope: Scope | None = self
        while scope is not None:
            if name in scope.values:
                return scope.values[name]
            scope = scope.parent
        raise KeyError(name)

    def __contains__(self, name: str) -> bool:
        try:
            self.lookup(name)
        except KeyError:
            return False
        return True


class Processes(Protocol):
    """The registry, as callbacks see it."""

    def __contains__(self, id: object) -> bool: ...

    def __getitem__(self, id: str) -> Any: ...


@dataclass(frozen=True, eq=False)
class Callback:
    """A process graph to call, with the scope it was written in.

    Calling it evaluates the graph with the given parameters (`x`, `data`, `context` ...) before those of the
    surrounding scopes, and returns the value of its result node. Each call is evaluated afresh.
    """

    subtype: ClassVar[str] = "process-graph"

    graph: Graph
    scope: Scope
    evaluate: Callable[[Graph, Scope], Any]
    processes: Processes | None = None
    """What the graph is evaluated with, for those who compile it."""

    def __call__(self, **parameters: Any) -> Any:
        return self.evaluate(self.graph, Scope(parameters, self.scope))
