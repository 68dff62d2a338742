"""The published schemas of STAC, of which some lie in the shared test data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

Validate = Callable[[dict[str, Any]], None]

CORE = "https://schemas.stacspec.org/v1.0.0"
MAIN = {
    "Feature": f"{CORE}/item-spec/json-schema/item.json",
    "Collection": f"{CORE}/collection-spec/json-schema/collection.json",
}


def validator(shared: Path) -> Validate:
    """Checks a document against the schemas of STAC 1.0.0 and of those of its extensions that are there."""
    folder = shared / "spec" / "stac-schemas"
    documents = {f"https://{path.relative_to(folder)}": json.loads(path.read_text()) for path in folder.rglob("*.json")}
    # PROJJSON is not there and not used; all that matters is that it is an object.
    documents["https://proj.org/schemas/v0.4/projjson.schema.json"] = {"type": "object"}
    schemas = {schema.get("$id", url).rstrip("#"): schema for url, schema in documents.items()} | documents
    registry: Any = Registry().with_resources(
        (url, Resource.from_contents(schema, default_specification=DRAFT7)) for url, schema in schemas.items()
    )

    def check(document: dict[str, Any]) -> None:
        for url in (MAIN[document["type"]], *(url for url in document["stac_extensions"] if url in schemas)):
            jsonschema.Draft7Validator(schemas[url], registry=registry).validate(document)

    return check
