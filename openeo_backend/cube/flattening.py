"""Callbacks as flat operations (:mod:`.flat`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openeo_backend.cube.flat import Function, Unfit, Value
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.callback import Callback
from openeo_backend.graph.nodes import FromNode, FromParameter, Graph, Node


def flatten(function: Function, parameters: Mapping[str, Any]) -> Value:
    """The operations of a callback, or of a function that has a rule.

    :param parameters: values, and constants.
    :raises Unfit:
    """
    if not isinstance(function, Callback):
        rule = getattr(function, "flat", None)
        if rule is None:
            raise Unfit
        found = rule(function, parameters)
        assert isinstance(found, Value)
        return found
    values: dict[str, Any] = {}
    for node in function.graph:
        values[node.id] = _call(node, function, values, parameters)
    result = values[function.graph.result]
    if not isinstance(result, Value):
        raise Unfit
    return result


def _call(node: Node, callback: Callback, values: Mapping[str, Any], parameters: Mapping[str, Any]) -> Any:
    if callback.processes is None or node.process not in callback.processes:
        raise Unfit
    process = callback.processes[node.process]
    arguments = {name: _resolve(value, callback, values, parameters) for name, value in node.arguments.items()}
    arguments = {name: value for name, value in arguments.items() if value is not None or name not in process.optional}
    if any(isinstance(value, Value) for value in arguments.values()):
        rule = getattr(process.implementation, "flat", None)
        if rule is None:
            raise Unfit
        return rule(process.implementation, arguments)
    if process.wants_env or any(isinstance(value, Graph) for value in node.arguments.values()):
        raise Unfit
    try:
        process.admit(arguments)
    except OpenEOError:
        raise Unfit from None
    return process.implementation(**arguments)


def _resolve(value: Any, callback: Callback, values: Mapping[str, Any], parameters: Mapping[str, Any]) -> Any:
    if isinstance(value, FromNode):
        return values[value.node]
    if isinstance(value, FromParameter):
        if value.name in parameters:
            return parameters[value.name]
        if value.name in callback.scope:
            return callback.scope.lookup(value.name)
        raise Unfit
    if isinstance(value, Graph):
        raise Unfit
    if isinstance(value, list | dict):
        items = value.values() if isinstance(value, dict) else value
        if any(isinstance(item, FromNode | FromParameter | Graph | list | dict) for item in items):
            raise Unfit
    return value
