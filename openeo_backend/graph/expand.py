"""Putting values in the place of parameters, and stored processes in the place of the nodes that call them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from openeo_backend.errors import NodeRef, OpenEOError
from openeo_backend.graph.nodes import PLAIN, FromNode, FromParameter, Graph, Node
from openeo_backend.graph.parse import MAX_DEPTH, MAX_NODES, parse

#: How deep stored processes may call each other.
MAX_CALLS = 16

#: Most elements (of arrays, objects, and arguments themselves) that the nodes of all calls may have together.
MAX_ELEMENTS = 2_000_000

Lookup = Callable[[str, str | None], Mapping[str, Any] | None]
"""`lookup(process_id, namespace)`: a stored process (`process_graph`, `parameters`), or None for a predefined one."""


CallbackParameters = Callable[[str, str], frozenset[str]]
"""`own(process_id, argument)`: names of the parameters that a process hands to the callback in an argument."""


def bind(graph: Graph, values: Mapping[str, Any], own: CallbackParameters) -> Graph:
    """`graph` with the given values in the place of its parameters.

    Callbacks keep their form; those that use the parameters get the values in `bound`. A parameter that the calling
    process hands to the callback hides an outer one of the same name.
    """
    if not values:
        return graph
    return replace(graph, nodes={node.id: _bind_node(node, values, own) for node in graph})


def _bind_node(node: Node, values: Mapping[str, Any], own: CallbackParameters) -> Node:
    arguments = {
        name: _substitute(node.arguments[name], values, own, own(node.process, name)) for name in node.referring
    }
    return replace(node, arguments={**node.arguments, **arguments}) if arguments else node


def _substitute(value: Any, values: Mapping[str, Any], own: CallbackParameters, hidden: frozenset[str]) -> Any:
    if isinstance(value, FromParameter):
        return values.get(value.name, value)
    if isinstance(value, Graph):
        used = free_parameters(value, own) - hidden - value.bound.keys()
        bound = {name: _substitute(entry, values, own, frozenset()) for name, entry in value.bound.items()}
        return replace(value, bound={**bound, **{name: values[name] for name in used & values.keys()}})
    if isinstance(value, list):
        return [_substitute(entry, values, own, hidden) for entry in value]
    if isinstance(value, Mapping):
        return {key: _substitute(entry, values, own, hidden) for key, entry in value.items()}
    return value


def free_parameters(graph: Graph, own: CallbackParameters) -> set[str]:
    """Names of the parameters that a graph takes from the scopes around it or from its caller."""
    found: set[str] = set()
    for node in graph:
        for argument, references in node.referring.items():
            hidden = own(node.process, argument)
            for reference in references:
                if isinstance(reference, FromParameter):
                    found.add(reference.name)
                elif isinstance(reference, Graph):
                    found |= free_parameters(reference, own) - hidden
    return found


def parameters_of(process: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Values of all parameters a process declares: the given ones and the defaults of the others.

    :raises OpenEOError: ProcessParameterRequired for a missing one; ProcessParameterUnsupported for one too many.
    """
    name = process.get("id") or "this process"
    declared = {p["name"]: p for p in process.get("parameters") or () if isinstance(p, Mapping) and "name" in p}
    for extra in given.keys() - declared.keys():
        raise OpenEOError(
            "ProcessParameterUnsupported",
            f"The process '{name}' has no parameter '{extra}'.",
            hint=f"Its parameters: {', '.join(declared) or 'none'}.",
        )
    values = dict(given)
    for parameter, declaration in declared.items():
        if parameter in values:
            continue
        if not (declaration.get("optional") or "default" in declaration):
            raise OpenEOError(
                "ProcessParameterRequired", f"The process '{name}' requires a value for its parameter '{parameter}'."
            )
        values[parameter] = declaration.get("default")
    return values


def expand(
    graph: Graph,
    lookup: Lookup,
    own: CallbackParameters,
    *,
    max_nodes: int = MAX_NODES,
    max_depth: int = MAX_DEPTH,
    problems: list[OpenEOError] | None = None,
) -> Graph:
    """`graph` with every call of a stored process replaced by the nodes of that process, also in callbacks.

    :param problems: where to put errors of nodes, which are left out then; with None the first one is raised.
    :raises OpenEOError: for recursion, too many nodes, or wrong parameters, at the calling node.
    """
    expansion = _Expansion(lookup, own, max_nodes, max_depth, problems)
    return expansion.graph(graph, ())


class _Expansion:
    def __init__(
        self,
        lookup: Lookup,
        own: CallbackParameters,
        max_nodes: int,
        max_depth: int,
        problems: list[OpenEOError] | None,
    ) -> None:
        self.problems = problems
        self.lookup = lookup
        self.own = own
        self.max_nodes = max_nodes
        self.max_depth = max_depth
        self.count = 0
        self.elements = 0
        self.parsed: dict[tuple[str, str | None], Graph] = {}

    def graph(self, graph: Graph, calls: tuple[str, ...], path: tuple[NodeRef, ...] = ()) -> Graph:
        nodes: dict[str, Node] = {}
        results: dict[str, Any] = {}
        for node in graph:
            here = (*path, NodeRef(node.id, node.process))
            changed = {name: self.argument(node.arguments[name], results, calls, here) for name in node.referring}
            if changed:
                node = replace(node, arguments={**node.arguments, **changed})
            try:
                stored = self.lookup(node.process, node.namespace)
                if stored is not None:
                    results[node.id] = self.call(nodes, node, stored, calls)
            except OpenEOError as error:
                if calls:  # the node of the user's graph that made the call tells it
                    raise
                error.at(here)
                if self.problems is None:
                    raise
                self.problems.append(error)
                continue
            if stored is None:
                self.add(nodes, node)
        result = results.get(graph.result, FromNode(graph.result))
        if isinstance(result, FromNode):
            return replace(graph, nodes=nodes, result=result.node)
        # a stored process that only returns its parameter: keep a node that yields the value
        constant = Node(graph.result, "constant", {"x": result})
        return replace(graph, nodes={**nodes, constant.id: constant}, result=constant.id)

    def argument(
        self, value: Any, results: Mapping[str, Any], calls: tuple[str, ...], path: tuple[NodeRef, ...]
    ) -> Any:
        if value.__class__ in PLAIN:
            return value
        if isinstance(value, FromNode):
            return results.get(value.node, value)
        if isinstance(value, Graph):
            bound = {name: self.argument(entry, results, calls, path) for name, entry in value.bound.items()}
            return replace(self.graph(value, calls, path), bound=bound)
        if isinstance(value, list):
            return [self.argument(entry, results, calls, path) for entry in value]
        if isinstance(value, Mapping):
            return {key: self.argument(entry, results, calls, path) for key, entry in value.items()}
        return value

    def add(self, nodes: dict[str, Node], node: Node) -> None:
        self.count += 1
        if self.count > self.max_nodes:
            raise OpenEOError(
                "ProcessGraphComplexity",
                f"With its user-defined processes expanded the graph has more than {self.max_nodes} nodes.",
                hint="Split it into several jobs.",
            )
        nodes[node.id] = node

    def call(self, nodes: dict[str, Node], node: Node, stored: Mapping[str, Any], calls: tuple[str, ...]) -> Any:
        """Add the nodes of a stored process; the value that stands for the call."""
        here = (NodeRef(node.id, node.process),)
        name = f"{node.namespace or ''}:{node.process}"
        if name in calls or len(calls) >= MAX_CALLS:
            chain = " -> ".join([*(call.split(":", 1)[1] for call in calls), node.process])
            raise OpenEOError(
                "ProcessGraphInvalid", f"User-defined processes call each other too deeply: {chain}.", path=here
            )
        try:
            values = parameters_of({**stored, "id": node.process}, node.arguments)
            body = self.body(node, stored)
            inner = self.graph(body, (*calls, name))
        except OpenEOError as error:
            raise error.at(here) from None
        self.measure(inner, values)
        prefix = f"{node.id}."
        for part in inner:
            arguments = {name: _rename(part.arguments[name], prefix) for name in part.referring}
            renamed = replace(part, id=prefix + part.id, arguments={**part.arguments, **arguments})
            nodes[renamed.id] = _bind_node(renamed, values, self.own)
        return FromNode(prefix + inner.result)

    def measure(self, inner: Graph, values: Mapping[str, Any]) -> None:
        """Count what a call adds to the graph, before it is added: values double at each call that uses them twice.

        :raises OpenEOError: ProcessGraphComplexity for too many elements, or nested too deeply.
        """
        sizes = {name: _size(value, {}) for name, value in values.items()}
        for part in inner:
            for value in part.arguments.values():
                elements, depth = _size(value, sizes)
                self.elements += elements
                if self.elements > MAX_ELEMENTS:
                    raise OpenEOError(
                        "ProcessGraphComplexity",
                        f"With its user-defined processes expanded arguments have more than {MAX_ELEMENTS} elements.",
                        hint="Hand large values to fewer user-defined processes.",
                    )
                if depth > self.max_depth:
                    raise OpenEOError(
                        "ProcessGraphComplexity",
                        "With its user-defined processes expanded arguments are nested more than "
                        f"{self.max_depth} levels deep.",
                    )

    def body(self, node: Node, stored: Mapping[str, Any]) -> Graph:
        key = (node.process, node.namespace)
        if key not in self.parsed:
            self.parsed[key] = parse(stored.get("process_graph"), max_nodes=self.max_nodes, max_depth=self.max_depth)
        return self.parsed[key]


def _size(value: Any, parameters: Mapping[str, tuple[int, int]]) -> tuple[int, int]:
    """The number of elements of a value, and its depth, once values of these sizes take the place of parameters."""
    elements, deepest = 0, 0
    stack = [(value, 0)]
    while stack:
        value, depth = stack.pop()
        elements += 1
        if isinstance(value, FromParameter):
            more, deeper = parameters.get(value.name, (0, 0))
            elements, depth = elements + more, depth + deeper
        elif isinstance(value, Graph):
            inner = [value.bound, *(node.arguments for node in value)]
            stack += [(part, depth + 1) for arguments in inner for part in arguments.values()]
        elif isinstance(value, Mapping):
            stack += [(part, depth + 1) for part in value.values()]
        elif isinstance(value, list):
            stack += [(part, depth + 1) for part in value]
        deepest = max(deepest, depth)
    return elements, deepest


def _rename(value: Any, prefix: str) -> Any:
    """`value` with the prefix in front of every node it refers to."""
    if isinstance(value, FromNode):
        return FromNode(prefix + value.node)
    if isinstance(value, Graph):
        return replace(value, bound={name: _rename(entry, prefix) for name, entry in value.bound.items()})
    if isinstance(value, list):
        return [_rename(entry, prefix) for entry in value]
    if isinstance(value, Mapping):
        return {key: _rename(entry, prefix) for key, entry in value.items()}
    return value
