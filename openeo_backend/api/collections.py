"""`/collections`: what data there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response

from openeo_backend.api.access import backend, public
from openeo_backend.api.documents import document
from openeo_backend.api.query import limit
from openeo_backend.api.urls import root_url, url

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
    return document(
        {
            "collections": [_linked(collection) for collection in backend().catalog.collections()],
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
    return document(_linked(backend().catalog.collection(collection_id)))


@blueprint.get("/collections/<collection_id>/queryables")
@public
def queryables(collection_id: str) -> Response:
    """The properties that `load_collection` can filter the collection's items by, as a JSON schema."""
    schema = {
        "$schema": "https://json-schema.org/draft/2019-09/schema",
        "$id": url(f"/collections/{collection_id}/queryables"),
        **backend().catalog.queryables(collection_id),
    }
    return document(schema, media_type="application/schema+json")


def _linked(collection: Mapping[str, Any]) -> dict[str, Any]:
    """A collection with links that stay within this API."""
    root, self = f"{root_url()}/", url(f"/collections/{collection['id']}")
    own = [
        {"rel": "self", "href": self, "type": "application/json"},
        {"rel": "root", "href": root, "type": "application/json"},
        {"rel": "parent", "href": root, "type": "application/json"},
        {"rel": QUERYABLES, "href": f"{self}/queryables", "type": "application/schema+json", "title": "Queryables"},
    ]
    others = [link for link in collection.get("links", ()) if link.get("rel") not in _STRUCTURAL]
    return {**collection, "links": own + others}
