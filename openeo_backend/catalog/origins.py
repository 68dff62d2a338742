"""What a load tells about what it loaded, and where that comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import numpy as np

from openeo_backend.catalog.bands import AssetBand
from openeo_backend.catalog.hrefs import is_url
from openeo_backend.catalog.item import Item
from openeo_backend.catalog.levels import optical_levels, radar_coefficients, sun_zeniths
from openeo_backend.catalog.mosaic import Step
from openeo_backend.cube import Cube, Provenance


def summary(id: str, cube: Cube, steps: Sequence[Step]) -> list[str]:
    """What the user is told of a load; nothing of one without a grid."""
    grid = cube.geobox
    if grid is None:
        return []
    count = sum(len(step.items) for step in steps)
    told = (
        f"{id}: {count} items in {len(steps)} time steps from {np.datetime_as_string(steps[0].label, unit='D')} to "
        f"{np.datetime_as_string(steps[-1].label, unit='D')}, on the grid {grid.crs}, resolution "
        f"{abs(grid.resolution.x):.10g} x {abs(grid.resolution.y):.10g}, {grid.shape[1]} x {grid.shape[0]} pixels."
    )
    return [told]


def _address(item: Item, collection: str) -> str:
    """Where users find an item: its URL or, of one in files of this machine, its path in this API."""
    return item.href if is_url(item.href) else f"collections/{quote(collection)}/items/{quote(item.id, safe='')}"


def provenance(
    collection: Mapping[str, Any], id: str, steps: Sequence[Step], bands: Mapping[str, AssetBand]
) -> Provenance:
    """Where the values of a load come from."""
    license = collection.get("license")
    levels = optical_levels(collection, (item for step in steps for item in step.items))
    coefficients = radar_coefficients(collection, [band.description for band in bands.values()])
    return Provenance(
        items=tuple(dict.fromkeys(_address(item, id) for step in steps for item in step.items)),
        collections=(id,),
        licenses=(str(license),) if license else (),
        providers=tuple(collection.get("providers") or ()),
        levels=levels,
        coefficients=coefficients,
        sun=sun_zeniths(steps) if "L1" in levels and not coefficients else (),
        period=tuple(f"{np.datetime_as_string(step.label, unit='s')}Z" for step in (steps[0], steps[-1])),
        instruments=_instruments(collection, steps),
    )


def _instruments(collection: Mapping[str, Any], steps: Sequence[Step]) -> tuple[str, ...]:
    """The instruments that the items name; where they name none, those of their collection."""
    told = [item.properties.get("instruments") for step in steps for item in step.items]
    listed: list[Any] = [names for names in told if isinstance(names, list)] or [
        (collection.get("summaries") or {}).get("instruments") or ()
    ]
    return tuple(dict.fromkeys(str(name) for names in listed for name in names))
