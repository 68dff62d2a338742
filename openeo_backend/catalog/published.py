"""A source as the operator publishes it: under other ids, and with changes of the metadata."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from openeo_backend.catalog.item import Item
from openeo_backend.catalog.patch import merge_patch
from openeo_backend.catalog.sources import ItemQuery, Source
from openeo_backend.catalog.viewer import not_found
from openeo_backend.settings import CollectionSettings


class Published:
    """A source seen through the settings of its collections, which are by the ids that the source gives.

    Changes of the metadata hold for loading, too, as if the catalog had them.

    :param grows: whether collections come and go while the source is used.
    """

    def __init__(self, source: Source, settings: Mapping[str, CollectionSettings], grows: bool = False) -> None:
        self.source = source
        self.grows = grows
        self._settings = settings
        self._names: tuple[list[str], dict[str, str]] = ([], {})
        self._collections: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {}

    @property
    def root(self) -> Path | None:
        return self.source.root

    def names(self) -> dict[str, str]:
        """Ids of the source by the ids under which they are published."""
        ids, known = self.source.ids(), self._names
        if known[0] == ids:
            return known[1]
        found: dict[str, str] = {}
        for inner in ids:
            own = self._settings.get(inner)
            found.setdefault((own.id if own else None) or inner, inner)
        self._names = (ids, found)
        return found

    def settings(self, id: str) -> CollectionSettings:
        """The settings of a published collection."""
        return self._settings.get(self._inner(id), CollectionSettings())

    def _inner(self, id: str) -> str:
        """The id in the source of a published collection, which may have just gone from there."""
        found = self.names().get(id)
        if found is None:
            raise not_found(id)
        return found

    def ids(self) -> list[str]:
        return list(self.names())

    def collection(self, id: str) -> Mapping[str, Any]:
        """The metadata, as the same object as long as the source gives the same."""
        inner = self._inner(id)
        found, metadata = self.source.collection(inner), self.settings(id).metadata
        known = self._collections.get(id)
        if known is None or known[0] is not found:
            changed: Mapping[str, Any] = merge_patch(found, metadata) if metadata else found
            known = (found, {**changed, "id": id})
            if not self.grows:
                self._collections[id] = known
        return known[1]

    def items(self, id: str, query: ItemQuery) -> list[Item]:
        return self.source.items(self._inner(id), query)

    def sample(self, id: str) -> list[Item]:
        return self.source.sample(self._inner(id))

    def complete(self) -> bool:
        return self.source.complete()

    def queryables(self, id: str) -> Mapping[str, Any] | None:
        return self.source.queryables(self._inner(id))
