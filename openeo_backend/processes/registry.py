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
from functools import cache, cached_property
from importlib import import_module
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

from openeo_pg_parser_networkx.process_registry import Process, ProcessRegistry

from openeo_backend import processes
from openeo_backend.cube.arguments import others, refused
from openeo_backend.cube.pixels import refuse
from openeo_backend.graph.effects import BLOCKED, Effect
from openeo_backend.graph.schema import Rule, Schema, of_parameter, schemas_of, types_of
from openeo_backend.processes import specs

ENTRY_POINTS = "openeo_backend.processes"

Function = Callable[..., Any]


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

    @cached_property
    def rules(self) -> Mapping[str, Rule]:
        """What each parameter takes, by its specification.

        A function that annotates a parameter with `Any` looks itself at what it is given (:func:`others`).
        """
        return self._rules(self.spec.get("parameters", ()))

    @cached_property
    def _admitted(self) -> Mapping[str, Rule]:
        """What each parameter takes of values that only running tells.

        Processes look themselves at bounds of numbers and at elements that are the same: specifications name
        exceptions for many of them.
        """
        return self._rules(map(_unbounded, self.spec.get("parameters", ())))

    def _rules(self, parameters: Iterable[Mapping[str, Any]]) -> Mapping[str, Rule]:
        taken = inspect.signature(self.implementation).parameters
        return {p["name"]: of_parameter(p, others(_is_open(taken[p["name"]].annotation))) for p in parameters}

    @cached_property
    def _whole(self) -> frozenset[str]:
        """Parameters that take integers, or arrays of integers, and no other numbers."""
        found = {parameter["name"]: _numbers(schemas_of(parameter)) for parameter in self.spec.get("parameters", ())}
        return frozenset(name for name, types in found.items() if "integer" in types and "number" not in types)

    @cached_property
    def _real(self) -> frozenset[str]:
        """Parameters of numbers that the function takes as they come."""
        taken = inspect.signature(self.implementation).parameters
        found = (p for p in self.spec.get("parameters", ()) if "number" in _numbers(schemas_of(p)))
        return frozenset(p["name"] for p in found if not _is_open(taken[p["name"]].annotation))

    def admit(self, arguments: dict[str, Any]) -> None:
        """Refuse values of kinds that parameters do not take; whole numbers become integers where only those go.

        Constants were checked before; the values of other nodes and of parameters are known only now. Numbers beyond
        64 bits become floats, as numpy has them.

        :raises OpenEOError: ProcessParameterInvalid.
        """
        rules = self._admitted
        for name, value in arguments.items():
            if not rules[name].fits(value):
                raise refused(name, rules[name].why(value), rules[name], value)
        for name in self._whole & arguments.keys():
            arguments[name] = _integers(arguments[name])
        for name in self._real & arguments.keys():
            if arguments[name].__class__ is int and arguments[name].bit_length() > 63:
                arguments[name] = _float(name, arguments[name])


def _is_open(annotation: Any) -> bool:
    return annotation in (Any, "Any", inspect.Parameter.empty) or "PixelArray" in str(annotation)


def _unbounded(schema: Any) -> Any:
    """A parameter or schema without the keywords that processes look at themselves."""
    if isinstance(schema, list):
        return [_unbounded(entry) for entry in schema]
    if not isinstance(schema, Mapping):
        return schema
    left = ("minimum", "maximum", "uniqueItems")
    return {name: _unbounded(value) for name, value in schema.items() if name not in left}


def _numbers(schemas: list[Schema]) -> frozenset[str]:
    """The types that schemas, and the items of arrays in them, name."""
    found = frozenset[str]().union(*map(types_of, schemas))
    items = [schema["items"] for schema in schemas if isinstance(schema.get("items"), Mapping)]
    return found | _numbers(items) if items else found


def _float(name: str, value: int) -> float:
    """A number beyond 64 bits as numpy has it."""
    try:
        return float(value)
    except OverflowError:
        raise refuse(name, "must be a number of at most 308 digits") from None


def _integers(value: Any) -> Any:
    if value.__class__ is float:
        return int(value)
    if value.__class__ is list and any(entry.__class__ in (float, list) for entry in value):
        return [_integers(entry) for entry in value]
    return value


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


def _nullable(parameter: Mapping[str, Any]) -> bool:
    return any("null" in (types_of(schema) or ("null",)) for schema in schemas_of(parameter))


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
