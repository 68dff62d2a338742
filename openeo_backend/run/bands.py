"""Bands of result files as STAC describes them, in its newer and its older way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openeo_backend.store.types import finite

_STATISTICS = ("minimum", "maximum", "mean", "stddev", "valid_percent")
NO_STATISTICS = dict.fromkeys(_STATISTICS)


def stac_band(band: Mapping[str, Any]) -> dict[str, Any]:
    """A band as STAC 1.1.0 has it."""
    named = {"unit": "unit", "eo:common_name": "common_name", "raster:scale": "scale", "raster:offset": "offset"}
    return without_nulls(
        {
            "name": band["name"],
            "data_type": band.get("data_type"),
            "nodata": band.get("nodata"),
            "statistics": _statistics(band),
            **{name: band.get(source) for name, source in named.items()},
        }
    )


def eo_band(band: Mapping[str, Any]) -> dict[str, Any]:
    """A band as the eo extension had it before STAC 1.1.0."""
    return without_nulls({"name": band["name"], "common_name": band.get("common_name")})


def raster_band(band: Mapping[str, Any]) -> dict[str, Any]:
    """A band as the raster extension had it before STAC 1.1.0."""
    kept = {name: band.get(name) for name in ("data_type", "nodata", "unit", "scale", "offset")}
    return without_nulls({"name": band["name"], **kept, "statistics": _statistics(band)})


def _statistics(band: Mapping[str, Any]) -> dict[str, float] | None:
    found = finite({name: band.get(name) for name in _STATISTICS})
    return {name: value for name, value in found.items() if value is not None} or None


def without_nulls(document: Mapping[str, Any]) -> dict[str, Any]:
    """The members that have a value."""
    return {name: value for name, value in document.items() if value is not None}
