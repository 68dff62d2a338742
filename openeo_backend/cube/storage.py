"""How a cube's values are stored, and how they look as values in callbacks.

Stored, a missing value is NaN (floating point), the cube's `nodata` (integers) or None (objects). As a value of a
callback it is NaN, a masked element (`numpy.ma`) or None. Booleans with missing values are stored as uint8 with
no-data 255; the array's attribute `boolean` says so, and they become booleans again as values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from openeo_backend.cube.cube import Cube
from openeo_backend.errors import OpenEOError

#: No-data value of stored booleans.
BOOLEAN_NODATA = 255


@dataclass(frozen=True)
class Storage:
    """Type and no-data value of stored values."""

    dtype: np.dtype
    nodata: int | None = None
    boolean: bool = False
    """The values are truth values, stored as uint8 because some may be missing."""

    @classmethod
    def of(cls, cube: Cube) -> Storage:
        """How `cube` stores its values."""
        dtype = np.dtype(cube.data.dtype)
        integer = dtype.kind in "iu"
        boolean = dtype == np.uint8 and cube.nodata == BOOLEAN_NODATA and bool(cube.data.attrs.get("boolean"))
        return cls(dtype, cube.nodata if integer else None, boolean)

    @property
    def attributes(self) -> dict[str, Any]:
        """Attributes that an array stored this way carries."""
        return {"boolean": True} if self.boolean else {}

    @property
    def nullable(self) -> bool:
        """Whether missing values can be stored."""
        return self.nodata is not None or self.dtype.kind not in "biu"

    @property
    def null(self) -> Any:
        """What stands for a missing value.

        :raises ValueError: where missing values cannot be stored.
        """
        if self.nodata is not None:
            return self.dtype.type(self.nodata)
        if self.dtype.kind == "f":
            return self.dtype.type("nan")
        if self.dtype.kind == "c":
            return self.dtype.type(complex("nan"))
        if self.dtype.kind == "O":
            return None
        raise ValueError(f"{self.dtype} without no-data value cannot hold missing values")

    def open(self, stored: np.ndarray) -> np.ndarray:
        """Stored values as values of a callback (masked where integers may be missing)."""
        if self.nodata is None:
            return stored
        missing = stored == self.nodata
        return np.ma.MaskedArray(stored.astype(bool) if self.boolean else stored, mask=missing)

    def close(self, values: np.ndarray, out: np.ndarray) -> None:
        """Store values of a callback into `out`, an array of this storage's dtype.

        :raises OpenEOError: where a value equals the no-data value, or is missing although none may be.
        """
        if not np.ma.isMaskedArray(values):
            self._refuse_collision(values)
            np.copyto(out, values, casting="unsafe" if self.boolean else "same_kind")
            return
        mask = np.ma.getmaskarray(values)
        if mask.any() and not self.nullable:
            raise OpenEOError("Internal", f"A missing value turned up among values stored as {self.dtype}.")
        self._refuse_collision(values.data, ~mask)
        np.copyto(out, values.data, casting="unsafe" if self.boolean else "same_kind")
        if mask.any():
            np.copyto(out, self.null, where=mask)

    def _refuse_collision(self, values: np.ndarray, valid: np.ndarray | bool = True) -> None:
        if self.nodata is None or self.boolean:
            return
        if bool(np.any((values == self.nodata) & valid)):
            raise OpenEOError(
                "ProcessParameterInvalid",
                f"A computed value is {self.nodata}, which stands for missing data in this data cube.",
                hint="Avoid this value, or turn the cube into floating point numbers first, e.g. multiply by 1.0.",
            )

    def empty(self, shape: Sequence[int]) -> np.ndarray:
        """A new array for values stored this way."""
        return np.empty(tuple(shape), self.dtype)

    def convert(self, stored: np.ndarray, target: Storage) -> np.ndarray:
        """Values stored this way, stored as `target`, which must be able to hold them (see :func:`common`)."""
        if self == target:
            return stored
        converted = stored.astype(target.dtype)
        missing = None if self.nodata is None else stored == self.nodata
        if missing is None and self.dtype.kind == "f" and target.dtype.kind == "O":
            missing = np.isnan(stored)
        if missing is not None and missing.any():
            converted[missing] = target.null
        return converted


def floating(dtype: np.dtype) -> np.dtype:
    """The floating point type for arithmetic with values of `dtype`: float32 for up to 16 bits, else float64."""
    if dtype.kind == "f":
        return dtype
    return np.dtype(np.float32 if dtype.kind == "b" or dtype.itemsize <= 2 else np.float64)


def numbers(values: np.ndarray) -> np.ndarray:
    """Values of a callback as floating point numbers with NaN where they are missing."""
    target = floating(values.dtype) if values.dtype.kind in "biuf" else np.dtype(np.float64)
    if np.ma.isMaskedArray(values):
        return np.ma.filled(values.astype(target), np.nan)
    try:
        return values.astype(target, copy=False)
    except (TypeError, ValueError):
        raise OpenEOError(
            "ProcessParameterInvalid", "The values are texts where numbers are needed.", hint="Choose other bands."
        ) from None


def choose(dtype: np.dtype, nullable: bool, source: Storage | None = None) -> Storage:
    """How to store computed values of `dtype`, some of which are missing if `nullable`.

    The no-data value of `source` (the values computed with) is kept where the type is the same. Otherwise it is
    the number at the end of the type that is least likely to be a value: the smallest signed, the largest unsigned.
    """
    if dtype.kind == "b":
        return Storage(np.dtype(np.uint8), BOOLEAN_NODATA, True) if nullable else Storage(np.dtype(bool))
    if dtype.kind in "US":
        return Storage(np.dtype(object))
    if dtype.kind not in "iu" or not nullable:
        return Storage(dtype)
    if source is not None and source.dtype == dtype and source.nodata is not None and not source.boolean:
        return Storage(dtype, source.nodata)
    return Storage(dtype, _extreme(dtype))


def _extreme(dtype: np.dtype) -> int:
    limits = np.iinfo(dtype)
    return int(limits.min if dtype.kind == "i" else limits.max)


def common(storages: Sequence[Storage], holes: bool = False) -> Storage:
    """A storage that holds the values of all `storages` unchanged, and missing ones if there are `holes`.

    Integers stay integers; where a no-data value of one may be a value of another, the type is widened.
    """
    distinct = list(dict.fromkeys(storages))
    if len(distinct) == 1 and (distinct[0].nullable or not holes):
        return distinct[0]
    if any(storage.dtype.kind == "O" for storage in distinct):
        return Storage(np.dtype(object))
    if all(storage.boolean or storage.dtype.kind == "b" for storage in distinct):
        return choose(np.dtype(bool), True)
    if any(storage.dtype.kind not in "biu" for storage in distinct):
        kinds = [s.dtype if s.dtype.kind not in "biu" else floating(s.dtype) for s in distinct]
        return Storage(np.result_type(*kinds))
    dtype = np.result_type(*(np.dtype(np.uint8) if s.dtype.kind == "b" else s.dtype for s in distinct))
    if dtype.kind == "f":
        return Storage(dtype)
    markers = {storage.nodata for storage in distinct}
    if markers == {None} and not holes:
        return Storage(dtype)
    if len(markers) == 1 and None not in markers:
        return Storage(dtype, markers.pop())
    return widened(Storage(dtype))


def widened(storage: Storage) -> Storage:
    """A storage for the same integers whose no-data value is none of them (64 bits: unlikely one of them)."""
    wider = np.dtype({1: np.int16, 2: np.int32}.get(storage.dtype.itemsize, np.int64))
    return Storage(wider, _extreme(wider))


def values_of(cube: Cube) -> np.ndarray:
    """All values of a cube as values of a callback; computes a lazy cube."""
    return Storage.of(cube).open(np.asarray(cube.data.values))


def restore(cube: Cube, data: xr.DataArray, storage: Storage, **changes: Any) -> Cube:
    """`cube` with other values, stored as `storage`, on the same or fewer dimensions."""
    data = data.copy(deep=False)
    data.attrs = {key: value for key, value in cube.data.attrs.items() if key != "boolean"} | storage.attributes
    return cube.with_data(data, nodata=storage.nodata, **changes)
