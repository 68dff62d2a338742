"""Whether a STAC document from anywhere has the shape that its readers rely on.

Checked are the types of the members that are read, not whether the document is valid STAC: catalogs in use have many
oddities that do no harm. Null is the same as leaving a member out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any

from openeo_backend.errors import OpenEOError
from openeo_backend.net.policy import shown

#: Most levels of objects and arrays in a document.
MOST_LEVELS = 60

_NESTING = frozenset((dict, list))

Shape = Callable[[Any], str | None]
"""Tells what is wrong with a value: `: not a text` or, of a member, `.name: not a text`; None where nothing is."""


def check(document: Mapping[str, Any], address: str) -> None:
    """Look whether a document can be read; assets of a page of items aside, which are mostly alike (see check_asset).

    :raises OpenEOError: FileContentInvalid, naming the member that is wrong.
    """
    problem = _too_deep(_but_assets(document)) or _BY_TYPE.get(str(document.get("type")), _CATALOG)(document)
    if problem is not None:
        raise refuse(address, problem)


def check_asset(said: Any, key: str, address: str) -> None:
    """Look whether an asset of an item can be read.

    :raises OpenEOError: FileContentInvalid, naming the member that is wrong.
    """
    problem = _too_deep(said) or _ASSET(said)
    if problem is not None:
        raise refuse(address, f".assets.{key[:60]}{problem}")


def refuse(address: str, problem: str) -> OpenEOError:
    """The error for a document that cannot be read."""
    return OpenEOError(
        "FileContentInvalid", f"The document {shown(address)} is not the STAC it should be{problem[:200]}."
    )


def is_collection(document: Any) -> bool:
    """Whether one of a list of collections can be read."""
    return isinstance(document, dict) and _COLLECTION(document) is None


def _but_assets(document: Mapping[str, Any]) -> Any:
    """What is looked at in a document: of a page of items, the items without their assets."""
    features = document.get("features")
    if document.get("type") != "FeatureCollection" or not isinstance(features, list):
        return document
    return [
        [value for name, value in document.items() if name != "features"],
        [
            [value for name, value in item.items() if name != "assets"] if isinstance(item, dict) else item
            for item in features
        ],
    ]


def _too_deep(document: Any) -> str | None:
    level, below = [document], 0
    while level:
        below += 1
        if below > MOST_LEVELS:
            return f": it is nested more than {MOST_LEVELS} levels deep"
        values: Iterator[Any] = chain.from_iterable(
            entry.values() if isinstance(entry, dict) else entry for entry in level
        )
        level = [value for value in values if type(value) in _NESTING]
    return None


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) else ": not a text"


def _identifier(value: Any) -> str | None:
    return None if isinstance(value, str | int) and value not in ("", True, False) else ": not an identifier"


def _number(value: Any) -> str | None:
    if type(value) is not float and type(value) is not int:
        return ": not a number"
    return None if abs(value) < 1e100 and math.isfinite(value) else ": not a finite number"


def _object(value: Any) -> str | None:
    return None if isinstance(value, dict) else ": not an object"


def _array(value: Any) -> str | None:
    return None if isinstance(value, list) else ": not an array"


def _list(shape: Shape, *lengths: int) -> Shape:
    def check(value: Any) -> str | None:
        if not isinstance(value, list):
            return ": not an array"
        if lengths and len(value) not in lengths:
            return f": {len(value)} elements instead of {' or '.join(map(str, lengths))}"
        for index, entry in enumerate(value):
            if (problem := shape(entry)) is not None:
                return f".{index}{problem}"
        return None

    return check


def _map(shape: Shape) -> Shape:
    def check(value: Any) -> str | None:
        if not isinstance(value, dict):
            return ": not an object"
        for name, entry in value.items():
            if (problem := shape(entry)) is not None:
                return f".{name[:60]}{problem}"
        return None

    return check


def _members(shapes: Mapping[str, Shape], *required: str) -> Shape:
    def check(value: Any) -> str | None:
        if not isinstance(value, dict):
            return ": not an object"
        for name in required:
            if value.get(name) is None:
                return f".{name}: missing"
        for name, entry in value.items():  # mostly far fewer than there are shapes
            shape = shapes.get(name)
            if shape is not None and entry is not None and (problem := shape(entry)) is not None:
                return f".{name}{problem}"
        return None

    return check


def _optional(shape: Shape) -> Shape:
    return lambda value: None if value is None else shape(value)


def _size(value: Any) -> str | None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return None if whole and 0 < value < 2**31 else ": not a number of pixels"


def _code(value: Any) -> str | None:
    """An EPSG number."""
    return None if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31 else ": not a number"


def _positions(value: Any) -> str | None:
    """Coordinates of a geometry: positions in arrays of arrays."""
    stack = [value]
    while stack:
        entry = stack.pop()
        if not isinstance(entry, list) or not entry:
            return ": not coordinates"
        if isinstance(entry[0], list):
            stack += entry
        elif len(entry) < 2 or any(map(_number, entry)) or max(map(abs, entry[:2])) > 1e6:
            return ": not coordinates"
    return None


_BOX = _list(_number, 4, 6)
_TEXTS = _list(_text)
_LINKS = _list(_members({"rel": _text, "href": _text, "type": _text, "method": _text, "body": _object}, "rel", "href"))
_NAMES = ("common_name", "eo:common_name", "data_type", "description", "unit")
_BANDS = _list(_members({"name": _identifier, **dict.fromkeys(_NAMES, _text)}))
_DIMENSIONS = _map(_members({"type": _text, "axis": _text, "extent": _list(lambda value: None, 2), "values": _array}))
_PROJECTION: dict[str, Shape] = {
    "proj:epsg": _code,
    "proj:code": _text,
    "proj:wkt2": _text,
    "proj:projjson": _object,
    "proj:shape": _list(_size, 2),
    "proj:transform": _list(_number, 6, 9),
    "proj:bbox": _BOX,
}
_ASSET_MEMBERS = {
    **_PROJECTION,
    **{name: _text for name in ("href", "type", *_NAMES)},
    "roles": _TEXTS,
    **dict.fromkeys(("eo:bands", "raster:bands", "bands"), _BANDS),
    "cube:dimensions": _DIMENSIONS,
    "cube:variables": _map(_object),
}
_ASSET = _members(_ASSET_MEMBERS)
_ASSETS = _map(_ASSET)
_GEOMETRY = _members({"type": _text, "coordinates": _positions, "geometries": _list(_object)}, "type")
_COMMON: dict[str, Shape] = {
    "links": _LINKS,
    "stac_extensions": _TEXTS,
    "assets": _ASSETS,
    "providers": _list(_members({"name": _text, "roles": _TEXTS})),
    "license": _text,
    "cube:dimensions": _DIMENSIONS,
    "openeo:status": _text,
}
_PROPERTIES = {**_PROJECTION, **{k: v for k, v in _COMMON.items() if k not in ("links", "assets")}}
_PROPERTIES |= dict.fromkeys(("datetime", "start_datetime", "end_datetime"), _text)
_ITEM_MEMBERS = {
    **_COMMON,
    "id": _identifier,
    "collection": _text,
    "geometry": _GEOMETRY,
    "bbox": _BOX,
    "properties": _members(_PROPERTIES),
}
_ITEM = _members(_ITEM_MEMBERS, "id")
_ITEM_OF_PAGE = _members({**_ITEM_MEMBERS, "assets": _object}, "id")
_INTERVALS = _list(_list(_optional(_text), 2))
_COLLECTION_MEMBERS: dict[str, Shape] = {
    **_COMMON,
    "id": _identifier,
    "extent": _members({"spatial": _members({"bbox": _list(_BOX)}), "temporal": _members({"interval": _INTERVALS})}),
    "summaries": _members(
        {**dict.fromkeys(("eo:bands", "raster:bands", "bands"), _BANDS), "proj:epsg": _array, "proj:code": _array}
    ),
    "item_assets": _ASSETS,
    "bands": _BANDS,
    "crs": _array,
}
_COLLECTION = _members(_COLLECTION_MEMBERS, "id")
#: Of what names no type, too, and may be read as a collection.
_CATALOG = _members({**_COLLECTION_MEMBERS, "conformsTo": _array, "collections": _array, "properties": _object})
_BY_TYPE = {
    "Feature": _ITEM,
    "Collection": _COLLECTION,
    "FeatureCollection": _members(
        {**_COMMON, "properties": _members(_PROPERTIES), "features": _list(_ITEM_OF_PAGE)}, "features"
    ),
}
