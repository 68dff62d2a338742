"""The collections that users exported: a static catalog that grows while it is used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any

from openeo_backend.catalog.documents import Documents, Door
from openeo_backend.catalog.item import Item
from openeo_backend.catalog.sources import FixedSource, ItemQuery, Source, StaticSource

#: What a folder without exports is.
_NOTHING = {"type": "Catalog", "id": "exports", "links": []}

_Stamp = tuple[tuple[str, int, int], ...]


class ExportedSource:
    """The catalog in a folder, read again whenever one of its collections has changed."""

    def __init__(self, folder: Path, door: Door, most: int) -> None:
        self.root = folder.resolve()
        self._documents = Documents(door, self.root)
        self._most = most
        self._lock = Lock()
        self._stamp: _Stamp | None = None
        self._source: Source = FixedSource({}, [])

    def ids(self) -> list[str]:
        return self._current().ids()

    def collection(self, id: str) -> Mapping[str, Any]:
        return self._current().collection(id)

    def items(self, id: str, query: ItemQuery) -> list[Item]:
        return self._current().items(id, query)

    def sample(self, id: str) -> list[Item]:
        return self._current().sample(id)

    def complete(self) -> bool:
        return True

    def queryables(self, id: str) -> Mapping[str, Any] | None:
        return None

    def _current(self) -> Source:
        with self._lock:
            stamp = self._look()
            if stamp != self._stamp:
                address = self.root / "catalog.json"
                document = self._documents.read(str(address)) if address.is_file() else _NOTHING
                self._source = StaticSource(self._documents, str(address), document, self._most)
                self._stamp = stamp
            return self._source

    def _look(self) -> _Stamp:
        """What tells whether something has changed."""
        found = []
        for path in sorted((self.root / "catalog.json", *self.root.glob("*/collection.json"))):
            if path.is_file():
                state = path.stat()
                found.append((str(path), state.st_mtime_ns, state.st_size))
        return tuple(found)
