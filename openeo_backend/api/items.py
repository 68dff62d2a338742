"""`/collections/{collection_id}/items`: the scenes of a collection, to which results link as their inputs."""

from __future__ import annotations

import math
from typing import Any
from urllib.parse import quote, urlencode

import numpy as np
from flask import Blueprint, Response, redirect, request
from werkzeug.wrappers import Response as BaseResponse

from openeo_backend.api.access import public, visible_catalog
from openeo_backend.api.collections import own_document
from openeo_backend.api.query import limit
from openeo_backend.api.urls import root_url, url
from openeo_backend.catalog.features import feature
from openeo_backend.catalog.item import Item, box_geometry
from openeo_backend.catalog.sources import ItemQuery
from openeo_backend.cube.extent import Interval, parse_time
from openeo_backend.errors import OpenEOError
from openeo_backend.observe.clock import now, timestamp

blueprint = Blueprint("items", __name__)

GEOJSON = "application/geo+json"

#: Items on a page, by default and at most.
PAGE, MOST = 10, 1000


@blueprint.get("/collections/<collection_id>/items")
@public
def items(collection_id: str) -> BaseResponse:
    """Items by area and time, page by page, the oldest first; those of a STAC API are listed by that API."""
    catalog = visible_catalog()
    size, query = min(limit() or PAGE, MOST), ItemQuery(_area(), _interval())
    start = _offset()
    if (elsewhere := catalog.items_elsewhere(collection_id)) is not None:
        parameters = {name: request.args[name] for name in ("limit", "bbox", "datetime") if name in request.args}
        return redirect(f"{elsewhere}?{urlencode(parameters)}" if parameters else elsewhere)
    found = catalog.items(collection_id, query)
    shown = found[start : start + size]
    here = f"/collections/{quote(collection_id)}/items"
    given = {name: value for name, value in request.args.items() if name != "token"}
    links = [
        {"rel": "self", "href": f"{url(here)}{_suffix(dict(request.args))}", "type": GEOJSON},
        {"rel": "root", "href": f"{root_url()}/", "type": "application/json"},
        {"rel": "collection", "href": url(f"/collections/{quote(collection_id)}"), "type": "application/json"},
    ]
    if start + size < len(found):
        following = f"{url(here)}{_suffix({**given, 'token': str(start + size)})}"
        links.append({"rel": "next", "href": following, "type": GEOJSON})
    body = {
        "type": "FeatureCollection",
        "features": [_linked(item, collection_id) for item in shown],
        "links": links,
        "timeStamp": timestamp(now()),
        "numberMatched": len(found),
        "numberReturned": len(shown),
    }
    return own_document(body, GEOJSON)


@blueprint.get("/collections/<collection_id>/items/<path:item_id>")
@public
def item(collection_id: str, item_id: str) -> BaseResponse:
    """One item."""
    catalog = visible_catalog()
    if (elsewhere := catalog.items_elsewhere(collection_id)) is not None:
        return redirect(f"{elsewhere}/{quote(item_id, safe='')}")
    found = next((item for item in catalog.items(collection_id, ItemQuery()) if item.id == item_id), None)
    if found is None:
        raise OpenEOError("NotFound", f"The collection '{collection_id}' has no item '{item_id[:80]}'.")
    response: Response = own_document(_linked(found, collection_id), GEOJSON)
    return response


def _linked(item: Item, collection_id: str) -> dict[str, Any]:
    collection = url(f"/collections/{quote(collection_id)}")
    links = [
        {"rel": "self", "href": f"{collection}/items/{quote(item.id, safe='')}", "type": GEOJSON},
        {"rel": "root", "href": f"{root_url()}/", "type": "application/json"},
        *({"rel": rel, "href": collection, "type": "application/json"} for rel in ("parent", "collection")),
    ]
    return {**feature(item, collection_id), "links": links}


def _suffix(parameters: dict[str, str]) -> str:
    return f"?{urlencode(parameters)}" if parameters else ""


def _offset() -> int:
    token = request.args.get("token", "0")
    if not token.isascii() or not token.isdigit() or len(token) > 9:
        raise OpenEOError("RequestInvalid", "The token of the page is not one that this API gave.")
    return int(token)


def _area() -> Any:
    """The parameter `bbox`: 4 or 6 numbers in longitude and latitude.

    :raises OpenEOError: RequestInvalid.
    """
    text = request.args.get("bbox")
    if not text:
        return None
    try:
        box = [float(part) for part in text.split(",")]
    except ValueError:
        box = []
    half = len(box) // 2
    if len(box) not in (4, 6) or not all(map(math.isfinite, box)) or box[1] > box[half + 1]:
        raise OpenEOError(
            "RequestInvalid",
            f"The bbox '{text[:80]}' is not west,south,east,north.",
            hint="Give four (or, with heights, six) numbers divided by commas.",
        )
    return box_geometry(box)


def _interval() -> Interval:
    """The parameter `datetime`: an instant, or an interval of which one end may be open, both ends included.

    :raises OpenEOError: RequestInvalid.
    """
    text = request.args.get("datetime")
    if not text:
        return Interval()
    first, divided, last = text.partition("/")
    try:
        start = None if first in ("", "..") else parse_time(first)
        end = start if not divided else None if last in ("", "..") else parse_time(last)
    except (OpenEOError, ValueError) as error:
        raise _bad_time(text) from error
    if (start is None and end is None) or (start is not None and end is not None and end < start):
        raise _bad_time(text)
    return Interval(start, None if end is None else end + np.timedelta64(1, "ns"))


def _bad_time(text: str) -> OpenEOError:
    return OpenEOError(
        "RequestInvalid",
        f"The datetime '{text[:80]}' is neither an instant nor an interval.",
        hint="Give RFC 3339 date-times, such as 2024-01-01T00:00:00Z/2024-02-01T00:00:00Z, or '..' for an open end.",
    )
