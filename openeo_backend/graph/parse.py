"""From JSON to a graph, in linear time and bounded depth."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from openeo_backend.errors import NodeRef, OpenEOError
from openeo_backend.graph.nodes import PLAIN, FromNode, FromParameter, Graph, Node

MAX_NODES = 20_000
MAX_DEPTH = 40


def parse(process_graph: Any, *, max_nodes: int = MAX_NODES, max_depth: int = MAX_DEPTH) -> Graph:
    """The graph written in `process_graph`.

    :raises OpenEOError: the first of the problems that :func:`read` finds.
    """
    graph, problems = read(process_graph, max_nodes=max_nodes, max_depth=max_depth)
    if problems:
        raise problems[0]
    assert graph is not None
    return graph


def read(
    process_graph: Any, *, max_nodes: int = MAX_NODES, max_depth: int = MAX_DEPTH
) -> tuple[Graph | None, list[OpenEOError]]:
    """The graph written in `process_graph`, or None, and all problems of its form.

    Checked are the form of nodes, references, result flags, cycles, size and depth; not what processes expect
    (see :mod:`openeo_backend.graph.check`).
    """
    graph, problems = read_leniently(process_graph, max_nodes=max_nodes, max_depth=max_depth)
    return (None if problems else graph), problems


def read_leniently(
    process_graph: Any, *, max_nodes: int = MAX_NODES, max_depth: int = MAX_DEPTH
) -> tuple[Graph | None, list[OpenEOError]]:
    """Like :func:`read`, but where there are problems the graph holds the nodes that could be understood.

    It serves to look for more problems only: references may lead nowhere or in a cycle, the result may be "". Where
    the graph is too large or too deep, or nothing was understood, it is None.
    """
    reader = _Reader(max_nodes, max_depth)
    graph = reader.graph(process_graph, (), 0)
    return (None if reader.exceeded or not graph else graph), reader.problems


@dataclass
class _Reader:
    max_nodes: int
    max_depth: int
    problems: list[OpenEOError] = field(default_factory=list)
    count: int = 0
    exceeded: bool = False

    def report(
        self, message: str, path: tuple[NodeRef, ...], code: str = "ProcessGraphInvalid", hint: str = ""
    ) -> None:
        if len(self.problems) < 100:
            self.problems.append(OpenEOError(code, message, path=path, hint=hint or None))

    def graph(self, raw: Any, path: tuple[NodeRef, ...], depth: int) -> Graph:
        if not isinstance(raw, Mapping) or not raw:
            what = "is empty" if raw == {} else "is not an object of nodes"
            self.report(f"The process graph {what}.", path, "ProcessGraphMissing")
            return Graph({}, "")
        self.count += len(raw)
        if self.count > self.max_nodes:
            self.exceeded = True
            self.report(
                f"The process graph has more than {self.max_nodes} nodes.", path, hint="Split it into several jobs."
            )
            return Graph({}, "")
        nodes = {str(id): node for id, value in raw.items() if (node := self.node(str(id), value, path, depth))}
        result = self.result(raw, nodes, path) if len(nodes) == len(raw) else ""
        order = self.order(nodes, {str(id) for id in raw}, path)
        return Graph({id: nodes[id] for id in order}, result)

    def node(self, id: str, raw: Any, path: tuple[NodeRef, ...], depth: int) -> Node | None:
        if not isinstance(raw, Mapping):
            self.report(f"Node '{id}' is not an object.", path)
            return None
        process = raw.get("process_id")
        if not isinstance(process, str) or not process:
            self.report(f"Node '{id}' has no 'process_id'.", path)
            return None
        here = (*path, NodeRef(id, process))
        arguments = raw.get("arguments", {})
        if arguments is None or arguments == []:  # older R clients write an empty object as an array
            arguments = {}
        if not isinstance(arguments, Mapping):
            self.report("'arguments' is not an object.", here)
            return None
        namespace = raw.get("namespace")
        if namespace is not None and not isinstance(namespace, str):
            self.report("'namespace' is not a string.", here)
            return None
        converted = {str(name): self.argument(value, here, depth + 1) for name, value in arguments.items()}
        return Node(id, process, converted, namespace, raw.get("description"))

    def argument(self, value: Any, path: tuple[NodeRef, ...], depth: int) -> Any:
        if depth > self.max_depth:
            self.exceeded = True
            self.report(f"Arguments are nested more than {self.max_depth} levels deep.", path)
            return None
        if isinstance(value, list):
            return [entry if entry.__class__ in PLAIN else self.argument(entry, path, depth + 1) for entry in value]
        if not isinstance(value, Mapping):
            return value
        if len(value) == 1 and "from_node" in value:
            return FromNode(str(value["from_node"]))
        if len(value) == 1 and "from_parameter" in value:
            return FromParameter(str(value["from_parameter"]))
        if "process_graph" in value:
            return self.graph(value["process_graph"], path, depth + 1)
        return {
            str(key): entry if entry.__class__ in PLAIN else self.argument(entry, path, depth + 1)
            for key, entry in value.items()
        }

    def result(self, raw: Mapping[str, Any], nodes: Mapping[str, Node], path: tuple[NodeRef, ...]) -> str:
        flagged = [str(id) for id, value in raw.items() if value.get("result") is True]
        if len(flagged) == 1:
            return flagged[0]
        if flagged:
            self.report(f"Several nodes are flagged as the result: {', '.join(flagged)}.", path, hint="Flag one.")
            return ""
        used = {id for node in nodes.values() for id in node.inputs()}
        ends = [id for id in nodes if id not in used]
        if len(ends) == 1:
            return ends[0]
        self.report("No node is flagged as the result ('result': true).", path, hint="Flag one.")
        return ""

    def order(self, nodes: Mapping[str, Node], known: set[str], path: tuple[NodeRef, ...]) -> list[str]:
        """Ids so that each comes after those it refers to (Kahn's algorithm); those of a cycle come last.

        :param known: ids that may be referred to, also those of nodes that were not understood.
        """
        waiting: dict[str, int] = {}
        consumers: dict[str, list[str]] = {id: [] for id in nodes}
        for id, node in nodes.items():
            needed = node.inputs()
            for other in sorted(needed - known):
                self.report(
                    f"It refers to the node '{other}', which does not exist.", (*path, NodeRef(id, node.process))
                )
            waiting[id] = len(needed & nodes.keys())
            for other in needed & nodes.keys():
                consumers[other].append(id)
        ready = deque(id for id, count in waiting.items() if count == 0)
        order = []
        while ready:
            id = ready.popleft()
            order.append(id)
            for consumer in consumers[id]:
                waiting[consumer] -= 1
                if waiting[consumer] == 0:
                    ready.append(consumer)
        if len(order) == len(nodes):
            return order
        stuck = [id for id, count in waiting.items() if count > 0]
        shown = ", ".join(stuck[:10]) + (" ..." if len(stuck) > 10 else "")
        self.report(f"The nodes {shown} refer to each other in a cycle.", path)
        return order + stuck
