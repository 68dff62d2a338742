"""Resampling in space and time."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pandas as pd

from openeo_backend.cube.bounds import MOST_AT_ONCE, refuse_far, refuse_large, refuse_many
from openeo_backend.cube.cube import Cube
from openeo_backend.cube.extent import parse_crs
from openeo_backend.cube.grid import horizontal, need_geobox
from openeo_backend.cube.labels import instant
from openeo_backend.cube.nodata import nullable
from openeo_backend.cube.regrid import regrid
from openeo_backend.cube.storage import Storage
from openeo_backend.cube.warp import warp, warp_like
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.effects import Block, Coarsen, Effect, Widen
from openeo_backend.processes.environment import Env
from openeo_backend.processes.registry import process

ALIGNS = ("lower-left", "upper-left", "lower-right", "upper-right")

#: Days that all dates are within.
MOST_DAYS = 100_000

#: Pixels around what is needed, for the kernels of the methods.
MARGIN = 8


# -- space ----------------------------------------------------------------------------------------------


@process("resample_spatial", effect=Effect(spatial=Widen(MARGIN), coarse=Coarsen()))
def resample_spatial(
    data: Cube,
    resolution: float | list[float] = 0,
    projection: int | str | None = None,
    method: str = "near",
    align: str = "upper-left",
    *,
    env: Env,
) -> Cube:
    """Warp to a resolution and reference system; the new grid covers the old one and shares the corner `align`."""
    steps = _resolution(resolution)
    if align not in ALIGNS:
        raise OpenEOError(
            "ProcessParameterInvalid", f"'align' is '{align}'.", hint=f"Choose one of: {', '.join(ALIGNS)}."
        )
    if not any(steps) and projection is None:
        raise OpenEOError(
            "ProcessParameterInvalid", "Neither 'resolution' nor 'projection' is given.", hint="Give at least one."
        )
    if 0 in (data.data.sizes[dimension.name] for dimension in horizontal(data)):
        return data
    source = need_geobox(data)
    target = regrid(source, steps, parse_crs(projection) if projection is not None else None, align)
    x, y = horizontal(data)
    rows, columns = target.shape
    refuse_large({**data.data.sizes, x.name: columns, y.name: rows}, "resample_spatial", data.is_lazy)
    env.log(
        "info",
        f"resample_spatial: {target.shape.x} x {target.shape.y} pixels of "
        f"{abs(target.affine.a):g} x {abs(target.affine.e):g} in {target.crs}.",
    )
    return warp(data, target, method)


def _resolution(value: Any) -> tuple[float, float]:
    pair = value if isinstance(value, list | tuple) else [value, value]
    if len(pair) != 2 or any(isinstance(v, bool) or not isinstance(v, int | float) or not v >= 0 for v in pair):
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"The resolution {value!r} is neither a number nor a pair of numbers of at least 0.",
        )
    refuse_far(np.array(pair, float), "Resolutions")
    return float(pair[0]), float(pair[1])


@process("resample_cube_spatial", effect=Effect(spatial=Widen(MARGIN)))
def resample_cube_spatial(data: Cube, target: Cube, method: str = "near") -> Cube:
    """Warp to the pixels of another cube, with exactly its labels."""
    return warp_like(data, target, method)


# -- time -----------------------------------------------------------------------------------------------


@process("resample_cube_temporal", effect=Effect(temporal=Block()))
def resample_cube_temporal(
    data: Cube, target: Cube, dimension: str | None = None, valid_within: float | None = None
) -> Cube:
    """The nearest dates, or with `valid_within` the nearest valid values within so many days, at other dates."""
    for name in _temporal_dimensions(data, target, dimension):
        data = _at_dates(data, target, name, valid_within)
    return data


def _temporal_dimensions(data: Cube, target: Cube, dimension: str | None) -> list[str]:
    if dimension is None:
        names = [d.name for d in data.of_type("temporal") if d.name in {t.name for t in target.of_type("temporal")}]
        if not names:
            raise OpenEOError("DimensionMismatch", "The data cubes have no temporal dimension of the same name.")
        return names
    types = {data.dimension(dimension).type, target.dimension(dimension).type}
    if types != {"temporal"}:
        raise OpenEOError("DimensionMismatch", f"The dimension '{dimension}' is not temporal in both data cubes.")
    return [dimension]


def _at_dates(data: Cube, target: Cube, name: str, valid_within: float | None) -> Cube:
    own, wanted = _instants(data, name), _instants(target, name)
    refuse_many(float(len(own)) * len(wanted), MOST_AT_ONCE, "pairs of dates")
    distance = np.abs(wanted[:, None] - own[None, :])
    # stable: of two dates equally far away, the earlier one comes first
    order = np.argsort(own, kind="stable")
    ranked = order[np.argsort(distance[:, order], axis=1, kind="stable")]
    if valid_within is None and len(own):
        chosen = data.data.isel({name: ranked[:, 0]})
        return data.patch(data=chosen.assign_coords({name: target.data[name].values}))
    limit = np.timedelta64(round(min(max(valid_within or 0.0, 0.0), MOST_DAYS) * 86_400_000_000_000), "ns")
    candidates = [row[distance[index, row] < limit] for index, row in enumerate(ranked)]
    data = nullable(data)
    storage, axis = Storage.of(data), data.names.index(name)
    values: Any = data.data.data
    if isinstance(values, da.Array):
        values = values.rechunk({axis: -1})
        chunks = (*values.chunks[:axis], (len(wanted),), *values.chunks[axis + 1 :])
        values = values.map_blocks(
            _nearest_valid,
            axis=axis,
            candidates=candidates,
            storage=storage,
            chunks=chunks,
            dtype=values.dtype,
            meta=np.empty((0,) * values.ndim, values.dtype),
        )
    else:
        values = _nearest_valid(values, axis, candidates, storage)
    coords = {other: data.labels(other) for other in data.names} | {name: target.labels(name)}
    result = type(data.data)(values, dims=data.names, coords=coords, attrs=data.data.attrs)
    return data.patch(data=result)


def _instants(cube: Cube, name: str) -> np.ndarray:
    found = [instant(label) for label in cube.labels(name)]
    if any(moment is None for moment in found):
        raise OpenEOError("DimensionMismatch", f"Labels of the dimension '{name}' are not dates.")
    return np.array(found, dtype="datetime64[ns]")


def _nearest_valid(values: np.ndarray, axis: int, candidates: list[np.ndarray], storage: Storage) -> np.ndarray:
    """For each date the first valid value among its candidates."""
    moved = np.moveaxis(values, axis, 0)
    out = np.full((len(candidates), *moved.shape[1:]), storage.null, dtype=values.dtype)
    for index, positions in enumerate(candidates):
        wanted = np.ones(moved.shape[1:], dtype=bool)
        for position in positions:
            invalid = _invalid(moved[position], storage)
            np.copyto(out[index, ...], moved[position], where=wanted & ~invalid)
            wanted &= invalid
            if not wanted.any():
                break
    return np.moveaxis(out, 0, axis)


def _invalid(values: np.ndarray, storage: Storage) -> np.ndarray:
    """Where values are not valid in the sense of is_valid: neither null nor infinite is."""
    if storage.dtype.kind == "f":
        return ~np.isfinite(values)
    if storage.dtype.kind == "O":
        return np.asarray(pd.isnull(values))
    return np.asarray(values == storage.null)
