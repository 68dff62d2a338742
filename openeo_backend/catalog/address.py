"""What lies at a STAC address: item, collection, catalog, API or search result, as a source."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from openeo_backend.catalog.documents import Documents, Door
from openeo_backend.catalog.hrefs import is_url
from openeo_backend.catalog.item import Item, ItemReader, read_item
from openeo_backend.catalog.own import perhaps_later
from openeo_backend.catalog.searches import Searches
from openeo_backend.catalog.sources import (
    FixedSource,
    Source,
    StaticSource,
    links,
    read_items,
    too_many,
)
from openeo_backend.catalog.stac_api import ApiSource, is_api
from openeo_backend.errors import OpenEOError
from openeo_backend.net.policy import shown, split
from openeo_backend.settings import SettingsError


def open_source(address: str, door: Door, most: int, seconds: float = 300, kept: float = 0) -> Source:
    """The source at a path or URL that the operator gave.

    :param kept: seconds for which results of searches are used again.

    :raises SettingsError: one line telling what is wrong with it.
    """
    try:
        if is_url(address):
            return _of(address, Documents(door, seconds=seconds), most, kept)
        path = Path(address).expanduser().resolve()
        if path.is_dir():
            path = next((path / name for name in ("catalog.json", "collection.json") if (path / name).exists()), path)
        if not path.is_file():
            raise SettingsError(f"the STAC catalog {address} does not exist (catalog.sources, --stac)")
        return _of(str(path), Documents(door, path.parent, seconds), most)
    except OpenEOError as error:
        raise SettingsError(f"the STAC catalog {address} cannot be used: {error.message}") from error


def _of(address: str, documents: Documents, most: int, kept: float = 0) -> Source:
    document = documents.read(address)
    kind = document.get("type")
    if kind in ("Catalog", None) and is_api(document):
        return ApiSource(documents, address, document, searches=Searches(kept, most))
    if kind not in ("Catalog", "Collection") or not document.get("id"):
        raise SettingsError(f"{address} is not a STAC catalog, collection or API (its type is {kind!r})")
    source = StaticSource(documents, address, document, most)
    source.ids()
    return source


def open_address(url: str, documents: Documents, most: int) -> tuple[Source, str]:
    """The source at a URL given to load_stac, and the id of what it offers there.

    :raises OpenEOError: for a document that is none of item, collection, catalog, API and search result.
    """
    try:
        document = documents.read(url)
    except OpenEOError as error:
        raise perhaps_later(error, url) from None
    kind = document.get("type")
    if kind == "Feature":
        parent = _parent(document, url, documents)
        state = {name: parent[name] for name in ("openeo:status",) if name in parent}
        return _fixed(url, [ItemReader(parent).read(document, url)], {**state, **document})
    if kind == "FeatureCollection":
        collection = _listed(document, url)
        if collection is not None:
            return _collection(collection, _read_collection(collection, documents), documents, most)
        return _fixed(url, _found(document, url, documents, most), document)
    if kind == "Collection":
        return _collection(url, document, documents, most)
    if kind in ("Catalog", None) and document.get("links") is not None:
        return _catalog(url, document, documents, most)
    raise OpenEOError(
        "FileContentInvalid",
        f"The document at {shown(url)} is not STAC: its type is {kind!r}.",
        hint="Give the URL of a STAC Item, Collection, Catalog or API.",
    )


def _listed(document: Mapping[str, Any], url: str) -> str | None:
    """The address of the collection of which a list of items is simply all, page by page: it can be searched."""
    parts = split(url)
    if not parts.path.rstrip("/").endswith("/items") or set(parse_qs(parts.query)) - {"limit"}:
        return None
    return next(iter(links(document, url, "collection")), None)


def _read_collection(url: str, documents: Documents) -> Mapping[str, Any]:
    document = documents.read(url)
    if document.get("type") != "Collection":
        raise OpenEOError("FileContentInvalid", f"The document at {shown(url)} is not a STAC Collection.")
    return document


def _parent(document: Mapping[str, Any], url: str, documents: Documents) -> Mapping[str, Any]:
    """The collection an item belongs to; empty where it does not say or cannot be read."""
    for address in links(document, url, "collection"):
        try:
            document = documents.read(address)
        except OpenEOError:
            return {}
        return document if document.get("type") in ("Collection", None) else {}
    return {}


def _fixed(url: str, items: list[Item], document: Mapping[str, Any]) -> tuple[Source, str]:
    id = str(document.get("id") or url)
    names = ("license", "providers", "title", "description", "openeo:status")
    own = {key: document[key] for key in names if key in document}
    properties = document.get("properties") or {}
    own |= {key: properties[key] for key in ("license", "providers", "openeo:status") if key in properties}
    dimensions = properties.get("cube:dimensions") or document.get("cube:dimensions")
    if dimensions:
        own["cube:dimensions"] = dimensions
    return FixedSource({"type": "Collection", "id": id, "links": [], **own}, items), id


def _found(document: Mapping[str, Any], url: str, documents: Documents, most: int) -> list[Item]:
    """The items of a search result, following its pages."""
    items: list[Item] = []
    page: Mapping[str, Any] | None = document
    budget = documents.budget(f"the items at {shown(url)}")
    readers: dict[str | None, ItemReader] = {None: ItemReader({})}
    while page is not None:
        budget.go(url)
        features = page.get("features") or []
        for feature in features:
            address = next(iter(links(feature, url, "self")), url)
            parent = next(iter(links(feature, address, "collection")), None)
            if parent not in readers:
                budget.spend()
                readers[parent] = ItemReader(_parent(feature, address, documents))
            items.append(readers[parent].read(feature, address))
        if len(items) > most:
            raise too_many(url, most)
        url = next(iter(links(page, url, "next")), "")
        page = _next_page(url, documents) if url and features else None
    return items


def _next_page(url: str, documents: Documents) -> Mapping[str, Any]:
    page = documents.read(url)
    if page.get("type") != "FeatureCollection":
        raise OpenEOError("FileContentInvalid", f"The document at {shown(url)} is not a page of STAC Items.")
    return page


def _collection(url: str, document: Mapping[str, Any], documents: Documents, most: int) -> tuple[Source, str]:
    id = str(document.get("id") or url)
    if links(document, url, "items"):
        api = _api_of(url, document, documents, most)
        if api is not None:
            return api, id
    if not links(document, url, "item", "child") and document.get("assets"):
        return _result(url, document)
    return StaticSource(documents, url, document, most), id


def _api_of(url: str, document: Mapping[str, Any], documents: Documents, most: int) -> Source | None:
    """The API that a collection with a link to its items belongs to."""
    for root in links(document, url, "root")[:1]:
        landing = documents.read(root)
        if is_api(landing):
            return ApiSource(documents, root, landing, only=[str(document["id"])])
    address = links(document, url, "items")[0]
    page = documents.read(address)
    items = _found(page, address, documents, most)
    return FixedSource(document, items)


def _result(url: str, document: Mapping[str, Any]) -> tuple[Source, str]:
    """A collection with assets of its own and no items, as results of batch jobs may be."""
    extent = document.get("extent") or {}
    box = ((extent.get("spatial") or {}).get("bbox") or [None])[0]
    start, end = ((extent.get("temporal") or {}).get("interval") or [[None, None]])[0]
    feature = {**document, "bbox": box, "properties": {"start_datetime": start, "end_datetime": end}}
    id = str(document.get("id") or url)
    return FixedSource(document, [read_item(feature, url)]), id


def _catalog(url: str, document: Mapping[str, Any], documents: Documents, most: int) -> tuple[Source, str]:
    """All collections of a catalog or API as one; an item search without result restrictions is one, too."""
    source: Source = (
        ApiSource(documents, url, document) if is_api(document) else StaticSource(documents, url, document, most)
    )
    ids = source.ids()
    if len(ids) == 1:
        return source, ids[0]
    addresses = links(document, url, "item")
    if not ids and addresses:
        return _fixed(url, read_items(documents, addresses, {}), document)
    asked = parse_qs(split(url).query).get("collections")
    chosen = [id for id in ids if asked is None or id in asked]
    hint = f"Give the URL of one of its collections: {', '.join(chosen[:10])}." if chosen else None
    raise OpenEOError("FileContentInvalid", f"The catalog at {shown(url)} has {len(chosen)} collections.", hint=hint)
