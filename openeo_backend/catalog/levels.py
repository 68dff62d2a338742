"""What the values of a collection are, read from the many places where metadata say it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from openeo_backend.catalog.item import Item
from openeo_backend.catalog.mosaic import Step
from openeo_backend.cube.optics import sun_zenith

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


def sun_zeniths(steps: Iterable[Step]) -> tuple[tuple[str, float], ...]:
    """The mean zenith angle of the sun in degrees by label of time step, where it is known.

    Items tell it (`view:sun_elevation`, `s2:mean_solar_zenith`), or it follows from their moment and middle.
    """
    found = []
    for step in steps:
        angles = [angle for angle in map(_zenith, step.items) if angle is not None]
        if angles:
            found.append((str(step.label.astype("datetime64[s]")), float(np.mean(angles))))
    return tuple(found)


def _zenith(item: Item) -> float | None:
    elevation, zenith = (item.properties.get(name) for name in ("view:sun_elevation", "s2:mean_solar_zenith"))
    if isinstance(elevation, int | float):
        return 90.0 - elevation
    if isinstance(zenith, int | float):
        return float(zenith)
    if item.is_date:
        return None
    middle = item.footprint.centroid
    return float(sun_zenith(np.array([item.start]), middle.x, middle.y)[0])


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
