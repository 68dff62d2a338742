"""Spectral indices."""

from __future__ import annotations

import numpy as np
import xarray as xr

from openeo_backend.cube.cube import Cube
from openeo_backend.cube.nodata import to_float
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.effects import Block, Effect
from openeo_backend.processes.registry import process


@process("ndvi", effect=Effect(bands=Block()))
def ndvi(data: Cube, nir: str = "nir", red: str = "red", target_band: str | None = None) -> Cube:
    """(nir - red) / (nir + red), in place of the bands or as another band; missing where a band is, or both are 0."""
    found = data.of_type("bands")
    if len(found) != 1:
        raise OpenEOError("DimensionAmbiguous", f"The data cube has {len(found)} dimensions of bands instead of one.")
    name = found[0].name
    if target_band is not None and target_band in list(data.labels(name)):
        raise OpenEOError(
            "BandExists", f"A band '{target_band}' exists already.", hint="Choose another name for the target band."
        )
    numbers = to_float(data)
    first = numbers.data.isel({name: _band(data, name, nir, "nir")}, drop=True)
    second = numbers.data.isel({name: _band(data, name, red, "red")}, drop=True)
    index = xr.apply_ufunc(_share, first, second, dask="parallelized", output_dtypes=[first.dtype])
    if target_band is None:
        return numbers.with_data(index, bands={})
    added = index.expand_dims({name: [target_band]}).transpose(*data.names)
    labels = [*data.labels(name), target_band]
    joined = xr.concat([numbers.data.drop_vars(name), added.drop_vars(name)], dim=name)
    return numbers.patch(data=joined.transpose(*data.names).assign_coords({name: labels}))


def _share(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.asarray((first - second) / (first + second))


def _band(data: Cube, name: str, wanted: str, role: str) -> int:
    labels = list(data.labels(name))
    if wanted in labels:
        return labels.index(wanted)
    matches = [i for i, label in enumerate(labels) if label in data.bands and data.bands[label].common_name == wanted]
    if len(matches) == 1:
        return matches[0]
    code = "NirBandAmbiguous" if role == "nir" else "RedBandAmbiguous"
    what = f"{len(matches)} bands have" if matches else "No band has"
    raise OpenEOError(
        code,
        f"{what} the name or common name '{wanted}'. Available: {', '.join(map(str, labels))}.",
        hint=f"Name the band in the parameter '{role}'.",
    )
