"""Filters: processes that keep some of a cube's labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import shapely

from openeo_backend.cube.cube import Cube
from openeo_backend.cube.dimension import Dimension
from openeo_backend.cube.extent import Area, Interval, parse_area, parse_interval
from openeo_backend.cube.geometry import parse_geometries, project
from openeo_backend.cube.grid import crop, need_crs, rectangles, take, within
from openeo_backend.cube.inside import inside, selected_bounds
from openeo_backend.cube.labels import instant, labels_json
from openeo_backend.cube.nodata import put_missing
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.callback import Callback
from openeo_backend.graph.effects import Effect, Keep, Narrow
from openeo_backend.processes.environment import Env
from openeo_backend.processes.registry import process

# -- bands ----------------------------------------------------------------------------------------------


@process("filter_bands", effect=Effect(bands=Narrow("bands"), coarse=Keep()))
def filter_bands(
    data: Cube, bands: list[str] | None = None, wavelengths: list[list[float]] | None = None, *, env: Env
) -> Cube:
    """Keep bands by name, common name or wavelength, in the order of the arguments; unknown names match nothing."""
    found = data.of_type("bands")
    if not bands and not wavelengths:
        raise OpenEOError(
            "BandFilterParameterMissing", "Neither 'bands' nor 'wavelengths' is given.", hint="Give at least one."
        )
    if not found:
        raise OpenEOError("DimensionMissing", f"The data cube has no bands, only: {', '.join(data.names)}.")
    name = found[0].name
    labels = list(data.labels(name))
    chosen: list[int] = []
    for band in bands or []:
        matches = _bands_called(data, labels, band)
        if not matches:
            env.log("warning", f"filter_bands: no band is called '{band}'. Available: {', '.join(map(str, labels))}.")
        chosen += matches
    for interval in wavelengths or []:
        chosen += _bands_between(data, labels, interval)
    kept = take(data, name, np.array(list(dict.fromkeys(chosen)), dtype="int64"))
    return kept.patch(bands={label: band for label, band in data.bands.items() if label in set(kept.labels(name))})


def _bands_called(data: Cube, labels: list[Any], wanted: str) -> list[int]:
    """Positions of the band of that name, or else of all bands of that common name."""
    if wanted in labels:
        return [labels.index(wanted)]
    return [i for i, label in enumerate(labels) if label in data.bands and data.bands[label].common_name == wanted]


def _bands_between(data: Cube, labels: list[Any], interval: list[float]) -> list[int]:
    if len(interval) != 2 or interval[0] > interval[1]:
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"The wavelengths {interval} are not an interval.",
            hint="Give the lower and the upper limit in micrometres, e.g. [0.45, 0.5].",
        )
    low, high = interval
    wavelengths = [data.bands[label].wavelength if label in data.bands else None for label in labels]
    return [i for i, length in enumerate(wavelengths) if length is not None and low <= length <= high]


# -- space ----------------------------------------------------------------------------------------------


@process("filter_bbox", effect=Effect(spatial=Narrow("extent")))
def filter_bbox(data: Cube, extent: Mapping[str, Any]) -> Cube:
    """Keep the pixels with centres in a box, or the geometries of a vector cube that are within it."""
    area = parse_area(extent) if isinstance(extent, Mapping) and "west" in extent else None
    if area is None:
        raise OpenEOError("ProcessParameterInvalid", "The extent is not a bounding box with west, south, east, north.")
    crs = need_crs(data)
    if data.is_vector:
        return _within_box(data, area)
    cropped = crop(data, rectangles(area, crs))
    z = data.axis("z")
    return cropped if z is None else _between_heights(cropped, z, extent)


def _between_heights(data: Cube, z: Dimension, extent: Mapping[str, Any]) -> Cube:
    base, height = (extent.get(side) for side in ("base", "height"))
    low = -np.inf if base is None else float(base)
    high = np.inf if height is None else float(height)
    return take(data, z.name, within(data.labels(z.name), low, high, z.step or 1e-6))


def _within_box(data: Cube, area: Area) -> Cube:
    name = data.of_type("geometry")[0].name
    geometries = data.labels(name)
    boxes = shapely.union_all([shapely.box(*part) for part in rectangles(area, need_crs(data))])
    return take(data, name, shapely.within(geometries, boxes) & ~shapely.is_empty(geometries))


@process("filter_spatial", effect=Effect(spatial=Narrow("geometries")))
def filter_spatial(data: Cube, geometries: Any) -> Cube:
    """Crop to the bounding box of geometries and remove what they do not select within it."""
    found = project(parse_geometries(geometries), need_crs(data))
    cropped = crop(data, selected_bounds(data, found))
    return put_missing(cropped, ~inside(cropped, found))


# -- time -----------------------------------------------------------------------------------------------


@process("filter_temporal", effect=Effect(temporal=Narrow("extent"), coarse=Keep()))
def filter_temporal(data: Cube, extent: list[str | None], dimension: str | None = None) -> Cube:
    """Keep the dates in a half-open interval, on one or all temporal dimensions."""
    interval = parse_interval(extent)
    if dimension is None:
        names = [found.name for found in data.of_type("temporal")]
    else:
        names = [data.dimension(dimension).name] if data.dimension(dimension).type == "temporal" else []
    if not names:
        what = (
            f"The dimension '{dimension}' is not temporal" if dimension else "The data cube has no temporal dimension"
        )
        raise OpenEOError("DimensionNotAvailable", f"{what}. Available: {', '.join(data.names) or 'none'}.")
    for name in names:
        data = take(data, name, _dates_in(data, name, interval))
    return data


def _dates_in(data: Cube, name: str, interval: Interval) -> np.ndarray:
    labels = data.labels(name)
    instants = [instant(label) for label in labels]
    unknown = [label for label, moment in zip(labels, instants, strict=True) if moment is None]
    if unknown:
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"Labels of the dimension '{name}' are not dates: {', '.join(map(str, unknown[:5]))}.",
            hint="Use filter_labels for labels that are not dates.",
        )
    return interval.contains(np.array(instants, dtype="datetime64[ns]"))


# -- labels ---------------------------------------------------------------------------------------------


@process("filter_labels", effect=Effect(along="dimension"))
def filter_labels(data: Cube, condition: Callback, dimension: str, context: Any = None) -> Cube:
    """Keep the labels for which the condition is true."""
    labels = labels_json(data.labels(data.dimension(dimension).name))
    kept = [_is_true(condition(value=label, context=context)) for label in labels]
    return take(data, dimension, np.array(kept, dtype=bool))


def _is_true(value: Any) -> bool:
    return isinstance(value, bool | np.bool_) and bool(value)
