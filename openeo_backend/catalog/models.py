"""The layers of items; what items that say the same have in common is worked out once."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from openeo_backend.catalog.arrays import array_kind
from openeo_backend.catalog.bands import AssetBand, item_bands, linear, offset_key
from openeo_backend.catalog.grid import asset_crs, asset_grid, placing_key
from openeo_backend.catalog.hrefs import Gate
from openeo_backend.catalog.item import Form, Item
from openeo_backend.catalog.layer import Layer

#: How a data type is named, e.g. uint16 or <u2; numpy takes other texts for programs.
_NAME = re.compile(r"[<>=|]?[a-z]{1,7}[0-9]{0,3}")


class Models:
    """Makes layers.

    :param bands: the bands wanted, as the collection has them.
    :param gate: admits the addresses of files.
    """

    def __init__(self, bands: Mapping[str, AssetBand], gate: Gate) -> None:
        self._bands = bands
        self._gate = gate
        self._models: dict[tuple[Form, str, str], dict[str, Layer]] = {}

    def layers(self, item: Item) -> dict[str, Layer]:
        """The layers of an item by band; bands that the item lacks are absent.

        :raises OpenEOError: PermissionsInsufficient for addresses that are not read.
        """
        said = item.form, placing_key(item), offset_key(item)
        if said not in self._models:
            self._models[said] = self._models_of(item)
        found = {}
        for name, model in self._models[said].items():
            address = self._gate.admit(item.assets[model.asset]["href"], for_gdal=model.kind is None)
            found[name] = model.at(address, item.id, item.moment)
        return found

    def _models_of(self, item: Item) -> dict[str, Layer]:
        """What the layers of all items that say the same have in common."""
        own = item_bands(item)
        found = {}
        for name, target in self._bands.items():
            band = own.get(name)
            if band is None:
                continue
            asset = item.assets[band.asset]
            kind = array_kind(asset)
            scale, offset = linear(band, item, target)
            wanted_scale = target.scale if target.scale is not None else scale
            wanted_offset = target.offset if target.offset is not None else 0.0
            found[name] = Layer(
                address="",
                index=band.index if kind is None else 1,
                item="",
                asset=band.asset,
                kind=kind,
                band=name,
                number=band.index,
                count=band.count,
                crs=asset_crs(item, asset),
                target=(1.0, 0.0) if kind is not None and band.scale is None and band.offset is None else None,
                dtype=_dtype(band.dtype),
                nodata=band.nodata,
                grid=asset_grid(item, asset),
                factor=scale / wanted_scale,
                summand=round((offset - wanted_offset) / wanted_scale, 9),
            )
        return found


def _dtype(name: str | None) -> str | None:
    """The data type of STAC as numpy's; None for those that numpy lacks, and for what is none."""
    if not name or not _NAME.fullmatch(name):
        return None
    try:
        found = np.dtype(name)
    except TypeError:
        return None
    return str(found) if found.kind in "iuf" else None
