"""All file formats, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from openeo_backend.errors import OpenEOError
from openeo_backend.formats import csv_, geojson, gtiff, jpeg, json_, netcdf, parquet, png, zarr_
from openeo_backend.formats.asset import Format

_ALL = [module.FORMAT for module in (gtiff, netcdf, png, jpeg, json_, csv_, geojson, parquet, zarr_)]

#: Formats by lower-case name.
FORMATS: Mapping[str, Format] = MappingProxyType({format.name.lower(): format for format in _ALL})


def find(name: str) -> Format:
    """The format of a name, in any spelling of upper and lower case.

    :raises OpenEOError: FormatUnsuitable, listing the formats there are.
    """
    found = FORMATS.get(str(name).lower())
    if found is None:
        listed = ", ".join(format.name for format in _ALL)
        raise OpenEOError("FormatUnsuitable", f"There is no file format '{name}'.", hint=f"Formats: {listed}.")
    return found
