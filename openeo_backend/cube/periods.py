"""Calendar periods: which period an instant is in, and the labels of periods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import pandas as pd

from openeo_backend.cube.bounds import refuse_many
from openeo_backend.errors import OpenEOError

#: Most periods that dates are grouped into: the hours of more than 50 years.
MOST_PERIODS = 500_000

SEASONS = ("djf", "mam", "jja", "son")
TROPICAL_SEASONS = ("ndjfma", "mjjaso")


@dataclass(frozen=True)
class Period:
    """A kind of calendar period. Every period has a number; numbers are consecutive."""

    numbers: Callable[[pd.DatetimeIndex], np.ndarray]
    """The number of the period that each instant is in."""

    label: Callable[[int], str]
    """The openEO label of the period with a number."""


_DAY = np.timedelta64(1, "D")
_HOUR = np.timedelta64(1, "h")
_EPOCH = np.datetime64(0, "ns")


def _months(times: pd.DatetimeIndex) -> np.ndarray:
    """Months since the year 0."""
    return np.asarray(times.year) * 12 + np.asarray(times.month) - 1


def _hours(times: pd.DatetimeIndex) -> np.ndarray:
    return (times.values.astype("datetime64[ns]") - _EPOCH) // _HOUR


def _days(times: pd.DatetimeIndex) -> np.ndarray:
    return (times.values.astype("datetime64[ns]") - _EPOCH) // _DAY


def _weeks(times: pd.DatetimeIndex) -> np.ndarray:
    return (_days(times) + 3) // 7  # 1970-01-01 was a Thursday; weeks start on Mondays


def _dekads(times: pd.DatetimeIndex) -> np.ndarray:
    return _months(times) * 3 + np.minimum((np.asarray(times.day) - 1) // 10, 2)


def _moment(number: int, unit: Literal["D", "h"]) -> pd.Timestamp:
    return pd.Timestamp(np.datetime64(int(number), unit))


def _week_label(number: int) -> str:
    year, week, _ = _moment(number * 7 - 3, "D").isocalendar()
    return f"{year:04d}-{week:02d}"


#: Seasons over the turn of the year are labelled with the year in which they start.
PERIODS: dict[str, Period] = {
    "hour": Period(_hours, lambda n: f"{_moment(n, 'h'):%Y-%m-%d-%H}"),
    "day": Period(_days, lambda n: f"{_moment(n, 'D'):%Y-%j}"),
    "week": Period(_weeks, _week_label),
    "dekad": Period(_dekads, lambda n: f"{n // 36:04d}-{n % 36 + 1:02d}"),
    "month": Period(_months, lambda n: f"{n // 12:04d}-{n % 12 + 1:02d}"),
    "season": Period(lambda t: (_months(t) + 1) // 3, lambda n: f"{(n * 3 - 1) // 12:04d}-{SEASONS[n % 4]}"),
    "tropical-season": Period(
        lambda t: (_months(t) + 2) // 6, lambda n: f"{(n * 6 - 2) // 12:04d}-{TROPICAL_SEASONS[n % 2]}"
    ),
    "year": Period(lambda t: np.asarray(t.year), lambda n: f"{n:04d}"),
    "decade": Period(lambda t: np.asarray(t.year) // 10, lambda n: f"{n * 10:04d}"),
    "decade-ad": Period(lambda t: (np.asarray(t.year) - 1) // 10, lambda n: f"{n * 10 + 1:04d}"),
}


def find(name: str) -> Period:
    """The period called `name`.

    :raises OpenEOError: ProcessParameterInvalid, naming the periods there are.
    """
    if name not in PERIODS:
        raise OpenEOError("ProcessParameterInvalid", f"The period '{name}' is none of: {', '.join(PERIODS)}.")
    return PERIODS[name]


def group(times: np.ndarray, name: str) -> tuple[list[str], list[np.ndarray]]:
    """Labels of all periods from the first to the last instant, and for each the indices of its instants."""
    period = find(name)
    if len(times) == 0:
        return [], []
    numbers = period.numbers(pd.DatetimeIndex(times)).astype(np.int64)
    refuse_many(float(numbers.max() - numbers.min() + 1), MOST_PERIODS, f"periods ({name})")
    order = np.argsort(numbers, kind="stable")
    wanted = np.arange(numbers.min(), numbers.max() + 1)
    edges = np.searchsorted(numbers[order], np.append(wanted, wanted[-1] + 1))
    groups = [np.sort(order[start:stop]) for start, stop in pairwise(edges)]
    return [period.label(int(number)) for number in wanted], groups


def within_year(times: np.ndarray, name: str) -> list[str]:
    """For each instant the part of its period's label after the year: 01 for January, djf for winter ..."""
    period = find(name)
    labels = [period.label(int(number)) for number in period.numbers(pd.DatetimeIndex(times))]
    return [recurring(label, name) for label in labels]


def recurring(label: str, name: str) -> str:
    """The label of a period as it recurs each year (hours: each day); years and decades do not recur."""
    if name in ("year", "decade", "decade-ad"):
        return label
    return label.rsplit("-", 1)[-1]


def known(name: str) -> Sequence[str]:
    """The recurring labels of a period in their order, of years that have 365 days."""
    return {
        "day": [f"{n:03d}" for n in range(1, 366)],
        "month": [f"{n:02d}" for n in range(1, 13)],
        "season": SEASONS,
        "tropical-season": TROPICAL_SEASONS,
    }[name]
