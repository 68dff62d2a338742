"""Summaries of collections: what values the properties of their items have, and which bands there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from openeo_backend.catalog.bands import AssetBand
from openeo_backend.catalog.item import Item
from openeo_backend.catalog.vocabulary import COMMON_NAMES

#: Most different values of a property listed in summaries.
_MOST_VALUES = 20

#: Summaries that the federation's aggregator sets.
_AGGREGATORS = ("federation:backends", "provider:backend")

#: Summaries that it merges.
MERGED = frozenset({"constellation", "platform", "instruments", "gsd", "eo:bands"})
MERGED_PREFIXES = ("sar:", "sat:")


def summaries(collection: Mapping[str, Any], items: Sequence[Item], bands: Mapping[str, AssetBand]) -> dict[str, Any]:
    """The catalog's summaries and, where all items are known, those of their properties."""
    found: dict[str, Any] = {}
    for name, value in (collection.get("summaries") or {}).items():
        if name not in ("bands", "eo:bands", "raster:bands", *_AGGREGATORS):
            found[name] = value
    for name, value in _seen(items).items():
        found.setdefault(name, value)
    found["eo:bands"] = [eo_band(band) for band in bands.values()]
    found["raster:bands"] = [raster_band(band) for band in bands.values()]
    found["bands"] = [_stac11_band(band) for band in bands.values()]
    return found


def mergeable(summaries: Any) -> dict[str, Any]:
    """Summaries as lists and ranges: one of another kind, and the federation's aggregator takes none of them."""
    found = {name: _range(value) for name, value in summaries.items()} if isinstance(summaries, Mapping) else {}
    return {name: value for name, value in found.items() if value}


def federated(document: Mapping[str, Any]) -> dict[str, Any]:
    """A collection whose summaries are those that the federation's aggregator merges; it complains about others.

    Descriptions of bands as STAC 1.1 has them go to the top of the document; ranges are in the queryables anyway.
    """
    summaries = document["summaries"]
    kept = {name: value for name, value in summaries.items() if name in MERGED or name.startswith(MERGED_PREFIXES)}
    bands = {"bands": summaries["bands"]} if summaries.get("bands") else {}
    return {**document, **bands, "summaries": kept}


def _range(value: Any) -> Any:
    """Ranges under both pairs of names: STAC's, and the one that the federation's aggregator reads.

    The API's document wants a summary to be either a range or a JSON schema, and a range looks like a schema, too,
    unless it has a type that no schema can have. Of schemas the values that they list are kept.
    """
    if isinstance(value, Mapping):
        low, high = value.get("minimum"), value.get("maximum")
        if low is not None and high is not None:
            return {"type": "range", "minimum": low, "maximum": high, "min": low, "max": high}
        listed = value.get("enum", [value["const"]] if "const" in value else [])
        return listed if isinstance(listed, list) else []
    return [entry for entry in value if entry is not None] if isinstance(value, list) else [value] * (value is not None)


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
            found[name] = {"minimum": low, "maximum": high}
        elif len(unique) <= _MOST_VALUES:
            found[name] = unique
    return found


def eo_band(band: AssetBand) -> dict[str, Any]:
    common = band.common_name if band.common_name in COMMON_NAMES else None
    return {
        "name": band.name,
        "common_name": common,
        "center_wavelength": band.wavelength,
        "full_width_half_max": band.width,
        "description": band.description,
        "gsd": band.gsd,
    }


def raster_band(band: AssetBand) -> dict[str, Any]:
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
    raster = raster_band(band)
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
