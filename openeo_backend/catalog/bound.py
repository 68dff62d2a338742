"""The least that a load reads, as far as it can be told before items are searched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from openeo_backend.catalog.bands import AssetBand, item_bands
from openeo_backend.catalog.grid import asset_grid, crs_of, pixel_area, placing_key
from openeo_backend.catalog.item import Item, box_geometry
from openeo_backend.errors import OpenEOError

#: Metres of a degree of latitude.
_DEGREE = 111_195.0

#: What projections may take off an area that was measured on the sphere.
_DISTORTION = 0.5


@dataclass(frozen=True)
class Least:
    """At least this much is read."""

    pixels: float
    """Of one band at one date."""

    bands: int
    dates: int = 1

    @property
    def samples(self) -> float:
        return self.pixels * self.bands * self.dates

    def describe(self) -> str:
        plural = "s" if self.bands > 1 else ""
        return f"{self.pixels / 1e6:,.0f} million pixels x {self.bands} band{plural} at one date or more"


def least(area: BaseGeometry | None, bands: Mapping[str, AssetBand], kept: int, sample: Sequence[Item]) -> Least | None:
    """A lower bound of what a load reads, or None where the metadata do not tell the size of pixels.

    :param area: longitude and latitude of the extents together; the grid of a load covers all of it.
    :param bands: the bands asked for, the finest of which gives the grid.
    :param kept: how many of them are read.
    :param sample: some items, from which the size of pixels is learned: of each band the largest counts.
    """
    if area is None or area.is_empty:
        return None
    extent = _Extent(area)
    several = list({(item.form, placing_key(item)): item for item in sample}.values())  # most items say the same
    pixels = [found for found in (_pixels(extent, name, band, several) for name, band in bands.items()) if found]
    return Least(max(pixels) * _DISTORTION, max(kept, 1)) if pixels else None


def published_area(collection: Mapping[str, Any]) -> BaseGeometry | None:
    """The bounding box that a collection publishes; None where it publishes none."""
    boxes: Any = ((collection.get("extent") or {}).get("spatial") or {}).get("bbox") or ()
    with suppress(TypeError, ValueError, IndexError):
        return box_geometry(boxes[0])
    return None


def refuse(samples: float, limit: float, what: str, *, at_least: bool = False) -> OpenEOError:
    """The error for a graph that reads more than its request may."""
    return OpenEOError(
        "ProcessGraphComplexity",
        f"The graph reads {'at least ' if at_least else ''}{_millions(samples)} million samples ({what}); "
        f"the limit for this kind of request is {_millions(limit)} million.",
        hint="Use a smaller extent, fewer dates or fewer bands. Batch jobs may read more than synchronous requests.",
    )


def _millions(samples: float) -> str:
    return f"{samples / 1e6:,.0f}" if samples >= 1e7 else f"{samples / 1e6:.3g}"


def _pixels(extent: _Extent, name: str, band: AssetBand, sample: Iterable[Item]) -> float | None:
    """Pixels of a band in an area; None where their size is not known."""
    counts = []
    for item in sample:
        own = item_bands(item).get(name)
        grid = asset_grid(item, item.assets[own.asset]) if own is not None else None
        if grid is not None:
            counts.append((extent.degrees if crs_of(grid).geographic else extent.metres) / pixel_area(grid))
    if counts:
        return min(counts)
    return extent.metres / band.gsd**2 if band.gsd else None


class _Extent:
    """The size of an area in longitude and latitude."""

    def __init__(self, area: BaseGeometry) -> None:
        self._area = area

    @property
    def degrees(self) -> float:
        """Square degrees."""
        return float(self._area.area)

    @cached_property
    def metres(self) -> float:
        """Square metres on the sphere."""
        equal = shapely.transform(
            self._area, lambda points: np.column_stack([points[:, 0], np.degrees(np.sin(np.radians(points[:, 1])))])
        )
        return float(equal.area) * _DEGREE**2
