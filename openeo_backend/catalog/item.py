"""A STAC item as loads need it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from openeo_backend.catalog.hrefs import resolve
from openeo_backend.cube.extent import parse_time
from openeo_backend.errors import OpenEOError

_DAY = np.timedelta64(24, "h")


@dataclass(frozen=True, eq=False)
class Item:
    """What one STAC item says, with absolute addresses."""

    id: str
    href: str
    """Address of the item itself (its self link, or where it was read)."""

    collection: str
    start: np.datetime64
    """UTC time of the item (`datetime`), or the start of its period."""

    end: np.datetime64
    """Equal to `start`, or the end of the period of an item without `datetime`."""

    footprint: BaseGeometry
    """Geometry in longitude and latitude."""

    properties: Mapping[str, Any]
    assets: Mapping[str, Mapping[str, Any]]
    """STAC assets by key; `href` is absolute."""

    extensions: tuple[str, ...] = ()
    moment: np.datetime64 | None = None
    """The date meant, of an item whose files have several."""

    known: dict[str, Any] = field(default_factory=dict, init=False, repr=False)
    """What was found out about this item, so that it is found once."""

    @property
    def is_date(self) -> bool:
        """Whether the time is a calendar date or a period rather than the moment of an acquisition."""
        midnight = self.start == self.start.astype("datetime64[D]")
        return bool(midnight or self.end - self.start >= _DAY)

    def value(self, name: str) -> Any:
        """The value of a property, or of a member of the item itself; None where there is none."""
        if name in self.properties:
            return self.properties[name]
        return {"id": self.id, "collection": self.collection}.get(name)


def read_item(document: Mapping[str, Any], address: str) -> Item:
    """The item in a STAC document read from `address`.

    :raises OpenEOError: naming the item, where it has no time or no usable geometry.
    """
    id = str(document.get("id", address))
    properties = document.get("properties") or {}
    try:
        start, end = _times(properties)
        footprint = _footprint(document)
        if footprint.is_empty:
            raise ValueError("its geometry is empty")
    except (OpenEOError, TypeError, ValueError, KeyError, AttributeError, shapely.errors.ShapelyError) as error:
        reason = error.message if isinstance(error, OpenEOError) else str(error)
        raise OpenEOError("FileContentInvalid", f"The STAC item '{id}' ({address}) cannot be used: {reason}") from error
    assets = {
        key: {**asset, "href": resolve(address, str(asset["href"]))}
        for key, asset in (document.get("assets") or {}).items()
        if isinstance(asset, Mapping) and asset.get("href")
    }
    return Item(
        id=id,
        href=_self(document, address),
        collection=str(document.get("collection") or ""),
        start=start,
        end=end,
        footprint=footprint,
        properties=properties,
        assets=assets,
        extensions=tuple(document.get("stac_extensions") or ()),
    )


def _times(properties: Mapping[str, Any]) -> tuple[np.datetime64, np.datetime64]:
    if properties.get("datetime"):
        moment = parse_time(properties["datetime"])
        return moment, moment
    ends = [properties.get("start_datetime"), properties.get("end_datetime")]
    if not any(ends):
        raise ValueError("it has neither datetime nor start_datetime and end_datetime")
    start, end = (parse_time(text or next(filter(None, ends))) for text in ends)
    return start, end


def _self(document: Mapping[str, Any], address: str) -> str:
    for link in document.get("links") or ():
        if link.get("rel") == "self" and str(link.get("href", "")).startswith(("http://", "https://")):
            return str(link["href"])
    return address


def _footprint(document: Mapping[str, Any]) -> BaseGeometry:
    if document.get("geometry"):
        geometry = shapely.geometry.shape(document["geometry"])
        return geometry if geometry.is_valid else shapely.make_valid(geometry)
    box = document.get("bbox")
    if not box:
        raise ValueError("it has neither geometry nor bbox")
    return box_geometry(box)


def box_geometry(box: Any) -> BaseGeometry:
    """A GeoJSON bounding box (4 or 6 numbers) as geometry, in two parts across the antimeridian."""
    half = len(box) // 2
    west, south, east, north = float(box[0]), float(box[1]), float(box[half]), float(box[half + 1])
    if west <= east:
        return shapely.box(west, south, east, north)
    return shapely.union_all([shapely.box(west, south, 180, north), shapely.box(-180, south, east, north)])
