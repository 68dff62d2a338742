"""Property filters of loads: evaluated here on each item, and sent ahead as CQL2 where an API understands it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from openeo_backend.catalog.item import Item
from openeo_backend.graph.callback import Callback
from openeo_backend.graph.nodes import FromNode, FromParameter, Graph, Node

#: Keys that choose a back-end in a federation, not items.
IGNORED = frozenset({"federation:backends", "provider:backend"})

_COMPARISONS = {"eq": "=", "neq": "<>", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}


def conditions(properties: Mapping[str, Callback]) -> dict[str, Callback]:
    """The conditions that concern items."""
    return {name: callback for name, callback in properties.items() if name not in IGNORED}


def passes(item: Item, name: str, condition: Callback) -> bool:
    """Whether an item fulfils a condition; an item without the property is null to it."""
    value = item.value(name)
    result = condition(value=value, x=value)
    return result is not None and bool(result)


def to_cql2(properties: Mapping[str, Callback]) -> dict[str, Any] | None:
    """CQL2 (JSON) that no matching item fails: the conditions that can be told in it, joined by AND.

    Conditions with other processes are left out, as they are evaluated on the items in any case.
    """
    told = [_condition(callback.graph, name, callback) for name, callback in properties.items()]
    parts = [part for part in told if part is not None]
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else {"op": "and", "args": parts}


def _condition(graph: Graph, name: str, callback: Callback) -> dict[str, Any] | None:
    return _node(graph, graph.nodes[graph.result], name, callback)


def _node(graph: Graph, node: Node, name: str, callback: Callback) -> dict[str, Any] | None:
    """One process call as CQL2, or None where it cannot be told."""
    arguments = {key: value for key, value in node.arguments.items() if value is not None}
    if node.process in _COMPARISONS and set(arguments) == {"x", "y"}:
        x, y = (_operand(arguments[key], name, callback) for key in ("x", "y"))
        return None if x is None or y is None else {"op": _COMPARISONS[node.process], "args": [x, y]}
    if node.process == "between" and set(arguments) <= {"x", "min", "max", "exclude_max"}:
        return _between(arguments, name, callback)
    if node.process == "array_contains" and set(arguments) == {"data", "value"}:
        value, data = _operand(arguments["value"], name, callback), arguments["data"]
        plain = isinstance(data, Sequence) and all(isinstance(entry, str | int | float) for entry in data)
        is_property = isinstance(value, dict)
        return {"op": "in", "args": [value, list(data)]} if plain and is_property else None
    if node.process in ("and", "or") and set(arguments) == {"x", "y"}:
        parts = [_nested(graph, arguments[key], name, callback) for key in ("x", "y")]
        return None if None in parts else {"op": node.process, "args": parts}
    return None


def _nested(graph: Graph, argument: Any, name: str, callback: Callback) -> dict[str, Any] | None:
    if not isinstance(argument, FromNode):
        return None
    return _node(graph, graph.nodes[argument.node], name, callback)


def _between(arguments: Mapping[str, Any], name: str, callback: Callback) -> dict[str, Any] | None:
    x, low, high = (_operand(arguments.get(key), name, callback) for key in ("x", "min", "max"))
    if x is None or low is None or high is None or not isinstance(arguments.get("exclude_max", False), bool):
        return None
    upper = "<" if arguments.get("exclude_max") else "<="
    return {"op": "and", "args": [{"op": ">=", "args": [x, low]}, {"op": upper, "args": [x, high]}]}


def _operand(value: Any, name: str, callback: Callback) -> Any:
    """A property or a constant; None for what cannot be told."""
    if isinstance(value, FromParameter):
        if value.name in ("value", "x"):
            return {"property": name}
        value = callback.scope.lookup(value.name) if value.name in callback.scope else None
    return value if isinstance(value, str | int | float | bool) else None
