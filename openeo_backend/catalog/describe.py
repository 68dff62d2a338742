"""STAC collections as openEO publishes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import shapely
from odc.geo.crs import CRS

from openeo_backend.catalog.bands import AssetBand, collection_bands
from openeo_backend.catalog.grid import asset_crs
from openeo_backend.catalog.item import Item
from openeo_backend.settings import CollectionSettings

STAC_VERSION = "1.0.0"
_BASE = "https://stac-extensions.github.io"
DATACUBE = f"{_BASE}/datacube/v2.2.0/schema.json"
EO = f"{_BASE}/eo/v1.1.0/schema.json"
RASTER = f"{_BASE}/raster/v1.1.0/schema.json"
ITEM_ASSETS = f"{_BASE}/item-assets/v1.0.0/schema.json"
_PROJECTION = f"{_BASE}/projection/v1.1.0/schema.json"

#: Extensions by the prefix of the members that need them.
_BY_PREFIX = {
    "sar": f"{_BASE}/sar/v1.0.0/schema.json",
    "sat": f"{_BASE}/sat/v1.0.0/schema.json",
    "view": f"{_BASE}/view/v1.0.0/schema.json",
    "sci": f"{_BASE}/scientific/v1.0.0/schema.json",
    "processing": f"{_BASE}/processing/v1.2.0/schema.json",
    "proj": _PROJECTION,
    "eo": EO,
    "raster": RASTER,
}

#: Link relations of the source catalog that mean nothing to clients of this back-end.
_INNER = {"self", "root", "parent", "item", "items", "child", "collection", "data"}

#: Common names that clients and aggregators accept in eo:bands.
COMMON_NAMES = frozenset(
    ("coastal", "blue", "green", "red", "yellow", "pan", "rededge", "nir", "nir08", "nir09", "cirrus")
    + ("swir16", "swir22", "lwir", "lwir11", "lwir12")
)

#: Most different values of a property listed in summaries.
_MOST_VALUES = 20

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

    :param items: some items of it, or all (`complete`), from which open extents are closed.
    """
    newest = sorted(items, key=lambda item: (item.start, item.id), reverse=True)
    bands = collection_bands(collection, newest)
    extent = _extent(collection, items if complete else ())
    names = dimension_names(collection)
    described: dict[str, Any] = {
        "type": "Collection",
        "stac_version": STAC_VERSION,
        "id": str(collection["id"]),
        "title": settings.title or collection.get("title") or str(collection["id"]),
        "description": settings.description or collection.get("description") or str(collection["id"]),
        "license": _license(collection),
        "keywords": collection.get("keywords") or _keywords(collection, bands),
        "providers": collection.get("providers") or [],
        "extent": extent,
        "cube:dimensions": _dimensions(collection, items, bands, extent, names),
        "summaries": _summaries(collection, items, bands),
        "item_assets": _item_assets(collection, bands),
        "links": _links(collection),
        "crs": _crs(collection, items),
    }
    for name in ("assets", "sci:doi", "sci:citation", "sci:publications", "deprecated", "version", "common_name"):
        if collection.get(name) is not None:
            described[name] = collection[name]
    if settings.apply_scale:
        _drop_scale(described)
    described.update(settings.metadata)
    described["stac_extensions"] = _extensions(collection, described)
    return _clean(described)


def _license(collection: Mapping[str, Any]) -> str:
    """The licence in the words of STAC 1.0, which has no `other`."""
    license = collection.get("license")
    return str(license) if license and license != "other" else "proprietary"


def _extent(collection: Mapping[str, Any], items: Sequence[Item]) -> dict[str, Any]:
    given = collection.get("extent") or {}
    boxes = [list(box) for box in (given.get("spatial") or {}).get("bbox") or ()]
    intervals = [list(pair) for pair in (given.get("temporal") or {}).get("interval") or ()]
    if items and not boxes:
        boxes = [[round(float(side), 7) for side in shapely.union_all([i.footprint for i in items]).bounds]]
    boxes = boxes or [[-180.0, -90.0, 180.0, 90.0]]
    intervals = intervals or [[None, None]]
    if items and None in intervals[0]:
        start, end = min(item.start for item in items), max(item.end for item in items)
        intervals[0] = [intervals[0][0] or _text(start), intervals[0][1] or _text(end)]
    return {"spatial": {"bbox": boxes}, "temporal": {"interval": intervals}}


def _text(time: np.datetime64) -> str:
    return f"{np.datetime_as_string(time, unit='s')}Z"


def _dimensions(
    collection: Mapping[str, Any],
    items: Sequence[Item],
    bands: Mapping[str, AssetBand],
    extent: Mapping[str, Any],
    names: Sequence[str],
) -> dict[str, Any]:
    """x, y, t and bands, with what the catalog says about them and the extents it leaves out."""
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
    for name, dimension in given.items():
        if name in found and name != b:
            said = {key: value for key, value in dimension.items() if value is not None}
            if _open(said.get("extent")):
                said.pop("extent", None)
            found[name] = {**found[name], **said}
        elif name not in found:
            found[name] = dict(dimension)
    return found


def _open(extent: Any) -> bool:
    return not extent or None in extent


def _summaries(collection: Mapping[str, Any], items: Sequence[Item], bands: Mapping[str, AssetBand]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in (collection.get("summaries") or {}).items():
        if name not in ("bands", "eo:bands", "raster:bands"):
            found[name] = _range(value)
    for name, value in _seen(items).items():
        found.setdefault(name, value)
    found["eo:bands"] = [_eo_band(band) for band in bands.values()]
    found["raster:bands"] = [_raster_band(band) for band in bands.values()]
    found["bands"] = [_stac11_band(band) for band in bands.values()]
    return found


def _range(value: Any) -> Any:
    """Ranges under both pairs of names: STAC's, and the one that the federation's aggregator reads.

    The API's document wants a summary to be either a range or a JSON schema, and a range looks like a schema, too,
    unless it has a type that no schema can have.
    """
    if isinstance(value, Mapping) and "minimum" in value and "maximum" in value:
        return {"type": "range", **value, "min": value["minimum"], "max": value["maximum"]}
    return value if isinstance(value, Mapping | list) or value is None else [value]


def _seen(items: Iterable[Item]) -> dict[str, Any]:
    """Ranges and values of the properties that items have and filters may use."""
    values: dict[str, list[Any]] = {}
    for item in items:
        for name, value in item.properties.items():
            if name.startswith(("proj:", "created", "updated")) or name.endswith("datetime"):
                continue
            entries = value if isinstance(value, list) else [value]
            values.setdefault(name, []).extend(entries)
    found: dict[str, Any] = {}
    for name, entries in values.items():
        plain = [entry for entry in entries if isinstance(entry, str | int | float)]
        if not plain or len(plain) < len(entries):
            continue
        numbers = [entry for entry in plain if not isinstance(entry, str | bool)]
        unique = list(dict.fromkeys(plain))
        measured = any(isinstance(number, float) for number in numbers)
        if len(numbers) == len(plain) and (measured or len(unique) > 3):
            low, high = min(numbers), max(numbers)
            found[name] = _range({"minimum": low, "maximum": high})
        elif len(unique) <= _MOST_VALUES:
            found[name] = unique
    return found


def _eo_band(band: AssetBand) -> dict[str, Any]:
    common = band.common_name if band.common_name in COMMON_NAMES else None
    return {
        "name": band.name,
        "common_name": common,
        "center_wavelength": band.wavelength,
        "full_width_half_max": band.width,
        "description": band.description,
        "gsd": band.gsd,
    }


def _raster_band(band: AssetBand) -> dict[str, Any]:
    return {
        "data_type": band.dtype,
        "nodata": "nan" if band.nodata is not None and np.isnan(band.nodata) else _whole(band.nodata),
        "scale": band.scale,
        "offset": band.offset,
        "unit": band.unit,
    }


def _whole(value: float | None) -> float | int | None:
    return int(value) if value is not None and float(value).is_integer() else value


def _stac11_band(band: AssetBand) -> dict[str, Any]:
    raster = _raster_band(band)
    return {
        "name": band.name,
        "description": band.description,
        "eo:common_name": band.common_name,
        "eo:center_wavelength": band.wavelength,
        "eo:full_width_half_max": band.width,
        "data_type": raster["data_type"],
        "nodata": raster["nodata"],
        "unit": raster["unit"],
        "raster:scale": band.scale,
        "raster:offset": band.offset,
    }


def _item_assets(collection: Mapping[str, Any], bands: Mapping[str, AssetBand]) -> dict[str, Any]:
    if collection.get("item_assets"):
        return dict(collection["item_assets"])
    found: dict[str, Any] = {}
    for band in bands.values():
        asset = found.setdefault(band.asset, {"roles": ["data"], "eo:bands": [], "raster:bands": []})
        asset["eo:bands"].append(_eo_band(band))
        asset["raster:bands"].append(_raster_band(band))
    return found


def _links(collection: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        dict(link)
        for link in collection.get("links") or ()
        if link.get("rel") not in _INNER and str(link.get("href", "")).startswith(("http://", "https://"))
    ]


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

    Bands, rasters and dimensions are published in the versions named here, whatever the catalog uses.
    """
    said = [str(e) for e in collection.get("stac_extensions") or ()]
    prefixes = {name.split(":", 1)[0] for name in (*described, *described["summaries"]) if ":" in name}
    used = [DATACUBE, EO, RASTER, ITEM_ASSETS]
    used += [uri for prefix, uri in _BY_PREFIX.items() if prefix in prefixes]
    ours = {_family(uri) for uri in (DATACUBE, EO, RASTER, ITEM_ASSETS)}
    kept = [uri for uri in said if _family(uri) not in ours]
    families = {_family(uri) for uri in kept}
    return kept + [uri for uri in dict.fromkeys(used) if _family(uri) not in families]


def _family(uri: str) -> str:
    return uri.removeprefix(_BASE).strip("/").split("/", 1)[0]


def _clean(value: Any) -> Any:
    """Without null members; the ends of open intervals stay null."""
    if isinstance(value, Mapping):
        return {key: _clean(entry) for key, entry in value.items() if entry is not None}
    if isinstance(value, list):
        return [_clean(entry) for entry in value]
    return value
