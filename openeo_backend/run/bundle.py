"""A STAC resource with everything underneath, to be put somewhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator

from openeo_backend.catalog.patch import merge_patch
from openeo_backend.errors import OpenEOError
from openeo_backend.formats.names import slug
from openeo_backend.net.door import Door
from openeo_backend.net.policy import join, split
from openeo_backend.observe.clock import now
from openeo_backend.processes.environment import StacResource
from openeo_backend.run import results

#: Links that say where a document is among others; they are made anew where it is put.
STRUCTURE = ("self", "canonical", "root", "parent", "collection", "item", "items", "child")


_OBJECTS = {"type": "object", "additionalProperties": {"type": "object"}}
_REFERENCE = {"type": "object", "required": ["href"], "properties": {"href": {"type": "string"}}}
_BOX = {"type": "array", "minItems": 4, "maxItems": 6, "items": {"type": "number"}}
_INTERVAL = {"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": ["string", "null"]}}

#: The types of the members of STAC documents that are read here or by the catalog.
_SHAPE = Draft7Validator(
    {
        "type": "object",
        "required": ["type", "stac_version", "id", "links"],
        "properties": {
            **{name: {"type": "string"} for name in ("id", "title", "description", "license", "stac_version")},
            "links": {"type": "array", "items": _REFERENCE},
            "assets": {"type": "object", "additionalProperties": _REFERENCE},
            "keywords": {"type": "array", "items": {"type": "string"}},
            "stac_extensions": {"type": "array", "items": {"type": "string"}},
            "providers": {"type": "array", "items": {"type": "object", "required": ["name"]}},
            "summaries": {"type": "object"},
            "properties": {"type": "object"},
            "item_assets": _OBJECTS,
            "cube:dimensions": _OBJECTS,
            "bbox": _BOX,
            "extent": {
                "type": "object",
                "properties": {
                    "spatial": {"type": "object", "properties": {"bbox": {"type": "array", "items": _BOX}}},
                    "temporal": {"type": "object", "properties": {"interval": {"type": "array", "items": _INTERVAL}}},
                },
            },
        },
        "if": {"properties": {"type": {"const": "Collection"}}},
        "then": {"required": ["extent", "description", "license"]},
    }
)


def check(document: Mapping[str, Any]) -> None:
    """:raises OpenEOError: ProcessParameterInvalid for a document whose members are not of the types that STAC says."""
    for problem in _SHAPE.iter_errors(document):
        where = ".".join(str(part) for part in problem.absolute_path) or "the document"
        reason = problem.message if len(problem.message) < 200 else "it is not of the type that STAC says"
        raise OpenEOError("ProcessParameterInvalid", f"This is not a STAC resource: {where}: {reason}.")


@dataclass
class Bundle:
    """Documents without structural links. Addresses of files are `./NAME`, all in one folder with the items."""

    document: dict[str, Any]
    """A Collection, or an Item."""
    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Items by id."""
    files: dict[str, Path] = field(default_factory=dict)
    """By name."""

    @property
    def is_item(self) -> bool:
        return self.document["type"] == "Feature"


@dataclass(frozen=True)
class _Run:
    """What the documents tell of a run, see :class:`results.Job`."""

    id: str
    title: str | None
    description: str | None
    process: Mapping[str, Any]
    result: Mapping[str, Any]
    created: datetime
    updated: datetime
    finished: datetime
    status: str = "finished"


def of_result(
    resource: StacResource,
    id: str,
    title: str | None,
    process: Mapping[str, Any],
    files: Sequence[results.File],
    provenance: Mapping[str, Any],
    folder: Path,
) -> Bundle:
    """The Collection of a written result.

    :param files: descriptions of its files, which lie in `folder`.
    """
    moment = now()
    run = _Run(id, title, None, process, results.describe(files, provenance), moment, moment, moment)
    links = results.Links(canonical="", expires=moment, file=lambda name: f"./{name}", item=lambda id: "")
    document = _without_structure(results.collection(run, links))
    for name in ("expires", "openeo:status"):
        document.pop(name)
    description = f"Results of an openEO process graph, exported from {id}."
    document["description"] = description
    if title is None:
        document["title"] = f"Results of {id}"
    for changes in resource.changes:
        document = merge_patch(document, changes)
    check({"links": [], **document})
    found = {key: results.item(run, key, links) for key in results.items(run)}
    items = {key: _without_structure(item) for key, item in found.items() if item is not None}
    return Bundle(document, items, {file["name"]: folder / file["name"] for file in files})


def of_document(document: Mapping[str, Any], door: Door, folder: Path, most: int) -> Bundle:
    """A STAC document from a graph, with what it refers to fetched into `folder`.

    :param most: most items.
    :raises OpenEOError: FeatureUnsupported for Catalogs; ProcessParameterInvalid for addresses that cannot be
        fetched; what keeps others from being fetched.
    """
    if document["type"] == "Catalog":
        raise OpenEOError(
            "FeatureUnsupported", "STAC Catalogs are not exported.", hint="Export their Collections one by one."
        )
    check(document)
    base = _self(document)
    bundle = Bundle(_without_structure(document))
    addresses = [_absolute(base, link["href"]) for link in document.get("links") or () if link.get("rel") == "item"]
    if len(addresses) > most:
        raise OpenEOError("ProcessGraphComplexity", f"The STAC Collection has more than {most:,} items.")
    _take_files(bundle, bundle.document, base, door, folder)
    for address in addresses:
        item = door.json(address)
        if not isinstance(item, dict) or item.get("type") != "Feature" or not item.get("id"):
            raise OpenEOError("FileContentInvalid", f"The document at {address} is not a STAC Item.")
        check(item)
        bundle.items[str(item["id"])] = _without_structure(item)
        _take_files(bundle, bundle.items[str(item["id"])], address, door, folder)
    if bundle.is_item:
        bundle.items[str(document["id"])] = bundle.document
    return bundle


def _take_files(bundle: Bundle, document: dict[str, Any], base: str | None, door: Door, folder: Path) -> None:
    assets = {}
    for key, asset in (document.get("assets") or {}).items():
        address = _absolute(base, str(asset.get("href", "")))
        name = slug(split(address).path.rsplit("/", 1)[-1])
        number = 1
        while name in bundle.files:
            number, name = number + 1, f"{number}-{slug(split(address).path.rsplit('/', 1)[-1])}"
        bundle.files[name] = folder / name
        door.download(address, bundle.files[name], limit_mb=door.settings.max_file_mb)
        assets[key] = {**asset, "href": f"./{name}"}
    if assets:
        document["assets"] = assets


def _self(document: Mapping[str, Any]) -> str | None:
    for link in document.get("links") or ():
        if link.get("rel") == "self":
            return str(link.get("href"))
    return None


def _absolute(base: str | None, href: str) -> str:
    address = join(base or "", href)
    if not address.startswith(("http://", "https://")):
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"The STAC resource refers to '{href}', which cannot be fetched.",
            hint="Give absolute http(s) addresses, or a self link that others are relative to.",
        )
    return address


def _without_structure(document: Mapping[str, Any]) -> dict[str, Any]:
    links = [link for link in document.get("links") or () if link.get("rel") not in STRUCTURE]
    return {**document, "links": links}
