"""Texts and dates: notation, calendars, null and refusals."""

from __future__ import annotations

import math
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openeo_backend.cube.pixels import PixelArray
from openeo_backend.errors import OpenEOError
from openeo_backend.processes import dates, text


def test_searching_texts() -> None:
    name = "S2A_MSIL2A_20260601"
    assert text.text_begins(name, "S2A") is True
    assert text.text_ends(name, "0601") is True
    assert text.text_contains(name, "msil2a") is False
    assert text.text_contains(name, "msil2a", case_sensitive=False) is True
    assert text.text_find(name, "msil2a", case_sensitive=False) == 4
    assert text.text_find(name, "L1C") is None
    # the lower case of a dotted capital I has two characters
    assert text.text_find("\u0130abc", "ABC", case_sensitive=False) == 1
    for function in (text.text_begins, text.text_ends, text.text_contains, text.text_find):
        assert function(None, "x") is None
        with pytest.raises(OpenEOError, match="must be a text"):
            function(5, "x")


def test_joining_texts(env: Any) -> None:
    values = ["a", 1, -1.5, True, None, math.nan]
    assert text.text_concat(values, "|", env=env) == "a|1|-1.5|true|null|nan"
    assert text.text_merge(["a", "b"], env=env) == "ab"
    with pytest.raises(OpenEOError, match="50 characters"):
        text.text_concat(["x" * 30, "y" * 30], env=env)
    with pytest.raises(OpenEOError, match="pixels"):
        text.text_concat(PixelArray(np.zeros((2, 2))), env=env)
    with pytest.raises(OpenEOError, match="an object"):
        text.text_concat([{}], env=env)


@pytest.mark.parametrize(
    ("start", "value", "unit", "expected"),
    [
        ("2024-02-29", 1, "year", "2025-02-28"),
        ("2026-01-31T10:00:00Z", 1, "month", "2026-02-28T10:00:00Z"),
        ("2026-03-31", -13, "month", "2025-02-28"),
        ("2026-06-01T00:00:00.5Z", 600, "millisecond", "2026-06-01T00:00:01.100Z"),
        ("2016-12-31T23:59:60Z", 0, "second", "2017-01-01T00:00:00Z"),
        ("2026-06-01T12:00:00-03:30", 2, "week", "2026-06-15T12:00:00-03:30"),
        ("0001-01-31", 1, "day", "0001-02-01"),
        ("2026-06-01T12:00:00", 1, "hour", "2026-06-01T13:00:00Z"),
    ],
)
def test_date_shift(start: str, value: int, unit: str, expected: str) -> None:
    assert dates.date_shift(start, value, unit) == expected


@pytest.mark.parametrize(
    ("first", "second", "unit", "expected"),
    [
        ("2026-01-01", "2026-03-01", "month", 2),
        ("2026-03-01", "2026-01-01", "month", -2),
        ("2026-01-01", "2026-01-16T12:00:00Z", "month", 0.5),
        ("2024-01-01", "2026-07-02T12:00:00Z", "year", 2.5),
        ("2024-02-29", "2025-02-28", "year", 1),
        ("2026-01-01", "2026-01-02T12:00:00Z", "day", 1.5),
        ("2026-01-01", "2026-01-08", "week", 1),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.25Z", "millisecond", 250),
    ],
)
def test_date_difference(first: str, second: str, unit: str, expected: float) -> None:
    assert dates.date_difference(first, second, unit) == pytest.approx(expected)
    assert dates.date_difference(second, first, unit) == pytest.approx(-expected)


def test_date_between() -> None:
    assert dates.date_between("2026-06-01", "2026-06-01T00:00:00Z", "2026-06-02") is True
    assert dates.date_between("2026-06-02", "2026-06-01", "2026-06-02") is True
    assert dates.date_between("2026-06-02", "2026-06-01", "2026-06-02", exclude_max=True) is False
    assert dates.date_between("2026-06-01T01:00:00+02:00", "2026-06-01", "2026-06-02") is False
    assert dates.date_between("12:30:00", "08:00:00", "12:30:00") is True
    assert dates.date_between("12:30:00", "13:00:00", "18:00:00") is False
    assert dates.date_between(None, "2026-06-01", "2026-06-02") is None
    with pytest.raises(OpenEOError, match="all be times"):
        dates.date_between("12:30:00", "2026-06-01", "2026-06-02")


def test_date_replace_component() -> None:
    replace = dates.date_replace_component
    assert replace("2026-06-03T10:20:30Z", 15, "day") == "2026-06-15T10:20:30Z"
    assert replace("2026-06-03", 1, "month") == "2026-01-03"
    assert replace("2026-06-03", 12, "hour") == "2026-06-03T12:00:00Z"
    assert replace("2026-06-03T10:20:30.500+02:00", 0, "second") == "2026-06-03T10:20:00.500+02:00"
    assert replace(None, 1, "day") is None
    for value, component in ((31, "day"), (13, "month"), (60, "minute"), (0, "year"), (1.5, "day")):
        with pytest.raises(OpenEOError):
            replace("2026-02-03", value, component)
    with pytest.raises(OpenEOError, match="second, minute"):
        replace("2026-02-03", 1, "week")


@pytest.mark.parametrize("wrong", ["2026", "2026-02-30", "2026-06-01T25:00:00Z", "yesterday", 5])
def test_wrong_dates_are_refused(wrong: Any) -> None:
    with pytest.raises(OpenEOError, match="'date'"):
        dates.date_shift(wrong, 1, "day")


def test_dates_out_of_range_are_refused() -> None:
    with pytest.raises(OpenEOError, match="9999"):
        dates.date_shift("9999-12-31", 1, "day")
    with pytest.raises(OpenEOError, match="9999"):
        dates.date_shift("2026-01-01", 10**9, "year")
    with pytest.raises(OpenEOError, match="integer"):
        dates.date_shift("2026-01-01", 1.5, "day")
    with pytest.raises(OpenEOError, match="millisecond, second"):
        dates.date_shift("2026-01-01", 1, "days")


DATES = st.dates(date(1900, 1, 1), date(2100, 1, 1))


@given(DATES, st.integers(-5000, 5000))
def test_shifting_is_undone_by_the_difference(start: date, days: int) -> None:
    shifted = dates.date_shift(start.isoformat(), days, "day")
    assert shifted == (start + timedelta(days=days)).isoformat()
    assert dates.date_difference(start.isoformat(), shifted, "day") == days


@given(DATES, DATES, st.sampled_from(["month", "year"]))
def test_months_grow_with_the_date(first: date, second: date, unit: str) -> None:
    months = dates.date_difference(first.isoformat(), second.isoformat(), unit)
    assert months is not None
    assert (months > 0) == (second > first)
    longest = {"month": 28, "year": 365}[unit]
    assert abs(months) <= abs((second - first).days) / longest + 1e-9
