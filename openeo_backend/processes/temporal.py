"""Processes that aggregate along time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from openeo_backend.cube import Cube, blocks
from openeo_backend.cube.bounds import refuse_large
from openeo_backend.cube.extent import parse_interval
from openeo_backend.cube.labels import coordinate, temporal_dimension, to_json
from openeo_backend.cube.periods import group
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.callback import Callback
from openeo_backend.graph.effects import Block, Effect
from openeo_backend.processes.registry import process

_TIME = re.compile(r"([01]\d|2[0-4]):([0-5]\d):([0-5]\d)(Z|\+00:00)?")


@process("aggregate_temporal", effect=Effect(temporal=Block()))
def aggregate_temporal(
    data: Cube,
    intervals: Sequence[Sequence[str | None]],
    reducer: Callback,
    labels: Sequence[str | float] = (),
    dimension: str | None = None,
    context: Any = None,
) -> Cube:
    """The cube with `reducer(data, context)` of the dates in each half-open interval.

    Intervals of times of day select these times on all days; one that ends before it starts runs over midnight.

    :raises OpenEOError: TooManyDimensions, DimensionNotAvailable, DistinctDimensionLabelsRequired,
        TemporalExtentEmpty; ProcessParameterInvalid for another number of labels than intervals.
    """
    name = temporal_dimension(data, dimension).name
    times = _times(data, name)
    if not intervals:
        raise OpenEOError("ProcessParameterInvalid", "The array of intervals is empty; at least one is needed.")
    groups = [np.flatnonzero(_selected(times, interval)) for interval in intervals]
    chosen = list(labels) or [_start(times, interval) for interval in intervals]
    if len(chosen) != len(intervals):
        raise OpenEOError(
            "ProcessParameterInvalid", f"There are {len(chosen)} labels for {len(intervals)} intervals.",
            hint="Give one label per interval, or none.",
        )  # fmt: skip
    coords = coordinate(chosen, "temporal")
    if len({to_json(label) for label in coords}) < len(coords):
        raise OpenEOError(
            "DistinctDimensionLabelsRequired",
            f"The labels of the intervals are not distinct: {', '.join(map(str, chosen))}.",
            hint="Give a distinct label for each interval in the parameter 'labels'.",
        )
    return blocks.grouped(data, blocks.bind(reducer, "data", context=context), name, groups, coords)


@process("aggregate_temporal_period", effect=Effect(temporal=Block()))
def aggregate_temporal_period(
    data: Cube, period: str, reducer: Callback, dimension: str | None = None, context: Any = None
) -> Cube:
    """The cube with `reducer(data, context)` of the dates in each calendar period, from the first to the last date.

    :raises OpenEOError: TooManyDimensions, DimensionNotAvailable.
    """
    name = temporal_dimension(data, dimension).name
    labels, groups = group(_times(data, name), period)
    refuse_large({**data.data.sizes, name: len(labels)}, "aggregate_temporal_period", data.is_lazy)
    coords = np.asarray(labels, dtype=object)
    return blocks.grouped(data, blocks.bind(reducer, "data", context=context), name, groups, coords)


def _times(cube: Cube, dimension: str) -> np.ndarray:
    labels = cube.labels(dimension)
    if labels.dtype.kind == "M" or len(labels) == 0:
        return labels.astype("datetime64[ns]")
    raise OpenEOError(
        "ProcessParameterInvalid",
        f"The labels of the dimension '{dimension}' are not dates but e.g. '{labels[0]}'.",
        hint="Aggregate over time before the labels are replaced, or rename them to dates with rename_labels.",
    )


def _selected(times: np.ndarray, interval: Sequence[str | None]) -> np.ndarray:
    """Which times are in an interval of dates or of times of day."""
    if not _of_day(interval):
        return parse_interval(interval).contains(times)
    start, end = (_seconds(text) for text in interval)
    seconds = (times - times.astype("datetime64[D]")) / np.timedelta64(1, "s")
    after = seconds >= (0 if start is None else start)
    before = seconds < (86400 if end is None else end)
    if start is not None and end is not None and start == end:
        raise OpenEOError("TemporalExtentEmpty", f"The interval [{interval[0]}, {interval[1]}) is empty.")
    return after | before if start is not None and end is not None and end < start else after & before


def _of_day(interval: Sequence[str | None]) -> bool:
    """Whether an interval is given by times of day."""
    is_pair = isinstance(interval, list | tuple) and len(interval) == 2
    return is_pair and any(isinstance(text, str) and _TIME.fullmatch(text) for text in interval)


def _seconds(text: str | None) -> int | None:
    if text is None:
        return None
    found = _TIME.fullmatch(text)
    if found is None:
        raise OpenEOError("ProcessParameterInvalid", f"'{text}' is not a time of day such as 06:00:00.")
    hours, minutes, seconds = (int(part) for part in found.groups()[:3])
    return hours * 3600 + minutes * 60 + seconds


def _start(times: np.ndarray, interval: Sequence[str | None]) -> Any:
    """The default label of an interval: its start; without one the first date in it, or else its end."""
    start, end = interval
    if start is not None:
        return start
    if _of_day(interval):
        return "00:00:00"
    limit = parse_interval(interval).end
    earlier = times if limit is None else times[times < limit]
    return earlier.min() if len(earlier) else end
