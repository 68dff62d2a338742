"""Windows that slide over the dimensions of a cube in steps of their size."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from openeo_backend.cube.bounds import refuse_large, refuse_many
from openeo_backend.cube.cube import Cube
from openeo_backend.cube.dimension import Dimension
from openeo_backend.cube.grid import step
from openeo_backend.cube.labels import instant
from openeo_backend.cube.periods import MOST_PERIODS
from openeo_backend.errors import OpenEOError

#: Metres per degree of a meridian.
DEGREE = 111_320.0

#: Most labels of a window along one dimension, overlap included.
MOST_WINDOW = 100_000

#: Most windows of a cube.
MOST_WINDOWS = 10**8

#: Most years, months ... of a duration.
LONGEST = 10**6

_DURATION = re.compile(
    r"P(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?"
)


@dataclass(frozen=True)
class Window:
    """A window along one dimension, as positions of labels."""

    start: int
    """First position of the window."""
    stop: int
    """Position after the last one."""
    low: int
    """First position with the overlap; negative where it reaches over the edge of the cube."""
    high: int
    """Position after the last one with the overlap; it may lie behind the cube."""


def plan(
    cube: Cube, sizes: Sequence[Mapping[str, Any]], overlaps: Sequence[Mapping[str, Any]] | None
) -> dict[str, list[Window]]:
    """The windows along each dimension, from the arguments `size` and `overlap` of apply_neighborhood.

    Windows measured in pixels all have the same size: the last one may reach over the edge of the cube.

    :raises OpenEOError: DimensionNotAvailable; ProcessParameterInvalid for units that do not fit the dimension.
    """
    wanted = {_dimension(cube, entry).name: entry for entry in sizes}
    around = {_dimension(cube, entry).name: entry for entry in overlaps or ()}
    windows = {d.name: _windows(cube, d, wanted.get(d.name), around.get(d.name)) for d in cube.dimensions}
    largest = {name: max((part.high - part.low for part in parts), default=0) for name, parts in windows.items()}
    if sum(size > 1 for size in largest.values()) > 1:
        refuse_large(largest, "A window of this size and overlap", lazy=False)
    for name in {*wanted, *around}:
        refuse_many(largest[name], max(MOST_WINDOW, cube.data.sizes[name]), f"labels of '{name}' in a window")
    refuse_many(math.prod(map(len, windows.values())), MOST_WINDOWS, "windows")
    return windows


def _dimension(cube: Cube, entry: Mapping[str, Any]) -> Dimension:
    name = entry.get("dimension")
    if not isinstance(name, str):
        raise OpenEOError("ProcessParameterInvalid", f"{dict(entry)} names no dimension.")
    return cube.dimension(name)


def _windows(
    cube: Cube, dimension: Dimension, size: Mapping[str, Any] | None, overlap: Mapping[str, Any] | None
) -> list[Window]:
    total = cube.data.sizes[dimension.name]
    value = size.get("value") if size is not None else None
    if isinstance(value, str):
        windows = _by_duration(cube, dimension, value)
    else:
        count = total if value is None or size is None else _pixels(cube, dimension, size)
        if count < 1 and total:
            raise OpenEOError(
                "ProcessParameterInvalid", f"The size {value!r} of '{dimension.name}' is less than a pixel."
            )
        starts = range(0, total, max(count, 1))
        reach = count if _extendable(cube, dimension) else 0
        windows = [
            Window(start, min(start + count, total), start, max(start + reach, min(start + count, total)))
            for start in starts
        ]
    return [_widened(cube, dimension, window, overlap) for window in windows]


def _widened(cube: Cube, dimension: Dimension, window: Window, overlap: Mapping[str, Any] | None) -> Window:
    value = overlap.get("value") if overlap is not None else None
    if value is None or overlap is None:
        return window
    total = cube.data.sizes[dimension.name]
    if isinstance(value, str):
        times = _instants(cube, dimension)
        offset = _offset(value)
        own = times[window.start : window.stop]
        first, last = _moved(own.min(), offset, -1), _moved(own.max(), offset)
        reached = np.flatnonzero((times >= first) & (times <= last))
        return Window(window.start, window.stop, int(reached.min()), int(reached.max()) + 1)
    margin = _pixels(cube, dimension, overlap)
    low, high = window.low - margin, window.high + margin
    if not _extendable(cube, dimension):
        low, high = max(low, 0), min(high, total)
    return Window(window.start, window.stop, low, high)


def _pixels(cube: Cube, dimension: Dimension, entry: Mapping[str, Any]) -> int:
    """A measure as number of labels."""
    value, unit = entry.get("value"), entry.get("unit")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise OpenEOError("ProcessParameterInvalid", f"The measure {value!r} of '{dimension.name}' is not a number.")
    if unit == "px" or (unit is None and dimension.type != "spatial"):
        return int(value)
    if unit not in (None, "m") or dimension.type != "spatial":
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"The dimension '{dimension.name}' is not measured in {unit!r}.",
            hint="Use 'px', or 'm' for spatial dimensions, or an ISO 8601 duration for temporal ones.",
        )
    distance = step(cube, dimension)
    if not distance:
        raise OpenEOError("ProcessParameterInvalid", f"The pixels of '{dimension.name}' have no known size.")
    if unit == "m":
        value = value / _metres(cube, dimension)
    count = float(value) / abs(distance)
    refuse_many(count, MOST_WINDOWS, f"labels of '{dimension.name}'")
    return round(count)


def _metres(cube: Cube, dimension: Dimension) -> float:
    """Metres per unit of a spatial dimension, in the middle of the cube."""
    if cube.crs is None or not cube.crs.geographic:
        unit = cube.crs.proj.axis_info[0].unit_conversion_factor if cube.crs is not None else 1.0
        return float(unit)
    y = cube.axis("y")
    if dimension.axis != "x" or y is None:
        return DEGREE
    return DEGREE * math.cos(math.radians(float(np.mean(cube.labels(y.name)))))


def _by_duration(cube: Cube, dimension: Dimension, text: str) -> list[Window]:
    times = _instants(cube, dimension)
    if not len(times):
        return []
    if (np.diff(times) < np.timedelta64(0)).any():
        raise OpenEOError("ProcessParameterInvalid", f"The dates of '{dimension.name}' are not in order.")
    offset = _offset(text)
    begin = times[0].astype("M8[D]").astype(times.dtype) if "T" not in text else times[0]
    windows = []
    length = (_moved(begin, offset) - begin) / np.timedelta64(1, "s")
    refuse_many((times[-1] - begin) / np.timedelta64(1, "s") / max(length, 1e-9), MOST_PERIODS, f"windows of {text}")
    position, count = 0, 0
    while position < len(times):
        count += 1
        stop = int(np.searchsorted(times, _moved(begin, offset, count), side="left"))
        if stop > position:
            windows.append(Window(position, stop, position, stop))
            position = stop
    return windows


def _offset(text: str) -> pd.DateOffset:
    found = _DURATION.fullmatch(text)
    parts = {name: float(value) for name, value in (found.groupdict() if found else {}).items() if value}
    if not any(parts.values()) or max(parts.values()) > LONGEST:
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"'{text[:50]}' is not a duration longer than 0 and of at most {LONGEST:,} of a unit.",
            hint="Give e.g. P1D, P1M or PT6H.",
        )
    return pd.DateOffset(**{name: int(value) if value.is_integer() else value for name, value in parts.items()})


def _moved(moment: np.datetime64, offset: pd.DateOffset, times: int = 1) -> np.datetime64:
    """The moment so many durations later, or the first or last one that labels can be."""
    try:
        return (pd.Timestamp(moment) + offset * times).as_unit("ns").to_datetime64()
    except (OverflowError, ValueError):
        return (pd.Timestamp.max if times > 0 else pd.Timestamp.min).to_datetime64()


def _instants(cube: Cube, dimension: Dimension) -> np.ndarray:
    found = [instant(label) for label in cube.labels(dimension.name)]
    if dimension.type != "temporal" or any(moment is None for moment in found):
        raise OpenEOError("ProcessParameterInvalid", f"The dimension '{dimension.name}' has no dates for durations.")
    return np.array(found, dtype="datetime64[ns]")


# -- over the edges -------------------------------------------------------------------------------------


def _extendable(cube: Cube, dimension: Dimension) -> bool:
    """Whether there are labels beyond the last one: on axes of numbers and dates."""
    if dimension.type not in ("spatial", "temporal"):
        return False
    labels = cube.labels(dimension.name)
    if labels.dtype.kind not in "iufM":
        return False
    return len(labels) > 1 or (dimension.type == "spatial" and bool(dimension.step))


def extended_labels(cube: Cube, name: str, low: int, high: int) -> np.ndarray:
    """Labels from position `low` to before `high`, continued over the edges of the cube."""
    labels = cube.labels(name)
    total = len(labels)
    inner = labels[max(low, 0) : min(high, total)]
    if low >= 0 and high <= total:
        return inner
    first: Any
    last: Any
    if total > 1:
        first, last = labels[1] - labels[0], labels[-1] - labels[-2]
    else:
        first = last = cube.dimension(name).step
    before = [labels[0] + first * position for position in range(min(low, 0), 0)]
    after = [labels[-1] + last * (position - total + 1) for position in range(total, max(high, total))]
    parts = [np.array(part, dtype=labels.dtype if labels.dtype.kind == "M" else None) for part in (before, after)]
    return np.concatenate([part for part in (parts[0], inner, parts[1]) if len(part)])
