"""fit_curve and predict_curve, against numpy and scipy pixel by pixel."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cube_support import DATA, X, chain, make, node, nothing_computed, parameter
from scipy.optimize import curve_fit

from openeo_backend.cube.labels import labels_json
from openeo_backend.cube.pixels import LabeledList
from openeo_backend.errors import OpenEOError
from openeo_backend.processes.curves import fit_curve

Call = Callable[..., Any]
YEAR = 31557600.0
RNG = np.random.default_rng(9)
DATES = [f"{date:%Y-%m-%d}" for date in pd.Timestamp("2019-01-05") + pd.to_timedelta(np.arange(0, 700, 12), "D")]
SECONDS = np.array([pd.Timestamp(date).timestamp() for date in DATES])


def element(index: int) -> tuple[str, dict[str, Any]]:
    return "array_element", {"data": parameter("parameters"), "index": index}


HARMONIC = chain(
    element(0), element(1), element(2),
    ("multiply", {"x": X, "y": 2 * math.pi / YEAR}),
    ("cos", {"x": node(3)}), ("sin", {"x": node(3)}),
    ("multiply", {"x": node(1), "y": node(4)}), ("multiply", {"x": node(2), "y": node(5)}),
    ("add", {"x": node(0), "y": node(6)}), ("add", {"x": node(8), "y": node(7)}),
)  # fmt: skip

#: a * exp(-b * x)
DECAY = chain(
    element(0), element(1), ("multiply", {"x": node(1), "y": X}), ("multiply", {"x": node(2), "y": -1}),
    ("exp", {"p": node(3)}), ("multiply", {"x": node(0), "y": node(4)}),
)  # fmt: skip


def fit(call: Call, cube: Any, function: Any, parameters: list[float], **more: Any) -> Any:
    process = chain(("fit_curve", {"data": DATA, "parameters": parameters, "function": function, **more}))
    return call("apply_dimension", data=cube, process=process, dimension="t")


@pytest.mark.parametrize("lazy", [True, False])
def test_a_harmonic_over_dates_agrees_with_linear_algebra(call: Call, lazy: bool) -> None:
    angle = 2 * np.pi / YEAR * SECONDS
    design = np.stack([np.ones_like(angle), np.cos(angle), np.sin(angle)], axis=-1)
    truth = RNG.normal(size=(3, 3, 4))
    observed = np.tensordot(design, truth, 1) + RNG.normal(scale=0.1, size=(len(DATES), 3, 4))
    observed[RNG.random(observed.shape) < 0.3] = np.nan
    observed[:, 0, 0] = np.nan
    observed[3:, 0, 1], observed[:2, 0, 1] = np.nan, 1.0
    observed[2, 0, 1] = np.nan
    cube = make(observed, lazy=lazy, t=DATES, y=[20.0, 10.0, 0.0], x=[0.0, 10.0, 20.0, 30.0])
    with nothing_computed():
        result = fit(call, cube, HARMONIC, [1, 1, 1])
    found = result.data.values
    assert found.shape == (3, 3, 4)
    assert labels_json(result.labels("t")) == [0, 1, 2]
    assert np.isnan(found[:, 0, 0]).all()  # no value at all
    assert np.isnan(found[:, 0, 1]).all()  # fewer values than parameters
    for row, column in ((1, 1), (2, 3), (0, 2)):
        valid = ~np.isnan(observed[:, row, column])
        expected = np.linalg.lstsq(design[valid], observed[valid, row, column], rcond=None)[0]
        np.testing.assert_allclose(found[:, row, column], expected, rtol=1e-6)


def test_a_non_linear_model_agrees_with_scipy(call: Call) -> None:
    places = np.linspace(0.0, 4.0, 15)
    rates = RNG.uniform(0.3, 2.0, size=6)
    observed = 3 * np.exp(-rates * places[:, None]) + RNG.normal(scale=0.02, size=(15, 6))
    cube = make(observed, t=places.tolist(), x=list(np.arange(6.0)))
    found = fit(call, cube, DECAY, [1.0, 1.0]).data.values
    for pixel in range(6):
        expected, _ = curve_fit(lambda x, a, b: a * np.exp(-b * x), places, observed[:, pixel], p0=[1, 1])
        np.testing.assert_allclose(found[:, pixel], expected, rtol=1e-5)


def test_without_ignore_nodata_gaps_give_no_parameters(call: Call) -> None:
    observed = np.exp(-np.arange(5.0))[:, None] * np.ones(2)
    observed[1, 1] = np.nan
    cube = make(observed, t=[0.0, 1.0, 2.0, 3.0, 4.0], x=[0.0, 1.0])
    found = fit(call, cube, DECAY, [2.0, 0.5], ignore_nodata=False).data.values
    np.testing.assert_allclose(found[:, 0], [1, 1], rtol=1e-6)
    assert np.isnan(found[:, 1]).all()


def test_float32_and_integers_give_float32(call: Call) -> None:
    stored = np.array([[10, 255], [20, 30], [30, 30]], dtype=np.uint8)
    line = chain(element(0), element(1), ("multiply", {"x": node(1), "y": X}), ("add", {"x": node(0), "y": node(2)}))
    result = fit(call, make(stored, nodata=255, t=[0.0, 1.0, 2.0], x=[0.0, 1.0]), line, [0, 0])
    assert result.data.dtype == np.float32
    np.testing.assert_allclose(result.data.values, [[10, 30], [10, 0]], atol=1e-4)


def test_predictions_at_new_dates(call: Call) -> None:
    fitted = make(np.array([[[1.0, 2]], [[0.5, 0]], [[0, -1.0]]]), t=[0, 1, 2], y=[0.0], x=[0.0, 10.0])
    labels = ["2020-01-01", "2020-06-15T12:00:00Z"]
    with nothing_computed():
        result = call("predict_curve", parameters=fitted, function=HARMONIC, dimension="t", labels=labels)
    angle = 2 * np.pi / YEAR * np.array([pd.Timestamp(label).timestamp() for label in labels])
    expected = np.stack([1 + 0.5 * np.cos(angle), 2 - np.sin(angle)], axis=-1)[:, None, :]
    np.testing.assert_allclose(result.data.values, expected, rtol=1e-9)
    assert labels_json(result.labels("t")) == ["2020-01-01T00:00:00Z", "2020-06-15T12:00:00Z"]
    assert result.dimension("t").type == "temporal"


def test_parameters_along_another_dimension(call: Call) -> None:
    fitted = make(np.array([[3.0, 1.0]]), x=[0.0], p=[0, 1])
    result = call("predict_curve", parameters=fitted, function=DECAY, dimension="depth", labels=[0, 2])
    assert result.names == ("x", "depth")
    assert result.dimension("depth").type == "other"
    np.testing.assert_allclose(result.data.values, [[3, 3 * np.exp(-2)]])
    dated = call("predict_curve", parameters=fitted, function=DECAY, dimension="t", labels=["1970-01-01"])
    assert dated.dimension("t").type == "temporal"
    np.testing.assert_allclose(dated.data.values, [[3]])


def test_predictions_that_are_not_possible(call: Call) -> None:
    fitted = make(np.array([[3.0, 1.0]]), x=[0.0], p=[0, 1])
    with pytest.raises(OpenEOError) as failure:
        call("predict_curve", parameters=fitted, function=DECAY, dimension="p")
    assert failure.value.code == "FeatureUnsupported"
    bare = call("drop_dimension", data=make(np.ones((1, 1)), x=[0.0], p=[0]), name="p")
    with pytest.raises(OpenEOError) as failure:
        call("predict_curve", parameters=bare, function=DECAY, dimension="t", labels=[1])
    assert failure.value.code == "DimensionNotAvailable"


def test_fitting_an_array_outside_of_cubes() -> None:
    data = LabeledList([1.0, None, 5.0, 7.0], [0, 1, 2, 3])
    line: Any = lambda x, parameters: parameters[0] + parameters[1] * x  # noqa: E731
    assert fit_curve(data, [0, 0], line) == pytest.approx([1, 2])
    assert fit_curve(data, [0, 0], line, ignore_nodata=False) == [None, None]
    dated = LabeledList([0.0, 86400.0], ["1970-01-01", "1970-01-02"])
    assert fit_curve(dated, [0, 0], line) == pytest.approx([0, 1], abs=1e-6)


def test_arguments_that_make_no_sense(call: Call) -> None:
    with pytest.raises(OpenEOError, match="At least one parameter"):
        fit_curve([1.0], [], lambda **_: 0)  # type: ignore[arg-type]
    cube = make(np.ones((2, 1)), t=["a", "b"], x=[0.0])
    with pytest.raises(OpenEOError, match="neither a number nor a date"):
        fit(call, cube, DECAY, [1.0, 1.0])
    listing = chain(("array_create", {"data": [X]}))
    with pytest.raises(OpenEOError, match="single number"):
        fit(call, make(np.ones((2, 1)), t=[0.0, 1.0], x=[0.0]), listing, [1.0])
