"""`/collections`: what data there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, request

from openeo_backend.api.access import backend, public, visible_catalog
from openeo_backend.api.documents import document
from openeo_backend.api.query import limit
from openeo_backend.api.urls import host_url, root_url, url
from openeo_backend.catalog.describe import host

blueprint = Blueprint("collections", __name__)

#: Links of the source catalog that would lead away from this API.
_STRUCTURAL = frozenset({"self", "root", "parent", "child", "item", "items", "collection"})

QUERYABLES = "http://www.opengis.net/def/rel/ogc/1.0/queryables"


@blueprint.get("/collections")
@public
def collections() -> Response:
    """All collections on one page, whatever the limit: clients read no second page, and would miss the rest."""
    limit()
    root = f"{root_url()}/"
    return own_document(
        {
            "collections": [_linked(collection) for collection in visible_catalog().collections()],
            "links": [
                {"rel": "self", "href": url("/collections"), "type": "application/json"},
                {"rel": "root", "href": root, "type": "application/json"},
                {"rel": "parent", "href": root, "type": "application/json"},
            ],
        }
    )


@blueprint.get("/collections/<collection_id>")
@public
def collection(collection_id: str) -> Response:
    """The metadata of a collection."""
    return own_document(_linked(visible_catalog().collection(collection_id)))


@blueprint.get("/collections/<collection_id>/queryables")
@public
def queryables(collection_id: str) -> Response:
    """The properties that `load_collection` can filter the collection's items by, as a JSON schema."""
    schema = {
        "$schema": "https://json-schema.org/draft/2019-09/schema",
        "$id": url(f"/collections/{collection_id}/queryables"),
        **visible_catalog().queryables(collection_id),
    }
    return own_document(schema, media_type="application/schema+json")


def own_document(body: Any, media_type: str = "application/json") -> Response:
    """A public document about collections; where users see different ones, caches keep it for its user only."""
    response = document(body, media_type)
    if backend().catalog.differs:
        response.vary.add("Authorization")
        if request.headers.get("Authorization"):
            response.headers["Cache-Control"] = "private, no-cache"
    return response


def _linked(collection: Mapping[str, Any]) -> dict[str, Any]:
    """A collection with this back-end as its host, and with links that stay within this API."""
    root, self = f"{root_url()}/", url(f"/collections/{collection['id']}")
    own = [
        {"rel": "self", "href": self, "type": "application/json"},
        {"rel": "root", "href": root, "type": "application/json"},
        {"rel": "parent", "href": root, "type": "application/json"},
        {"rel": "items", "href": f"{self}/items", "type": "application/geo+json", "title": "Items"},
        {"rel": QUERYABLES, "href": f"{self}/queryables", "type": "application/schema+json", "title": "Queryables"},
    ]
    others = [link for link in collection.get("links", ()) if link.get("rel") not in _STRUCTURAL]
    return {**host(collection, backend().settings.server.title, host_url()), "links": own + others}
