"""Applying a function to windows of a cube."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from openeo_backend.cube.blocks import along
from openeo_backend.cube.cube import Cube
from openeo_backend.cube.labels import labels_json
from openeo_backend.cube.nodata import nullable
from openeo_backend.cube.pixels import PixelArray, elements
from openeo_backend.cube.storage import Storage
from openeo_backend.cube.windows import Window, extended_labels
from openeo_backend.errors import OpenEOError

#: Pixels along a spatial dimension that one task works on at least, if windows are smaller.
TASK_EDGE = 512

Plan = Mapping[str, Sequence[Window]]


def apply_to_windows(cube: Cube, function: Callable[[Any], Any], windows: Plan) -> Cube:
    """The cube with `function(window)` in place of each window, without the overlap.

    :param function: gets and returns a cube, or, where windows extend along one dimension only, an openEO array
        of the values along it.
    :param windows: the windows along each dimension.
    :raises OpenEOError: DataCubePropertiesImmutable where a result has other dimensions or labels than its window.
    """
    if not cube.names:
        raise OpenEOError("DimensionNotAvailable", "The data cube has no dimensions, along which windows could lie.")
    if not all(windows.values()):
        return cube
    long = [name for name, parts in windows.items() if any(part.high - part.low > 1 for part in parts)]
    if len(long) <= 1:
        name = long[0] if long else cube.names[0]
        return _along(cube, function, name, list(windows[name]))
    if any(part.low < 0 or part.high > cube.data.sizes[name] for name, parts in windows.items() for part in parts):
        cube = nullable(cube)
    run = _Run(function, _empty(cube), Storage.of(cube)).traced({name: parts[0] for name, parts in windows.items()})
    groups = [_groups(cube, name, windows[name]) for name in cube.names]
    values = (
        _lazy(cube.data.data, run, groups) if cube.is_lazy else run(np.asarray(cube.data.values), groups_of(groups))
    )
    attrs = {key: value for key, value in cube.data.attrs.items() if key != "boolean"} | run.target.attributes
    data = xr.DataArray(values, dims=cube.names, coords=cube.data.coords, attrs=attrs)
    return cube.patch(data=data, nodata=run.target.nodata)


def _empty(cube: Cube) -> Cube:
    """The cube with labels, but without values: small wherever it is sent."""
    shape = cube.data.shape
    return cube.patch(data=cube.data.copy(data=da.zeros(shape, chunks=shape, dtype=cube.data.dtype)))


# -- one dimension --------------------------------------------------------------------------------------


def _along(cube: Cube, function: Callable[[Any], Any], name: str, windows: list[Window]) -> Cube:
    """Windows along one dimension, for all pixels of the other dimensions at once."""
    if any(part.low < 0 or part.high > cube.data.sizes[name] for part in windows):
        cube = nullable(cube)
    labels = [extended_labels(cube, name, part.low, part.high) for part in windows]
    pieces = tuple(zip(windows, labels, strict=True))
    return along(cube, _Pieces(function, cube.data.sizes[name], pieces), name)


@dataclass(frozen=True, eq=False)
class _Pieces:
    """A function of windows, as a function of all elements."""

    function: Callable[[Any], Any]
    total: int
    pieces: Sequence[tuple[Window, np.ndarray]]

    def __call__(self, array: PixelArray) -> PixelArray:
        results = []
        for window, labels in self.pieces:
            values = _with_margins(array.values, window, self.total)
            found = elements(self.function(PixelArray(values, tuple(labels_json(labels)))))
            if not isinstance(found, PixelArray) or len(found) != len(values):
                raise _changed(f"An array of {len(values)} elements became {_length(found)}.")
            results.append(found.values[window.start - window.low : window.stop - window.low])
        masked = any(np.ma.isMaskedArray(result) for result in results)
        return PixelArray((np.ma if masked else np).concatenate(results), array.labels)


def _length(found: Any) -> str:
    return f"one of {len(found)}" if isinstance(found, PixelArray | list) else "a single value"


def _with_margins(values: np.ndarray, window: Window, total: int) -> np.ndarray:
    inner = values[max(window.low, 0) : min(window.high, total)]
    before, after = max(-window.low, 0), max(window.high - total, 0)
    if not before and not after:
        return inner
    parts = []
    for count in (before, after):
        shape = (count, *values.shape[1:])
        if values.dtype.kind == "f":
            parts.append(np.full(shape, np.nan, values.dtype))
        else:
            parts.append(np.ma.masked_all(shape, values.dtype))
    join = np.concatenate if values.dtype.kind == "f" else np.ma.concatenate
    return np.asanyarray(join([parts[0], inner, parts[1]]))


# -- several dimensions ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Group:
    """Neighbouring windows along one dimension that one task works on."""

    windows: tuple[Window, ...]

    @property
    def core(self) -> slice:
        return slice(self.windows[0].start, self.windows[-1].stop)

    def reach(self, total: int) -> slice:
        """What the windows need of a dimension, within the cube."""
        return slice(max(min(w.low for w in self.windows), 0), min(max(w.high for w in self.windows), total))


def _groups(cube: Cube, name: str, windows: Sequence[Window]) -> list[_Group]:
    if cube.dimension(name).type != "spatial" or not cube.is_lazy:
        return [_Group(tuple(windows))]
    edge = max(TASK_EDGE, *cube.data.chunksizes[name]) if len(windows) > 1 else TASK_EDGE
    size = max(1, edge // max(windows[0].stop - windows[0].start, 1))
    return [_Group(tuple(windows[start : start + size])) for start in range(0, len(windows), size)]


def groups_of(groups: Sequence[Sequence[_Group]]) -> tuple[_Group, ...]:
    """The only group along each dimension."""
    return tuple(along_dimension[0] for along_dimension in groups)


@dataclass(frozen=True, eq=False)
class _Run:
    """A function of cubes, run on the windows in a block of values."""

    function: Callable[[Any], Any]
    cube: Cube
    """The whole cube, for its labels."""
    source: Storage
    target: Storage = Storage(np.dtype(np.float32))

    def __call__(self, values: np.ndarray, groups: Sequence[_Group]) -> np.ndarray:
        """Results for the cores of the groups, given values for their reaches."""
        reaches = [group.reach(total) for group, total in zip(groups, self.cube.data.shape, strict=True)]
        out = self.target.empty([group.core.stop - group.core.start for group in groups])
        for windows in product(*(group.windows for group in groups)):
            found = self._window(values, windows, [reach.start for reach in reaches])
            place = tuple(
                slice(w.start - g.core.start, w.stop - g.core.start) for w, g in zip(windows, groups, strict=True)
            )
            kept = tuple(slice(w.start - w.low, w.stop - w.low) for w in windows)
            source = Storage.of(found)
            self.target.close(source.open(np.asarray(found.data.values)[kept]), out[place])
        return out

    def _window(self, values: np.ndarray, windows: Sequence[Window], offsets: Sequence[int]) -> Cube:
        shape = tuple(window.high - window.low for window in windows)
        totals = self.cube.data.shape
        inner = [slice(max(w.low, 0), min(w.high, total)) for w, total in zip(windows, totals, strict=True)]
        part = values[tuple(slice(i.start - o, i.stop - o) for i, o in zip(inner, offsets, strict=True))]
        if part.shape != shape:
            whole = np.full(shape, self.source.null, dtype=values.dtype)
            whole[tuple(slice(i.start - w.low, i.stop - w.low) for i, w in zip(inner, windows, strict=True))] = part
            part = whole
        return self._called(part, windows)

    def _called(self, part: np.ndarray, windows: Sequence[Window]) -> Cube:
        coords = {
            name: (name, extended_labels(self.cube, name, window.low, window.high))
            for name, window in zip(self.cube.names, windows, strict=True)
        }
        data = xr.DataArray(part, dims=self.cube.names, coords=coords, attrs=self.cube.data.attrs)
        given = self.cube.patch(data=data)
        return same_shape(given, self.function(given))

    def traced(self, first: Mapping[str, Window]) -> _Run:
        """The run with the storage of its results, found with made-up values in a window, some of them missing."""
        windows = [first[name] for name in self.cube.names]
        shape = tuple(window.high - window.low for window in windows)
        numbers = np.arange(math.prod(shape)).reshape(shape) % 100 + 1
        sample = (numbers % 2 if self.source.boolean else numbers).astype(self.source.dtype)
        if self.source.nullable:
            sample.reshape(-1)[:1] = self.source.null
        return replace(self, target=Storage.of(self._called(sample, windows)))


def same_shape(given: Cube, found: Any) -> Cube:
    """The result in the order of its window's dimensions."""
    if not isinstance(found, Cube):
        raise _changed(f"The process returned {type(found).__name__} instead of a data cube.")
    if set(found.names) != set(given.names):
        raise _changed(f"The dimensions {', '.join(given.names)} became {', '.join(found.names) or 'none'}.")
    for name in given.names:
        if not np.array_equal(given.labels(name), found.labels(name)):
            raise _changed(f"The labels of the dimension '{name}' changed.")
    return found if found.names == given.names else found.with_data(found.data.transpose(*given.names))


def _changed(message: str) -> OpenEOError:
    return OpenEOError(
        "DataCubePropertiesImmutable",
        message,
        hint="The process must return the same dimensions with the same labels, the overlap included.",
    )


def _lazy(values: da.Array, run: _Run, groups: Sequence[Sequence[_Group]]) -> da.Array:
    """One task per combination of groups."""
    shape = tuple(len(along_dimension) for along_dimension in groups)
    blocks = np.empty(shape, dtype=object)
    for index in np.ndindex(*shape):
        chosen = [along_dimension[i] for along_dimension, i in zip(groups, index, strict=True)]
        part = values[tuple(group.reach(total) for group, total in zip(chosen, values.shape, strict=True))]
        part = part.rechunk(part.shape)
        blocks[index] = part.map_blocks(
            run,
            chosen,
            dtype=run.target.dtype,
            chunks=tuple((group.core.stop - group.core.start,) for group in chosen),
            meta=np.empty((0,) * values.ndim, dtype=run.target.dtype),
            name=f"windows-{uuid.uuid4().hex}",
        )
    return da.block(blocks.tolist())
