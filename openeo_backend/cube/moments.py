"""Statistics of groups of pixels whose partial results can be combined."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from openeo_backend.cube.blocks import Bound, Function
from openeo_backend.cube.inside import Selection
from openeo_backend.cube.pixels import float_type
from openeo_backend.cube.results import store
from openeo_backend.cube.storage import Storage
from openeo_backend.graph.callback import Callback
from openeo_backend.graph.nodes import FromParameter

#: Processes that are such statistics.
STATISTICS = frozenset({"mean", "sum", "min", "max", "count", "sd", "variance"})


@dataclass(frozen=True)
class Statistic:
    """One of :data:`STATISTICS`."""

    process: str
    ignore_nodata: bool = True
    """Missing values are left out, else one makes the result missing. For count: only valid values count."""


def combinable(function: Function, source: Storage) -> Statistic | None:
    """The statistic that a reducer of values stored as `source` is, if partial results of it can be combined."""
    if source.boolean or source.dtype.kind not in "iuf" or not isinstance(function, Bound):
        return None
    return statistic_of(function)


def statistic_of(function: Bound) -> Statistic | None:
    """The statistic that a reducer consists of, if it is one such process of all its data."""
    callback = function.callback
    if not isinstance(callback, Callback) or len(callback.graph) != 1:
        return None
    (node,) = callback.graph
    arguments = dict(node.arguments)
    if node.process not in STATISTICS or node.namespace not in (None, "backend", "predefined"):
        return None
    if arguments.pop("data", None) != FromParameter("data"):
        return None
    if node.process == "count":
        arguments.pop("context", None)
        condition = arguments.pop("condition", None)
        known = condition is None or condition is True
        return Statistic("count", condition is None) if known and not arguments else None
    ignore = arguments.pop("ignore_nodata", True)
    return Statistic(node.process, ignore) if isinstance(ignore, bool) and not arguments else None


@dataclass(frozen=True, eq=False)
class Moments:
    """Partial statistics per geometry: (geometries, other dimensions), what is not needed empty."""

    ids: np.ndarray
    total: np.ndarray
    """Pixels of each geometry."""
    valid: np.ndarray
    """Pixels that are not missing."""
    finite: np.ndarray
    """Pixels that are neither missing nor infinite."""
    sum: np.ndarray | None = None
    squares: np.ndarray | None = None
    """Sum of the squared deviations from the mean."""
    extreme: np.ndarray | None = None
    """Minimum or maximum."""
    largest: bool = False

    @classmethod
    def join(cls, parts: Sequence[Moments]) -> Moments:
        """The statistics of all pixels of `parts`, which may share geometries."""
        if len(parts) == 1:
            return parts[0]
        ids = np.unique(np.concatenate([part.ids for part in parts]))
        shape = (len(ids), *parts[0].valid.shape[1:])
        total, valid, finite = np.zeros(len(ids), int), np.zeros(shape, int), np.zeros(shape, int)
        first = parts[0]
        sums = None if first.sum is None else np.zeros(shape)
        squares = None if first.squares is None else np.zeros(shape)
        largest = first.largest
        extreme = None if first.extreme is None else np.full(shape, _worst(first.extreme.dtype, largest))
        for part in parts:
            at = np.searchsorted(ids, part.ids)
            if squares is not None and sums is not None and part.squares is not None and part.sum is not None:
                squares[at] += part.squares + _between(sums[at], valid[at], part.sum, part.valid)
            if sums is not None and part.sum is not None:
                sums[at] += part.sum
            if extreme is not None and part.extreme is not None:
                extreme[at] = (np.maximum if largest else np.minimum)(extreme[at], part.extreme)
            total[at] += part.total
            valid[at] += part.valid
            finite[at] += part.finite
        return cls(ids, total, valid, finite, sums, squares, extreme, largest)

    def result(self, statistic: Statistic, source: Storage) -> np.ndarray:
        """The statistic as values of a callback: NaN or masked where missing."""
        if statistic.process == "count":
            total = np.broadcast_to(self.total.reshape(-1, *(1,) * (self.valid.ndim - 1)), self.valid.shape)
            return (self.finite if statistic.ignore_nodata else total).astype("int32")
        missing = self.valid == 0
        if not statistic.ignore_nodata:
            missing = missing | (self.valid < self.total.reshape(-1, *(1,) * (self.valid.ndim - 1)))
        if self.extreme is not None:
            if self.extreme.dtype.kind == "f":
                return np.where(missing, self.extreme.dtype.type(np.nan), self.extreme)
            return np.ma.MaskedArray(self.extreme, mask=missing)
        if self.sum is None:  # of no labels of other dimensions
            return np.empty(self.valid.shape, float_type(source.dtype))
        with np.errstate(all="ignore"):
            if statistic.process in ("sd", "variance"):
                assert self.squares is not None
                values = self.squares / (self.valid - 1)
                values = np.sqrt(values) if statistic.process == "sd" else values
            else:
                values = self.sum / self.valid if statistic.process == "mean" else self.sum
            return np.where(missing, np.nan, values).astype(float_type(source.dtype))


def finish(
    parts: Sequence[Moments], statistic: Statistic, source: Storage, target: Storage
) -> tuple[Moments, np.ndarray]:
    """The moments of all pixels of `parts`, and the statistic of each geometry, stored as `target`."""
    joined = Moments.join(parts)
    out = target.empty(joined.valid.shape)
    store(joined.result(statistic, source), out, target, False)
    return joined, out


def _between(sum_a: np.ndarray, count_a: np.ndarray, sum_b: np.ndarray, count_b: np.ndarray) -> np.ndarray:
    """What two groups' different means add to the squared deviations of both together."""
    with np.errstate(all="ignore"):
        distance = sum_b / count_b - sum_a / count_a
        share = distance**2 * count_a * count_b / (count_a + count_b)
    return np.where((count_a > 0) & (count_b > 0), share, 0.0)


def _worst(dtype: np.dtype, largest: bool) -> Any:
    """What any value beats as a maximum (`largest`) or minimum."""
    if dtype.kind == "f":
        return dtype.type(-np.inf if largest else np.inf)
    limits = np.iinfo(dtype)
    return dtype.type(limits.min if largest else limits.max)


def measure_zones(
    flat: np.ndarray, selection: Selection, chosen: np.ndarray, source: Storage, statistic: Statistic
) -> Moments:
    """The partial statistics of the pixels (pixels, other dimensions) that the chosen geometries select."""
    starts, ends = selection.starts[chosen], selection.starts[chosen + 1]
    lengths = ends - starts
    if len(chosen) == len(selection.ids):
        pixels = selection.pixels
    else:
        pixels = np.concatenate([selection.pixels[a:b] for a, b in zip(starts, ends, strict=True)] or [starts])
    return _measure_layers(flat, pixels, selection.ids[chosen], lengths, source, statistic)


def measure_all(values: np.ndarray, source: Storage, statistic: Statistic) -> Moments:
    """The partial statistics of all pixels of a block (rows, columns, other dimensions), as those of zone 0."""
    flat = values.reshape(math.prod(values.shape[:2]), *values.shape[2:])
    return _measure_layers(flat, slice(None), np.zeros(1, int), np.array([len(flat)]), source, statistic)


def _measure_layers(
    flat: np.ndarray, pixels: np.ndarray | slice, ids: np.ndarray, lengths: np.ndarray, source: Storage, of: Statistic
) -> Moments:
    shape = (len(ids), *flat.shape[1:])
    layers = flat.reshape(len(flat), math.prod(flat.shape[1:]))
    found: dict[str, list[np.ndarray]] = {}
    for layer in range(layers.shape[1]):
        for name, values in _measure(layers[:, layer][pixels], lengths, source, of).items():
            found.setdefault(name, []).append(values)
    stacked = {name: np.stack(values, axis=-1).reshape(shape) for name, values in found.items()}
    if not layers.shape[1]:
        stacked = {"valid": np.zeros(shape, int), "finite": np.zeros(shape, int)}
    return Moments(ids, lengths, **stacked, largest=of.process == "max")


def _measure(values: np.ndarray, lengths: np.ndarray, source: Storage, statistic: Statistic) -> dict[str, np.ndarray]:
    """The statistics of consecutive groups of values, none of them empty."""
    starts = np.cumsum(lengths) - lengths
    missing = np.isnan(values) if values.dtype.kind == "f" else _equal(values, source.nodata)
    known = ~missing
    found = {"valid": _sums(known, starts, int)}
    found["finite"] = _sums(np.isfinite(values), starts, int) if values.dtype.kind == "f" else found["valid"]
    if statistic.process in ("min", "max"):
        largest = statistic.process == "max"
        filled = np.where(known, values, _worst(values.dtype, largest))
        found["extreme"] = (np.maximum if largest else np.minimum).reduceat(filled, starts) if len(starts) else filled
    elif statistic.process != "count":
        numbers = np.where(known, values, 0).astype("float64")
        found["sum"] = _sums(numbers, starts, float)
        if statistic.process in ("sd", "variance"):
            with np.errstate(all="ignore"):
                mean = found["sum"] / found["valid"]
                deviation = np.where(known, numbers - np.repeat(mean, lengths), 0.0)
                found["squares"] = _sums(deviation**2, starts, float)
    return found


def _equal(values: np.ndarray, nodata: int | None) -> np.ndarray:
    return np.zeros(values.shape, bool) if nodata is None else values == nodata


def _sums(values: np.ndarray, starts: np.ndarray, dtype: type) -> np.ndarray:
    return np.add.reduceat(values, starts, dtype=dtype) if len(starts) else np.zeros(0, dtype)
