"""Checking a graph against the specifications of its processes: all problems together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any, Protocol

import jsonschema

from openeo_backend.errors import NodeRef, OpenEOError
from openeo_backend.graph.nodes import FromNode, FromParameter, Graph, Node

#: At most so many problems are told at once.
MOST = 100


class Described(Protocol):
    """A registry entry with its specification."""

    spec: Mapping[str, Any]


class Specifications(Protocol):
    """The registry, as checking sees it."""

    def __contains__(self, id: object) -> bool: ...

    def __getitem__(self, id: str) -> Any: ...


def _bound(keyword: str) -> Callable[..., Iterator[jsonschema.ValidationError]]:
    """A bound of JSON Schema that values of pixels (numbers that may be null) are free from.

    Their bounds tell where a function is real; outside it is NaN for a constant as for a pixel, as official cases ask.
    """
    check = jsonschema.Draft7Validator.VALIDATORS[keyword]

    def bound(validator: Any, limit: Any, value: Any, schema: Mapping[str, Any]) -> Iterator[Any]:
        if "null" not in schema.get("type", ()):
            yield from check(validator, limit, value, schema) or ()

    return bound


def _items(validator: Any, items: Any, value: Any, schema: Mapping[str, Any]) -> Iterator[jsonschema.ValidationError]:
    """The keyword `items`, which looks at long arrays of plain values at once."""
    if isinstance(value, list) and isinstance(items, Mapping) and items.keys() <= _PLAIN:
        types = items.get("type", ())
        known = frozenset[type]().union(
            *(_TYPES.get(name, ()) for name in ([types] if isinstance(types, str) else types))
        )
        if known.issuperset(map(type, value)):
            return
    yield from jsonschema.Draft7Validator.VALIDATORS["items"](validator, items, value, schema)


def _unique(
    validator: Any, wanted: bool, value: Any, schema: Mapping[str, Any]
) -> Iterator[jsonschema.ValidationError]:
    """The keyword `uniqueItems`, which looks at long arrays of texts at once."""
    if isinstance(value, list) and {str}.issuperset(map(type, value)) and len(set(value)) == len(value):
        return
    yield from jsonschema.Draft7Validator.VALIDATORS["uniqueItems"](validator, wanted, value, schema)


#: Keywords beside which `type` alone decides, and the Python types that are of a type whatever their value.
_PLAIN = frozenset({"type", "description", "title", "default", "examples"})
_TYPES: Mapping[str, tuple[type, ...]] = {
    "number": (int, float),
    "integer": (int,),
    "string": (str,),
    "boolean": (bool,),
    "null": (type(None),),
}

#: Most errors of one value that are looked at for the one to be told.
MOST_ERRORS = 100

#: JSON Schema draft 7, as the specifications are written, without `pattern`: published workflows name bands
#: and formats in ways that the patterns forbid and every back-end takes.
Validator = jsonschema.validators.extend(
    jsonschema.Draft7Validator,
    {
        "pattern": lambda *_: None,
        "minimum": _bound("minimum"),
        "maximum": _bound("maximum"),
        "items": _items,
        "uniqueItems": _unique,
    },
)

#: What processes compute with, by the names the specifications give it. Null is a missing one of them, also where
#: a specification (of normalized_difference) does not say that it may be missing.
OPERANDS = frozenset({"x", "y"})

#: Subtypes of objects that are data cubes, which come from other nodes only.
_CUBES = ("datacube", "raster-cube", "vector-cube")

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

    @lru_cache(maxsize=4096)
    def own(process: str, argument: str) -> frozenset[str]:
        if process not in processes:
            return frozenset()
        return _handed(_parameters(processes[process].spec).get(argument, {}))

    return own


@dataclass(frozen=True)
class _Takes:
    """A parameter of a process, taken out of its specification."""

    parameter: Mapping[str, Any]
    handed: frozenset[str]
    """Names of what the process hands to callbacks in it."""


class _Checker:
    """One check: looks into each specification once, as graphs call few processes many times."""

    def __init__(self, processes: Specifications, inspect: Mapping[str, Inspect]) -> None:
        self.processes = processes
        self.inspect = inspect
        self.known: dict[str, Mapping[str, _Takes] | None] = {}

    def takes(self, process: str) -> Mapping[str, _Takes] | None:
        """The parameters of a process by name; None where there is no such process."""
        if process not in self.known:
            found = _parameters(self.processes[process].spec) if process in self.processes else None
            self.known[process] = None if found is None else {name: _Takes(p, _handed(p)) for name, p in found.items()}
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
            for name, value in node.arguments.items():
                for inner in _callbacks(value):
                    handed = takes[name].handed if name in takes else frozenset()
                    yield from self.graph(inner, scope | handed, here)
            if before and node.process in self.inspect:
                for problem in self.inspect[node.process](node):
                    yield problem.at(here)


def _callbacks(value: Any) -> Iterator[Graph]:
    carrier = Node("", "", {"value": value})
    return (reference for reference in carrier.references() if isinstance(reference, Graph))


def _check_node(
    node: Node, takes: Mapping[str, _Takes], here: tuple[NodeRef, ...], scope: frozenset[str]
) -> Iterator[OpenEOError]:
    def problem(code: str, message: str, argument: str, hint: str | None = None) -> OpenEOError:
        return OpenEOError(code, message, hint=hint, path=(*here[:-1], NodeRef(node.id, node.process, argument)))

    for name, taken in takes.items():
        if not taken.parameter.get("optional") and name not in node.arguments:
            yield problem("ProcessParameterRequired", "A value is required.", name)
    for name, value in node.arguments.items():
        if name not in takes:
            known = ", ".join(takes) or "none"
            yield problem("ProcessParameterUnsupported", f"The process has no such parameter. It has: {known}.", name)
            continue
        carrier = Node("", "", {name: value})
        references = list(carrier.references())
        for reference in references:
            if isinstance(reference, FromParameter) and reference.name not in scope:
                yield problem("ProcessParameterMissing", f"The parameter '{reference.name}' has no value.", name)
        parameter = takes[name].parameter
        if value is None and (parameter.get("optional") or name in OPERANDS):
            continue
        reason = _mismatch(value, parameter, bool(references))
        if reason:
            yield problem("ProcessParameterInvalid", f"The value is not valid: {reason}.", name)


def _parameters(spec: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {parameter["name"]: parameter for parameter in spec.get("parameters") or ()}


def _schemas(parameter: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    schema = parameter.get("schema", {})
    return schema if isinstance(schema, list) else [schema]


def _mismatch(value: Any, parameter: Mapping[str, Any], has_references: bool) -> str | None:
    """Why a value does not fit a parameter, or None."""
    schemas = _schemas(parameter)
    if isinstance(value, FromNode | FromParameter):
        return None
    if isinstance(value, Graph):
        if any(schema.get("subtype") in ("process-graph", None) and _allows(schema, "object") for schema in schemas):
            return None
        return "a process graph was given, but none is expected"
    if has_references:
        kind = "array" if isinstance(value, list) else "object"
        plain = [schema for schema in schemas if schema.get("subtype") not in ("process-graph", *_CUBES)]
        return None if any(_allows(schema, kind) for schema in plain) else f"an {kind} is not expected"
    best: str | None = None
    for schema in schemas:
        if schema.get("subtype") == "process-graph":
            best = best or "a process graph is expected ({'process_graph': {...}})"
            continue
        if schema.get("subtype") in _CUBES and "geojson" not in str(schema):
            best = best or "a data cube is expected ({'from_node': ...})"
            continue
        error = jsonschema.exceptions.best_match(islice(Validator(schema).iter_errors(value), MOST_ERRORS))
        if error is None:
            return None
        where = "/".join(str(part) for part in error.absolute_path)
        best = f"{where + ': ' if where else ''}{_short(error.message)}"
    return best


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


def _allows(schema: Mapping[str, Any], kind: str) -> bool:
    types = schema.get("type")
    return types is None or kind in (types if isinstance(types, list) else [types])


def _short(text: str, most: int = 200) -> str:
    return text if len(text) <= most else f"{text[: most - 4]} ..."
