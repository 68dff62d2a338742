"""Everything an evaluation needs, opened once per process."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from openeo_backend.catalog.bound import Least, refuse
from openeo_backend.catalog.catalog import Catalog
from openeo_backend.catalog.latest import Latest
from openeo_backend.catalog.own import Results
from openeo_backend.catalog.request import LoadRequest
from openeo_backend.catalog.viewer import Viewer
from openeo_backend.errors import NodeRef, OpenEOError
from openeo_backend.graph.check import Inspect
from openeo_backend.graph.effects import LoadHints
from openeo_backend.graph.nodes import Graph, Node
from openeo_backend.net.door import Door
from openeo_backend.processes.registry import Registry
from openeo_backend.run.literals import inspect_constants
from openeo_backend.run.plan import Plan, Stored, plan, resolve
from openeo_backend.run.remote import PinnedProcesses, RemoteProcesses
from openeo_backend.run.services import open_services
from openeo_backend.settings import Settings, value_of

#: Most plans that are kept, and most characters of the process that one is of.
MOST_PLANS, MOST_TEXT = 64, 20_000


@dataclass(frozen=True)
class Engine:
    """The processes, the catalog and the way out, under one set of settings."""

    settings: Settings
    processes: Registry
    catalog: Catalog
    door: Door
    remote: RemoteProcesses
    services: Mapping[str, Any] = field(default_factory=dict)
    """See :mod:`openeo_backend.run.services`."""
    constants: Mapping[str, Inspect] = field(default_factory=dict)
    """See :mod:`openeo_backend.run.literals`."""
    plans: Latest[Plan] = field(default_factory=lambda: Latest(MOST_PLANS))
    """Of processes that were sound, by what was sent."""

    @classmethod
    def open(cls, settings: Settings, results: Results | None = None) -> Engine:
        """Open what `settings` name.

        :param results: results of jobs that graphs may load.
        :raises SettingsError: for a catalog that cannot be read.
        """
        sources = tuple(settings.catalog.sources)
        door = Door(settings.net, sources)
        registry = Registry.predefined(lambda name: bool(value_of(settings, name)))
        restricted = any(collection.roles for collection in settings.catalog.collections.values())
        outside = Door(settings.net) if restricted else None
        catalog = Catalog(sources, settings.catalog, door, results, outside)
        constants = inspect_constants(registry[id].spec for id in registry.ids())
        services = open_services(settings, catalog)
        return cls(settings, registry, catalog, door, RemoteProcesses(door), services, constants)

    def seen_by(self, viewer: Viewer) -> Engine:
        """The same engine with the collections that somebody may load; at first these are everybody's."""
        return replace(self, catalog=self.catalog.seen_by(viewer))

    def plan(
        self,
        process: Mapping[str, Any],
        *,
        stored: Mapping[str, Mapping[str, Any]] | None = None,
        given: Mapping[str, Any] | None = None,
        most: float | None = None,
        remote: PinnedProcesses | None = None,
        checked: bool = False,
    ) -> tuple[Plan | None, list[OpenEOError]]:
        """The plan of a process, or None, and all of its problems; see :func:`openeo_backend.run.plan.plan`.

        :param remote: processes by URL as they were pinned; those used besides are pinned there.
        :param most: most samples that the loads together may read. What is told here is the least they read: it is
            found without searching or opening anything.
        :param checked: a sound plan was made of it a moment ago: that is not done again. Loads look for themselves.
        """
        remote = remote or self.pinned()
        text = _text(process, given, checked)
        found = self.plans.get(text) if text is not None else None
        problems: list[OpenEOError] = []
        if found is None or not (checked or self._are_loadable(found.graph)):
            found, problems = self._planned(text, process, stored or {}, given, remote, checked)
        if found is None or most is None or checked:
            return found, problems
        problems = self._too_large(found, most)
        return (None, problems) if problems else (found, [])

    def _planned(
        self,
        text: str | None,
        process: Mapping[str, Any],
        stored: Mapping[str, Mapping[str, Any]],
        given: Mapping[str, Any] | None,
        remote: PinnedProcesses,
        checked: bool,
    ) -> tuple[Plan | None, list[OpenEOError]]:
        """A new plan. It is kept if it is of the predefined processes only: the others may change."""
        stored = stored if isinstance(stored, Stored) else Stored(partial(dict, stored))
        inspect: Mapping[str, Inspect] = {**self.constants, "load_collection": self._inspect_load}
        found, problems = plan(
            process,
            self.processes,
            self.settings.limits,
            stored=stored,
            given=given,
            inspect=inspect,
            remote=remote,
            checked=checked,
        )
        if found is not None and text is not None and not stored.is_read and not remote.pins():
            self.plans.put(text, found)
        return found, problems

    def _are_loadable(self, graph: Graph) -> bool:
        """Whether the collections of a graph that was sound exist still, may be loaded, and have what is asked for."""
        graphs = [graph]
        while graphs:
            for node in graphs.pop():
                if node.process == "load_collection" and any(self._inspect_collection(node)):
                    return False
                graphs += [reference for reference in node.references() if isinstance(reference, Graph)]
        return True

    def pinned(self, pins: Iterable[Mapping[str, Any]] = ()) -> PinnedProcesses:
        """Processes by URL, some of them pinned already."""
        return PinnedProcesses(self.remote, pins)

    def pins(self, process: Mapping[str, Any], stored: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The processes by URL that a process uses, as they are now; see :meth:`PinnedProcesses.pins`.

        Those that cannot be had now are left out.
        """
        remote = self.pinned()
        if any(_names_urls(each) for each in (process, *stored.values())):
            resolve(process, self.processes, self.settings.limits, stored, remote)
        return remote.pins()

    def _too_large(self, found: Plan, most: float) -> list[OpenEOError]:
        samples = 0.0
        for node in found.graph:
            expected = self._least(node, found) if _is_foreseen(node) else None
            if expected is None:
                continue
            samples += expected.samples
            if samples > most:
                error = refuse(samples, most, f"{node.arguments['id']}: {expected.describe()}", at_least=True)
                return [error.at((NodeRef(node.id, node.process),))]
        return []

    def _least(self, node: Node, found: Plan) -> Least | None:
        """The least that a load_collection with constant arguments reads; None where they are wrong."""
        known = node.arguments
        request = LoadRequest(
            spatial_extent=known.get("spatial_extent"),
            temporal_extent=known.get("temporal_extent"),
            bands=None if known.get("bands") is None else tuple(known["bands"]),
            properties=known.get("properties") or {},
        )
        try:
            return self.catalog.least(known["id"], request, found.hints.get(node.id, LoadHints()))
        except OpenEOError:
            return None  # told by the load

    def _inspect_load(self, node: Node) -> Iterable[OpenEOError]:
        """Whether the collection of a load_collection exists, may be loaded, and has what is asked for."""
        yield from self.constants["load_collection"](node)
        yield from self._inspect_collection(node)

    def _inspect_collection(self, node: Node) -> Iterable[OpenEOError]:
        id, bands = node.arguments.get("id"), node.arguments.get("bands")
        if not isinstance(id, str):
            return
        try:
            self.catalog.require(id)
            collection = self.catalog.collection(id)
        except OpenEOError as error:
            yield error
            return
        if isinstance(bands, list):
            known = _band_names(collection)
            for band in bands:
                if known and isinstance(band, str) and band not in known:
                    yield OpenEOError(
                        "ProcessParameterInvalid",
                        f"The collection '{id}' has no band '{band}'.",
                        hint=f"Available: {', '.join(known)}.",
                    )


def foreseen(graph: Graph) -> frozenset[str]:
    """Ids of the loads of which :meth:`Engine.plan` tells the least that they read."""
    return frozenset(node.id for node in graph if _is_foreseen(node))


def _is_foreseen(node: Node) -> bool:
    """Whether a node loads a collection with arguments that do not come out of the graph."""
    if node.process != "load_collection":
        return False
    return all(isinstance(reference, Graph) for reference in node.references())


def _text(*of: Any) -> str | None:
    """What a plan is made of; None where that is much, or no JSON."""
    try:
        text = json.dumps(of)
    except (TypeError, ValueError, RecursionError):
        return None
    return text if len(text) <= MOST_TEXT else None


def _names_urls(process: Mapping[str, Any]) -> bool:
    """Whether a process may call others by URL, found without parsing it."""
    return '"namespace":"http' in json.dumps(process, separators=(",", ":"))


def _band_names(collection: Mapping[str, Any]) -> list[str]:
    """Names, then common names, of the bands of a published collection."""
    names = []
    for dimension in collection.get("cube:dimensions", {}).values():
        if dimension.get("type") == "bands":
            names += [str(value) for value in dimension.get("values", ())]
    summaries = collection.get("summaries", {})
    for band in (*summaries.get("eo:bands", ()), *summaries.get("bands", ())):
        common = band.get("common_name") or band.get("eo:common_name")
        if common and common not in names:
            names.append(common)
    return names
