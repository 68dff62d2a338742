"""climatological_normal and anomaly, against pandas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cube_support import DATA, chain, make, nothing_computed, values

from openeo_backend.cube import Cube
from openeo_backend.cube.labels import labels_json
from openeo_backend.errors import OpenEOError

Call = Callable[..., Any]
RNG = np.random.default_rng(5)
MEAN = chain(("mean", {"data": DATA}))


def daily(start: str, end: str, lazy: bool = True) -> tuple[Cube, pd.Series]:
    dates = pd.date_range(start, end, freq="D")
    numbers = RNG.normal(size=len(dates))
    numbers[RNG.random(len(dates)) < 0.1] = np.nan
    cube = make(numbers[:, None], lazy=lazy, t=[f"{date:%Y-%m-%d}" for date in dates], x=[0.0])
    return cube, pd.Series(numbers, index=dates)


@pytest.mark.parametrize("lazy", [True, False])
def test_days_and_months(call: Call, lazy: bool) -> None:
    cube, series = daily("1999-06-01", "2003-03-31", lazy)
    inside = series["2000":"2002"]
    with nothing_computed():
        days = call("climatological_normal", data=cube, period="day", climatology_period=[2000, 2002])
    assert labels_json(days.labels("t")) == [f"{day:03d}" for day in range(1, 367)]  # 2000 is a leap year
    np.testing.assert_allclose(values(days)[:, 0], inside.groupby(inside.index.dayofyear).mean().values, rtol=1e-12)
    months = call("climatological_normal", data=cube, period="month", climatology_period=[2000, 2002])
    assert labels_json(months.labels("t")) == [f"{month:02d}" for month in range(1, 13)]
    np.testing.assert_allclose(values(months)[:, 0], inside.groupby(inside.index.month).mean().values, rtol=1e-12)
    whole = call("climatological_normal", data=cube, period="climatology-period", climatology_period=[2000, 2002])
    assert labels_json(whole.labels("t")) == ["climatology-period"]
    np.testing.assert_allclose(values(whole)[0, 0], inside.mean(), rtol=1e-12)


def test_there_are_365_days_without_a_leap_year(call: Call) -> None:
    cube, _ = daily("2001-01-01", "2001-12-31")
    days = call("climatological_normal", data=cube, period="day", climatology_period=[2001, 2001])
    assert len(days.labels("t")) == 365


def test_a_season_counts_in_the_year_in_which_it_ends(call: Call) -> None:
    cube, series = daily("1999-06-01", "2003-03-31")
    result = call("climatological_normal", data=cube, period="season", climatology_period=[2000, 2002])
    assert labels_json(result.labels("t")) == ["djf", "mam", "jja", "son"]
    winters = series["1999-12":"2000-02"], series["2000-12":"2001-02"], series["2001-12":"2002-02"]
    np.testing.assert_allclose(values(result)[0, 0], pd.concat(winters).mean(), rtol=1e-12)
    spring = series[[date.year in (2000, 2001, 2002) and date.month in (3, 4, 5) for date in series.index]]
    np.testing.assert_allclose(values(result)[1, 0], spring.mean(), rtol=1e-12)


def test_the_first_season_is_left_out_where_its_months_before_are_missing(call: Call) -> None:
    cube, series = daily("2000-01-01", "2002-12-31")
    result = call("climatological_normal", data=cube, period="season", climatology_period=[2000, 2002])
    winters = series["2000-12":"2001-02"], series["2001-12":"2002-02"]
    np.testing.assert_allclose(values(result)[0, 0], pd.concat(winters).mean(), rtol=1e-12)
    tropical = call("climatological_normal", data=cube, period="tropical-season", climatology_period=[2000, 2002])
    assert labels_json(tropical.labels("t")) == ["ndjfma", "mjjaso"]
    wet = series["2000-11":"2001-04"], series["2001-11":"2002-04"]
    np.testing.assert_allclose(values(tropical)[0, 0], pd.concat(wet).mean(), rtol=1e-12)


def test_data_must_span_the_period(call: Call) -> None:
    cube, _ = daily("2000-01-01", "2001-12-31")
    with pytest.raises(OpenEOError, match="2000 to 2001"):
        call("climatological_normal", data=cube, period="month")
    with pytest.raises(OpenEOError, match="first and a last year"):
        call("climatological_normal", data=cube, period="month", climatology_period=[2001, 2000])
    with pytest.raises(OpenEOError, match="must be one of"):
        call("climatological_normal", data=cube, period="week", climatology_period=[2000, 2001])


@pytest.mark.parametrize("period", ["month", "season", "day"])
def test_anomalies_of_periods(call: Call, period: str) -> None:
    cube, _ = daily("1999-11-01", "2002-12-31")
    normals = call("climatological_normal", data=cube, period=period, climatology_period=[2000, 2002])
    data = call("aggregate_temporal_period", data=cube, period=period, reducer=MEAN)
    with nothing_computed():
        result = call("anomaly", data=data, normals=normals, period=period)
    assert labels_json(result.labels("t")) == labels_json(data.labels("t"))
    known = dict(zip(labels_json(normals.labels("t")), values(normals)[:, 0], strict=True))
    expected = [
        value - known[label.split("-")[-1]]
        for label, value in zip(labels_json(data.labels("t")), values(data)[:, 0], strict=True)
    ]
    np.testing.assert_allclose(values(result)[:, 0], expected, rtol=1e-12)


def test_anomalies_of_dates_and_of_a_single_period(call: Call) -> None:
    data = make(np.array([[1, 255], [5, 7]], np.uint8), nodata=255, t=["2020-01-05", "2020-02-05"], x=[0.0, 1.0])
    normals = make(np.array([[2.0, 3], [4, 5]], np.float32), t=["01", "02"], x=[0.0, 1.0])
    result = call("anomaly", data=data, normals=normals, period="month")
    np.testing.assert_array_equal(values(result), [[-1, np.nan], [1, 2]])
    assert result.data.dtype == np.float32
    single = make(np.array([[2.0, 3]], np.float32), t=["climatology-period"], x=[0.0, 1.0])
    result = call("anomaly", data=data, normals=single, period="climatology-period")
    np.testing.assert_array_equal(values(result), [[-1, np.nan], [3, 4]])


def test_anomalies_need_matching_normals(call: Call) -> None:
    data = make(np.ones((1, 2)), t=["2020-03"], x=[0.0, 1.0])
    normals = make(np.ones((2, 2)), t=["01", "02"], x=[0.0, 1.0])
    with pytest.raises(OpenEOError, match="no normal '03' for the label '2020-03'"):
        call("anomaly", data=data, normals=normals, period="month")
    with pytest.raises(OpenEOError, match="single one"):
        call("anomaly", data=data, normals=normals, period="single-period")
    moved = make(np.ones((1, 2)), t=["03"], x=[0.0, 2.0])
    with pytest.raises(OpenEOError, match="labels of the dimension 'x' differ"):
        call("anomaly", data=data, normals=moved, period="month")
