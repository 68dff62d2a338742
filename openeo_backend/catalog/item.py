"""A STAC item as loads need it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from openeo_backend.catalog import shape
from openeo_backend.catalog.hrefs import is_url, resolve
from openeo_backend.cube.extent import parse_time
from openeo_backend.errors import OpenEOError

_DAY = np.timedelta64(24, "h")

#: Media types of assets of which the name tells more.
_TOLD_BY_NAME = (None, "", "application/zip")

#: Members of assets that differ from file to file, and that loads do not look at but for the address.
_OWN = frozenset(("href", "alternate", "created", "updated", "file:checksum", "file:size", "checksum:multihash"))

_NOTHING: Mapping[str, Any] = MappingProxyType({})

#: How many different assets of a key, and geometries, a reader remembers.
_RECENT = 8


class Asset(Mapping[str, Any]):
    """A STAC asset: what it says, which many assets share, and what is told of its file alone.

    :param own: the members of :data:`_OWN` but `href`.
    """

    __slots__ = ("href", "own", "said")

    def __init__(self, said: Mapping[str, Any], href: str, own: Mapping[str, Any]) -> None:
        self.said, self.href, self.own = said, href, own

    def __getitem__(self, name: str) -> Any:
        return self.href if name == "href" else self.said[name] if name in self.said else self.own[name]

    def get(self, name: str, default: Any = None) -> Any:
        if name == "href":
            return self.href
        return self.said[name] if name in self.said else self.own.get(name, default)

    def __contains__(self, name: object) -> bool:
        return name in self.said or name == "href" or name in self.own

    def __iter__(self) -> Iterator[str]:
        yield "href"
        yield from self.said
        yield from self.own

    def __len__(self) -> int:
        return 1 + len(self.said) + len(self.own)


class Form:
    """What the assets of an item say, wherever they are: one object for all items of a reader that say the same.

    What follows from it is found once.
    """

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}

    def fact(self, name: str, find: Callable[[], Any]) -> Any:
        """What `find` found when the fact was first asked for."""
        if name not in self._known:
            self._known[name] = find()
        return self._known[name]


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

    form: Form = field(default_factory=Form, init=False, repr=False)
    """What follows from the assets, wherever they are."""

    @property
    def is_date(self) -> bool:
        """Whether the time is a calendar date or a period rather than the moment of an acquisition."""
        return bool(is_date(np.asarray(self.start), np.asarray(self.end)))

    def value(self, name: str) -> Any:
        """The value of a property, or of a member of the item itself; None where there is none."""
        if name in self.properties:
            return self.properties[name]
        return {"id": self.id, "collection": self.collection}.get(name)


def is_date(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Which times are calendar dates or periods rather than moments of acquisitions."""
    return (starts == starts.astype("datetime64[D]")) | (ends - starts >= _DAY)


def read_item(document: Mapping[str, Any], address: str) -> Item:
    """The item in a STAC document read from `address`.

    :raises OpenEOError: naming the item, where it has no time or no usable geometry.
    """
    return ItemReader({}).read(document, address)


class ItemReader:
    """Reads items of a collection, whose assets and geometries are mostly alike: what is the same is kept once.

    :param collection: its `item_assets` tell what assets leave out.
    """

    def __init__(self, collection: Mapping[str, Any]) -> None:
        self._templates: Mapping[str, Any] = collection.get("item_assets") or {}
        self._said: dict[str, Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]] = {}
        self._forms: dict[tuple[object, ...], tuple[Form, list[Mapping[str, Any]]]] = {}
        self._places: Sequence[tuple[Any, BaseGeometry]] = ()

    def read(self, document: Mapping[str, Any], address: str) -> Item:
        """The item in a document read from `address`.

        :raises OpenEOError: naming the item, where it has no time, no usable geometry or no usable assets.
        """
        id = str(document.get("id", address))
        properties = document.get("properties") or {}
        try:
            start, end = _times(properties)
            footprint = self._place(document)
        except (OpenEOError, TypeError, ValueError, KeyError, AttributeError, shapely.errors.ShapelyError) as error:
            reason = error.message if isinstance(error, OpenEOError) else str(error)
            told = f"The STAC item '{id}' ({address}) cannot be used: {reason}"
            raise OpenEOError("FileContentInvalid", told) from error
        assets = self._assets(document.get("assets") or {}, address)
        item = Item(
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
        form = self._form(assets)
        if form is not None:
            object.__setattr__(item, "form", form)
        return item

    def _assets(self, given: Mapping[str, Any], address: str) -> dict[str, Asset]:
        found = {}
        for key, asset in given.items():
            if not isinstance(asset, dict):
                raise shape.refuse(address, f".assets.{key}: not an object")
            said, own = dict(asset), _NOTHING
            href = said.pop("href", None)
            if not _OWN.isdisjoint(said):
                own = {name: said.pop(name) for name in _OWN & said.keys()}
            for told, whole in self._said.get(key, ()):
                if told == said:
                    known = whole
                    break
            else:
                known = self._learn(key, said, address)
            if href:
                if not isinstance(href, str):
                    raise shape.refuse(address, f".assets.{key}.href: not a text")
                found[key] = Asset(known, href if is_url(href) else resolve(address, href), own)
        return found

    def _learn(self, key: str, said: Mapping[str, Any], address: str) -> Mapping[str, Any]:
        """What an asset and its template say together, to be remembered."""
        shape.check_asset(said, key, address)
        template = self._templates.get(key)
        known = {**without_offset(template), **said} if isinstance(template, Mapping) else said
        self._said[key] = [(said, known), *self._said.get(key, ())][:_RECENT]
        return known

    def _form(self, assets: Mapping[str, Asset]) -> Form | None:
        """The form of all items with these assets; None where it depends on addresses."""
        said = [asset.said for asset in assets.values()]
        key: tuple[object, ...] = (*assets, *map(id, said))
        if key in self._forms:
            return self._forms[key][0]
        if any(one.get("type") in _TOLD_BY_NAME for one in said):
            return None
        # kept with what they say, so that no other object gets the same number
        return self._forms.setdefault(key, (Form(), said))[0]

    def _place(self, document: Mapping[str, Any]) -> BaseGeometry:
        told = document.get("geometry") or document.get("bbox")
        known = next((footprint for given, footprint in self._places if given == told), None)
        if known is None:
            known = _footprint(document)
            if known.is_empty:
                raise ValueError("its geometry is empty")
            self._places = [(told, known), *self._places][:_RECENT]
        return known


def without_offset(template: Mapping[str, Any]) -> dict[str, Any]:
    """An asset template without offsets, which differ between the items of a collection, and without an address."""
    found = {key: value for key, value in template.items() if key not in ("raster:offset", "href")}
    for name in ("raster:bands", "bands"):
        if isinstance(found.get(name), list):
            offsets = ("offset", "raster:offset")
            found[name] = [{k: v for k, v in band.items() if k not in offsets} for band in found[name]]
    return found


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
