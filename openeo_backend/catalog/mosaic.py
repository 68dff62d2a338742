"""Which items become one time step, and which of them are read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

import numpy as np
import shapely

from openeo_backend.catalog.bands import baseline_number
from openeo_backend.catalog.item import Item, is_date

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


def longitude(items: Sequence[Item]) -> np.ndarray:
    """Longitudes of the middles of items, also across the antimeridian."""
    west, _, east, _ = shapely.bounds(np.array([item.footprint for item in items], dtype=object)).T
    middle = (west + east) / 2
    for index in np.flatnonzero(east - west > 180).tolist():
        footprint = items[index].footprint
        if footprint.geom_type.startswith("Multi"):
            shifted = [(part.bounds[0] + part.bounds[2]) / 2 % 360 for part in shapely.get_parts(footprint)]
            middle[index] = (float(np.mean(shifted)) + 180) % 360 - 180
    return np.asarray(middle)


def label(items: Sequence[Item], mosaic: Mosaic) -> np.ndarray:
    """The labels of items: their solar days or UTC days at 00:00, or their own times.

    The solar day follows the sun at the middle of the item; dates and periods are not shifted. Dates within files stay
    as they are.
    """
    starts = np.array([item.start for item in items], dtype="datetime64[ns]")
    if mosaic == "none":
        return starts
    moments = starts
    if mosaic == "solar_day":
        ends = np.array([item.end for item in items], dtype="datetime64[ns]")
        seconds = np.rint(longitude(items) / 15 * 3600).astype("timedelta64[s]")
        moments = np.where(is_date(starts, ends), starts, starts + seconds)
    own = np.array([item.moment is not None for item in items], dtype=bool)
    return np.where(own, starts, moments.astype("datetime64[D]").astype("datetime64[ns]"))


def group(items: Iterable[Item], mosaic: Mosaic) -> list[Step]:
    """The time steps of a load, oldest first; of several versions of one acquisition the newest is kept."""
    kept = newest(items)
    if not kept:
        return []
    steps: dict[int, list[Item]] = {}
    for key, item in zip(label(kept, mosaic).astype("int64").tolist(), kept, strict=True):
        steps.setdefault(key, []).append(item)
    return [Step(np.datetime64(key, "ns"), tuple(steps[key])) for key in sorted(steps)]


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
