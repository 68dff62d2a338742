"""Climatological normals, and deviations from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from openeo_backend.cube import Cube, blocks
from openeo_backend.cube.join import match, take
from openeo_backend.cube.labels import labels_json, temporal_dimension
from openeo_backend.cube.periods import find, known, recurring
from openeo_backend.cube.pixels import PixelArray
from openeo_backend.cube.storage import numbers
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.effects import Block, Effect
from openeo_backend.processes.registry import process

WHOLE = "climatology-period"

#: Months before the turn of the year that belong to the first season of the year after it.
_BEFORE = {"djf": (12,), "ndjfma": (11, 12)}


@process("climatological_normal", effect=Effect(temporal=Block()))
def climatological_normal(data: Cube, period: str, climatology_period: Sequence[int] = (1981, 2010)) -> Cube:
    """The mean of all values of each recurring period within the years of the climatology period.

    Days count from the first of January; a 366th is there only if the data have one. A season over the turn of the
    year belongs to the later year; the first one counts only if its months of the year before are there.

    :raises OpenEOError: TooManyDimensions, DimensionNotAvailable; ProcessParameterInvalid for data that do not span
        the climatology period.
    """
    name = temporal_dimension(data).name
    if period not in ("day", "month", "season", "tropical-season", WHOLE):
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"The period '{period}' is none of: day, month, season, tropical-season, {WHOLE}.",
        )
    first, last = _years(climatology_period)
    times = data.labels(name)
    if times.dtype.kind != "M":
        raise OpenEOError("ProcessParameterInvalid", f"The labels of the dimension '{name}' are not dates.")
    dates = pd.DatetimeIndex(times)
    if not len(dates) or dates.min().year > first or dates.max().year < last:
        spanned = f"{dates.min().year} to {dates.max().year}" if len(dates) else "no time at all"
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"The data span {spanned}, but the climatology period is {first} to {last}.",
            hint="Load data for the whole climatology period, or choose another one.",
        )
    years, keys = _placed(dates, period)
    inside = (years >= first) & (years <= last)
    for season, months in _BEFORE.items():
        before = dates[np.asarray(dates.year) == first - 1]
        if not set(months) <= set(before.month):
            inside &= ~((keys == season) & (years == first))
    labels = [WHOLE] if period == WHOLE else list(known(period))
    labels += sorted(set(keys[inside]) - set(labels))
    groups = [np.flatnonzero(inside & (keys == label)) for label in labels]
    return blocks.grouped(data, _mean, name, groups, np.asarray(labels, dtype=object))


def _years(period: Sequence[int]) -> tuple[int, int]:
    if len(period) != 2 or period[0] > period[1]:
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"The climatology period {list(period)} is not a first and a last year.",
            hint="Give two years such as [1981, 2010]; both are included.",
        )
    return int(period[0]), int(period[1])


def _placed(dates: pd.DatetimeIndex, period: str) -> tuple[np.ndarray, np.ndarray]:
    """For each date the year that its period is counted in, and the period's recurring label."""
    years = np.asarray(dates.year).copy()
    if period == WHOLE:
        return years, np.full(len(dates), WHOLE, dtype=object)
    calendar = find(period)
    keys = [recurring(calendar.label(int(number)), period) for number in calendar.numbers(dates)]
    named = np.asarray(keys, dtype=object)
    for season, months in _BEFORE.items():
        years[(named == season) & np.isin(dates.month, months)] += 1
    return years, named


def _mean(data: PixelArray) -> np.ndarray:
    """The mean of the elements that are not missing."""
    values = numbers(data.values)
    valid = ~np.isnan(values)
    total = np.sum(values, axis=0, where=valid, dtype=np.float64)
    return (total / valid.sum(axis=0)).astype(values.dtype)


@process("anomaly", effect=Effect(temporal=Block(), cubes=("data", "normals")))
def anomaly(data: Cube, normals: Cube, period: str) -> Cube:
    """The cube minus the normal of the period that each label is in.

    Labels of `data` are those of aggregate_temporal_period, or dates.

    :raises OpenEOError: TooManyDimensions, DimensionNotAvailable; ProcessParameterInvalid where a label has no normal,
        or the other dimensions of the two cubes differ.
    """
    time, normal_time = temporal_dimension(data).name, temporal_dimension(normals).name
    places = _places(data.labels(time), labels_json(normals.labels(normal_time)), period)
    others = [name for name in data.names if name != time]
    _check_same(data, normals, others, normal_time)
    ordered = normals.data.transpose(*(normal_time if name == time else name for name in data.names))
    matching = take(ordered.data, data.names.index(time), places)
    expected = data.patch(data=data.data.copy(data=matching).assign_attrs(ordered.attrs), nodata=normals.nodata)
    return blocks.combine([data, expected], _subtract)


def _subtract(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    left, right = numbers(x), numbers(y)
    return left - right


def _places(labels: np.ndarray, normals: list[Any], period: str) -> np.ndarray:
    """For each label the index of its normal."""
    if period in (WHOLE, "single-period"):
        if len(normals) != 1:
            raise OpenEOError(
                "ProcessParameterInvalid",
                f"The normals have {len(normals)} labels, but for the period '{period}' a single one is expected.",
            )
        return np.zeros(len(labels), dtype=np.intp)
    calendar = find(period)
    if labels.dtype.kind == "M":
        texts = [calendar.label(int(number)) for number in calendar.numbers(pd.DatetimeIndex(labels))]
    else:
        texts = [str(label) for label in labels]
    index = {str(label): position for position, label in enumerate(normals)}
    missing = [text for text in texts if recurring(text, period) not in index]
    if missing:
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"There is no normal '{recurring(missing[0], period)}' for the label '{missing[0]}' (period '{period}').",
            hint="Aggregate the data by the same period with aggregate_temporal_period before.",
        )
    return np.asarray([index[recurring(text, period)] for text in texts], dtype=np.intp)


def _check_same(data: Cube, normals: Cube, others: Sequence[str], normal_time: str) -> None:
    """The dimensions beside time must be the same."""
    theirs = [name for name in normals.names if name != normal_time]
    if sorted(theirs) != sorted(others):
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"The data have the dimensions {', '.join(others)} beside time, the normals {', '.join(theirs)}.",
        )
    for name in others:
        first, second = data.labels(name), normals.labels(name)
        places = match(data.dimension(name), first, second)
        if len(first) != len(second) or not np.array_equal(places, np.arange(len(first))):
            raise OpenEOError(
                "ProcessParameterInvalid",
                f"The labels of the dimension '{name}' differ between the data and the normals.",
                hint="Compute the normals from the same area and bands, or resample them to the grid of the data.",
            )
