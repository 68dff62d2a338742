"""What items of a collection can be filtered by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from openeo_backend.catalog.item import Item


def queryables(id: str, properties: Mapping[str, Any] | None, items: Iterable[Item]) -> dict[str, Any]:
    """The queryables of a collection as JSON Schema, without its `$id`.

    :param properties: what the source publishes itself; None: it is learnt from `items`.
    """
    found = dict(properties) if properties is not None else _learn(items)
    return {
        "type": "object",
        "title": f"Queryables of {id}",
        "properties": found,
        "additionalProperties": True,
    }


def _learn(items: Iterable[Item]) -> dict[str, Any]:
    types: dict[str, set[str]] = {}
    for item in items:
        for name, value in item.properties.items():
            kind = _type(value)
            if kind is not None and not name.startswith("proj:"):
                types.setdefault(name, set()).add(kind)
    found: dict[str, Any] = {}
    for name in sorted(types):
        kinds = types[name]
        if kinds == {"integer", "number"}:
            kinds = {"number"}
        found[name] = {"type": next(iter(kinds)) if len(kinds) == 1 else sorted(kinds)}
        if name in ("datetime", "created", "updated") or name.endswith("_datetime"):
            found[name]["format"] = "date-time"
    return found


def _type(value: Any) -> str | None:
    if isinstance(value, bool):
        return "boolean"
    for types, name in ((int, "integer"), (float, "number"), (str, "string"), (list, "array"), (dict, "object")):
        if isinstance(value, types):
            return name
    return None
