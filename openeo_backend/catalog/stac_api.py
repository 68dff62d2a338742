"""STAC APIs as sources of collections and items."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from threading import Lock
from typing import Any
from urllib.parse import quote, urlencode

import numpy as np
import shapely

from openeo_backend.catalog.documents import Documents
from openeo_backend.catalog.fresh import Fresh
from openeo_backend.catalog.hrefs import resolve
from openeo_backend.catalog.item import Item, ItemReader
from openeo_backend.catalog.searches import Found, Searches, uncollected
from openeo_backend.catalog.shape import is_collection
from openeo_backend.catalog.sources import ItemQuery, links, too_many
from openeo_backend.cube.extent import Interval
from openeo_backend.errors import OpenEOError

#: Items asked for at a time.
_PAGE = 250

#: So many times more items than may be read are refused at the first page: some APIs estimate how many match.
_SURELY = 10


def is_api(document: Mapping[str, Any]) -> bool:
    """Whether a catalog is the landing page of a STAC API with item search."""
    return any(link.get("rel") == "search" for link in document.get("links") or () if isinstance(link, Mapping))


class ApiSource:
    """A STAC API, or one collection of it.

    :param document: the landing page read from `address`.
    :param only: ids to which the source is restricted.
    :param searches: where results of searches are kept; by default they are not.
    """

    def __init__(
        self,
        documents: Documents,
        address: str,
        document: Mapping[str, Any],
        only: list[str] | None = None,
        searches: Searches | None = None,
    ) -> None:
        self._searches = searches or Searches(0, 0)
        self.root = None
        self._documents = documents
        self._address = address
        self._only = only
        self._conforms = [str(c) for c in document.get("conformsTo") or ()]
        offered = [link for link in document["links"] if link.get("rel") == "search"]
        self._posts = any(str(link.get("method", "GET")).upper() == "POST" for link in offered)
        self._search = resolve(address, str(offered[0]["href"])).split("?", 1)[0]
        self._data = (links(document, address, "data") or [f"{address.rstrip('/')}/collections"])[0].split("?", 1)[0]
        self._collections = Fresh(self._read_collections)
        self._lock = Lock()
        self._samples: dict[str, Fresh[list[Item]]] = {}

    @property
    def filters(self) -> bool:
        """Whether the API evaluates CQL2 in JSON."""
        text = " ".join(self._conforms)
        return "item-search#filter" in text and "cql2-json" in text and self._posts

    def _read_collections(self) -> dict[str, Mapping[str, Any]]:
        found: dict[str, Mapping[str, Any]] = {}
        if self._only is not None:
            for id in self._only:
                found[id] = self._absolute(self._documents.read(f"{self._data}/{quote(id)}"))
            return found
        url: str | None = self._data
        budget = self._documents.budget(f"the collections of {self._address}")
        while url:
            budget.go(url)
            page = self._documents.read(url)
            for collection in filter(is_collection, page.get("collections") or ()):
                found.setdefault(str(collection["id"]), self._absolute(collection))
            url = next(iter(links(page, url, "next")), None)
        return found

    def _absolute(self, collection: Mapping[str, Any]) -> Mapping[str, Any]:
        base = next(iter(links(collection, self._data, "self")), self._data)
        relations = [{**link, "href": resolve(base, str(link["href"]))} for link in collection.get("links") or ()]
        return {**collection, "links": relations}

    def ids(self) -> list[str]:
        return list(self._collections.get())

    def collection(self, id: str) -> Mapping[str, Any]:
        """:raises OpenEOError: CollectionNotFound, for one that is gone since its id was told."""
        found = self._collections.get().get(id)
        if found is None:
            raise OpenEOError("CollectionNotFound", f"The STAC API at {self._address} has no collection '{id}' now.")
        return found

    def complete(self) -> bool:
        return False

    def sample(self, id: str) -> list[Item]:
        with self._lock:
            sample = self._samples.setdefault(id, Fresh(lambda: self._read_sample(id)))
        return sample.get()

    def _read_sample(self, id: str) -> list[Item]:
        documents = next(self._pages({"collections": [id], "limit": 10}), ())
        return list(self._read(documents, ItemReader(self.collection(id))))

    def queryables(self, id: str) -> Mapping[str, Any] | None:
        rel = "http://www.opengis.net/def/rel/ogc/1.0/queryables"
        address = next(iter(links(self.collection(id), self._data, rel)), None)
        return self._documents.read(address).get("properties") if address else None

    def items(self, id: str, query: ItemQuery) -> list[Item]:
        area = None if query.area is None else shapely.to_wkb(query.area, hex=True)
        ends = [None if end is None else str(end) for end in (query.interval.start, query.interval.end)]
        asked = json.dumps([id, area, ends, query.filter, query.most], sort_keys=True)
        found = self._searches.get(asked, lambda: self._find(id, self._body(id, query), query))
        for message in found.told:
            query.tell(message)
        return list(found.items)

    def _find(self, id: str, body: dict[str, Any], query: ItemQuery) -> Found:
        told: list[str] = []
        query = replace(query, tell=told.append)
        with uncollected():
            return Found(self._search_with_filter(id, body, query), told)

    def _search_with_filter(self, id: str, body: dict[str, Any], query: ItemQuery) -> list[Item]:
        try:
            return self._found(id, body, query)
        except OpenEOError as error:
            if "filter" not in body or error.code != "UrlNotReachable":
                raise
            # The API may not know the property. The conditions are evaluated on the items in any case.
            return self._found(id, {k: v for k, v in body.items() if not k.startswith("filter")}, query)

    def _found(self, id: str, body: dict[str, Any], query: ItemQuery) -> list[Item]:
        found: dict[str, Item] = {}
        reader = ItemReader({})
        read, most = 0, query.most
        counts: list[int] = []
        for page in self._pages(body, counts):
            if counts and counts[0] > _SURELY * most:
                raise too_many(id, most, counts[0])
            if page and not read:
                reader = ItemReader(self.collection(id))
            read += len(page)
            if read > 2 * most:  # some APIs repeat items at the edges of pages
                raise too_many(id, most)
            for item in self._read(page, reader):
                found.setdefault(item.id, item)
            if len(found) > most:
                raise too_many(id, most)
        if counts and read < counts[0]:
            query.tell(f"{id}: {counts[0]} items match according to the STAC API, and it gave {read} of them.")
        return sorted(found.values(), key=lambda item: (item.start, item.id))

    def _read(self, documents: Iterable[Mapping[str, Any]], reader: ItemReader) -> Iterator[Item]:
        for document in documents:
            address = next(iter(links(document, self._search, "self")), self._search)
            yield reader.read(document, address)

    def _body(self, id: str, query: ItemQuery) -> dict[str, Any]:
        body: dict[str, Any] = {"collections": [id], "limit": _PAGE}
        if query.area is not None:
            body["intersects"] = shapely.geometry.mapping(query.area)
        if query.interval != Interval():
            ends = (query.interval.start, query.interval.end)
            body["datetime"] = "/".join(".." if t is None else f"{np.datetime_as_string(t, unit='s')}Z" for t in ends)
        if query.filter is not None and self.filters:
            body |= {"filter": query.filter, "filter-lang": "cql2-json"}
        return body

    def _count(self, page: Mapping[str, Any], number: int, counts: list[int] | None) -> None:
        told, matched = page.get("numberReturned"), page.get("numberMatched")
        if isinstance(told, int) and number < told:
            raise OpenEOError(
                "FileContentInvalid",
                f"The STAC API at {self._address} says that it returns {told} items, and returns {number}.",
                hint="Try again; if it stays so, tell who runs it.",
            )
        if counts is not None and isinstance(matched, int):
            counts.append(matched)

    def _pages(self, body: dict[str, Any], counts: list[int] | None = None) -> Iterator[list[Mapping[str, Any]]]:
        """Pages of item documents, following `next` links of either method.

        :param counts: is given the numbers of matching items that the pages tell.
        :raises OpenEOError: FileContentInvalid, also for pages that have fewer items than they say.
        """
        method, url = ("POST" if self._posts else "GET"), self._search
        if not self._posts:
            url = f"{url}?{urlencode(_query(body))}"
        budget = self._documents.budget(f"the search results of {self._address}")
        while True:
            budget.go((method, url, json.dumps(body, sort_keys=True) if method == "POST" else None))
            page = self._documents.post(url, body) if method == "POST" else self._documents.read(url)
            features = page.get("features")
            if not isinstance(features, list):
                raise OpenEOError("FileContentInvalid", f"The STAC API at {self._address} answers without features.")
            self._count(page, len(features), counts)
            yield features
            following = next((link for link in page.get("links") or () if link.get("rel") == "next"), None)
            if following is None or not features:
                return
            url = resolve(url, str(following["href"]))
            method = str(following.get("method", "GET")).upper()
            if method == "POST":
                sent = following.get("body") or {}
                body = {**body, **sent} if following.get("merge") or not sent else dict(sent)


def _query(body: Mapping[str, Any]) -> dict[str, str]:
    """The search body as parameters of a GET request."""
    query = {"collections": ",".join(body["collections"]), "limit": str(body["limit"])}
    if "datetime" in body:
        query["datetime"] = body["datetime"]
    if "intersects" in body:
        bounds = shapely.geometry.shape(body["intersects"]).bounds
        query["bbox"] = ",".join(repr(float(side)) for side in bounds)
    return query
