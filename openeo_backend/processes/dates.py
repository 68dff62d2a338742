"""Dates and times as texts (ISO 8601), as labels of temporal dimensions are."""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any

from openeo_backend.cube.pixels import is_number, refuse
from openeo_backend.graph.schema import describe
from openeo_backend.processes.registry import process

_FORM = re.compile(
    r"(?P<date>\d{4}-\d{2}-\d{2})"
    r"(?:[Tt ](?P<time>\d{2}:\d{2}:\d{2})(?P<fraction>\.\d+)?(?P<zone>[Zz]|[+-]\d{2}:?\d{2})?)?"
)
_TIME = re.compile(r"(\d{2}):(\d{2}):(\d{2})(?:\.(\d+))?[Zz]?")

#: Lengths of the units that are always the same.
_LENGTHS = {
    "millisecond": timedelta(milliseconds=1),
    "second": timedelta(seconds=1),
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
}
_MONTHS = {"month": 1, "year": 12}
_COMPONENTS = ("second", "minute", "hour", "day", "month", "year")


@dataclass(frozen=True)
class Moment:
    """A date, or a date and time, and how it was written."""

    at: datetime
    """Aware; dates are midnight UTC."""

    timed: bool
    """Whether a time was given."""

    fraction: bool = False
    """Whether fractions of seconds were given."""

    zone: str = "Z"
    """The time zone as it was written."""

    def patch(self, at: datetime, timed: bool | None = None) -> Moment:
        return Moment(at, self.timed if timed is None else timed, self.fraction, self.zone)

    def text(self) -> str:
        """Written as it was given."""
        date = f"{self.at:%Y-%m-%d}".zfill(10)
        if not self.timed:
            return date
        fraction = f".{self.at.microsecond // 1000:03d}" if self.at.microsecond or self.fraction else ""
        return f"{date}T{self.at:%H:%M:%S}{fraction}{self.zone}"


def _zone(text: str) -> tzinfo:
    if text in ("Z", "z"):
        return UTC
    minutes = int(text[1:3]) * 60 + int(text[-2:])
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))


def _moment(text: Any, name: str) -> Moment:
    """A date or date and time; times without a zone are UTC."""
    found = _FORM.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise refuse(name, f"must be a date or a date and time (ISO 8601), but is {describe(text)}")
    year, month, day = map(int, found["date"].split("-"))
    hour, minute, second = map(int, (found["time"] or "00:00:00").split(":"))
    leap = second == 60
    try:
        zone = _zone(found["zone"] or "Z")
        at = datetime(year, month, day, hour, minute, 59 if leap else second, tzinfo=zone)
        at += timedelta(seconds=leap, microseconds=round(float(found["fraction"] or 0) * 1e6))
    except (ValueError, OverflowError) as error:
        raise refuse(name, f"is no valid date: {text} ({error})") from error
    return Moment(at, found["time"] is not None, found["fraction"] is not None, found["zone"] or "Z")


def _integer(value: Any, name: str) -> int:
    if not is_number(value) or value != value or value in (float("inf"), float("-inf")) or value != int(value):
        raise refuse(name, f"must be an integer, but is {describe(value)}")
    return int(value)


def _in_range(name: str, make: Callable[[], datetime]) -> datetime:
    try:
        return make()
    except (ValueError, OverflowError) as error:
        raise refuse(
            name, f"leads to a date that does not exist or is outside the years 1 to 9999 ({error})"
        ) from error


def _add_months(at: datetime, months: int) -> datetime:
    """The same day some months on, or the last day of a shorter month."""
    count = at.year * 12 + at.month - 1 + months
    year, month = divmod(count, 12)
    if not 1 <= year <= 9999:
        raise OverflowError(f"year {year}")
    return at.replace(year=year, month=month + 1, day=min(at.day, calendar.monthrange(year, month + 1)[1]))


def _unknown_unit(name: str, unit: Any, known: tuple[str, ...]) -> Exception:
    return refuse(name, f"must be one of {', '.join(known)}, but is {describe(unit)}")


_UNITS = (*_LENGTHS, *_MONTHS)


# -- processes ---------------------------------------------------------------------------------------------


@process("date_shift")
def date_shift(date: Any, value: Any, unit: str) -> str | None:
    """The date `value` units later (earlier for negative values), written as it was given; null for null.

    Days that do not exist in the resulting month become its last day.
    """
    if unit not in _UNITS:
        raise _unknown_unit("unit", unit, _UNITS)
    if date is None:
        return None
    moment, count = _moment(date, "date"), _integer(value, "value")
    if unit in _MONTHS:
        return moment.patch(_in_range("value", lambda: _add_months(moment.at, count * _MONTHS[unit]))).text()
    return moment.patch(_in_range("value", lambda: moment.at + count * _LENGTHS[unit])).text()


@process("date_difference")
def date_difference(date1: Any, date2: Any, unit: str = "second") -> float | int | None:
    """How many units date2 is after date1 (negative: before), with fractions; null if either is null.

    Months and years are counted by the calendar: whole ones, and the rest as the share of the month (year) it is in.
    """
    if unit not in _UNITS:
        raise _unknown_unit("unit", unit, _UNITS)
    if date1 is None or date2 is None:
        return None
    first, second = _moment(date1, "date1").at, _moment(date2, "date2").at
    if unit in _MONTHS:
        sign = 1 if first <= second else -1
        count = sign * _months_between(min(first, second), max(first, second), _MONTHS[unit])
    else:
        count = (second - first) / _LENGTHS[unit]
    return int(count) if count == int(count) else count


def _months_between(start: datetime, end: datetime, step: int) -> float:
    whole = ((end.year - start.year) * 12 + end.month - start.month) // step
    while _add_months(start, whole * step) > end:
        whole -= 1
    below = _add_months(start, whole * step)
    if below == end:
        return whole
    above = _add_months(start, (whole + 1) * step)
    return whole + (end - below) / (above - below)


@process("date_between")
def date_between(x: Any, min: Any, max: Any, exclude_max: bool = False) -> bool | None:
    """Whether a date or time is from `min` to `max` (the latter optionally excluded); null for null."""
    if x is None:
        return None
    values = {"x": x, "min": min, "max": max}
    times = [isinstance(value, str) and _TIME.fullmatch(value) is not None for value in values.values()]
    if any(times) and not all(times):
        raise refuse("x", "and the bounds must all be dates or all be times of the day")
    read = _seconds if all(times) else lambda value, name: _moment(value, name).at.timestamp()
    at, low, high = (read(value, name) for name, value in values.items())
    return low <= at and (at < high if exclude_max else at <= high)


def _seconds(text: str, name: str) -> float:
    """Seconds since midnight of a time of the day."""
    found = _TIME.fullmatch(text)
    assert found is not None
    hours, minutes, seconds = (int(part) for part in found.groups()[:3])
    if hours > 24 or minutes > 59 or seconds > 60:
        raise refuse(name, f"is no valid time: {text}")
    return hours * 3600 + minutes * 60 + seconds + float(f"0.{found[4] or 0}")


@process("date_replace_component")
def date_replace_component(date: Any, value: Any, component: str) -> str | None:
    """The date with one component (second, minute, hour, day, month or year) set to `value`; null for null.

    :raises OpenEOError: ProcessParameterInvalid for a date that does not exist, e.g. the 31st of February.
    """
    if component not in _COMPONENTS:
        raise _unknown_unit("component", component, _COMPONENTS)
    if date is None:
        return None
    moment, number = _moment(date, "date"), _integer(value, "value")
    at = _in_range("value", lambda: moment.at.replace(**{component: number}))  # type: ignore[arg-type]
    return moment.patch(at, timed=moment.timed or component in _COMPONENTS[:3]).text()
