"""What callbacks return: recognising it, and storing it into an output block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from openeo_backend.cube.pixels import PixelArray
from openeo_backend.cube.storage import Storage
from openeo_backend.errors import OpenEOError


@dataclass(frozen=True)
class Kind:
    """Type of a callback's results."""

    dtype: np.dtype | None = None
    """None where all results are null."""
    nullable: bool = False
    length: int | None = None
    """Number of elements, for arrays."""

    def merge(self, other: Kind) -> Kind:
        """The kind of results some of which are of this, some of the other kind."""
        return Kind(_merged(self.dtype, other.dtype), self.nullable or other.nullable, self.length)


def _merged(a: np.dtype | None, b: np.dtype | None) -> np.dtype | None:
    if a is None or b is None:
        return b if a is None else a
    if "O" in (a.kind, b.kind) or (a.kind in "US") != (b.kind in "US"):
        return np.dtype(object)
    return np.result_type(a, b)


def kind_of(result: Any, pixels: tuple[int, ...], array: bool) -> Kind:
    """The kind of a result for pixels of a shape.

    :param array: whether an array is expected; otherwise a single value.
    :raises OpenEOError: ProcessParameterInvalid where the result is not what is expected.
    """
    if not array:
        return _single(result, pixels)
    items = _items(result)
    kind = Kind(length=len(items))
    for item in items:
        kind = kind.merge(_single(item, pixels))
    return kind


def _items(result: Any) -> Any:
    """The elements of an array result; a single value counts as an array of one element."""
    items: Any = [result]
    if isinstance(result, PixelArray):
        items = result.values
    elif isinstance(result, list | tuple):
        items = result
    if len(items) == 0:
        raise OpenEOError(
            "ProcessParameterInvalid",
            "The process applied along the dimension returns an empty array, but at least one element is needed.",
        )
    return items


def _single(result: Any, pixels: tuple[int, ...]) -> Kind:
    if isinstance(result, PixelArray | list | tuple):
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"The process returns an array of {len(result)} elements for each pixel, but a single value is needed.",
            hint="Use a reducer such as mean or array_element, or apply_dimension to keep several values.",
        )
    value = _constant(result)
    if value is None:
        return Kind(None, True)
    if isinstance(value, np.ndarray):
        if value.ndim > len(pixels) or np.broadcast_shapes(value.shape, pixels) != pixels:
            raise OpenEOError("Internal", f"A process returned values of shape {value.shape} for pixels {pixels}.")
        return Kind(value.dtype, _may_miss(value))
    if isinstance(value, bool | int):
        return Kind(np.min_scalar_type(value), False)
    if isinstance(value, float):
        return Kind(np.dtype(np.float32), False)
    if isinstance(value, str):
        return Kind(np.dtype(object), False)
    raise OpenEOError(
        "ProcessParameterInvalid",
        f"The process returns {_named(value)}, which cannot be a value of a data cube.",
        hint="Return a number, a boolean, a text or null.",
    )


def _named(value: Any) -> str:
    return "an object" if isinstance(value, dict) else f"a value of type {type(value).__name__}"


def _constant(result: Any) -> Any:
    """Results that do not depend on the pixel as Python values; others unchanged."""
    if result is np.ma.masked:
        return None
    if isinstance(result, np.generic) or (isinstance(result, np.ndarray) and result.ndim == 0):
        return result.item()
    return result


def _may_miss(values: np.ndarray) -> bool:
    """Whether elements of integer results may be missing: masked arrays without any mask cannot."""
    if values.dtype.kind == "O":
        return True
    return np.ma.isMaskedArray(values) and np.ma.getmask(values) is not np.ma.nomask


def store(result: Any, out: np.ndarray, storage: Storage, array: bool) -> None:
    """Store a result into `out`, an array of the pixels' shape, behind an axis of elements if an array is expected."""
    if not array:
        _store_single(result, out, storage)
        return
    items = _items(result)
    if len(items) != len(out):
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"The process returns {len(items)} elements for some pixels and {len(out)} for others.",
            hint="All pixels of a data cube need the same number of elements.",
        )
    if isinstance(items, np.ndarray) and items.shape == out.shape:
        storage.close(items, out)
        return
    for index in range(len(out)):
        _store_single(items[index], out[index, ...], storage)


def _store_single(result: Any, out: np.ndarray, storage: Storage) -> None:
    value = _constant(result)
    if value is None:
        if not storage.nullable:
            raise OpenEOError("Internal", f"A missing value turned up among values stored as {storage.dtype}.")
        out[...] = storage.null
        return
    if not isinstance(value, np.ndarray):
        value = np.asarray(value, dtype=storage.dtype if storage.dtype.kind in "iuf" else None)
    if value.dtype.kind in "US":
        value = value.astype(object)
    storage.close(value if value.shape == out.shape else np.broadcast_to(value, out.shape, subok=True), out)
