"""Items whose assets hold several variables or dates in one file: netCDF and Zarr."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from openeo_backend.catalog.arrays import ArrayError, array_kind
from openeo_backend.catalog.bands import AssetBand, item_bands
from openeo_backend.catalog.handles import Handles
from openeo_backend.catalog.hrefs import Gate
from openeo_backend.catalog.item import Item
from openeo_backend.catalog.layer import Layer, unreadable
from openeo_backend.cube.extent import Interval, parse_time
from openeo_backend.errors import OpenEOError


class Series:
    """Learns from array files what the metadata leave out.

    :param gate: admits their addresses.
    :param soft: told about files that cannot be read, whose items are then left out; None: they are errors.
    """

    def __init__(self, gate: Gate, handles: Handles, soft: Callable[[str], None] | None = None) -> None:
        self._gate = gate
        self._handles = handles
        self._soft = soft
        self._variables: dict[str, list[dict[str, Any]]] = {}
        self.has_looked = False
        """Whether it opened files."""

    def complete(self, items: Iterable[Item]) -> list[Item]:
        """The items, with the variables of array files as bands where the metadata name none.

        The first file tells what all assets of its key have.

        :raises OpenEOError: AssetUnreadable.
        """
        return [found for item in items for found in self._unless_broken(partial(self._complete, item))]

    def _unless_broken(self, look: Callable[[], list[Item]]) -> list[Item]:
        try:
            return look()
        except OpenEOError as error:
            if self._soft is None or error.code != "AssetUnreadable":
                raise
            self._soft(error.message)
            return []

    def _complete(self, item: Item) -> list[Item]:
        nameless: list[str] = item.form.fact("nameless", lambda: _nameless(item))
        if not nameless:
            return [item]
        arrays = {key: item.assets[key] for key in nameless}
        told = {key: {**asset, "bands": self._bands(item, key, asset)} for key, asset in arrays.items()}
        return [replace(item, assets={**item.assets, **told})]

    def _bands(self, item: Item, key: str, asset: Mapping[str, Any]) -> list[dict[str, Any]]:
        if key not in self._variables:
            variables = asset.get("cube:variables") or item.properties.get("cube:variables") or {}
            names = [str(name) for name, told in variables.items() if told.get("type", "data") == "data"]
            names = names or self._read(item, key, lambda file: file.names())
            self._variables[key] = [{"name": key if len(names) == 1 and not variables else name} for name in names]
        return self._variables[key]

    def unfold(self, items: Iterable[Item], bands: Collection[str], interval: Interval) -> list[Item]:
        """The items; those with array files of several dates once for each date in the interval.

        Items with a single time are taken to have files of that time.

        :raises OpenEOError: AssetUnreadable.
        """

        def unfold(item: Item) -> list[Item]:
            dates = self._dates(item, bands)
            if len(dates) < 2:
                return [item]
            return [replace(item, start=d, end=d, moment=d) for d in dates if interval.contains(np.asarray(d))]

        return [found for item in items for found in self._unless_broken(partial(unfold, item))]

    def _dates(self, item: Item, bands: Collection[str]) -> Sequence[np.datetime64]:
        if item.start == item.end:
            return ()
        arrays = [band for name, band in item_bands(item).items() if name in bands and _is_array(item, band)]
        if not arrays:
            return ()
        for dimension in (item.properties.get("cube:dimensions") or {}).values():
            if dimension.get("type") == "temporal" and dimension.get("values"):
                return [parse_time(value) for value in dimension["values"]]
        first = arrays[0]
        return list(
            self._read(item, first.asset, lambda file: file.times([file.find(first.name, first.index, first.count)]))
        )

    def _read(self, item: Item, key: str, ask: Any) -> Any:
        self.has_looked = True
        asset = item.assets[key]
        kind = array_kind(asset)
        address = self._gate.admit(str(asset["href"]), for_gdal=False)
        try:
            return ask(self._handles.open(address, kind))
        except (ArrayError, OpenEOError) as error:
            reason = error.message if isinstance(error, OpenEOError) else str(error)
            raise unreadable(Layer(address, 1, item.id, key), reason.rstrip(".")) from error


def _nameless(item: Item) -> list[str]:
    """The array files of an item that names no bands."""
    if any(_names_bands(asset) for asset in item.assets.values()):
        return []
    return [key for key, asset in item.assets.items() if array_kind(asset) is not None]


def _names_bands(asset: Mapping[str, Any]) -> bool:
    return any(asset.get(name) for name in ("bands", "eo:bands", "raster:bands"))


def _is_array(item: Item, band: AssetBand) -> bool:
    return array_kind(item.assets[band.asset]) is not None
