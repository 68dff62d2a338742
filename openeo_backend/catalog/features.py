"""Items as GeoJSON features for others to read: nothing of where the files lie on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import shapely

from openeo_backend.catalog.item import Item

STAC_VERSION = "1.0.0"


def feature(item: Item, collection: str) -> dict[str, Any]:
    """An item as STAC, without links.

    :param collection: the id under which its collection is published.
    """
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": list(item.extensions),
        "id": item.id,
        "collection": collection,
        "geometry": shapely.geometry.mapping(item.footprint),
        "bbox": [round(float(side), 7) for side in item.footprint.bounds],
        "properties": {"datetime": None, **item.properties},
        "assets": {key: dict(asset) for key, asset in item.assets.items() if _is_elsewhere(asset)},
    }


def _is_elsewhere(asset: Mapping[str, Any]) -> bool:
    return str(asset["href"]).startswith(("http://", "https://", "s3://"))
