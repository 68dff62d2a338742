"""Processes that look at the neighbours of a pixel: kernels, windows."""

from __future__ import annotations

from typing import Any

import numpy as np

from openeo_backend.cube.blocks import bind, reduce
from openeo_backend.cube.bounds import MOST_LABELS, refuse_large, refuse_many
from openeo_backend.cube.cube import Cube
from openeo_backend.cube.dimension import Dimension
from openeo_backend.cube.focal import Border, map_focal, weigh
from openeo_backend.cube.fusion import reshaped
from openeo_backend.cube.grid import horizontal, step
from openeo_backend.cube.neighborhood import apply_to_windows
from openeo_backend.cube.nodata import nullable, to_float
from openeo_backend.cube.storage import Storage
from openeo_backend.cube.windows import plan
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.callback import Callback
from openeo_backend.graph.effects import Block, Effect, Widen
from openeo_backend.processes.registry import process

#: Borders of apply_kernel by the names that numpy.pad gives them.
BORDERS: dict[str, Border] = {"replicate": "edge", "reflect": "symmetric", "reflect_pixel": "reflect", "wrap": "wrap"}

#: Most rows and columns of a kernel.
MOST_KERNEL = 1001

# -- kernels --------------------------------------------------------------------------------------------


@process("apply_kernel", effect=Effect(spatial=Widen(argument="kernel")))
def apply_kernel(
    data: Cube,
    kernel: list[list[float]],
    factor: float = 1,
    border: float | str = 0,
    replace_invalid: float = 0,
) -> Cube:
    """The weighted sum of each pixel's neighbours, times a factor; invalid values are replaced first."""
    weights = _kernel(kernel)
    if isinstance(border, str) and border not in BORDERS:
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"The border '{border}' is not known.",
            hint=f"Give a number or one of: {', '.join(BORDERS)}.",
        )
    numbers = to_float(data)
    beyond: Border | float = BORDERS[border] if isinstance(border, str) else float(border)
    depth = (weights.shape[0] // 2, weights.shape[1] // 2)
    values = numbers.data
    fixed = {"kernel": weights, "factor": float(factor), "replacement": float(values.dtype.type(replace_invalid))}
    result = map_focal(data, values, weigh, depth, beyond, values.dtype, **fixed)
    return numbers.patch(data=result)


def _kernel(kernel: Any) -> np.ndarray:
    rows = kernel if isinstance(kernel, list) and kernel and all(isinstance(row, list) for row in kernel) else []
    lengths = {len(row) for row in rows}
    if len(lengths) != 1 or not all(isinstance(weight, int | float) for row in rows for weight in row):
        raise OpenEOError("ProcessParameterInvalid", "The kernel is not a two-dimensional array of numbers.")
    if len(rows) % 2 == 0 or lengths.pop() % 2 == 0:
        raise OpenEOError(
            "KernelDimensionsUneven",
            f"The kernel has {len(rows)} rows and {len(rows[0])} columns; both must be uneven.",
            hint="Add a row or column of zeros.",
        )
    refuse_many(max(len(rows), len(rows[0])), MOST_KERNEL, "rows or columns of a kernel")
    return np.array(rows, dtype="float64")


# -- neighbourhoods -------------------------------------------------------------------------------------


@process("apply_neighborhood", effect=Effect(Widen(argument="overlap"), Block(), Block()))
def apply_neighborhood(
    data: Cube,
    process: Callback,
    size: list[dict[str, Any]],
    overlap: list[dict[str, Any]] | None = None,
    context: Any = None,
) -> Cube:
    """Apply a process to windows of the cube, each with an overlap whose results are dropped."""
    return apply_to_windows(data, bind(process, "data", context=context), plan(data, size, overlap))


# -- windows --------------------------------------------------------------------------------------------

CORNERS = ("lower-left", "upper-left", "lower-right", "upper-right")


@process("aggregate_spatial_window", effect=Effect(spatial=Block()))
def aggregate_spatial_window(
    data: Cube,
    reducer: Callback,
    size: list[int],
    boundary: str = "pad",
    align: str = "upper-left",
    context: Any = None,
) -> Cube:
    """One value for each rectangle of pixels."""
    x, y = horizontal(data)
    if boundary not in ("pad", "trim") or align not in CORNERS:
        raise OpenEOError("ProcessParameterInvalid", f"boundary '{boundary}' or align '{align}' is not known.")
    if len(size) != 2 or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in size):
        raise OpenEOError("ProcessParameterInvalid", f"The size {size} is not a pair of integers of at least 1.")
    refuse_many(max(size), MOST_LABELS, "pixels along a window")
    at_end = {
        x.name: align.endswith("left") == ((step(data, x) or 1.0) > 0),
        y.name: align.startswith("upper") == ((step(data, y) or -1.0) < 0),
    }
    inner = {}
    lengths = {d.name: -(-data.data.sizes[d.name] // length) * length for d, length in zip((x, y), size, strict=True)}
    if boundary == "pad":
        refuse_large({**data.data.sizes, **lengths}, "Padding to windows of this size", data.is_lazy)
    for dimension, length in zip((x, y), size, strict=True):
        inner[dimension.name] = f"window of {dimension.name}"
        data = _fitted(data, dimension, length, boundary == "pad", at_end[dimension.name])
        data = _split(data, dimension.name, length, inner[dimension.name])
    return reduce(data, bind(reducer, "data", context=context), [inner[y.name], inner[x.name]])


def _fitted(data: Cube, dimension: Dimension, length: int, pad: bool, at_end: bool) -> Cube:
    """The cube with a multiple of `length` labels; missing values in those that are added."""
    total = data.data.sizes[dimension.name]
    missing = -total % length
    if missing == 0:
        return data
    if not pad:
        kept = total - total % length
        part = slice(0, kept) if at_end else slice(total - kept, total)
        return data.patch(data=data.data.isel({dimension.name: part}))
    distance = step(data, dimension)
    if distance is None:
        raise OpenEOError("ProcessParameterInvalid", f"The pixels of '{dimension.name}' have no known size.")
    data = nullable(data)
    widths = (0, missing) if at_end else (missing, 0)
    padded = data.data.pad({dimension.name: widths}, constant_values=Storage.of(data).null)
    first = float(data.labels(dimension.name)[0]) - widths[0] * distance
    labels = first + np.arange(total + missing) * distance
    return data.patch(data=padded.astype(data.data.dtype).assign_coords({dimension.name: labels}))


def _split(data: Cube, name: str, length: int, inner: str) -> Cube:
    """The cube with a dimension cut into windows: `name` over windows, `inner` within them."""
    dimension = data.dimension(name)
    distance = step(data, dimension)
    array = data.data
    if data.is_lazy:
        chunk = max(array.chunksizes[name], default=length)
        array = array.chunk({name: max(length, chunk // length * length)})
    labels = array[name].values.astype("float64").reshape(-1, length).mean(axis=1)
    axis = data.names.index(name)
    shape = (*array.shape[:axis], len(labels), length, *array.shape[axis + 1 :])
    dims = (*data.names[: axis + 1], inner, *data.names[axis + 1 :])
    coords = {other: array[other].values for other in data.names if other != name}
    coords |= {name: labels, inner: np.arange(length)}
    values = reshaped(array.data, shape)
    split = type(array)(values, dims=dims, coords={k: (k, v) for k, v in coords.items()}, attrs=array.attrs)
    wide = dimension.patch(step=None if distance is None else distance * length)
    dimensions = (*data.dimensions[:axis], wide, Dimension(inner, "other"), *data.dimensions[axis + 1 :])
    return data.patch(data=split, dimensions=dimensions)
