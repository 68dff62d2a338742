"""Which items become one time step, and which of them are read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

import numpy as np

from openeo_backend.catalog.bands import baseline_number
from openeo_backend.catalog.item import Item

Mosaic = Literal["solar_day", "utc_day", "none"]

#: Versions of one acquisition may differ in their sensing time by this much.
_JITTER = np.timedelta64(10, "s")

_GRIDS = ("grid:code", "s2:mgrs_tile", "mgrs:grid_square", "landsat:wrs_row", "tileId")


@dataclass(frozen=True)
class Step:
    """One time step of a cube."""

    label: np.datetime64
    items: tuple[Item, ...]
    """Oldest first."""


def longitude(item: Item) -> float:
    """Longitude of the middle of an item, also across the antimeridian."""
    west, _, east, _ = item.footprint.bounds
    if east - west > 180 and item.footprint.geom_type.startswith("Multi"):
        shifted = [(part.bounds[0] + part.bounds[2]) / 2 % 360 for part in item.footprint.geoms]
        return (float(np.mean(shifted)) + 180) % 360 - 180
    return float(west + east) / 2


def label(item: Item, mosaic: Mosaic) -> np.datetime64:
    """The label of an item: its solar day or UTC day at 00:00, or its own time.

    The solar day follows the sun at the middle of the item; dates and periods are not shifted. Dates within files stay
    as they are.
    """
    if mosaic == "none" or item.moment is not None:
        return item.start
    moment = item.start
    if mosaic == "solar_day" and not item.is_date:
        moment = moment + np.timedelta64(round(longitude(item) / 15 * 3600), "s")
    return moment.astype("datetime64[D]").astype("datetime64[ns]")


def group(items: Iterable[Item], mosaic: Mosaic) -> list[Step]:
    """The time steps of a load, oldest first; of several versions of one acquisition the newest is kept."""
    steps: dict[np.datetime64, list[Item]] = {}
    for item in newest(items):
        steps.setdefault(label(item, mosaic), []).append(item)
    return [Step(key, tuple(steps[key])) for key in sorted(steps)]


def newest(items: Iterable[Item]) -> list[Item]:
    """Items without those of which a newer version is there, in order of time and id."""
    kept: list[Item] = []
    open_: dict[tuple[object, ...], list[int]] = {}
    for item in sorted(items, key=lambda i: (i.start, i.id)):
        key = _acquisition(item)
        rivals = open_.setdefault(key, [])
        near = takewhile(lambda index: item.start - kept[index].start <= _JITTER, reversed(rivals))  # noqa: B023
        rival = next((index for index in near if _same(kept[index], item)), None)
        if rival is None:
            rivals.append(len(kept))
            kept.append(item)
        elif _version(item) > _version(kept[rival]):
            kept[rival] = item
    return kept


def _acquisition(item: Item) -> tuple[object, ...]:
    """What all versions of an acquisition share: platform and place."""
    codes = tuple(str(item.properties[name]) for name in _GRIDS if name in item.properties)
    place = codes or tuple(round(side, 2) for side in item.footprint.bounds)
    return str(item.properties.get("platform", "")).lower(), item.properties.get("sat:relative_orbit"), place


def _same(one: Item, other: Item) -> bool:
    """Whether two items of one platform and place are versions of one acquisition.

    A tile may lie in two datastrips of one pass seconds apart; those have the same baseline and complete each other.
    """
    apart = abs(other.start - one.start)
    if baseline_number(one.properties) != baseline_number(other.properties):
        return bool(apart <= _JITTER)
    return bool(apart < np.timedelta64(1, "s")) and _stamp(one) != _stamp(other) and one.end == other.end


def _version(item: Item) -> tuple[tuple[int, ...], str, str]:
    return baseline_number(item.properties) or (), _stamp(item), item.id


def _stamp(item: Item) -> str:
    """When an item was made, as sortable text."""
    for name in ("s2:generation_time", "processing:datetime", "created", "updated"):
        if item.properties.get(name):
            return re.sub(r"\.\d+|Z$", "", str(item.properties[name]))
    return ""
