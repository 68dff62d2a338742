"""Putting bundles of STAC documents and files into a folder or bucket, beside or into what is there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from openeo_backend.errors import OpenEOError
from openeo_backend.files.objects import Objects
from openeo_backend.formats.names import slug
from openeo_backend.run import results
from openeo_backend.run.bundle import STRUCTURE, Bundle

_JSON, _GEOJSON = "application/json", "application/geo+json"


def place(bundle: Bundle, objects: Objects, name: str, scratch: Path, merge: str | None = None) -> str:
    """Put a bundle; returns the path of its document, or of the one it was merged into.

    Files and items come first, so that no document refers to what is not there. Doing it again changes nothing.

    :param name: of the new folder for files and items.
    :param merge: path of a document to merge into; a folder means the `collection.json` in it. What is not there yet
        is made.
    :raises OpenEOError: ProcessParameterInvalid for a document that nothing can be merged into.
    """
    if merge is None:
        _put_parts(bundle, objects, name, scratch, "./collection.json")
        if bundle.is_item:
            return f"{name}/{_file_name(bundle.document)}"
        _put(objects, f"{name}/collection.json", _collection(bundle, ""), scratch)
        return f"{name}/collection.json"
    path = merge if merge.endswith(".json") else f"{merge}/collection.json"
    folder = f"{path.rpartition('/')[0]}/{name}".lstrip("/")
    there = _read(objects, path)
    if there is not None and there.get("type") == "Catalog":
        return _add_child(bundle, objects, folder, name, path, scratch)
    if bundle.is_item and there is None:
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"There is no STAC resource '{path}' to merge the Item into.",
            hint="Merge it into an existing Collection, or leave the path out.",
        )
    if there is not None and there.get("type") != "Collection":
        raise OpenEOError("ProcessParameterInvalid", f"'{path}' is not a STAC Collection or Catalog.")
    _put_parts(bundle, objects, folder, scratch, f"../{path.rpartition('/')[2]}", there)

    def change(current: bytes | None) -> bytes:
        new = _collection(bundle, f"{name}/")
        return _text(new if current is None else _merged(_parsed(current, path), new, bundle))

    objects.update(path, change)
    return path


def link_child(objects: Objects, path: str, child: Mapping[str, Any], start: Mapping[str, Any]) -> None:
    """Add a link to a child to a Catalog, which is made of `start` if it is not there."""

    def change(current: bytes | None) -> bytes:
        catalog = _parsed(current, path) if current is not None else dict(start)
        links = [link for link in catalog.get("links") or () if link.get("href") != child["href"]]
        return _text({**catalog, "links": [*links, dict(child)]})

    objects.update(path, change)


def _add_child(bundle: Bundle, objects: Objects, folder: str, name: str, path: str, scratch: Path) -> str:
    """Put a bundle below a Catalog."""
    _put_parts(bundle, objects, folder, scratch, "./collection.json")
    own, relation = _file_name(bundle.document), "item"
    if not bundle.is_item:
        own, relation = "collection.json", "child"
        document = _collection(bundle, "")
        document["links"].append({"rel": "parent", "href": f"../{path.rpartition('/')[2]}", "type": _JSON})
        _put(objects, f"{folder}/collection.json", document, scratch)
    media_type = _GEOJSON if bundle.is_item else _JSON
    link_child(objects, path, {"rel": relation, "href": f"./{name}/{own}", "type": media_type}, {})
    return path


def _put_parts(
    bundle: Bundle,
    objects: Objects,
    folder: str,
    scratch: Path,
    collection: str,
    there: Mapping[str, Any] | None = None,
) -> None:
    """Put the files and items; items link to the collection at a relative address."""
    for name, file in bundle.files.items():
        objects.put(f"{folder}/{name}", file)
    owner = there or (None if bundle.is_item else bundle.document)
    for item in bundle.items.values():
        document = dict(item)
        document.pop("collection", None)
        if owner is not None:
            document["collection"] = owner["id"]
            above = [{"rel": rel, "href": collection, "type": _JSON} for rel in ("root", "parent", "collection")]
            document["links"] = [*above, *item["links"]]
        _put(objects, f"{folder}/{_file_name(item)}", document, scratch)


def _file_name(item: Mapping[str, Any]) -> str:
    return f"{slug(str(item['id']))}.json"


def _collection(bundle: Bundle, prefix: str) -> dict[str, Any]:
    """The Collection of a bundle whose files and items lie in the folder `prefix` beside it."""
    document: dict[str, Any] = dict(bundle.document)
    if bundle.is_item:
        document = {"type": "Collection", "extent": extent_of(bundle.document)}
    links = [link for link in document.get("links") or () if link.get("rel") not in STRUCTURE]
    links = [{**link, "href": _moved(str(link.get("href")), prefix)} for link in links]
    root = [] if bundle.is_item else [{"rel": "root", "href": "./collection.json", "type": _JSON}]
    items = [
        {"rel": "item", "href": f"./{prefix}{_file_name(item)}", "type": _GEOJSON} for item in bundle.items.values()
    ]
    document["links"] = [*root, *links, *items]
    if "assets" in document:
        document["assets"] = {
            key: {**asset, "href": _moved(str(asset["href"]), prefix)} for key, asset in document["assets"].items()
        }
    return document


def _moved(href: str, prefix: str) -> str:
    return f"./{prefix}{href[2:]}" if href.startswith("./") else href


def extent_of(item: Mapping[str, Any]) -> dict[str, Any]:
    """The extent of a Collection that has only this Item."""
    properties = item.get("properties") or {}
    moment = properties.get("datetime")
    interval = [properties.get("start_datetime") or moment, properties.get("end_datetime") or moment]
    box = item.get("bbox") or [-180, -90, 180, 90]
    return {"spatial": {"bbox": [box]}, "temporal": {"interval": [interval]}}


# -- merging Collections --------------------------------------------------------------------------------------


def _merged(there: Mapping[str, Any], new: Mapping[str, Any], bundle: Bundle) -> dict[str, Any]:
    """A Collection with the items and assets of another. An item replaces the one of the same id; of other members
    that both have and that are no lists of things, those of the first stay."""
    merged = {**new, **there}
    replaced = {_file_name(item) for item in bundle.items.values()}
    kept = [
        link
        for link in there.get("links") or ()
        if link.get("rel") != "item" or str(link.get("href")).rpartition("/")[2] not in replaced
    ]
    known = {link.get("href") for link in kept}
    added = [link for link in new["links"] if link["rel"] != "root" and link["href"] not in known]
    merged["links"] = [*kept, *added]
    merged["extent"] = _united(there.get("extent") or {}, new.get("extent") or {})
    for name in ("stac_extensions", "keywords"):
        if there.get(name) or new.get(name):
            merged[name] = list(dict.fromkeys([*(there.get(name) or ()), *(new.get(name) or ())]))
    merged["providers"] = _by_name(there.get("providers"), new.get("providers"))
    merged["summaries"] = _summaries(there.get("summaries") or {}, new.get("summaries") or {})
    cubes = [{"dimensions": document.get("cube:dimensions") or {}} for document in (there, new)]
    if any(cube["dimensions"] for cube in cubes):
        merged["cube:dimensions"] = results.dimensions(cubes)
    merged["assets"] = _assets(there.get("assets") or {}, new.get("assets") or {})
    return {name: value for name, value in merged.items() if value or name not in ("providers", "assets", "summaries")}


def _assets(there: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The assets of both; a new one whose key another file has, gets one of its own."""
    assets = dict(there)
    for key, asset in new.items():
        free, number = key, 2
        while free in assets and assets[free].get("href") != asset["href"]:
            free, number = f"{number}-{key}", number + 1
        assets[free] = asset
    return assets


def _united(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    boxes = [box for extent in (one, other) for box in (extent.get("spatial") or {}).get("bbox") or () if box]
    spans = [span for extent in (one, other) for span in (extent.get("temporal") or {}).get("interval") or ()]
    extent: dict[str, Any] = {"spatial": {"bbox": []}, "temporal": {"interval": [[None, None]]}}
    flat = [[box[0], box[1], box[3], box[4]] if len(box) == 6 else box for box in boxes]
    if flat:
        low, high = ([min(box[i] for box in flat) for i in (0, 1)], [max(box[i] for box in flat) for i in (2, 3)])
        extent["spatial"]["bbox"] = [[*low, *high]]
    if spans:
        starts, ends = [span[0] for span in spans], [span[1] for span in spans]
        extent["temporal"]["interval"] = [
            [None if None in starts else min(starts), None if None in ends else max(ends)]
        ]
    return extent


def _by_name(one: Any, other: Any) -> list[Any]:
    return list({entry.get("name"): entry for entry in (*(other or ()), *(one or ()))}.values())


def _summaries(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**other, **one}
    for name in set(one) & set(other):
        if isinstance(one[name], list) and isinstance(other[name], list):
            both = [*one[name], *other[name]]
            keys = [entry.get("name") if isinstance(entry, dict) else json.dumps(entry) for entry in both]
            first = dict(reversed([*zip(keys, both, strict=True)]))
            merged[name] = [first[key] for key in dict.fromkeys(keys)]
    return merged


# -- documents ------------------------------------------------------------------------------------------------


def _read(objects: Objects, path: str) -> dict[str, Any] | None:
    if objects.size(path) is None:
        return None
    return _parsed(b"".join(objects.stream(path)), path)


def _parsed(content: bytes, path: str) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except ValueError:
        document = None
    if not isinstance(document, dict) or "type" not in document:
        raise OpenEOError("ProcessParameterInvalid", f"'{path}' is not a STAC resource.")
    return document


def _put(objects: Objects, key: str, document: Mapping[str, Any], scratch: Path) -> None:
    file = scratch / "document.json"
    file.write_bytes(_text(document))
    objects.put(key, file)


def _text(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False).encode()
