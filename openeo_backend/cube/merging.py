"""Merging two data cubes: the labels of both, with a resolver for what both have."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr

from openeo_backend.cube import blocks
from openeo_backend.cube.bounds import refuse_large
from openeo_backend.cube.cube import Cube
from openeo_backend.cube.dimension import Dimension
from openeo_backend.cube.grid import describe_crs
from openeo_backend.cube.join import SHIFT, Join, assemble, convert, spread, take
from openeo_backend.cube.storage import Storage, common
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.callback import Callback


def merge(
    cube1: Cube, cube2: Cube, overlap_resolver: Callback | Callable[..., Any] | None = None, context: Any = None
) -> Cube:
    """One cube with the labels of both.

    A dimension that only one cube has is kept, and the other cube's values hold for all its labels; dimensions of
    `cube2` alone come first. Where both have values, `overlap_resolver(x, y, context)` decides; where neither has,
    values are missing. Both cubes must be on the same pixel grid; resampling is left to resample_cube_spatial.

    :raises OpenEOError: OverlapResolverMissing, IncompatibleGeometryTypes; ProcessParameterInvalid for cubes on
        different grids, of different kinds, or with different dimensions of the same name.
    """
    _check_compatible(cube1, cube2)
    joins = _joins(cube1, cube2)
    lazy = cube1.is_lazy or cube2.is_lazy
    refuse_large({join.dimension.name: len(join.labels) for join in joins}, "The merged cube", lazy)
    overlap = all(len(join.both1) for join in joins)
    if overlap and overlap_resolver is None:
        shared = ", ".join(f"{join.dimension.name} ({len(join.both1)})" for join in joins)
        raise OpenEOError(
            "OverlapResolverMissing",
            f"Both data cubes have values for the same labels, but there is no overlap resolver. Shared: {shared}.",
            hint="Give an overlap_resolver, or add a dimension with different labels to both cubes.",
        )
    resolver = blocks.bind(overlap_resolver, "x", "y", context=context) if overlap and overlap_resolver else None
    array, storage = _merged(cube1, cube2, joins, resolver)
    return _described(cube1, cube2, joins, array, storage)


def _merged(cube1: Cube, cube2: Cube, joins: Sequence[Join], resolver: blocks.Function | None) -> tuple[Any, Storage]:
    arrays = _alike(spread(cube1, joins, cube2), spread(cube2, joins, cube1))
    storages = [Storage.of(cube1), Storage.of(cube2)]
    both, kept = None, list(storages)
    if resolver is not None:
        shared = list(arrays)
        for axis, join in enumerate(joins):
            shared = [take(shared[0], axis, join.both1), take(shared[1], axis, join.both2)]
        both, resolved = blocks.computed(shared, storages, resolver)
        kept = [resolved, *(storage for side, storage in enumerate(storages, 1) if _covers(joins, side))]
    target = common(kept, _has_holes(joins))
    first, second = (
        convert(array, storage, target) if both is None or _covers(joins, side) else array
        for side, (array, storage) in enumerate(zip(arrays, storages, strict=True), 1)
    )
    null = target.null if target.nullable else 0
    if both is not None:
        both = convert(both, resolved, target)
    return assemble(first, second, both, joins, null), target


def _covers(joins: Sequence[Join], side: int) -> bool:
    """Whether one cube (1 or 2) has labels of its own, so that its values get into the result unchanged."""
    return any(len(join.only1 if side == 1 else join.only2) for join in joins)


def _has_holes(joins: Sequence[Join]) -> bool:
    """Whether neither cube has values for some combinations of labels."""
    total = math.prod(len(join.labels) for join in joins)
    first = math.prod(len(join.only1) + len(join.both1) for join in joins)
    second = math.prod(len(join.only2) + len(join.both2) for join in joins)
    return total > first + second - math.prod(len(join.both1) for join in joins)


def _alike(first: Any, second: Any) -> list[Any]:
    """Both arrays lazy if one is, with the same chunks along axes of the same length."""
    if not isinstance(first, da.Array) and not isinstance(second, da.Array):
        return [first, second]
    if not isinstance(first, da.Array):
        second, first = _alike(second, first)
        return [first, second]
    if not isinstance(second, da.Array):
        second = da.from_array(np.asarray(second), chunks=-1)
    chunks = tuple(
        own if sum(own) == sum(other) else other for own, other in zip(first.chunks, second.chunks, strict=True)
    )
    return [first, second.rechunk(chunks)]


# -- what goes together -------------------------------------------------------------------------------------


def _joins(cube1: Cube, cube2: Cube) -> list[Join]:
    joins = [Join.whole(d, cube2.labels(d.name)) for d in cube2.dimensions if not cube1.has(d.name)]
    for dimension in cube1.dimensions:
        labels = cube1.labels(dimension.name)
        if cube2.has(dimension.name):
            joins.append(Join.of(dimension, labels, cube2.labels(dimension.name)))
        else:
            joins.append(Join.whole(dimension, labels))
    return joins


def _check_compatible(cube1: Cube, cube2: Cube) -> None:
    if (cube1.is_vector and _is_raster(cube2)) or (cube2.is_vector and _is_raster(cube1)):
        raise _incompatible(
            "A vector data cube cannot be merged with a raster data cube.",
            "Turn the raster into vectors with aggregate_spatial first.",
        )
    for dimension in cube1.dimensions:
        if cube2.has(dimension.name):
            _check_dimension(dimension, cube2.dimension(dimension.name))
    for axis in ("x", "y", "z"):
        one, two = cube1.axis(axis), cube2.axis(axis)
        if one is not None and two is not None and one.name != two.name:
            raise _incompatible(
                f"The axis {axis} is called '{one.name}' in the first data cube and '{two.name}' in the second.",
                "Give it the same name with rename_dimension.",
            )
    _check_geometries(cube1, cube2)
    _check_grids(cube1, cube2)


def _is_raster(cube: Cube) -> bool:
    return cube.axis("x") is not None or cube.axis("y") is not None


def _check_dimension(one: Dimension, two: Dimension) -> None:
    if (one.type, one.axis) != (two.type, two.axis):
        raise _incompatible(
            f"The dimension '{one.name}' is of type {one.type} in the first data cube and {two.type} in the second.",
            "Give one of them another name with rename_dimension.",
        )


def _check_geometries(cube1: Cube, cube2: Cube) -> None:
    if not (cube1.is_vector and cube2.is_vector):
        return
    kinds = [
        {kind.removeprefix("Multi").replace("LinearRing", "LineString") for kind in cube.geometries().geom_type if kind}
        for cube in (cube1, cube2)
    ]
    if all(kinds) and kinds[0] != kinds[1]:
        names = [", ".join(sorted(kind)) for kind in kinds]
        raise OpenEOError(
            "IncompatibleGeometryTypes",
            f"The geometries of the first data cube are {names[0]}, those of the second {names[1]}.",
            hint="Only geometries of the same base type can be merged.",
        )
    if cube1.crs != cube2.crs:
        raise _incompatible(
            f"The geometries are in {describe_crs(cube1.crs)} and {describe_crs(cube2.crs)}.",
            "Use vector_reproject to bring them into the same reference system.",
        )


def _check_grids(cube1: Cube, cube2: Cube) -> None:
    pairs = [(cube1.axis(axis), cube2.axis(axis)) for axis in ("x", "y")]
    shared = [(one, two) for one, two in pairs if one is not None and two is not None]
    if not shared:
        return
    same = cube1.crs is None or cube2.crs is None or cube1.crs == cube2.crs
    for one, two in shared:
        same = same and _fits(_steps(cube1, one), _steps(cube2, two))
    if not same:
        raise _incompatible(
            f"The data cubes are on different pixel grids: {_grid(cube1)} and {_grid(cube2)}.",
            "Bring one of them onto the grid of the other with resample_cube_spatial.",
        )


def _steps(cube: Cube, dimension: Dimension) -> tuple[np.ndarray, float | None]:
    labels = cube.labels(dimension.name).astype("float64")
    if len(labels) > 1:
        return labels, abs(float(labels[-1] - labels[0])) / (len(labels) - 1)
    return labels, abs(dimension.step) if dimension.step else None


def _fits(one: tuple[np.ndarray, float | None], two: tuple[np.ndarray, float | None]) -> bool:
    """Whether the labels of two axes are multiples of the same step apart."""
    (first, step1), (second, step2) = one, two
    if not len(first) or not len(second):
        return True
    step = step1 or step2
    if not step:
        return bool(first[0] == second[0])
    reach = max(len(first), len(second))
    if step1 is not None and step2 is not None and abs(step1 - step2) * reach > SHIFT * step:
        return False
    offset = (second[0] - first[0]) / step
    return bool(abs(offset - round(offset)) <= SHIFT)


def _grid(cube: Cube) -> str:
    parts = [describe_crs(cube.crs)]
    for axis in ("x", "y"):
        dimension = cube.axis(axis)
        if dimension is not None:
            labels, step = _steps(cube, dimension)
            ends = f"{labels.min():.10g} to {labels.max():.10g}" if len(labels) else "empty"
            parts.append(f"{axis} {ends} in steps of {'unknown size' if step is None else f'{step:.10g}'}")
    return f"[{', '.join(parts)}]"


def _incompatible(message: str, hint: str) -> OpenEOError:
    return OpenEOError("ProcessParameterInvalid", message, hint=hint)


# -- the result ---------------------------------------------------------------------------------------------


def _described(cube1: Cube, cube2: Cube, joins: Sequence[Join], array: Any, storage: Storage) -> Cube:
    names = [join.dimension.name for join in joins]
    data = xr.DataArray(array, dims=names, coords={join.dimension.name: join.labels for join in joins})
    data.attrs = storage.attributes
    return Cube(
        data=data,
        dimensions=tuple(join.dimension for join in joins),
        crs=cube1.crs if cube1.crs is not None else cube2.crs,
        nodata=storage.nodata,
        bands={**cube2.bands, **cube1.bands},
        properties=_properties(cube1, cube2, joins),
        provenance=cube1.provenance.merge(cube2.provenance),
    )


def _properties(cube1: Cube, cube2: Cube, joins: Sequence[Join]) -> pd.DataFrame | None:
    """The feature properties of both cubes; those of the first win."""
    join = next((join for join in joins if join.dimension.type == "geometry"), None)
    if join is None or (cube1.properties is None and cube2.properties is None):
        return None
    tables = []
    for table, at in ((cube1.properties, join.at1), (cube2.properties, join.at2)):
        if table is not None:
            rows = table.reset_index(drop=True).reindex(at)
            tables.append(rows.reset_index(drop=True))
    if len(tables) == 1:
        return tables[0]
    one, two = tables
    columns = [*one.columns, *(column for column in two.columns if column not in one.columns)]
    return one.combine_first(two)[columns]
