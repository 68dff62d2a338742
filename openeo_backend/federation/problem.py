"""Problems of documents, and readers of documents from anywhere, which hold anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from openeo_backend.catalog.vocabulary import family_of

Level = Literal["required", "recommended"]


@dataclass(frozen=True)
class Problem:
    """One thing that a document lacks."""

    id: str
    """The requirement: API-309, COL-1, MERGE-SUMMARIES ..."""
    level: Level
    message: str
    """What is wrong, with the values."""
    hint: str
    """What to write, and where."""


def kind_of(dimension: Any) -> Any:
    """What a dimension is: x, y, z, or its type; None where that cannot be told."""
    if not isinstance(dimension, Mapping):
        return None
    kind = dimension.get("axis") if dimension.get("type") == "spatial" else dimension.get("type")
    return kind if isinstance(kind, str) else None


def band_labels(document: Mapping[str, Any]) -> list[Any]:
    """The labels of the dimension of bands."""
    dimensions = document.get("cube:dimensions")
    for dimension in dimensions.values() if isinstance(dimensions, Mapping) else ():
        if kind_of(dimension) == "bands":
            values = dimension.get("values")
            return values if isinstance(values, list) else []
    return []


def listing(names: Sequence[Any]) -> str:
    """Names for a message, the first twenty."""
    shown = [str(name)[:40] for name in names[:20]]
    return ", ".join(shown) + (", ..." if len(names) > 20 else "")


def objects(value: Any) -> Iterable[Mapping[str, Any]]:
    """The objects of a list; none of what is no list."""
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []


def relations(document: Mapping[str, Any]) -> set[str]:
    """The relations of the links that lead somewhere."""
    return {str(link.get("rel")) for link in objects(document.get("links")) if _is_address(link.get("href"))}


def _is_address(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def is_url(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(("http://", "https://"))


def uris(document: Mapping[str, Any]) -> list[str]:
    """The extensions that a document lists."""
    given = document.get("stac_extensions")
    return [uri for uri in given if isinstance(uri, str)] if isinstance(given, list) else []


def listed(document: Mapping[str, Any]) -> set[str]:
    """The families of the extensions that a document lists."""
    return {family_of(uri) for uri in uris(document)}


def short(value: Any) -> str:
    """A value for a message."""
    return short_text(repr(value))


def short_text(text: str) -> str:
    """A text for a message, at most 160 characters."""
    return text if len(text) <= 160 else f"{text[:157]}..."
