"""aggregate_temporal and aggregate_temporal_period."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cube_support import CONTEXT, DATA, chain, make, node, nothing_computed, values

from openeo_backend.cube.labels import labels_json
from openeo_backend.errors import OpenEOError

Call = Callable[..., Any]
MEAN = chain(("mean", {"data": DATA}))
RNG = np.random.default_rng(3)


def series(dates: list[str], numbers: Any = None, lazy: bool = True) -> Any:
    data = np.arange(1.0, len(dates) + 1) if numbers is None else np.asarray(numbers, dtype=float)
    return make(np.stack([data, -data], axis=-1)[:, None, :], lazy=lazy, t=dates, y=[0.0], x=[0.0, 10.0])


def test_intervals_are_half_open_may_overlap_and_be_open(call: Call) -> None:
    cube = series(["2020-01-01", "2020-01-02", "2020-01-10", "2020-02-01"])
    intervals = [["2020-01-01", "2020-01-10"], ["2020-01-02", "2020-02-01"], ["2020-01-10", None], [None, "2020-01-02"]]
    with nothing_computed():
        result = call("aggregate_temporal", data=cube, intervals=intervals, reducer=MEAN, labels=["a", "b", "c", "d"])
    np.testing.assert_array_equal(values(result)[:, 0, 0], [1.5, 2.5, 3.5, 1.0])
    assert labels_json(result.labels("t")) == ["a", "b", "c", "d"]
    assert result.dimension("t").type == "temporal"


def test_starts_are_the_default_labels(call: Call) -> None:
    cube = series(["2020-01-01", "2020-01-20"])
    intervals = [["2020-01-01", "2020-01-10"], ["2020-01-10T00:00:00Z", "2020-02-01"], ["2021-01-01", "2022-01-01"]]
    result = call("aggregate_temporal", data=cube, intervals=intervals, reducer=MEAN)
    expected = ["2020-01-01T00:00:00Z", "2020-01-10T00:00:00Z", "2021-01-01T00:00:00Z"]
    assert labels_json(result.labels("t")) == expected
    np.testing.assert_array_equal(values(result)[:, 0, 0], [1, 2, np.nan])


def test_times_of_day_run_over_midnight(call: Call) -> None:
    dates = ["2020-01-01T05:59:59Z", "2020-01-01T06:00:00Z", "2020-01-02T17:59:59Z", "2020-01-02T18:00:00Z"]
    intervals = [["06:00:00", "18:00:00"], ["18:00:00", "06:00:00"]]
    result = call("aggregate_temporal", data=series(dates), intervals=intervals, reducer=MEAN)
    np.testing.assert_array_equal(values(result)[:, 0, 0], [2.5, 2.5])
    first = call("aggregate_temporal", data=series(dates), intervals=intervals, reducer=chain(("min", {"data": DATA})))
    np.testing.assert_array_equal(values(first)[:, 0, 0], [2, 1])
    assert labels_json(result.labels("t")) == ["06:00:00", "18:00:00"]


@pytest.mark.parametrize(
    ("intervals", "labels", "code"),
    [
        ([["2020-01-01", "2020-01-01"]], [], "TemporalExtentEmpty"),
        ([["2020-01-02", "2020-01-01"]], [], "TemporalExtentEmpty"),
        ([["2020-01-01", "2020-02-01"], ["2020-01-01", "2020-03-01"]], [], "DistinctDimensionLabelsRequired"),
        ([["2020-01-01", "2020-02-01"]], ["a", "b"], "ProcessParameterInvalid"),
    ],
)
def test_unusable_intervals_and_labels(call: Call, intervals: Any, labels: list[str], code: str) -> None:
    with pytest.raises(OpenEOError) as failure:
        call("aggregate_temporal", data=series(["2020-01-01"]), intervals=intervals, labels=labels, reducer=MEAN)
    assert failure.value.code == code


def test_the_temporal_dimension_must_be_clear(call: Call) -> None:
    cube = series(["2020-01-01"])
    with pytest.raises(OpenEOError) as failure:
        call("aggregate_temporal_period", data=cube, period="day", reducer=MEAN, dimension="x")
    assert failure.value.code == "DimensionNotAvailable"
    two = call("add_dimension", data=cube, name="t2", label="2020-01-01", type="temporal")
    with pytest.raises(OpenEOError) as failure:
        call("aggregate_temporal_period", data=two, period="day", reducer=MEAN)
    assert failure.value.code == "TooManyDimensions"
    assert call("aggregate_temporal_period", data=two, period="day", reducer=MEAN, dimension="t2").names == two.names


def test_a_chain_with_context_as_reducer(call: Call) -> None:
    reducer = chain(("max", {"data": DATA}), ("min", {"data": DATA}), ("subtract", {"x": node(0), "y": node(1)}),
                    ("multiply", {"x": node(2), "y": CONTEXT}))  # fmt: skip
    cube = series(["2020-01-01", "2020-01-02", "2020-02-05"])
    result = call("aggregate_temporal_period", data=cube, period="month", reducer=reducer, context=10)
    np.testing.assert_array_equal(values(result)[:, 0, 0], [10, 0])


@pytest.mark.parametrize(
    ("period", "dates", "labels"),
    [
        ("hour", ["2020-06-01T22:59:59Z", "2020-06-02T01:00:00Z"],
         ["2020-06-01-22", "2020-06-01-23", "2020-06-02-00", "2020-06-02-01"]),
        ("day", ["2020-12-30", "2021-01-02"], ["2020-365", "2020-366", "2021-001", "2021-002"]),
        ("week", ["2020-12-20", "2021-01-04"], ["2020-51", "2020-52", "2020-53", "2021-01"]),
        ("dekad", ["2023-02-10", "2023-03-01"], ["2023-04", "2023-05", "2023-06", "2023-07"]),
        ("dekad", ["2023-12-31", "2024-01-11"], ["2023-36", "2024-01", "2024-02"]),
        ("month", ["2023-11-30", "2024-02-01"], ["2023-11", "2023-12", "2024-01", "2024-02"]),
        ("season", ["2023-11-30", "2024-02-29", "2024-03-01"], ["2023-son", "2023-djf", "2024-mam"]),
        ("season", ["2024-01-01", "2024-12-01"], ["2023-djf", "2024-mam", "2024-jja", "2024-son", "2024-djf"]),
        ("tropical-season", ["2023-04-30", "2023-05-01", "2023-11-01"], ["2022-ndjfma", "2023-mjjaso", "2023-ndjfma"]),
        ("year", ["1999-12-31", "2001-01-01"], ["1999", "2000", "2001"]),
        ("decade", ["1989-12-31", "2000-01-01"], ["1980", "1990", "2000"]),
        ("decade-ad", ["1990-12-31", "2001-01-01"], ["1981", "1991", "2001"]),
        ("day", ["1969-12-31T23:00:00Z", "1970-01-01"], ["1969-365", "1970-001"]),
    ],
)  # fmt: skip
def test_labels_of_periods_are_complete(call: Call, period: str, dates: list[str], labels: list[str]) -> None:
    result = call("aggregate_temporal_period", data=series(dates), period=period, reducer=MEAN)
    assert labels_json(result.labels("t")) == labels


@pytest.mark.parametrize("lazy", [True, False])
@pytest.mark.parametrize(("period", "frequency"), [("month", "MS"), ("week", "W-SUN"), ("year", "YS"), ("day", "D")])
def test_irregular_series_agree_with_pandas(call: Call, period: str, frequency: str, lazy: bool) -> None:
    days = np.sort(RNG.choice(500, 60, replace=False))
    dates = pd.Timestamp("2019-02-03") + pd.to_timedelta(days, "D") + pd.Timedelta("13h")
    numbers = RNG.normal(size=60)
    numbers[RNG.random(60) < 0.3] = np.nan
    cube = series([f"{date:%Y-%m-%dT%H:%M:%SZ}" for date in dates], numbers, lazy)
    result = call("aggregate_temporal_period", data=cube, period=period, reducer=MEAN)
    expected = pd.Series(numbers, index=dates).resample(frequency).mean()
    np.testing.assert_allclose(values(result)[:, 0, 0], expected.values, rtol=1e-12)


def test_integers_keep_type_and_nodata_over_empty_periods(call: Call) -> None:
    stored = np.array([[[3, 255]], [[1, 255]], [[7, 8]]], dtype=np.uint8)
    cube = make(stored, nodata=255, t=["2020-01-01", "2020-01-02", "2020-03-01"], y=[0.0], x=[0.0, 1.0])
    result = call("aggregate_temporal_period", data=cube, period="month", reducer=chain(("max", {"data": DATA})))
    assert result.data.dtype == np.uint8
    np.testing.assert_array_equal(result.data.values[:, 0], [[3, 255], [255, 255], [7, 8]])


def test_unknown_periods_and_labels_that_are_no_dates(call: Call) -> None:
    cube = series(["2020-01-01", "2020-02-01"])
    with pytest.raises(OpenEOError, match="tropical-season"):
        call("aggregate_temporal_period", data=cube, period="fortnight", reducer=MEAN)
    monthly = call("aggregate_temporal_period", data=cube, period="month", reducer=MEAN)
    with pytest.raises(OpenEOError, match="not dates"):
        call("aggregate_temporal_period", data=monthly, period="year", reducer=MEAN)
