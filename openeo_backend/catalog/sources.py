"""Where STAC comes from: static catalogs and APIs behind one protocol."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from openeo_backend.catalog.budget import MOST_LEVELS
from openeo_backend.catalog.documents import Documents
from openeo_backend.catalog.hrefs import is_url, resolve
from openeo_backend.catalog.item import Item, ItemReader
from openeo_backend.cube.extent import Interval
from openeo_backend.errors import OpenEOError

#: Items from either end of a remote catalog that are read to describe it.
_SAMPLE = 10


@dataclass(frozen=True)
class ItemQuery:
    """Which items are wanted. A source may return more than match, never fewer."""

    area: BaseGeometry | None = None
    """Longitude and latitude."""

    interval: Interval = field(default_factory=Interval)
    filter: Mapping[str, Any] | None = None
    """CQL2 (JSON) for sources that evaluate it."""

    most: int = 20_000
    """More items than this are an error."""

    tell: Callable[[str], None] = field(default=lambda message: None, compare=False)
    """Told what seems to be wrong with what was found."""


class Source(Protocol):
    """Collections and their items."""

    @property
    def root(self) -> Path | None:
        """The folder below which its assets may lie; None where they must be remote."""

    def ids(self) -> list[str]: ...

    def collection(self, id: str) -> Mapping[str, Any]:
        """The STAC collection, hrefs absolute."""

    def items(self, id: str, query: ItemQuery) -> list[Item]:
        """Items that may match."""

    def sample(self, id: str) -> list[Item]:
        """Some items (all, where they are at hand) to learn bands and properties from."""

    def complete(self) -> bool:
        """Whether `sample` is all items."""

    def queryables(self, id: str) -> Mapping[str, Any] | None:
        """JSON Schema properties by queryable, where the source publishes them."""


class ItemIndex:
    """Items in memory, found by area and time."""

    def __init__(self, items: Iterable[Item]) -> None:
        self.all = sorted(items, key=lambda item: (item.start, item.id))
        self._tree = shapely.STRtree([item.footprint for item in self.all])
        self._starts = np.array([item.start for item in self.all], dtype="datetime64[ns]")
        self._ends = np.array([item.end for item in self.all], dtype="datetime64[ns]")
        self._last: tuple[BaseGeometry | None, Interval, list[Item]] = (None, Interval(), self.all)

    def find(self, area: BaseGeometry | None, interval: Interval) -> list[Item]:
        """Items whose footprint meets `area` and whose time lies in (or period meets) `interval`, oldest first."""
        last_area, last_interval, found = self._last
        if area is not last_area or interval != last_interval:
            found = self._find(area, interval)
            self._last = (area, interval, found)
        return list(found)

    def _find(self, area: BaseGeometry | None, interval: Interval) -> list[Item]:
        keep = overlaps(self._starts, self._ends, interval)
        if area is not None:
            near = np.zeros(len(self.all), dtype=bool)
            near[self._tree.query(area, predicate="intersects")] = True
            keep &= near
        return [self.all[index] for index in np.flatnonzero(keep)]


def overlaps(starts: np.ndarray, ends: np.ndarray, interval: Interval) -> np.ndarray:
    """Which moments lie in the half-open interval, and which periods meet it."""
    keep = np.ones(np.shape(starts), dtype=bool)
    if interval.end is not None:
        keep &= starts < interval.end
    if interval.start is not None:
        keep &= ends >= interval.start
    return keep


def links(document: Mapping[str, Any], address: str, *rels: str) -> list[str]:
    """Absolute addresses of the links with one of the given relations."""
    return [
        resolve(address, str(link["href"]))
        for link in document.get("links") or ()
        if isinstance(link, Mapping) and link.get("rel") in rels and link.get("href")
    ]


class StaticSource:
    """A static catalog or collection. Collections are read at once, items when a collection is first used."""

    def __init__(self, documents: Documents, address: str, document: Mapping[str, Any], most: int = 20_000) -> None:
        self.root = documents.root
        self._documents = documents
        self._address = address
        self._document = document
        self._most = most
        self._indexes: dict[str, ItemIndex] = {}
        self._samples: dict[str, list[Item]] = {}
        self._lock = Lock()

    @cached_property
    def _collections(self) -> dict[str, tuple[str, Mapping[str, Any]]]:
        found: dict[str, tuple[str, Mapping[str, Any]]] = {}
        for address, document in self._walk(self._address, self._document):
            if document.get("type") == "Collection":
                found.setdefault(str(document["id"]), (address, document))
        return found

    def _walk(self, address: str, document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The document and the catalogs and collections below it, each once."""
        waiting, seen = deque([(address, document, 0)]), {address}
        budget = self._documents.budget(f"the catalog {address}")
        while waiting:
            address, document, level = waiting.popleft()
            yield address, document
            for child in links(document, address, "child"):
                if child in seen:
                    continue
                if level == MOST_LEVELS:
                    raise OpenEOError(
                        "ProcessGraphComplexity", f"The catalog {address} lies below {MOST_LEVELS} others."
                    )
                budget.spend()
                seen.add(child)
                waiting.append((child, self._documents.read(child), level + 1))

    def ids(self) -> list[str]:
        return list(self._collections)

    def collection(self, id: str) -> Mapping[str, Any]:
        return self._absolute[id]

    @cached_property
    def _absolute(self) -> dict[str, Mapping[str, Any]]:
        """The collections with absolute links."""
        return {
            id: {
                **document,
                "links": [{**link, "href": resolve(place, str(link["href"]))} for link in document.get("links") or ()],
            }
            for id, (place, document) in self._collections.items()
        }

    def items(self, id: str, query: ItemQuery) -> list[Item]:
        return self._index(id).find(query.area, query.interval)

    def sample(self, id: str) -> list[Item]:
        if self.complete() or id in self._indexes:
            return self._index(id).all
        with self._lock:
            if id not in self._samples:
                address, collection = self._collections[id]
                addresses = self._addresses(address, collection)
                few = addresses if len(addresses) <= 2 * _SAMPLE else addresses[:_SAMPLE] + addresses[-_SAMPLE:]
                self._samples[id] = read_items(self._documents, few, collection)
            return self._samples[id]

    def complete(self) -> bool:
        return self.root is not None

    def queryables(self, id: str) -> Mapping[str, Any] | None:
        return None

    def _index(self, id: str) -> ItemIndex:
        with self._lock:
            if id not in self._indexes:
                self._indexes[id] = ItemIndex(self._read_items(*self._collections[id]))
            return self._indexes[id]

    def _addresses(self, address: str, collection: Mapping[str, Any]) -> list[str]:
        addresses: list[str] = []
        for place, document in self._walk(address, collection):
            if place == address or document.get("type") == "Catalog":
                addresses += links(document, place, "item")
        return addresses

    def _read_items(self, address: str, collection: Mapping[str, Any]) -> list[Item]:
        addresses = self._addresses(address, collection)
        if len(addresses) > self._most:
            raise too_many(str(collection.get("id")), self._most)
        return read_items(self._documents, addresses, collection)


def read_items(documents: Documents, addresses: list[str], collection: Mapping[str, Any]) -> list[Item]:
    """The items at the given addresses; remote ones several at a time."""
    budget = documents.budget(f"the items of {collection.get('id') or addresses[:1]}", len(addresses))
    reader = ItemReader(collection)

    def read(address: str) -> Item:
        budget.spend()
        return reader.read(documents.read(address), address)

    if any(is_url(address) for address in addresses):
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(read, addresses))
    return [read(address) for address in addresses]


def too_many(id: str, most: int, told: int | None = None) -> OpenEOError:
    """The error for a load of more items than may be.

    :param told: how many there are, where a server tells it.
    """
    matches = f"More than {most:,} items of '{id}' match."
    if told is not None:
        matches = f"{told:,} items of '{id}' match according to its STAC API; at most {most:,} are read."
    return OpenEOError(
        "ProcessGraphComplexity",
        matches,
        hint="Narrow the spatial extent, the temporal extent or the properties.",
    )


class FixedSource:
    """Items that are already known, as one collection."""

    def __init__(self, collection: Mapping[str, Any], items: Iterable[Item], root: Path | None = None) -> None:
        self.root = root
        self._collection = collection
        self._index = ItemIndex(items)

    def ids(self) -> list[str]:
        return [str(self._collection["id"])]

    def collection(self, id: str) -> Mapping[str, Any]:
        return self._collection

    def items(self, id: str, query: ItemQuery) -> list[Item]:
        return self._index.find(query.area, query.interval)

    def sample(self, id: str) -> list[Item]:
        return self._index.all

    def complete(self) -> bool:
        return True

    def queryables(self, id: str) -> Mapping[str, Any] | None:
        return None
