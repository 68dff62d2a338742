"""Putting missing and other values into cubes, lazily; how they are stored is :mod:`.storage`'s."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from openeo_backend.cube import fusion
from openeo_backend.cube.blank import put, replaced
from openeo_backend.cube.cube import Cube
from openeo_backend.cube.flat import Unfit, Value
from openeo_backend.cube.storage import Storage, choose, floating
from openeo_backend.errors import OpenEOError
from openeo_backend.graph import trace


def valid(cube: Cube) -> xr.DataArray | None:
    """Which elements have a value, lazily; None where all have one by type."""
    if cube.data.dtype.kind == "f":
        return cube.data.notnull()
    if cube.data.dtype.kind == "O":
        return cube.data.notnull()
    return None if cube.nodata is None else cube.data != cube.nodata


def nullable(cube: Cube) -> Cube:
    """The same values in a cube that can hold missing ones.

    Integers without a no-data value get the default of their type (the largest unsigned, the smallest signed
    number); booleans become uint8 with no-data 255.
    """
    storage = Storage.of(cube)
    if storage.nullable:
        return cube
    target = choose(storage.dtype, True)
    return _stored(cube, cube.data.astype(target.dtype), target)


def put_missing(cube: Cube, where: xr.DataArray) -> Cube:
    """The cube with missing values where `where` is true; `where` has dims and labels of the cube."""
    cube = nullable(cube)
    storage = Storage.of(cube)
    return cube.patch(data=_choose(cube.data, where, storage.null, storage))


def put_value(cube: Cube, where: xr.DataArray, value: Any) -> Cube:
    """The cube with `value` where `where` is true.

    Integer types grow as far as the value needs; a fraction makes integers floating point, with NaN for missing.

    :raises OpenEOError: ProcessParameterInvalid for a text among numbers.
    """
    kind = cube.data.dtype.kind
    if kind == "O":
        return cube.patch(data=_choose(cube.data, where, value))
    if isinstance(value, str):
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"The replacement '{value}' is a text, but the data are of type {cube.data.dtype}.",
        )
    storage = Storage.of(cube)
    truth = kind == "b" or storage.boolean
    if truth and not isinstance(value, bool):
        number = cube.data.astype("uint8")
        number.attrs = {key: entry for key, entry in number.attrs.items() if key != "boolean"}
        cube = cube.patch(data=number)
    if cube.data.dtype.kind in "iu":
        cube = _widen(cube, value)
    return cube.patch(data=_choose(cube.data, where, cube.data.dtype.type(value)))


def to_float(cube: Cube) -> Cube:
    """The values as floating point with NaN for missing: float32, or float64 for data of 32 bits and more.

    :raises OpenEOError: ProcessParameterInvalid for data that are not numbers.
    """
    dtype = cube.data.dtype
    if dtype.kind == "f":
        return cube
    if dtype.kind not in "biu":
        raise OpenEOError("ProcessParameterInvalid", f"Numbers are needed, but the data are of type {dtype}.")
    target = Storage(floating(dtype))
    known = valid(cube)
    data = cube.data.astype(target.dtype)
    return _stored(cube, data if known is None else data.where(known), target)


def _stored(cube: Cube, data: xr.DataArray, storage: Storage) -> Cube:
    data = data.copy(deep=False)
    data.attrs = {key: entry for key, entry in cube.data.attrs.items() if key != "boolean"} | storage.attributes
    return cube.patch(data=data, nodata=storage.nodata)


def _widen(cube: Cube, value: Any) -> Cube:
    if isinstance(value, float) and not value.is_integer():
        return to_float(cube)
    number = int(value)
    dtype = cube.data.dtype
    candidate = np.dtype(np.result_type(dtype, np.min_scalar_type(number)).str)  # of several classes the usual one
    if candidate.kind not in "iu":
        return to_float(cube)
    return cube if candidate == dtype else cube.patch(data=cube.data.astype(candidate))


def _choose(data: xr.DataArray, where: xr.DataArray, value: Any, storage: Storage | None = None) -> xr.DataArray:
    """The data with `value` where `where` (booleans, on the same or fewer dimensions) is true.

    :param storage: how the data are stored, where the value is the missing one.
    """
    where = where.transpose(*(name for name in data.dims if name in where.dims))
    axes = tuple(data.dims.index(name) for name in where.dims)
    step = _Replace(value, axes) if storage is None else _Blank(value, axes, storage)
    values, mask = data.data, where.data
    if not isinstance(values, da.Array) and not isinstance(mask, da.Array):
        return data.copy(data=step(values, mask))
    if not isinstance(values, da.Array):
        own = dict(zip(where.dims, mask.chunks, strict=True))
        values = da.from_array(values, chunks=tuple(own.get(name, -1) for name in data.dims))
    chunks = tuple(values.chunks[axis] for axis in step.axes)
    mask = mask.rechunk(chunks) if isinstance(mask, da.Array) else da.from_array(mask, chunks=chunks)
    name = f"replace-{uuid.uuid4().hex}"
    return data.copy(data=fusion.mapped(name, trace.located(step), [values, mask], values.chunks, values.dtype))


class _Replace:
    """The step that puts a value where a mask is true, whose axes are some of those of the values, in their order."""

    def __init__(self, value: Any, axes: tuple[int, ...]) -> None:
        self.value = value
        self.axes = axes

    def __call__(self, values: np.ndarray, mask: np.ndarray) -> np.ndarray:
        out = np.array(values, order="C")
        put(out, self._spread(mask, values.shape), self.value)
        return out

    def _spread(self, mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        own = tuple(size if axis in self.axes else 1 for axis, size in enumerate(shape))
        return np.broadcast_to(mask.reshape(own), shape)

    def result_shape(self, shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
        """See :class:`chain.Step`."""
        return shapes[0]

    def input_axis(self, number: int, axis: int) -> int | None:
        """See :class:`chain.Step`."""
        if number == 0:
            return axis
        return self.axes.index(axis) if axis in self.axes else None


class _Blank(_Replace):
    """The same for the missing value of values that are stored so, with its flat operations."""

    def __init__(self, value: Any, axes: tuple[int, ...], storage: Storage) -> None:
        super().__init__(value, axes)
        self.sources = (storage, Storage(np.dtype(bool)))
        self.target = storage

    def flat(self, inputs: Sequence[Value]) -> Value:
        """See :class:`flat.Flattening`."""
        values, mask = inputs
        if values.truth or not mask.truth:
            raise Unfit
        null: Any = values.integers.nodata if values.integers is not None else np.nan
        if null is None:
            values, null = values.floats, np.nan
        return values.then(lambda v, truth: replaced(v, self._spread(truth, v.shape), null), mask)
