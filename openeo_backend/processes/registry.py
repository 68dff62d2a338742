"""The one registry of processes.

A process is a function marked with :func:`process`. Its specification comes from :mod:`.specs` by id, or is
given to the decorator by a plug-in. Nothing is registered by import: :meth:`Registry.build` collects the marked
functions of the modules it is given and of the entry point group ``openeo_backend.processes``.
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

from openeo_pg_parser_networkx.process_registry import Process, ProcessRegistry

from openeo_backend import processes
from openeo_backend.cube import Cube
from openeo_backend.cube.pixels import PixelArray, describe, is_pixels, refuse
from openeo_backend.graph.check import OPERANDS
from openeo_backend.graph.effects import BLOCKED, Effect
from openeo_backend.processes import specs

ENTRY_POINTS = "openeo_backend.processes"

Function = Callable[..., Any]

#: What JSON calls the values of a class.
_JSON_TYPES: Mapping[type, str] = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}


#: Types of parameters that pixels of numbers may be given to.
_OF_PIXELS = frozenset({"number", "integer", "boolean", "array", "object"})


@dataclass(frozen=True)
class Mark:
    """What the decorator notes on a function."""

    id: str
    spec: Mapping[str, Any] | None
    effect: Effect
    requires: str | None
    hidden: bool


@dataclass
class Implementation(Process):
    """A process of the registry: the parser package's `Process` and what our engine adds to it."""

    effect: Effect = field(default=BLOCKED)
    wants_env: bool = False
    optional: frozenset[str] = frozenset()
    """Optional parameters that do not allow null: null is the same as leaving them out."""

    requires: str | None = None
    cubes: frozenset[str] = frozenset()
    """Parameters that take data cubes and nothing else: those that the function annotates as such."""
    kinds: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """The types of JSON values that parameters take, for those that do not take all."""

    callbacks: frozenset[str] = frozenset()
    """Parameters that take process graphs and nothing else."""

    flags: frozenset[str] = frozenset()
    """Options that are true or false, and the same for all pixels."""

    def check(self, arguments: Mapping[str, Any]) -> None:
        """Refuse JSON values of types that the specification does not name, and what is no cube where only cubes go.

        Constants were checked before; the values of other nodes and of parameters are known only now.

        :raises OpenEOError: ProcessParameterInvalid.
        """
        for name, allowed in self.kinds.items():
            value = arguments.get(name, allowed)
            kind = _JSON_TYPES.get(value.__class__)
            if kind is None and name in self.flags and is_pixels(value):
                raise refuse(
                    name, f"must be of the type boolean, but is {describe(value)}", "It is one for all pixels."
                )
            if kind is None and _is_numeric(value) and not allowed & _OF_PIXELS:
                raise refuse(name, f"must be of the type {' or '.join(sorted(allowed))}, but is {describe(value)}")
            if kind is not None and kind not in allowed and not _is_whole(value, allowed):
                expected = " or ".join(sorted(allowed - {"integer"} if "number" in allowed else allowed))
                raise refuse(name, f"must be of the type {expected}, but is {describe(value)}")
        for name in self.callbacks & arguments.keys():
            value = arguments[name]
            if value is not None and not callable(value):
                raise refuse(name, f"must be a process graph, but is {describe(value)}")
        for name in self.cubes & arguments.keys():
            value = arguments[name]
            if not isinstance(value, Cube):
                hint = "Inside of callbacks use processes of numbers or arrays." if is_pixels(value) else None
                raise refuse(name, f"must be a data cube, but is {describe(value)}", hint)


def process(
    id: str,
    *,
    spec: Mapping[str, Any] | None = None,
    effect: Effect = BLOCKED,
    requires: str | None = None,
    hidden: bool = False,
) -> Callable[[Function], Function]:
    """Mark a function as the implementation of a process.

    The function takes the parameters of the specification by name, optional ones with the specification's
    default, and `env` (an :class:`~openeo_backend.processes.environment.Env`) if it wants one. Callbacks arrive as
    :class:`~openeo_backend.graph.callback.Callback`.

    :param effect: what the process does to extents (:mod:`openeo_backend.graph.effects`).
    :param requires: a dotted settings name that must be set for the process to be advertised and usable; of several
        names, joined by " or ", one must be.
    :param hidden: implemented (an old name of another process) but not listed at /processes.
    """

    def mark(function: Function) -> Function:
        marks = [*getattr(function, "__processes__", ()), Mark(id, spec, effect, requires, hidden)]
        function.__processes__ = marks  # type: ignore[attr-defined]
        return function

    return mark


def _families() -> list[ModuleType]:
    """Every module of the processes package, subpackages included."""
    found = pkgutil.walk_packages(processes.__path__, f"{processes.__name__}.")
    return [import_module(module.name) for module in found if not module.ispkg]


def _types(parameter: Mapping[str, Any]) -> frozenset[str]:
    """The types of JSON values that a parameter takes; empty where it takes all, and for cubes: they are no JSON."""
    schemas = parameter.get("schema", {})
    found: set[str] = set()
    for schema in schemas if isinstance(schemas, list) else [schemas]:
        types = schema.get("type")
        if types is None or schema.get("subtype") == "datacube":
            return frozenset()
        found.update(types if isinstance(types, list) else [types])
    if "number" in found:
        found.add("integer")
    if parameter.get("optional") or parameter["name"] in OPERANDS:
        found.add("null")
    return frozenset(found)


def _is_callback(parameter: Mapping[str, Any]) -> bool:
    schemas = parameter.get("schema", {})
    schemas = schemas if isinstance(schemas, list) else [schemas]
    return any(schema.get("subtype") == "process-graph" for schema in schemas) and all(
        schema.get("subtype") == "process-graph" or schema.get("type") == "null" for schema in schemas
    )


def _is_numeric(value: Any) -> bool:
    """Whether a value is pixels of numbers."""
    values = value.values if isinstance(value, PixelArray) else value
    return is_pixels(values) and values.dtype.kind in "biuf"


def _is_whole(value: Any, allowed: frozenset[str]) -> bool:
    return "integer" in allowed and isinstance(value, float) and value.is_integer()


def _nullable(parameter: Mapping[str, Any]) -> bool:
    schemas = parameter.get("schema", {})
    for schema in schemas if isinstance(schemas, list) else [schemas]:
        types = schema.get("type")
        if types is None or "null" in (types if isinstance(types, list) else [types]):
            return True
    return False


class Registry:
    """All processes a back-end offers, in the predefined namespace."""

    def __init__(self) -> None:
        self._processes = ProcessRegistry()
        self._hidden: set[str] = set()
        self._is_predefined = False

    def __reduce__(self) -> Any:
        """To another process (a worker of a cluster) goes the name of the registry, not all specifications.

        There it has all processes, configured or not: graphs were checked before.
        """
        return (_everything, ()) if self._is_predefined else super().__reduce__()

    @classmethod
    def predefined(cls, configured: Callable[[str], bool] = lambda name: False) -> Registry:
        """All processes of this package and of installed plug-ins."""
        registry = cls.build(_families(), configured)
        registry._is_predefined = True
        return registry

    @classmethod
    def build(cls, modules: Iterable[ModuleType], configured: Callable[[str], bool] = lambda name: False) -> Registry:
        """Collect the marked functions of `modules` and of installed plug-ins.

        :param configured: tells whether a settings name that a process requires is set.
        :raises ValueError: for an id implemented twice, or a function that does not take a parameter of its spec.
        """
        registry = cls()
        plugins = [entry.load() for entry in entry_points(group=ENTRY_POINTS)]
        for source in (*modules, *plugins):
            members = vars(source).values() if isinstance(source, ModuleType) else [source]
            for function in members:
                if isinstance(source, ModuleType) and getattr(function, "__module__", None) != source.__name__:
                    continue
                for mark in getattr(function, "__processes__", ()):
                    if mark.requires is None or any(configured(name) for name in mark.requires.split(" or ")):
                        registry.add(function, mark)
        return registry

    def add(self, function: Function, mark: Mark) -> None:
        if mark.id in self:
            raise ValueError(f"process '{mark.id}' is implemented twice")
        spec = dict(mark.spec) if mark.spec is not None else specs.load(mark.id)
        parameters = inspect.signature(function).parameters
        missing = [p["name"] for p in spec.get("parameters", ()) if p["name"] not in parameters]
        if missing:
            raise ValueError(f"the function of process '{mark.id}' lacks the parameters {missing}")
        self._processes[mark.id] = Implementation(
            spec=spec,
            implementation=function,
            effect=mark.effect,
            wants_env="env" in parameters,
            optional=frozenset(p["name"] for p in spec.get("parameters", ()) if p.get("optional") and not _nullable(p)),
            requires=mark.requires,
            cubes=frozenset(name for name, taken in parameters.items() if taken.annotation in (Cube, "Cube")),
            kinds={p["name"]: types for p in spec.get("parameters", ()) if (types := _types(p))},
            callbacks=frozenset(p["name"] for p in spec.get("parameters", ()) if _is_callback(p)),
            flags=frozenset(
                p["name"] for p in spec.get("parameters", ()) if p.get("optional") and _types(p) == {"boolean", "null"}
            ),
        )
        if mark.hidden:
            self._hidden.add(mark.id)

    def __contains__(self, id: object) -> bool:
        return ("predefined", id) in self._processes

    def __getitem__(self, id: str) -> Implementation:
        """The implementation of a process.

        :raises KeyError: where there is none.
        """
        found: Implementation = self._processes["predefined", id]
        return found

    def ids(self) -> list[str]:
        """Ids of all processes, hidden ones included, sorted."""
        return sorted(id for _, id in self._processes)

    def listed(self) -> list[Mapping[str, Any]]:
        """The specifications to advertise at /processes, sorted by id."""
        return [self[id].spec for id in self.ids() if id not in self._hidden]


@cache
def _everything() -> Registry:
    return Registry.predefined(lambda name: True)
