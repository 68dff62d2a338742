"""Bands as STAC describes them, in all its spellings.

STAC 1.0 has `eo:bands` and `raster:bands`, STAC 1.1 has `bands` with members of the extensions inside and at the
asset; without any of them an asset is a band called like its key.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from openeo_backend.catalog.arrays import array_kind
from openeo_backend.catalog.item import Form, Item
from openeo_backend.cube.pixels import refuse
from openeo_backend.graph.schema import describe

_RASTER = re.compile(
    r"^image/(tiff|jp2|vnd\.stac\.geotiff|x\.geotiff)|^application/(x-netcdf|netcdf|vnd\+?\.?zarr)", re.I
)
_RASTER_FILE = re.compile(r"\.(tiff?|jp2|nc|zarr)(\?.*)?$", re.I)
_ASIDE = {"thumbnail", "overview", "metadata", "visual", "cloud-optimized-overview"}
_VERSIONS = ("s2:processing_baseline", "processing:baseline", "processing:version", "version")
_SENTINEL2 = re.compile(r"^B(0?\d|1[0-2]|8A)$")


@dataclass(frozen=True)
class AssetBand:
    """One band of one asset, with what the metadata say about its values (None: they say nothing)."""

    name: str
    asset: str
    """Key of the asset."""

    index: int = 1
    """1-based number of the band in the file."""

    count: int = 1
    """Number of bands of the asset."""

    common_name: str | None = None
    wavelength: float | None = None
    width: float | None = None
    """Full width at half maximum in micrometres."""

    dtype: str | None = None
    nodata: float | None = None
    scale: float | None = None
    offset: float | None = None
    unit: str | None = None
    description: str | None = None
    gsd: float | None = None
    aside: bool = False
    """Made for looking at (thumbnail, true colour picture), not loaded unless asked for by name."""


def is_raster(asset: Mapping[str, Any]) -> bool:
    """Whether an asset holds pixels that a reader may open."""
    if array_kind(asset) is not None:
        return True
    media = asset.get("type")
    if media:
        return _is_picture(str(media))
    if asset.get("href"):
        return bool(_RASTER_FILE.search(str(asset["href"])))
    return any(asset.get(key) for key in ("bands", "eo:bands", "raster:bands"))


@lru_cache(maxsize=1024)
def _is_picture(media: str) -> bool:
    return bool(_RASTER.search(media))


def asset_bands(key: str, asset: Mapping[str, Any]) -> Sequence[AssetBand]:
    """All bands of an asset (also of a member of `item_assets`), in the order of the file.

    Of assets that say the same these are the same objects: most items of a collection do.
    """
    return _described(key, _Said({name: asset[name] for name in _SAYING if name in asset}))


class _Said(dict[str, Any]):
    """What an asset says about its bands; hashed by what it says."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(repr(self))


@lru_cache(maxsize=4096)
def _described(key: str, asset: _Said) -> Sequence[AssetBand]:
    merged = _merge_bands(asset)
    roles = {str(role) for role in asset.get("roles") or ()}
    aside = bool(roles & _ASIDE) and "data" not in roles
    found = []
    for position, band in enumerate(merged):
        fallback = key if len(merged) == 1 else f"{key}.{position + 1}"
        found.append(
            AssetBand(
                name=str(band.get("name") or fallback),
                asset=key,
                index=position + 1,
                count=len(merged),
                common_name=band.get("eo:common_name", band.get("common_name")),
                wavelength=_number(band.get("eo:center_wavelength", band.get("center_wavelength"))),
                width=_number(band.get("eo:full_width_half_max", band.get("full_width_half_max"))),
                dtype=band.get("data_type"),
                nodata=_number(band.get("nodata")),
                scale=_number(band.get("raster:scale", band.get("scale"))),
                offset=_number(band.get("raster:offset", band.get("offset"))),
                unit=band.get("unit"),
                description=band.get("description"),
                gsd=_number(band.get("raster:spatial_resolution", band.get("spatial_resolution", band.get("gsd")))),
                aside=aside,
            )
        )
    return tuple(found)


_INHERITED = (
    *("data_type", "nodata", "unit", "gsd", "raster:scale", "raster:offset", "raster:spatial_resolution"),
    *("eo:common_name", "eo:center_wavelength", "eo:full_width_half_max"),
)


#: Members of an asset that say something about its bands.
_SAYING = ("raster:bands", "eo:bands", "bands", "roles", *_INHERITED)


def _merge_bands(asset: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One mapping per band: members of the asset, then those of each spelling of its bands."""
    lists = [list(asset.get(name) or ()) for name in ("raster:bands", "eo:bands", "bands")]
    count = max((len(entries) for entries in lists), default=0) or 1
    shared = {name: asset[name] for name in _INHERITED if name in asset}
    merged = []
    for position in range(count):
        band: dict[str, Any] = dict(shared)
        for entries in lists:
            if position < len(entries) and isinstance(entries[position], Mapping):
                band.update({k: v for k, v in entries[position].items() if v is not None})
        merged.append(band)
    return merged


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        value = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}.get(value.lower())
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def item_bands(item: Item) -> dict[str, AssetBand]:
    """The bands of an item by name.

    Of several assets with the same band the finest single-band one is taken, pictures last.
    """
    found: dict[str, AssetBand] = item.form.fact("bands", lambda: _item_bands(item))
    return found


def _item_bands(item: Item) -> dict[str, AssetBand]:
    found: dict[str, AssetBand] = {}
    for key, asset in item.assets.items():
        if is_raster(asset):
            for band in asset_bands(key, asset):
                known = found.get(band.name)
                if known is None or _preference(band, item) < _preference(known, item):
                    found[band.name] = band
    return found


def _preference(band: AssetBand, item: Item) -> tuple[bool, bool, float]:
    transform = item.assets[band.asset].get("proj:transform")
    step = abs(float(transform[0])) if transform else band.gsd or math.inf
    return band.aside, band.count > 1, step


def collection_bands(collection: Mapping[str, Any], items: Iterable[Item] = ()) -> dict[str, AssetBand]:
    """All bands of a collection, ordered as its metadata say; bands that only items have come last.

    What `cube:dimensions` does not name and is made for looking at is left out.
    """
    known: dict[str, AssetBand] = {}

    def note(band: AssetBand) -> None:
        known[band.name] = _fill(known[band.name], band) if band.name in known else band

    for key, asset in (collection.get("item_assets") or {}).items():
        if is_raster(asset):
            for band in sorted(asset_bands(key, asset), key=lambda b: b.count):
                note(band)
    summaries = collection.get("summaries") or {}
    summarised: list[str] = []
    for entry in (
        _entries(summaries.get("bands")) or _entries(summaries.get("eo:bands")) or _entries(collection.get("bands"))
    ):
        if entry.get("name"):
            summarised.append(str(entry["name"]))
            note(asset_bands(str(entry["name"]), {"bands": [entry]})[0])
    seen: set[tuple[Form, str]] = set()
    for item in items:
        said = item.form, offset_key(item)
        if said in seen:  # another item said the same
            continue
        seen.add(said)
        for band in item_bands(item).values():
            _, offset = linear(band, item)
            known_offset = offset if offset or band.offset is not None else None
            note(band if known_offset == band.offset else replace(band, offset=known_offset))
    named = [str(name) for name in _dimension_values(collection)]
    order = [*named, *summarised, *known]
    chosen = [name for name in dict.fromkeys(order) if name in named or not (name in known and known[name].aside)]
    return {name: known.get(name) or AssetBand(name, name) for name in chosen}


def _entries(value: Any) -> list[Mapping[str, Any]]:
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, Sequence) else []


def _dimension_values(collection: Mapping[str, Any]) -> list[Any]:
    for dimension in (collection.get("cube:dimensions") or {}).values():
        if isinstance(dimension, Mapping) and dimension.get("type") == "bands":
            return list(dimension.get("values") or ())
    return []


def _fill(band: AssetBand, other: AssetBand) -> AssetBand:
    """`band` with what it does not say taken from `other`."""
    said, more = vars(band), vars(other)
    added = {name: more[name] for name, value in said.items() if value is None and more[name] is not None}
    if band.aside and not other.aside:
        added["aside"] = False
    return replace(band, **added) if added else band


def pick_bands(names: Sequence[str], available: Mapping[str, AssetBand]) -> list[str]:
    """The bands meant by names or common names, in the order asked, each once.

    Names win over common names; all bands of a common name are meant.

    :raises KeyError: with the name that nothing matches.
    """
    chosen: list[str] = []
    for name in names:
        if not isinstance(name, str):
            raise refuse("bands", f"must be an array of names, but has {describe(name)}")
        matches = [name] if name in available else [n for n, band in available.items() if band.common_name == name]
        if not matches:
            raise KeyError(name)
        chosen += matches
    return list(dict.fromkeys(chosen))


def offset_key(item: Item) -> str:
    """What is the same for items of one form of which :func:`linear` is the same."""
    return repr([item.properties.get(name) for name in ("earthsearch:boa_offset_applied", *_VERSIONS)])


def linear(band: AssetBand, item: Item, published: AssetBand | None = None) -> tuple[float, float]:
    """Scale and offset from stored to physical values of a band of one item.

    Sentinel-2 products of processing baseline 04.00 and later carry an offset of -1000 digital numbers, which not
    every catalog tells; some providers have taken it out of the pixels and say so in a property of their own.

    :param published: the band as the collection has it, which holds where the item says nothing.
    """
    scales = (band.scale, published.scale if published else None, 1.0)
    scale = next(scale for scale in scales if scale is not None)
    if item.properties.get("earthsearch:boa_offset_applied") is True:
        return scale, 0.0
    if band.offset is not None:
        return scale, band.offset
    baseline = baseline_number(item.properties) if "s2:processing_baseline" in item.properties else None
    if baseline is not None and _SENTINEL2.match(band.name):
        return scale, -1000.0 * scale if baseline >= (4, 0) else 0.0
    return scale, (published.offset or 0.0) if published else 0.0


def baseline_number(properties: Mapping[str, Any]) -> tuple[int, ...] | None:
    """The processing baseline or version of an item as comparable numbers."""
    for name in _VERSIONS:
        text = properties.get(name)
        digits = re.findall(r"\d+", str(text)) if text is not None else []
        if digits:
            return tuple(int(part) for part in digits)
    return None
