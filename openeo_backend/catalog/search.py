"""Finding the items of a load, and telling why there are none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import shapely
from odc.geo.crs import CRS
from shapely.geometry.base import BaseGeometry

from openeo_backend.catalog import filters
from openeo_backend.catalog.item import Item
from openeo_backend.catalog.sources import ItemQuery, Source, overlaps
from openeo_backend.cube.extent import Area, Interval
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.callback import Callback

#: Room in degrees around the extents of later filters, which may need a margin of pixels.
_ROOM = 0.01

#: Parts of a geometry from which the box of each stands for it.
_PARTS = 16

LONLAT = CRS("EPSG:4326")

_DAY = np.timedelta64(24, "h")


@dataclass(frozen=True, eq=False)
class Search:
    """What a load asks for, parsed."""

    area: Area | None = None
    near: Sequence[Area] = ()
    """Extents of later filters, which all apply."""

    interval: Interval = field(default_factory=Interval)
    labels: Interval = field(default_factory=Interval)
    """Interval of later filters, on the labels of the time steps."""

    properties: Mapping[str, Callback] = field(default_factory=dict)

    def lonlat(self) -> BaseGeometry | None:
        """Where items must lie, in longitudes from -180 to 180."""
        return self._lonlat

    @cached_property
    def _lonlat(self) -> BaseGeometry | None:
        whole: BaseGeometry | None = None
        for area, room in [*[(near, _ROOM) for near in self.near], *([(self.area, 0.0)] if self.area else [])]:
            part = around(area.to(LONLAT))
            part = widened(part, room) if room else part
            whole = part if whole is None else whole.intersection(part)
        return whole

    def times(self) -> Interval:
        """When items must lie: a day around the labels wanted, as solar days differ from UTC days."""
        return self._times

    @cached_property
    def _times(self) -> Interval:
        start = None if self.labels.start is None else self.labels.start - _DAY
        end = None if self.labels.end is None else self.labels.end + 2 * _DAY
        return self.interval.meet(Interval(start, end))


def widened(geometry: BaseGeometry, room: float) -> BaseGeometry:
    """All within `room` of a geometry, or somewhat more where it has many parts: buffers of those take very long."""
    parts = shapely.get_parts(geometry)
    if len(parts) <= _PARTS:
        return shapely.buffer(geometry, room, join_style="mitre")
    west, south, east, north = shapely.bounds(parts).T
    return shapely.union_all(shapely.box(west - room, south - room, east + room, north + room))


def around(geometry: BaseGeometry) -> BaseGeometry:
    """A geometry in longitudes from -180 to 180: what lies beyond moves to the other side."""
    west, _, east, _ = geometry.bounds
    if west >= -180 and east <= 180:
        return geometry
    parts = []
    for turn in (-360, 0, 360):
        part = shapely.intersection(geometry, shapely.box(-180 + turn, -90, 180 + turn, 90))
        parts.append(shapely.transform(part, lambda points, turn=turn: points - [turn, 0]))
    return shapely.union_all(parts)


def find(
    source: Source, id: str, search: Search, most: int, tell: Callable[[str], None] = lambda message: None
) -> list[Item]:
    """The items of a load, oldest first.

    :param tell: told what seems to be wrong with what was found.
    :raises OpenEOError: NoDataAvailable, with what was asked for, what there is, and how many items each condition
        removed.
    """
    wanted = filters.conditions(search.properties)
    query = ItemQuery(search.lonlat(), search.times(), filters.to_cql2(wanted), most, tell)
    counts: list[str] = []
    found = _within(source.items(id, query), search.times())
    for name, condition in wanted.items():
        kept = [item for item in found if filters.passes(item, name, condition)]
        if len(kept) < len(found):
            counts.append(f"{len(found) - len(kept)} of {len(found)} items are removed by the condition on '{name}'")
        found = kept
    if not found:
        raise no_data(source, id, search, counts)
    return found


def _within(items: Sequence[Item], interval: Interval) -> list[Item]:
    starts = np.array([item.start for item in items], dtype="datetime64[ns]")
    ends = np.array([item.end for item in items], dtype="datetime64[ns]")
    return [item for item, keep in zip(items, overlaps(starts, ends, interval), strict=True) if keep]


def no_data(source: Source, id: str, search: Search, counts: Sequence[str]) -> OpenEOError:
    """The error for a load without items."""
    asked = [f"spatial extent {area.describe()}" for area in (search.area, *search.near) if area is not None]
    if search.interval.meet(search.labels) != Interval():
        asked.append(f"temporal extent {search.interval.meet(search.labels).describe()}")
    told = [*_outside(source, id, search), *counts]
    return OpenEOError(
        "NoDataAvailable",
        f"The collection '{id}' has no data for {' and '.join(asked) or 'the conditions'}. "
        f"Available: {_available(source, id)}. {'; '.join(told).capitalize()}.".replace(" .", ""),
        hint="Widen the extents or relax the conditions.",
    )


def _outside(source: Source, id: str, search: Search) -> list[str]:
    """How many items the extents leave out, where the source knows all of its items."""
    if not source.complete():
        return []
    left, told = list(source.sample(id)), []
    area, times = search.lonlat(), search.times()
    if area is not None:
        inside = [item for item in left if item.footprint.intersects(area)]
        told.append(f"{len(left) - len(inside)} of {len(left)} items lie outside of the spatial extent")
        left = inside
    if times != Interval():
        out = len(left) - len(_within(left, times))
        told.append(f"{out} of {len(left)} {'others' if told else 'items'} lie outside of the temporal extent")
    return told


def _available(source: Source, id: str) -> str:
    extent = source.collection(id).get("extent") or {}
    box = ((extent.get("spatial") or {}).get("bbox") or [None])[0]
    interval = ((extent.get("temporal") or {}).get("interval") or [[None, None]])[0]
    times = " to ".join(".." if end is None else str(end) for end in interval)
    return f"bounding box {box}, {times}"
