"""Where the trial looks at data: a few pixels of a collection, on some dates.

Everything is taken from the metadata of the back-end, so that it fits any; the declaration file may say it instead.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from openeo_backend.errors import OpenEOError
from openeo_backend.federation.review.check import HOSTILE
from openeo_backend.observe.clock import now

if TYPE_CHECKING:
    from openeo_backend.federation.review.node import Node

#: Collections that a trial takes first: those that the federation has in common.
PREFERRED = ("SENTINEL2_L2A", "SENTINEL2_L1C", "SENTINEL1_GRD", "SENTINEL3_OLCI_L1B")
#: Land that most missions see, longitude and latitude, for collections that cover much of the Earth.
LAND = ((5.05, 51.22), (11.35, 46.5), (-3.7, 40.4), (36.8, -1.3), (-100.0, 40.0), (149.1, -35.3))
#: Degrees of longitude from which the centre of a collection may well be in an ocean.
WIDE = 20
#: Bands by common name that a trial takes first.
COLOURS = ("blue", "green", "red")
#: Pixels along a side.
SIDE = 48
DAYS = 40
#: Data of missions under way are taken from before this many days, when they have arrived.
ARRIVED = 90
#: Collections looked at to find one that suits.
MOST_LOOKED_AT = 12


@dataclass(frozen=True)
class Place:
    """Some pixels of a collection on some dates."""

    collection: str
    box: tuple[float, float, float, float]
    """West, south, east, north in degrees."""
    interval: tuple[str, str]
    """Start and end as RFC 3339 date-times; the end is not part of it."""
    bands: tuple[str, ...] = ()
    """Empty where the collection has none."""
    dimensions: Mapping[str, str] = field(default_factory=dict)
    """Type by name of the dimensions that the collection announces."""
    common: Mapping[str, str] = field(default_factory=dict)
    """Common name by name of a band."""

    def of(self, kind: str) -> str | None:
        """The name of the first dimension of a type, such as `temporal`."""
        return next((name for name, found in self.dimensions.items() if found == kind), None)

    @property
    def extent(self) -> dict[str, float]:
        """The box as the argument `spatial_extent`."""
        return dict(zip(("west", "south", "east", "north"), self.box, strict=True))

    def wider(self, times: float, days: int) -> Place:
        """The same place with more pixels and dates."""
        west, south, east, north = self.box
        x, y, half = (west + east) / 2, (south + north) / 2, times / 2
        box = (
            x - (east - west) * half,
            y - (north - south) * half,
            x + (east - west) * half,
            y + (north - south) * half,
        )
        end = parsed(self.interval[1]) or now()
        return replace(self, box=box, interval=(written(end - timedelta(days=days)), self.interval[1]))


def choose(node: Node) -> Place:
    """The place of the trial: that of the declaration (section `trial`), else one in a collection that suits.

    :raises OpenEOError: CollectionNotFound where no collection has dimensions in space.
    """
    named = node.declares("trial", "collection")
    if isinstance(named, str):
        return place_of(node, named)
    listed = [entry for entry in node.collections if isinstance(entry.get("id"), str)]
    if not listed:
        raise OpenEOError("CollectionNotFound", "The back-end lists no collection that a trial could load.")
    found: list[tuple[int, Place]] = []
    for entry in sorted(listed, key=_order)[:MOST_LOOKED_AT]:
        try:
            place = place_of(node, entry["id"])
        except HOSTILE:
            continue
        found.append((_fitness(place), place))
        if found[-1][0] == 3:
            break
    if not found:
        raise OpenEOError(
            "CollectionNotFound", "No collection announces dimensions and extents that a trial could use."
        )
    return max(found, key=lambda entry: entry[0])[1]


def place_of(node: Node, id: str) -> Place:
    """Some pixels in the middle of a collection.

    :raises OpenEOError: CollectionNotFound where the metadata do not say what and where its data are.
    """
    document = node.collection(id)
    dimensions = _dimensions(document)
    if "spatial" not in dimensions.values():
        raise OpenEOError("CollectionNotFound", f"The collection {id} announces no dimensions in space.")
    common = common_names(document)
    place = Place(
        id, middle(bbox(document), resolution(document)), recent(interval(document)), _bands(document, common),
        dimensions, common,
    )  # fmt: skip
    if id != node.declares("trial", "collection"):
        return place
    box, dates, bands = (node.declares("trial", name) for name in ("spatial_extent", "temporal_extent", "bands"))
    if isinstance(box, Mapping):
        west, south, east, north = (float(box[side]) for side in ("west", "south", "east", "north"))
        place = replace(place, box=(west, south, east, north))
    if isinstance(dates, Sequence) and len(dates) == 2:
        place = replace(place, interval=(str(dates[0]), str(dates[1])))
    if isinstance(bands, Sequence) and bands:
        place = replace(place, bands=tuple(str(band) for band in bands))
    return place


def bbox(document: Mapping[str, Any]) -> tuple[float, float, float, float]:
    """The box of all data of a collection in degrees: west, south, east, north.

    :raises OpenEOError: CollectionNotFound where the metadata have none.
    """
    boxes = _at(document, "extent", "spatial", "bbox")
    first = boxes[0] if isinstance(boxes, list) and boxes else None
    if not isinstance(first, list) or len(first) not in (4, 6) or not all(isinstance(v, int | float) for v in first):
        raise OpenEOError("CollectionNotFound", f"The collection {document.get('id')} has no bounding box.")
    west, south, east, north = first if len(first) == 4 else (first[0], first[1], first[3], first[4])
    return float(west), float(south), float(east), float(north)


def interval(document: Mapping[str, Any]) -> tuple[datetime | None, datetime | None]:
    """The first and the last date of a collection; None for an open end and for what is no date."""
    intervals = _at(document, "extent", "temporal", "interval")
    first = intervals[0] if isinstance(intervals, list) and intervals else None
    if not isinstance(first, list) or len(first) != 2:
        return None, None
    return parsed(first[0]), parsed(first[1])


def recent(limits: tuple[datetime | None, datetime | None]) -> tuple[str, str]:
    """Some weeks near the end of an interval, of which the last instant is part."""
    start, end = limits
    last = end if end is not None and end < now() else now() - timedelta(days=ARRIVED)
    first = last - timedelta(days=DAYS)
    if start is not None:
        first = min(max(first, start), last)
    return written(first), written(last + timedelta(seconds=1))


def middle(limits: tuple[float, float, float, float], metres: float) -> tuple[float, float, float, float]:
    """A box of some pixels within limits: on well-known land if they are wide, else at their centre."""
    west, south, east, north = limits
    wide = LAND if east - west > WIDE else ()
    on_land = (point for point in wide if west < point[0] < east and south < point[1] < north)
    x, y = next(on_land, ((west + east) / 2, (south + north) / 2))
    return around(x, y, metres, limits)


def around(
    x: float, y: float, metres: float, limits: tuple[float, float, float, float]
) -> tuple[float, float, float, float]:
    """A box of some pixels around a point, cut at limits."""
    west, south, east, north = limits
    high = SIDE / 2 * metres / 111_320
    wide = high / max(math.cos(math.radians(y)), 0.01)
    box = max(x - wide, west), max(y - high, south), min(x + wide, east), min(y + high, north)
    return tuple(round(value, 7) for value in box)  # type: ignore[return-value]


def resolution(document: Mapping[str, Any]) -> float:
    """Size of a pixel in metres: the finest that the metadata name, 10 where they name none."""
    found: list[Any] = [document.get("gsd"), _at(document, "item_assets", "gsd")]
    summary = _at(document, "summaries", "gsd")
    found += summary if isinstance(summary, list) else [_at(document, "summaries", "gsd", "minimum")]
    sizes = [float(size) for size in found if isinstance(size, int | float) and size > 0]
    if not sizes:
        for dimension in (_at(document, "cube:dimensions") or {}).values():
            step = dimension.get("step") if isinstance(dimension, Mapping) else None
            if dimension.get("type") == "spatial" and isinstance(step, int | float) and step:
                is_degrees = abs(step) < 1 and dimension.get("reference_system", 4326) == 4326
                sizes.append(abs(step) * (111_320 if is_degrees else 1))
    return min(max(min(sizes, default=10.0), 0.5), 100_000.0)


def common_names(document: Mapping[str, Any]) -> dict[str, str]:
    """Common name by name of the bands, from `eo:bands` and `bands`."""
    found: dict[str, str] = {}
    for source in (_at(document, "summaries", "eo:bands"), _at(document, "summaries", "bands"), document.get("bands")):
        for band in source if isinstance(source, list) else ():
            if isinstance(band, Mapping) and isinstance(band.get("name"), str):
                name = band.get("common_name") or band.get("eo:common_name")
                if isinstance(name, str):
                    found.setdefault(band["name"], name)
    return found


def labels(document: Mapping[str, Any]) -> list[str]:
    """All band labels that a collection announces."""
    for dimension in (_at(document, "cube:dimensions") or {}).values():
        if isinstance(dimension, Mapping) and dimension.get("type") == "bands":
            values = dimension.get("values")
            return [str(value) for value in values] if isinstance(values, list) else []
    return []


def parsed(text: Any) -> datetime | None:
    """A date or date-time in UTC; None for anything else."""
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except (AttributeError, ValueError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def written(instant: datetime) -> str:
    """An instant as RFC 3339 date-time."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _dimensions(document: Mapping[str, Any]) -> dict[str, str]:
    found = _at(document, "cube:dimensions")
    if not isinstance(found, Mapping):
        return {}
    return {name: str(entry.get("type")) for name, entry in found.items() if isinstance(entry, Mapping)}


def _bands(document: Mapping[str, Any], common: Mapping[str, str]) -> tuple[str, ...]:
    known = labels(document)
    colours = [next((name for name in known if common.get(name) == colour), None) for colour in COLOURS]
    return tuple(name for name in colours if name) if all(colours) else tuple(known[:3])


def _order(entry: Mapping[str, Any]) -> tuple[int, bool, str]:
    known = {entry["id"], entry.get("common_name")}
    rank = next((number for number, name in enumerate(PREFERRED) if name in known), len(PREFERRED))
    return rank, bool(entry.get("experimental") or entry.get("deprecated")), entry["id"]


def _fitness(place: Place) -> int:
    return (place.of("temporal") is not None) + (len(place.bands) > 1) + (len(place.bands) > 2)


def _at(document: Any, *names: str) -> Any:
    for name in names:
        document = document.get(name) if isinstance(document, Mapping) else None
    return document
