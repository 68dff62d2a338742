"""Which bands of a cube are reflectances, and their physical values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from openeo_backend.cube.cube import Band, Cube
from openeo_backend.cube.dimension import Dimension
from openeo_backend.cube.grid import horizontal, take
from openeo_backend.cube.nodata import to_float
from openeo_backend.cube.optics import BINS, count_reflectances, dark_objects
from openeo_backend.errors import OpenEOError

#: Wavelengths in micrometres of STAC's common names, where the metadata give none.
_COMMON = dict(
    [("coastal", 0.443), ("blue", 0.48), ("green", 0.56), ("yellow", 0.6), ("red", 0.66), ("pan", 0.6)]
    + [("rededge", 0.72), ("nir", 0.84), ("nir08", 0.86), ("nir09", 0.945), ("cirrus", 1.375)]
    + [("swir16", 1.61), ("swir22", 2.2)]
)

#: Wavelengths of Sentinel-2's bands in micrometres.
_SENTINEL2 = dict(
    [("B01", 0.443), ("B02", 0.492), ("B03", 0.560), ("B04", 0.665), ("B05", 0.704), ("B06", 0.741), ("B07", 0.783)]
    + [("B08", 0.833), ("B8A", 0.865), ("B09", 0.945), ("B10", 1.374), ("B11", 1.614), ("B12", 2.202)]
)

#: Wavelengths of the surface reflectances of Landsat 8 and 9 in micrometres.
_LANDSAT = {f"SR_B{i}": wave for i, wave in enumerate((0.443, 0.482, 0.561, 0.655, 0.865, 1.609, 2.201), 1)}

_NAMED = _SENTINEL2 | _LANDSAT

#: Wavelengths at which the sun is what is reflected.
_SOLAR = (0.3, 3.0)


def bands_dimension(cube: Cube) -> Dimension:
    """The dimension of bands.

    :raises OpenEOError: DimensionMissing or DimensionAmbiguous where there is not exactly one.
    """
    found = cube.of_type("bands")
    if len(found) == 1:
        return found[0]
    if found:
        raise OpenEOError("DimensionAmbiguous", f"The data cube has {len(found)} dimensions of bands instead of one.")
    raise OpenEOError("DimensionMissing", "The data cube has no dimension of bands.")


def wavelengths(cube: Cube) -> dict[str, float]:
    """Centre wavelengths in micrometres of the bands that are solar reflectances, in order.

    They come from the metadata, else from common names, else from the names of Sentinel-2's bands and of
    Landsat's surface reflectances.
    """
    found: dict[str, float] = {}
    for label in map(str, cube.labels(bands_dimension(cube).name)):
        band = cube.bands.get(label, Band())
        known = (band.wavelength, _COMMON.get(band.common_name or ""), _NAMED.get(label))
        wavelength = next((value for value in known if value is not None), None)
        if wavelength is not None and _SOLAR[0] <= wavelength <= _SOLAR[1]:
            found[label] = wavelength
    return found


def pick(cube: Cube, labels: Sequence[str]) -> Cube:
    """The cube with some of its bands, in the given order."""
    name = bands_dimension(cube).name
    order = [str(label) for label in cube.labels(name)]
    return take(cube, name, np.array([order.index(label) for label in labels], dtype="int64"))


def plane(cube: Cube, label: str) -> xr.DataArray:
    """One band, without the dimension of bands: floating point, NaN for missing, scale and offset applied."""
    name = bands_dimension(cube).name
    return physical(pick(cube, [label])).data.isel({name: 0}, drop=True)


def physical(cube: Cube) -> Cube:
    """The cube with the published scales and offsets of its bands applied: floating point, NaN for missing."""
    name = bands_dimension(cube).name
    known = [cube.bands.get(str(label), Band()) for label in cube.labels(name)]
    numbers = to_float(cube)
    kind = numbers.data.dtype
    scales = [1.0 if band.scale is None else band.scale for band in known]
    offsets = [band.offset or 0.0 for band in known]
    data = numbers.data
    if any(scale != 1 for scale in scales) or any(offsets):
        factor = xr.DataArray(np.array(scales, dtype=kind), dims=[name])
        summand = xr.DataArray(np.array(offsets, dtype=kind), dims=[name])
        data = (data * factor + summand).transpose(*cube.names).assign_coords(data.coords)
    bands = {label: _plain(band) for label, band in cube.bands.items()}
    return numbers.patch(data=data, bands=bands)


def _plain(band: Band) -> Band:
    return Band(band.common_name, band.wavelength, unit=band.unit, description=band.description)


def darkest(cube: Cube) -> xr.DataArray:
    """The reflectance of the dark object of each band (and date): all dimensions but x and y, lazily.

    :param cube: physical reflectances.
    """
    x, y = horizontal(cube)
    ordered = cube.data.transpose(..., y.name, x.name)
    if cube.is_lazy:
        lead = ordered.data.chunks[:-2]
        rows, columns = ordered.data.numblocks[-2:]
        counts = da.map_blocks(
            _count_block,
            ordered.data,
            dtype="uint32",
            chunks=(*lead, (1,) * rows, (1,) * columns, (BINS,)),
            new_axis=ordered.ndim,
            meta=np.empty((0,) * (ordered.ndim + 1), dtype="uint32"),
        ).sum(axis=(-3, -2), dtype="uint32")
        values: Any = da.map_blocks(
            dark_objects, counts, dtype="float64", drop_axis=counts.ndim - 1, meta=np.empty((0,) * (counts.ndim - 1))
        )
    else:
        values = dark_objects(count_reflectances(np.asarray(ordered.data)))
    return ordered.isel({x.name: 0, y.name: 0}, drop=True).copy(data=values).astype(cube.data.dtype)


def _count_block(values: np.ndarray) -> np.ndarray:
    return count_reflectances(values)[..., None, None, :]


def classify(
    planes: Mapping[str, xr.DataArray], function: Callable[..., tuple[np.ndarray, np.ndarray]], *, together: bool
) -> tuple[xr.DataArray, xr.DataArray]:
    """Two new planes computed from others, lazily where those are.

    :param function: takes a mapping of arrays by name if `together`, else the one array there is.
    """
    names = list(planes)

    def call(*arrays: np.ndarray) -> np.ndarray:
        given = dict(zip(names, arrays, strict=True)) if together else arrays[0]
        return np.stack(function(given), axis=-1)

    both = xr.apply_ufunc(
        call,
        *planes.values(),
        output_core_dims=[["kind"]],
        dask="parallelized",
        output_dtypes=["float32"],
        dask_gufunc_kwargs={"output_sizes": {"kind": 2}},
    )
    return both.isel(kind=0), both.isel(kind=1)


def join(cube: Cube, planes: Mapping[str, xr.DataArray], known: Mapping[str, Band], before: Cube | None = None) -> Cube:
    """A cube of named planes on the dimensions of `cube`, after the bands of `before` (floating point) if given."""
    name = bands_dimension(cube).name
    dtype = before.data.dtype if before is not None else np.dtype("float32")
    parts = [] if before is None else [before.data.drop_vars(name)]
    parts += [values.astype(dtype).expand_dims(name).transpose(*cube.names) for values in planes.values()]
    labels = [*(map(str, before.labels(name)) if before is not None else ()), *planes]
    data = xr.concat(parts, dim=name, coords="minimal", compat="override", join="override").transpose(*cube.names)
    bands = {**(before.bands if before is not None else {}), **known}
    return cube.patch(data=data.assign_coords({name: np.array(labels, dtype=str)}), nodata=None, bands=bands)
