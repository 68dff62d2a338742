"""The writers' compiled loops give what numpy gives without them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from openeo_backend.cube.compiled import kernels
from openeo_backend.formats import chunks, statistics, tiff, tiles


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Any, Any]]:
    """Calls a function with the loops and without them."""

    def call(function: Callable[..., Any], *arguments: Any) -> tuple[Any, Any]:
        assert kernels("openeo_backend.formats.kernels") is not None
        found = function(*arguments)
        with monkeypatch.context() as patch:
            for module in (chunks, statistics, tiff, tiles):
                patch.setattr(module, "kernels", lambda name: None)
            return found, function(*arguments)

    return call


def made(dtype: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    choose = np.random.default_rng(seed)
    values = choose.normal(3000, 500, shape).astype(dtype)
    if values.dtype.kind == "f":
        values[choose.random(shape) < 0.2] = np.nan
        values[choose.random(shape) < 0.1] = -9999
        values[choose.random(shape) < 0.02] = np.inf
    else:
        values[choose.random(shape) < 0.2] = 0
    return values


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "int16", "uint16", "int64"])
@pytest.mark.parametrize("nodata", [None, np.nan, 0.0, -9999.0])
def test_statistics(both: Any, dtype: str, nodata: float | None) -> None:
    values = made(dtype, (2, 37, 53), 1)[:, :, 3:50]
    if nodata == -9999 and dtype.startswith("u"):
        nodata = None
    found, expected = both(statistics.measure, values, nodata)
    for name in ("pixels", "valid", "count", "minimum", "maximum"):
        assert getattr(found, name) == getattr(expected, name)
    assert found.mean == pytest.approx(expected.mean, rel=1e-12)
    assert found.squares == pytest.approx(expected.squares, rel=1e-9)


def test_statistics_of_nothing(both: Any) -> None:
    found, expected = both(statistics.measure, np.full((3, 4), np.nan, "float32"), None)
    assert found == expected == statistics.Statistics(pixels=12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 8, 6), (2, 7, 5), (1, 1, 9)])
@pytest.mark.parametrize("nodata", [None, np.nan, -9999.0])
def test_overviews(both: Any, dtype: str, shape: tuple[int, ...], nodata: float | None) -> None:
    found, expected = both(tiles.decimate_average, made(dtype, shape, 2), nodata)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_predictor_3(both: Any) -> None:
    values = made("float32", (16, 48), 3)
    found, expected = both(tiff._predict, values, 3)
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("dtype", ["float32", ">f4", "uint16", "int8", "float64"])
def test_bytes_by_significance(both: Any, dtype: str) -> None:
    values = made("float32", (3, 5, 7), 4)
    values = np.where(np.isfinite(values), values, 0).astype(dtype)
    found, expected = both(chunks.shuffled, values)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(found.T.copy().view(dtype).ravel(), values.ravel())
