"""One band of one asset, as the metadata have it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from openeo_backend.catalog.arrays import Kind
from openeo_backend.errors import OpenEOError


@dataclass(frozen=True, eq=False)
class Layer:
    """One band of one asset of one item: where it is and how its values become those of the cube."""

    address: str
    """As GDAL opens it; a path or URL for files that GDAL does not read."""

    index: int
    item: str
    asset: str
    kind: Kind | None = None
    """Of a file that is read as arrays; None for rasters."""

    band: str = ""
    """Name of the band; arrays are found by it."""

    number: int = 1
    count: int = 1
    """Number of the band among so many of the asset, for arrays with other names."""

    moment: np.datetime64 | None = None
    """The date to read of an array with several."""

    crs: CRS | None = None
    """Reference system according to the metadata, for arrays that do not tell it."""

    target: tuple[float, float] | None = None
    """Scale and offset of the cube's values, if those of the layer are the file's own."""

    dtype: str | None = None
    """Data type according to the metadata; a file of another type is an error."""

    nodata: float | None = None
    """No-data value according to the metadata, else the file's own."""

    grid: GeoBox | None = None
    """Grid according to the metadata; a file on another grid is an error."""

    bounds: tuple[float, float, float, float] | None = None
    """Where it lies, in the reference system of the cube; None where that is not known."""

    factor: float = 1.0
    summand: float = 0.0
    """Stored values times `factor` plus `summand` are stored values as the collection has them."""

    reduce: int = 1
    """Pixels along a side that become one, which is their mean."""

    trusted: bool = False
    """Whether all overviews of the file hold means."""

    def at(self, address: str, item: str, moment: np.datetime64 | None) -> Layer:
        """The same band of the same asset of another item that says the same."""
        return self._but(address=address, item=item, moment=moment)

    def reduced(self, factor: int, trusted: bool) -> Layer:
        """The layer as means over squares of so many pixels."""
        return self._but(reduce=factor, trusted=trusted)

    def within(self, bounds: tuple[float, float, float, float]) -> Layer:
        """The layer with where it lies."""
        return self._but(bounds=bounds)

    def _but(self, **changes: Any) -> Layer:
        # many thousands are made: replace() takes ten times as long
        found = object.__new__(Layer)
        vars(found).update(vars(self), **changes)
        return found

    @property
    def key(self) -> tuple[object, ...]:
        """What has the same grid and data type."""
        return self.address, self.band if self.kind else None

    @property
    def name(self) -> str:
        return f"asset '{self.asset}' of item '{self.item}'"


def unreadable(layer: Layer, reason: str) -> OpenEOError:
    """The error for an asset that cannot be read or is not what its metadata say."""
    # users know files by their names; where they lie on this machine is the operator's business
    shown = (
        reason.replace(layer.address, PurePosixPath(layer.address).name) if layer.address.startswith("/") else reason
    )
    return OpenEOError(
        "AssetUnreadable",
        f"The {layer.name} cannot be used: {shown}.",
        hint="Exclude the item by a narrower extent or a property filter, or set the option 'soft_errors' to skip it.",
        status=500,
    )
