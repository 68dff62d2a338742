"""Everything an evaluation needs, opened once per process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from openeo_backend.catalog.catalog import Catalog
from openeo_backend.catalog.own import Results
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.check import Inspect
from openeo_backend.graph.nodes import Node
from openeo_backend.net.door import Door
from openeo_backend.processes.registry import Registry
from openeo_backend.run.plan import Plan, plan
from openeo_backend.run.remote import RemoteProcesses
from openeo_backend.run.services import open_services
from openeo_backend.settings import Settings, value_of


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

    @classmethod
    def open(cls, settings: Settings, results: Results | None = None) -> Engine:
        """Open what `settings` name.

        :param results: results of jobs that graphs may load.
        :raises SettingsError: for a catalog that cannot be read.
        """
        sources = tuple(settings.catalog.sources)
        door = Door(settings.net, sources)
        registry = Registry.predefined(lambda name: bool(value_of(settings, name)))
        catalog = Catalog(sources, settings.catalog, door, results)
        return cls(settings, registry, catalog, door, RemoteProcesses(door), open_services(settings, catalog))

    def plan(
        self,
        process: Mapping[str, Any],
        *,
        stored: Mapping[str, Mapping[str, Any]] | None = None,
        given: Mapping[str, Any] | None = None,
    ) -> tuple[Plan | None, list[OpenEOError]]:
        """The plan of a process, or None, and all of its problems; see :func:`openeo_backend.run.plan.plan`."""
        inspect: Mapping[str, Inspect] = {"load_collection": self._inspect_load}
        limits, remote = self.settings.limits, self.remote
        return plan(process, self.processes, limits, stored=stored, given=given, inspect=inspect, remote=remote)

    def _inspect_load(self, node: Node) -> Iterable[OpenEOError]:
        """Whether the collection of a load_collection exists and has the bands asked for."""
        id, bands = node.arguments.get("id"), node.arguments.get("bands")
        if not isinstance(id, str):
            return
        try:
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
