"""From a process as sent to a graph ready to evaluate; the same way for validation and for running."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from openeo_backend.errors import OpenEOError
from openeo_backend.graph.check import MOST, Inspect, callback_parameters, check
from openeo_backend.graph.effects import LoadHints
from openeo_backend.graph.expand import bind, expand, parameters_of
from openeo_backend.graph.nodes import Graph
from openeo_backend.graph.parse import read_leniently
from openeo_backend.graph.pushdown import hints
from openeo_backend.processes.registry import Registry
from openeo_backend.run.values import Values
from openeo_backend.settings import LimitsSettings

#: Processes whose extents come from later filters.
LOADS = ("load_collection", "load_stac", "load_result")


Remote = Callable[[str, str], Mapping[str, Any]]
"""`remote(url, process_id)`: the process that a URL used as a namespace leads to."""


class Stored(Mapping[str, Mapping[str, Any]]):
    """The stored processes of a user by id, read when a graph may call one.

    :param read: reads all of them.
    """

    def __init__(self, read: Callable[[], Mapping[str, Mapping[str, Any]]]) -> None:
        self._read = read
        self.used: Mapping[str, Mapping[str, Any]] = {}
        """All of them once one was asked for: what a graph may call."""

    @property
    def is_read(self) -> bool:
        """Whether a graph may call one."""
        return "_all" in vars(self)

    @cached_property
    def _all(self) -> Mapping[str, Mapping[str, Any]]:
        self.used = self._read()
        return self.used

    def __getitem__(self, id: str) -> Mapping[str, Any]:
        return self._all[id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)


@dataclass(frozen=True)
class Plan:
    """A checked graph and what its loads need."""

    graph: Graph
    hints: Mapping[str, LoadHints] = field(default_factory=dict)
    values: Values = field(default_factory=Values)
    """Of its nodes, from the last time that it was evaluated."""


def plan(
    process: Mapping[str, Any],
    processes: Registry,
    limits: LimitsSettings,
    *,
    stored: Mapping[str, Mapping[str, Any]] | None = None,
    given: Mapping[str, Any] | None = None,
    inspect: Mapping[str, Inspect] | None = None,
    remote: Remote | None = None,
    checked: bool = False,
) -> tuple[Plan | None, list[OpenEOError]]:
    """The plan of a process, or None, and all of its problems.

    :param stored: the user's stored processes by id.
    :param remote: fetches a process by its URL, used as a namespace.
    :param given: values of the process's parameters; with None (validation) parameters may stay open.
    :param checked: its nodes were checked before.
    """
    size = {"max_nodes": limits.graph_nodes, "max_depth": limits.graph_depth}
    graph, problems = read_leniently(process.get("process_graph"), **size)
    if graph is None:
        return None, problems
    own = callback_parameters(processes)
    open_names = _declared(process) if given is None else []
    try:
        values = parameters_of(process, given) if given is not None else {}
        graph = expand(
            graph, _lookup(processes, {} if stored is None else stored, remote), own, **size, problems=problems
        )
        graph = bind(graph, values, own)
    except OpenEOError as error:
        return None, [*problems, error]
    problems += [] if checked else check(graph, processes, inspect, open_names)
    if problems:
        return None, problems[:MOST]
    return Plan(graph, hints(graph, processes, LOADS)), []


def resolve(
    process: Mapping[str, Any],
    processes: Registry,
    limits: LimitsSettings,
    stored: Mapping[str, Mapping[str, Any]],
    remote: Remote,
) -> None:
    """Have `remote` asked for all processes by URL that a process uses, directly or in what it calls.

    What is wrong with the process does not matter here, nor what cannot be reached: its plan tells.
    """
    size = {"max_nodes": limits.graph_nodes, "max_depth": limits.graph_depth}
    graph, _ = read_leniently(process.get("process_graph"), **size)
    if graph is not None:
        with suppress(OpenEOError):
            expand(graph, _lookup(processes, stored, remote), callback_parameters(processes), **size, problems=[])


def _declared(process: Mapping[str, Any]) -> list[str]:
    declared = process.get("parameters") or ()
    return [str(p["name"]) for p in declared if isinstance(p, Mapping) and "name" in p]


def _lookup(
    processes: Registry, stored: Mapping[str, Mapping[str, Any]], remote: Remote | None
) -> Callable[[str, str | None], Mapping[str, Any] | None]:
    def lookup(id: str, namespace: str | None) -> Mapping[str, Any] | None:
        if namespace in ("backend", "predefined"):
            return None
        if namespace == "user":
            if id not in stored:
                raise OpenEOError("ProcessUnsupported", f"You have no stored process '{id}'.")
            return stored[id]
        if namespace is not None and namespace.startswith(("http://", "https://")) and remote is not None:
            return remote(namespace, id)
        if namespace is None:
            return None if id in processes else stored.get(id)
        raise OpenEOError(
            "ProcessNamespaceInvalid",
            f"The namespace '{namespace}' is not known.",
            hint="Use 'user' for your own processes, 'backend' for predefined ones, or the URL of a process.",
        )

    return lookup
