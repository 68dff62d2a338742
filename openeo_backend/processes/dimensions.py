"""Processes that change dimensions and their labels."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from dask.base import compute
from odc.geo.crs import CRS

from openeo_backend.cube import Band, Cube, Dimension
from openeo_backend.cube.bounds import MOST_LABELS, refuse_many
from openeo_backend.cube.fusion import reshaped
from openeo_backend.cube.grid import take
from openeo_backend.cube.labels import coordinate, labels_json, positions
from openeo_backend.cube.nodata import valid
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.effects import BLOCKED, Effect
from openeo_backend.processes.registry import process

#: The name of create_data_cube in openEO processes 1.x.
_CREATE_RASTER_CUBE = {
    "id": "create_raster_cube",
    "summary": "Old name of create_data_cube",
    "description": "Makes a data cube without dimensions. Use ``create_data_cube()`` in new process graphs.",
    "categories": ["cubes"],
    "deprecated": True,
    "parameters": [],
    "returns": {"description": "A data cube without dimensions.", "schema": {"type": "object", "subtype": "datacube"}},
}


@process("create_raster_cube", spec=_CREATE_RASTER_CUBE, effect=Effect(cubes=()), hidden=True)
@process("create_data_cube", effect=Effect(cubes=()))
def create_data_cube() -> Cube:
    """A cube without dimensions; its single value is missing."""
    return Cube(xr.DataArray(np.float32("nan")), ())


@process("add_dimension", effect=Effect())
def add_dimension(data: Cube, name: str, label: str | float, type: str = "other") -> Cube:
    """The cube with a new first dimension that has one label.

    Spatial dimensions get the first free axis of x, y, z and need a number as label; geometry dimensions need WKT.

    :raises OpenEOError: DimensionExists.
    """
    _refuse_existing(data, name)
    axis = None
    if type == "spatial":
        axis = next((free for free in ("x", "y", "z") if data.axis(free) is None), None)
        if axis is None:
            raise OpenEOError("DimensionExists", "Dimensions for all of the axes x, y and z exist already.")
    if type not in ("spatial", "temporal", "bands", "geometry", "other"):
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"The dimension type '{type}' is none of: bands, geometry, spatial, temporal, other.",
        )
    labels = coordinate([label], type)  # type: ignore[arg-type]
    dimension = Dimension(name, type, axis)  # type: ignore[arg-type]
    array = data.data.expand_dims({name: labels}, axis=0)
    crs = data.crs
    if type == "geometry" and crs is None:
        crs = CRS("EPSG:4326")
    return data.patch(data=array, dimensions=(dimension, *data.dimensions), crs=crs)


@process("drop_dimension", effect=Effect(along="name"))
def drop_dimension(data: Cube, name: str) -> Cube:
    """The cube without a dimension that has a single label.

    :raises OpenEOError: DimensionNotAvailable, DimensionLabelCountMismatch.
    """
    dimension = data.dimension(name)
    count = data.data.sizes[name]
    if count != 1:
        raise OpenEOError(
            "DimensionLabelCountMismatch",
            f"The dimension '{name}' has {count} labels; only a dimension with a single label can be dropped.",
            hint="Filter it to one label, or collapse it with reduce_dimension.",
        )
    changes: dict[str, Any] = {}
    if dimension.type == "geometry":
        changes["properties"] = None
    if dimension.type == "bands":
        changes["bands"] = {}
    return data.with_data(data.data.isel({name: 0}, drop=True), **changes)


@process("rename_dimension", effect=Effect())
def rename_dimension(data: Cube, source: str, target: str) -> Cube:
    """The cube with another name for one dimension.

    :raises OpenEOError: DimensionNotAvailable, DimensionExists.
    """
    data.dimension(source)
    _refuse_existing(data, target)
    dimensions = tuple(entry.patch(name=target) if entry.name == source else entry for entry in data.dimensions)
    labels = data.labels(source)
    array = data.data.drop_vars(source).rename({source: target}).assign_coords({target: (target, labels)})
    return data.patch(data=array, dimensions=dimensions)


@process("dimension_labels", effect=BLOCKED)
def dimension_labels(data: Cube, dimension: str) -> list[Any]:
    """The labels of a dimension: numbers or texts, dates as ISO 8601 in UTC, geometries as WKT.

    :raises OpenEOError: DimensionNotAvailable.
    """
    return labels_json(data.labels(data.dimension(dimension).name))


@process("rename_labels", effect=Effect(along="dimension"))
def rename_labels(
    data: Cube, dimension: str, target: Sequence[str | float], source: Sequence[str | float] = ()
) -> Cube:
    """The cube with other labels on one dimension: `target` instead of `source`, or of 0, 1, 2 ...

    A label may be renamed to one that is renamed away at the same time.

    :raises OpenEOError: DimensionNotAvailable, LabelsNotEnumerated, LabelMismatch, LabelNotAvailable, LabelExists.
    """
    described = data.dimension(dimension)
    old = labels_json(data.labels(dimension))
    places = _renamed(data, dimension, list(target), list(source), old)
    new = list(old)
    for place, label in zip(places, target, strict=True):
        new[place] = label
    coords = coordinate(new, described.type)
    compared = labels_json(coords)
    taken = [label for label, count in Counter(compared).items() if count > 1]
    if taken:
        raise OpenEOError(
            "LabelExists",
            f"The dimension '{dimension}' would have these labels twice: {', '.join(sorted(map(str, taken[:10])))}.",
            hint="Choose labels that the dimension does not have yet.",
        )
    array = data.data.drop_vars(dimension).assign_coords({dimension: (dimension, coords)})
    step = None if described.type == "spatial" else described.step
    dimensions = tuple(entry.patch(step=step) if entry is described else entry for entry in data.dimensions)
    bands = data.bands
    if described.type == "bands":
        moved = {str(old[place]): str(label) for place, label in zip(places, target, strict=True)}
        bands = {moved.get(name, name): band for name, band in _present(data, old).items()}
    return data.patch(data=array, dimensions=dimensions, bands=bands)


def _present(cube: Cube, labels: Sequence[Any]) -> dict[str, Band]:
    """What is known about the bands that the cube has."""
    return {name: band for name, band in cube.bands.items() if name in labels}


def _renamed(cube: Cube, dimension: str, target: list[Any], source: list[Any], labels: list[Any]) -> list[int]:
    """Positions of the labels to rename."""
    if not source:
        if labels != list(range(len(labels))):
            raise OpenEOError(
                "LabelsNotEnumerated",
                f"The labels of the dimension '{dimension}' are not 0, 1, 2 ... but {_some(labels)}.",
                hint="Name the labels to rename in the parameter 'source'.",
            )
        if len(target) > len(labels):
            raise OpenEOError(
                "LabelMismatch", f"There are {len(target)} new labels, but the dimension has only {len(labels)}."
            )
        return list(range(len(target)))
    if len(source) != len(target):
        raise OpenEOError("LabelMismatch", f"There are {len(source)} source labels but {len(target)} target labels.")
    found = positions(cube, dimension, source)
    missing = [str(label) for label, place in zip(source, found, strict=True) if place is None]
    if missing:
        raise OpenEOError(
            "LabelNotAvailable",
            f"The dimension '{dimension}' has no label {', '.join(missing)}. Available: {_some(labels)}.",
        )
    return [place for place in found if place is not None]


def _some(labels: Sequence[Any]) -> str:
    """The labels for a message, at most ten of them."""
    text = ", ".join(str(label) for label in labels[:10])
    return f"{text} ... ({len(labels)} labels)" if len(labels) > 10 else text or "none"


@process("flatten_dimensions", effect=BLOCKED)
def flatten_dimensions(
    data: Cube, dimensions: Sequence[str], target_dimension: str, label_separator: str = "~"
) -> Cube:
    """The cube with one dimension of type other in place of several; the last of `dimensions` varies fastest.

    :raises OpenEOError: DimensionNotAvailable, TargetDimensionExists.
    """
    names = [data.dimension(name).name for name in dimensions]
    if not names:
        raise OpenEOError("ProcessParameterInvalid", "There are no dimensions to flatten.")
    if len(set(names)) < len(names):
        raise OpenEOError("ProcessParameterInvalid", "Each dimension to flatten can be named once only.")
    if data.has(target_dimension):
        raise OpenEOError("TargetDimensionExists", f"A dimension '{target_dimension}' exists already.")
    refuse_many(math.prod(data.data.sizes[name] for name in names), MOST_LABELS, "labels")
    place = min(data.names.index(name) for name in names)
    rest = [name for name in data.names if name not in names]
    before = [name for name in data.names[:place] if name in rest]
    after = [name for name in rest if name not in before]
    array = data.data.transpose(*before, *names, *after)
    shape = [*(array.sizes[name] for name in before), -1, *(array.sizes[name] for name in after)]
    shape[len(before)] = int(np.prod([array.sizes[name] for name in names]))
    labels = [""]
    for turn, name in enumerate(names):
        own = [str(label) for label in labels_json(data.labels(name))]
        labels = own if turn == 0 else [f"{left}{label_separator}{right}" for left in labels for right in own]
    flat = reshaped(array.data, shape)
    described = {target_dimension: Dimension(target_dimension, "other")}
    return _reshaped(data, flat, [*before, target_dimension, *after], {target_dimension: np.asarray(labels, object)},
                     described)  # fmt: skip


@process("unflatten_dimension", effect=Effect(along="dimension"))
def unflatten_dimension(
    data: Cube, dimension: str, target_dimensions: Sequence[str], label_separator: str = "~"
) -> Cube:
    """The cube with several dimensions of type other in place of one, made from the parts of its labels.

    :raises OpenEOError: DimensionNotAvailable, TargetDimensionExists; ProcessParameterInvalid where the labels
        do not have as many parts as there are targets, or do not hold every combination of parts exactly once.
    """
    data.dimension(dimension)
    for name in target_dimensions:
        if data.has(name):
            raise OpenEOError("TargetDimensionExists", f"A dimension '{name}' exists already.")
    if len(set(target_dimensions)) < max(len(target_dimensions), 2):
        raise OpenEOError("ProcessParameterInvalid", "At least two distinct names of target dimensions are needed.")
    labels = [str(label) for label in labels_json(data.labels(dimension))]
    parts = [label.split(label_separator) for label in labels]
    wrong = [label for label, part in zip(labels, parts, strict=True) if len(part) != len(target_dimensions)]
    if wrong:
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"The label '{wrong[0]}' cannot be split by '{label_separator}' into {len(target_dimensions)} parts.",
        )
    found = [list(dict.fromkeys(part[turn] for part in parts)) for turn in range(len(target_dimensions))]
    counts = [len(entries) for entries in found]
    refuse_many(math.prod(counts), MOST_LABELS, "combinations of labels")
    order = np.full(int(np.prod(counts)), -1)
    for index, part in enumerate(parts):
        cell = [entries.index(text) for entries, text in zip(found, part, strict=True)]
        order[np.ravel_multi_index(cell, counts)] = index
    if (order < 0).any() or len(order) != len(labels):
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"The {len(labels)} labels of '{dimension}' are not every combination of {' x '.join(map(str, counts))} "
            "parts exactly once.",
        )
    place = data.names.index(dimension)
    array = data.data.isel({dimension: order})
    shape = (*array.shape[:place], *counts, *array.shape[place + 1 :])
    names = [*data.names[:place], *target_dimensions, *data.names[place + 1 :]]
    described = {name: Dimension(name, "other") for name in target_dimensions}
    coords = {name: np.asarray(entries, object) for name, entries in zip(target_dimensions, found, strict=True)}
    return _reshaped(data, reshaped(array.data, shape), names, coords, described)


def _reshaped(
    cube: Cube, values: Any, names: Sequence[str], labels: dict[str, np.ndarray], new: dict[str, Dimension]
) -> Cube:
    coords = {name: (name, labels[name] if name in labels else cube.labels(name)) for name in names}
    array = xr.DataArray(values, dims=names, coords=coords, attrs=cube.data.attrs)
    dimensions = tuple(new[name] if name in new else cube.dimension(name) for name in names)
    types = {dimension.type for dimension in dimensions}
    return cube.patch(
        data=array,
        dimensions=dimensions,
        properties=cube.properties if "geometry" in types else None,
        bands=cube.bands if "bands" in types else {},
    )


@process("trim_cube", effect=BLOCKED)
def trim_cube(data: Cube) -> Cube:
    """The cube without labels that have no values at all.

    Regular dimensions (spatial ones, and temporal ones of equal steps) lose labels at their ends only. Which labels
    have values is computed here, in one pass over the data: the labels of a result cannot be lazy.
    """
    known = valid(data)
    if known is None:
        return data
    filled = {name: known.any(dim=[other for other in data.names if other != name]) for name in data.names}
    (found,) = compute({name: array.data for name, array in filled.items()})
    for dimension in data.dimensions:
        keep = np.asarray(found[dimension.name])
        if keep.any() and _is_regular(data, dimension):
            inside = np.flatnonzero(keep)
            keep = np.zeros(len(keep), dtype=bool)
            keep[inside[0] : inside[-1] + 1] = True
        data = take(data, dimension.name, keep)
    return data


def _is_regular(cube: Cube, dimension: Dimension) -> bool:
    if dimension.type == "spatial":
        return True
    labels = cube.labels(dimension.name)
    if dimension.type != "temporal" or labels.dtype.kind != "M" or len(labels) < 3:
        return False
    return len(np.unique(np.diff(labels))) == 1


def _refuse_existing(cube: Cube, name: str) -> None:
    if cube.has(name):
        raise OpenEOError("DimensionExists", f"A dimension '{name}' exists already in the data cube.")
