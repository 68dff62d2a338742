"""What the values of a collection are, read from the many places where metadata say it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from openeo_backend.catalog.item import Item

#: What radar values are that nobody calibrated.
DIGITAL_NUMBERS = "digital-number"

_OPTICAL = ("processing:level", "s2:product_type", "product:type", "landsat:correction")
_LEVEL = re.compile(r"(?:^|[^A-Za-z0-9]|MSI|S2)L?([12])(?:A|B|C|SP|SR|TP|GT|GS)?(?:$|[^A-Za-z0-9])", re.I)
_LEVEL_IN_TEXT = re.compile(r"\bL(?:evel)?[-_ ]?([12])(?:A|C|SP|SR|TP|GT|GS)?(?![A-Za-z0-9])", re.I)
_COEFFICIENT = re.compile(r"(beta|sigma|gamma)[-_ ]?(?:0|nought|naught|zero)", re.I)
_TERRAIN = re.compile(
    r"terrain[- ]flatten|radiometric(?:ally)?[- ]terrain|\bRTC\b|terrain area|gamma0[- ]terrain", re.I
)


def optical_levels(collection: Mapping[str, Any], items: Iterable[Item]) -> tuple[str, ...]:
    """L1 (top of atmosphere) or L2 (surface reflectance), or both where items differ; empty where nothing is said.

    The items' properties count most, then the summaries, the id and the title of the collection.
    """
    found = dict.fromkeys(level for item in items for level in _said(item.properties))
    if not found:
        summaries = collection.get("summaries") or {}
        found = dict.fromkeys(_said(summaries))
    if not found:
        texts = [str(collection.get(name) or "").replace("_", " ").replace("-", " ") for name in ("id", "title")]
        found = dict.fromkeys(f"L{match}" for text in texts for match in _LEVEL_IN_TEXT.findall(text))
    return tuple(found)


def _said(members: Mapping[str, Any]) -> Iterator[str]:
    for name in _OPTICAL:
        value = members.get(name)
        for entry in value if isinstance(value, list) else [value]:
            match = _LEVEL.search(str(entry)) if entry else None
            if match:
                yield f"L{match.group(1)}"
                return


def radar_coefficients(collection: Mapping[str, Any], descriptions: Iterable[str | None]) -> tuple[str, ...]:
    """The radiometric coefficient that the text of the metadata names, e.g. `sigma0-ellipsoid`; empty where none is.

    :param descriptions: those of the bands, which count most; then title and description of the collection.
    """
    texts = [" ".join(filter(None, descriptions)), str(collection.get("title") or "")]
    texts.append(str(collection.get("description") or ""))
    whole = " ".join(texts)
    for text in texts:
        names = dict.fromkeys(match.lower() for match in _COEFFICIENT.findall(text))
        if names:
            return tuple(_qualified(name, bool(_TERRAIN.search(whole))) for name in names)
    return ()


def _qualified(name: str, terrain: bool) -> str:
    return "beta0" if name == "beta" else f"{name}0-{'terrain' if terrain else 'ellipsoid'}"
