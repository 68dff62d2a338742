"""What functions do against what their specifications say: defaults and exceptions."""

from __future__ import annotations

import ast
import importlib.util
import inspect
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from openeo_backend.cube.pixels import PixelArray
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.callback import Scope
from openeo_backend.graph.evaluate import evaluate
from openeo_backend.graph.parse import parse
from openeo_backend.processes.environment import Env
from openeo_backend.processes.registry import Implementation, Registry

#: Defaults of functions that mean the default of the specification although they are not equal to it.
OTHER_DEFAULTS = {
    ("array_modify", "length"): "without a length the official example removes a value, with 0 it must not",
    ("to_scl_dilation_mask", "mask1_values"): "null stands for the classes",
    ("to_scl_dilation_mask", "mask2_values"): "null stands for the classes",
    ("mask_scl_dilation", "mask1_values"): "null stands for the classes",
    ("mask_scl_dilation", "mask2_values"): "null stands for the classes",
}

#: Exceptions that are never raised, and why.
NEVER_RAISED = {
    ("divide", "DivisionByZero"): "floating point numbers have an infinity",
    ("mod", "DivisionByZero"): "floating point numbers have NaN",
    ("multiply", "MultiplicandMissing"): "both factors are required parameters",
    ("load_stac", "PropertiesUnsupported"): "what a server does not filter is filtered here",
}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.predefined(lambda name: True)


def entries(registry: Registry) -> list[tuple[str, Implementation]]:
    return [(id, registry[id]) for id in registry.ids()]


def test_functions_have_the_defaults_of_their_specifications(registry: Registry) -> None:
    different = set()
    for id, entry in entries(registry):
        signature = inspect.signature(entry.implementation).parameters
        for parameter in entry.spec["parameters"]:
            default = signature[parameter["name"]].default
            if parameter.get("optional") and not _means(default, parameter.get("default")):
                different.add((id, parameter["name"]))
    assert different == OTHER_DEFAULTS.keys()


def _means(default: Any, specified: Any) -> bool:
    if specified in ([], {}):
        # a signature should not hold an object that can change
        return default is None or default in ((), [], {})
    if isinstance(default, tuple):
        default = list(default)
    return bool(default == specified and isinstance(default, bool) == isinstance(specified, bool))


def test_functions_take_nothing_that_their_specifications_lack(registry: Registry) -> None:
    """Else a graph could not be checked for it, and nobody would learn of it."""
    more = {
        (id, name)
        for id, entry in entries(registry)
        for name in inspect.signature(entry.implementation).parameters
        if name != "env" and name not in {parameter["name"] for parameter in entry.spec["parameters"]}
    }
    assert more == set()


def test_every_exception_of_a_specification_is_raised(registry: Registry) -> None:
    unraised = {
        (id, exception)
        for id, entry in entries(registry)
        for exception in entry.spec.get("exceptions", {})
        if not any(exception in _texts(module) for root in _roots(entry) for module in _reachable(root))
    }
    assert unraised == NEVER_RAISED.keys()


def _roots(entry: Implementation) -> list[str]:
    """Modules that the work of a process begins in: its own, and those that it reaches through its `env`."""
    return [entry.implementation.__module__, *(["openeo_backend.catalog.catalog"] if entry.wants_env else [])]


@cache
def _source(module: str) -> ast.Module | None:
    found = importlib.util.find_spec(module)
    if found is None or not found.origin:
        return None
    return ast.parse(Path(found.origin).read_text(encoding="utf-8"))


@cache
def _texts(module: str) -> frozenset[str]:
    """All texts in the code of a module: the code of an error is one of them, whole."""
    tree = _source(module)
    found = ast.walk(tree) if tree else ()
    return frozenset(node.value for node in found if isinstance(node, ast.Constant) and isinstance(node.value, str))


@cache
def _reachable(module: str) -> frozenset[str]:
    """A module and those of our modules that it imports, at any depth."""
    seen: set[str] = set()
    stack = [module]
    while stack:
        name = stack.pop()
        tree = _source(name) if name not in seen else None
        seen.add(name)
        for node in ast.walk(tree) if tree else ():
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("openeo_backend"):
                stack.append(str(node.module))
                inner = [f"{node.module}.{alias.name}" for alias in node.names]
                stack.extend(name for name in inner if _is_module(name))
    return frozenset(seen)


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


ARRAY = {"process_id": "array_create", "arguments": {"data": [1, 2]}}
MEAN = {"process_graph": {"m": {"process_id": "mean", "arguments": {"data": {"from_parameter": "data"}}}}}


def reduced(data: Any) -> dict[str, Any]:
    return {"process_id": "reduce_dimension", "arguments": {"data": data, "dimension": "t", "reducer": MEAN}}


def test_values_that_are_no_cubes_are_refused_with_the_node(registry: Registry) -> None:
    graph = parse({"list": ARRAY, "reduced": {**reduced({"from_node": "list"}), "result": True}})
    with pytest.raises(OpenEOError, match="'reduced'.*'data' must be a data cube, but is an array of 2") as refused:
        evaluate(graph, registry, Scope(), Env(log=lambda level, message, **_: None))
    assert refused.value.code == "ProcessParameterInvalid"


def test_processes_of_cubes_do_not_work_on_the_arrays_of_callbacks(registry: Registry) -> None:
    graph = parse({"reduced": reduced({"from_parameter": "data"})})
    with pytest.raises(OpenEOError, match="an array of 3 elements.*processes of numbers or arrays"):
        evaluate(graph, registry, Scope({"data": PixelArray(np.zeros((3, 4)))}), None)
