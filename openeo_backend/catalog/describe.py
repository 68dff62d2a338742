"""STAC collections as openEO publishes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import shapely
from odc.geo.crs import CRS

from openeo_backend.catalog.bands import AssetBand, collection_bands
from openeo_backend.catalog.grid import asset_crs
from openeo_backend.catalog.hrefs import is_url
from openeo_backend.catalog.item import Item
from openeo_backend.catalog.patch import merge_patch
from openeo_backend.catalog.summaries import eo_band, mergeable, raster_band, summaries
from openeo_backend.catalog.vocabulary import (
    FAMILIES,
    PLAIN_MEMBERS,
    family_of,
    schema_of,
)
from openeo_backend.settings import CollectionSettings

STAC_VERSION = "1.0.0"
DATACUBE, EO, RASTER = (schema_of(*FAMILIES[prefix]) for prefix in ("cube", "eo", "raster"))
ITEM_ASSETS = schema_of(*PLAIN_MEMBERS["item_assets"])

#: Link relations of the source catalog that mean nothing to clients of this back-end.
_INNER = {"self", "root", "parent", "item", "items", "child", "collection", "data"}

#: Members of the catalog's document that are published as they are.
_KEPT = (
    *("sci:doi", "sci:citation", "sci:publications", "version", "deprecated", "experimental", "common_name"),
    *("order:status", "processing:lineage", "processing:level"),
)

#: Roles of providers in STAC.
_ROLES = ("licensor", "producer", "processor", "host")

_NAMES = {"temporal": "t", "bands": "bands", "y": "y", "x": "x"}


def dimension_names(collection: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Names of the temporal, bands, y and x dimensions: those of the metadata, else t, bands, y, x."""
    names = dict(_NAMES)
    for name, dimension in (collection.get("cube:dimensions") or {}).items():
        kind = dimension.get("axis") if dimension.get("type") == "spatial" else dimension.get("type")
        if kind in names:
            names[kind] = str(name)
    return names["temporal"], names["bands"], names["y"], names["x"]


def describe(
    collection: Mapping[str, Any], items: Sequence[Item], settings: CollectionSettings, complete: bool
) -> dict[str, Any]:
    """The collection as openEO describes it, in STAC 1.0.0, without null members.

    :param items: some items of it, or all (`complete`); of all of them the extents and what the catalog does not
        summarise are told.
    """
    newest = sorted(items, key=lambda item: (item.start, item.id), reverse=True)
    bands = collection_bands(collection, newest)
    measured = items if complete else ()
    extent = _extent(collection, measured)
    names = dimension_names(collection)
    described: dict[str, Any] = {
        "type": "Collection",
        "stac_version": STAC_VERSION,
        "id": str(collection["id"]),
        "title": settings.title or _text_of(collection.get("title")) or str(collection["id"]),
        "description": settings.description or _text_of(collection.get("description")) or str(collection["id"]),
        "license": _license(collection),
        "keywords": _texts(collection.get("keywords")) or _keywords(collection, bands),
        "providers": _providers(collection),
        "extent": extent,
        "cube:dimensions": _dimensions(collection, bands, extent, names, measured=bool(measured)),
        "summaries": summaries(collection, measured, bands),
        "item_assets": _item_assets(collection, bands),
        "links": _links(collection, settings),
        "assets": _assets(collection),
        "crs": _crs(collection, items),
    }
    described |= {name: collection[name] for name in _KEPT if collection.get(name) is not None}
    if settings.apply_scale:
        _drop_scale(described)
    described |= _flags(settings)
    described = merge_patch(described, settings.metadata)
    described["summaries"] = mergeable(described["summaries"])
    described["stac_extensions"] = _extensions(collection, described)
    found: dict[str, Any] = _clean(described)
    return found


def host(document: Mapping[str, Any], name: str, url: str) -> dict[str, Any]:
    """A described collection with this back-end as the provider that hosts it, listed last as STAC wants it.

    Others who host the source are named without that role: STAC knows one host, the one who offers the data here.
    """
    others = []
    for provider in document.get("providers") or ():
        roles = [role for role in provider.get("roles", ()) if role != "host"]
        if provider["name"] != name:
            others.append(
                {**{k: v for k, v in provider.items() if k != "roles"}, **({"roles": roles} if roles else {})}
            )
    return {**document, "providers": [*others, {"name": name, "roles": ["host"], "url": url}]}


def _flags(settings: CollectionSettings) -> dict[str, Any]:
    """What the operator says about the collection by settings of their own."""
    flags = {name: getattr(settings, name) for name in ("common_name", "experimental", "deprecated")}
    if settings.commercial:
        flags["order:status"] = "orderable"
    return {name: value for name, value in flags.items() if value is not None}


def _text_of(value: Any) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _texts(value: Any) -> list[str]:
    return [entry for entry in value if isinstance(entry, str)] if isinstance(value, list) else []


def _providers(collection: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Those with a name, with the roles that STAC knows."""
    found = []
    given = collection.get("providers")
    for provider in given if isinstance(given, list) else ():
        if not isinstance(provider, Mapping) or not _text_of(provider.get("name")):
            continue
        roles = [role for role in _texts(provider.get("roles")) if role in _ROLES]
        texts = {k: v for k, v in provider.items() if v is not None and k != "roles" and (k != "url" or is_url(str(v)))}
        found.append({**texts, **({"roles": roles} if roles else {})})
    return found


def _license(collection: Mapping[str, Any]) -> str:
    """The licence in the words of STAC 1.0, which has no `other`."""
    license = collection.get("license")
    return str(license) if license and license != "other" else "proprietary"


def _extent(collection: Mapping[str, Any], items: Sequence[Item]) -> dict[str, Any]:
    """The extents: of the items where all are known, whatever wider ones the catalog claims; else the catalog's."""
    given = collection.get("extent") or {}
    boxes = [list(box) for box in (given.get("spatial") or {}).get("bbox") or ()]
    intervals = [list(pair) for pair in (given.get("temporal") or {}).get("interval") or ()]
    bounds = shapely.union_all([item.footprint for item in items]).bounds if items else ()
    across = bool(boxes) and boxes[0][0] > boxes[0][len(boxes[0]) // 2]
    if all(np.isfinite(bounds)) and bounds and not across:
        boxes = [[round(float(side), 7) for side in bounds], *boxes[1:]]
    boxes = boxes or [[-180.0, -90.0, 180.0, 90.0]]
    intervals = intervals or [[None, None]]
    if items:
        start, end = min(item.start for item in items), max(item.end for item in items)
        intervals[0] = [_text(start), _text(end)]
    return {"spatial": {"bbox": boxes}, "temporal": {"interval": intervals}}


def _text(time: np.datetime64) -> str:
    return f"{np.datetime_as_string(time, unit='s')}Z"


def _dimensions(
    collection: Mapping[str, Any],
    bands: Mapping[str, AssetBand],
    extent: Mapping[str, Any],
    names: Sequence[str],
    measured: bool,
) -> dict[str, Any]:
    """x, y, t and bands, which is what loaded cubes have, with what the catalog says about these.

    :param measured: the extents are those of the items, so that the catalog's do not count.
    """
    given = collection.get("cube:dimensions") or {}
    t, b, y, x = names
    box, interval = extent["spatial"]["bbox"][0], extent["temporal"]["interval"][0]
    half = len(box) // 2
    found: dict[str, Any] = {
        x: {"type": "spatial", "axis": "x", "extent": [box[0], box[half]], "reference_system": 4326},
        y: {"type": "spatial", "axis": "y", "extent": [box[1], box[half + 1]], "reference_system": 4326},
        t: {"type": "temporal", "extent": interval},
        b: {"type": "bands", "values": list(bands)},
    }
    for name in (x, y, t):
        said = {key: value for key, value in (given.get(name) or {}).items() if value is not None}
        in_degrees = said.get("reference_system", 4326) == 4326
        if _open(said.get("extent")) or (measured and in_degrees):
            said.pop("extent", None)
        found[name] |= said
    return found


def _open(extent: Any) -> bool:
    return not extent or None in extent


def _item_assets(collection: Mapping[str, Any], bands: Mapping[str, AssetBand]) -> dict[str, Any]:
    if collection.get("item_assets"):
        return dict(collection["item_assets"])
    found: dict[str, Any] = {}
    for band in bands.values():
        asset = found.setdefault(band.asset, {"roles": ["data"], "eo:bands": [], "raster:bands": []})
        asset["eo:bands"].append(eo_band(band))
        asset["raster:bands"].append(raster_band(band))
    return found


def _links(collection: Mapping[str, Any], settings: CollectionSettings) -> list[dict[str, Any]]:
    """Links to the outside, and those that the operator sets."""
    own = {"license": settings.terms, "successor-version": settings.successor}
    kept = [
        {key: value for key, value in link.items() if value is not None}
        for link in collection.get("links") or ()
        if link.get("rel") not in _INNER and is_url(str(link.get("href", "")))
    ]
    return [link for link in kept if not own.get(str(link["rel"]))] + [
        {"rel": rel, "href": href} for rel, href in own.items() if href
    ]


def _assets(collection: Mapping[str, Any]) -> dict[str, Any] | None:
    """Assets of the collection itself that users can follow: no files of this machine."""
    given = collection.get("assets")
    found = given.items() if isinstance(given, Mapping) else ()
    kept = {k: dict(v) for k, v in found if isinstance(v, Mapping) and is_url(str(v.get("href", "")))}
    return kept or None


def _crs(collection: Mapping[str, Any], items: Iterable[Item]) -> list[Any]:
    """Reference systems in which the collection can be loaded, as URIs."""
    if collection.get("crs"):
        return list(collection["crs"])
    found: dict[str, None] = {}
    for item in items:
        for asset in item.assets.values():
            crs = asset_crs(item, asset)
            if crs is not None:
                found.setdefault(_uri(crs))
    for code in (collection.get("summaries") or {}).get("proj:epsg") or ():
        found.setdefault(f"http://www.opengis.net/def/crs/EPSG/0/{code}")
    return list(found) or ["http://www.opengis.net/def/crs/OGC/1.3/CRS84"]


def _uri(crs: CRS) -> str:
    return f"http://www.opengis.net/def/crs/EPSG/0/{crs.epsg}" if crs.epsg else crs.to_wkt()


def _keywords(collection: Mapping[str, Any], bands: Mapping[str, AssetBand]) -> list[str]:
    summaries = collection.get("summaries") or {}
    said = [value for name in ("constellation", "platform", "instruments") for value in summaries.get(name) or ()]
    common = [band.common_name for band in bands.values() if band.common_name]
    return list(dict.fromkeys([str(collection["id"]), *map(str, said), *common]))


def _drop_scale(described: dict[str, Any]) -> None:
    """Values come scaled: no scale, offset, stored type or no-data value is left to apply."""
    summaries = described["summaries"]
    for name, members in (("raster:bands", ("scale", "offset")), ("bands", ("raster:scale", "raster:offset"))):
        kept = [{k: v for k, v in band.items() if k not in (*members, "nodata")} for band in summaries[name]]
        summaries[name] = [{**band, "data_type": "float32"} for band in kept]
    described["item_assets"] = {
        key: {
            **asset,
            "raster:bands": [
                {k: v for k, v in band.items() if k not in ("scale", "offset", "nodata")} | {"data_type": "float32"}
                for band in asset.get("raster:bands") or ()
            ],
        }
        for key, asset in described["item_assets"].items()
    }


def _extensions(collection: Mapping[str, Any], described: Mapping[str, Any]) -> list[str]:
    """The extensions that the catalog lists, and those of the members that are there.

    Bands, rasters and dimensions are published in the versions named here, whatever the catalog uses; flags in the
    one that has all of them.
    """
    fixed = {family_of(uri): uri for uri in (DATACUBE, EO, RASTER, ITEM_ASSETS)}
    used = dict(fixed)
    for member in _members(described):
        entry = FAMILIES.get(member.split(":", 1)[0]) if ":" in member else PLAIN_MEMBERS.get(member)
        if entry is not None:
            used.setdefault(entry[0], schema_of(*entry))
    if described.get("experimental") is not None:
        fixed["version"] = used["version"]
    kept = [uri for uri in _texts(collection.get("stac_extensions")) if family_of(uri) not in fixed]
    families = {family_of(uri) for uri in kept}
    own = [uri for family, uri in used.items() if family not in families]
    return list(dict.fromkeys([*kept, *own]))


def _members(described: Mapping[str, Any]) -> Iterator[str]:
    """Names of the members of the collection, its summaries, and its assets."""
    yield from (name for name in described if described[name] is not None)
    yield from described["summaries"]
    for name in ("assets", "item_assets"):
        for asset in (described.get(name) or {}).values():
            yield from asset


def _clean(value: Any) -> Any:
    """Without null members; the ends of open intervals stay null."""
    if isinstance(value, Mapping):
        return {key: _clean(entry) for key, entry in value.items() if entry is not None}
    if isinstance(value, list):
        return [_clean(entry) for entry in value]
    return value
