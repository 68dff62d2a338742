"""Compiled order statistics against numpy, and what happens where nothing can be compiled."""

import numpy as np
import pytest

from openeo_backend.cube import order
from openeo_backend.cube.pixels import PixelArray
from openeo_backend.processes import statistics


def expected(values: np.ndarray, probabilities: list[float]) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.nanquantile(values.astype("float64"), probabilities, axis=0)


def elements(rng: np.random.Generator, count: int, pixels: tuple[int, ...], dtype: str, nulls: float) -> np.ndarray:
    values = rng.normal(0, 100, (count, *pixels)).astype(dtype)
    values[rng.random(values.shape) < 0.2] = 7  # ties
    values[rng.random(values.shape) < nulls] = np.nan
    return values


@pytest.mark.filterwarnings("ignore:All-NaN slice")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("count", "pixels"), [(1, (5,)), (2, (3, 4)), (7, (1,)), (12, (40, 101)), (100, (700,))])
@pytest.mark.parametrize("nulls", [0.0, 0.3, 1.0])
def test_quantiles_are_those_of_numpy(dtype: str, count: int, pixels: tuple[int, ...], nulls: float) -> None:
    values = elements(np.random.default_rng(count), count, pixels, dtype, nulls)
    wanted = [0.0, 0.1, 0.5, 0.77, 1.0]
    found = order.quantiles(values, wanted, ignore_nodata=True)
    assert found is not None
    assert found.dtype == values.dtype
    np.testing.assert_allclose(found, expected(values, wanted), rtol=2e-6, atol=2e-5)
    strict = order.quantiles(values, wanted, ignore_nodata=False)
    assert strict is not None
    np.testing.assert_array_equal(np.isnan(strict), np.broadcast_to(np.isnan(values).any(axis=0), strict.shape))


def test_every_length_is_sorted() -> None:
    rng = np.random.default_rng(3)
    for count in range(1, 70):
        values = rng.permutation(np.arange(count * 3, dtype="float32")).reshape(count, 3)
        wanted = [index / max(count - 1, 1) for index in range(count)]
        found = order.quantiles(values, wanted, ignore_nodata=True)
        np.testing.assert_allclose(found, np.sort(values, axis=0), rtol=1e-6, atol=1e-4)


def test_strips_that_are_not_contiguous() -> None:
    whole = elements(np.random.default_rng(5), 9, (20, 30), "float32", 0.2)
    part = np.moveaxis(whole, 0, 2)[3:9, ::2].transpose(2, 0, 1)
    found = order.quantiles(part, [0.5], ignore_nodata=True)
    np.testing.assert_allclose(found, expected(part, [0.5]), rtol=1e-6)


def test_infinite_values_have_no_nan_beside_them() -> None:
    values = np.array([[-np.inf, 1, np.inf], [2, np.nan, np.inf], [np.inf, 3, np.nan]], "float32")
    found = order.quantiles(values, [0.5], ignore_nodata=True)
    np.testing.assert_array_equal(found, [[2, 2, np.inf]])


@pytest.mark.parametrize("ignore_nodata", [True, False])
def test_processes_give_the_same_compiled_and_plain(monkeypatch: pytest.MonkeyPatch, ignore_nodata: bool) -> None:
    rng = np.random.default_rng(8)
    floats = elements(rng, 6, (500,), "float32", 0.2)
    floats[rng.random(floats.shape) < 0.1] = np.inf
    integers = np.ma.MaskedArray(rng.integers(0, 9000, (6, 500)).astype("uint16"), mask=rng.random((6, 500)) < 0.2)

    def results() -> list[np.ndarray]:
        arrays = [PixelArray(values) for values in (floats, integers, integers.data)]
        medians = [statistics.median(data, ignore_nodata) for data in arrays]
        return medians + [statistics.quantiles(data, q=4, ignore_nodata=ignore_nodata).values for data in arrays]

    compiled = results()
    monkeypatch.setattr(order, "kernels", lambda name: None)
    for one, other in zip(compiled, results(), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def test_without_a_place_for_compiled_code_numpy_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "kernels", lambda name: None)
    assert order.quantiles(np.ones((3, 4), "float32"), [0.5], ignore_nodata=True) is None
    np.testing.assert_array_equal(statistics.median(PixelArray(np.ones((3, 4), "float32"))), np.ones(4))


@pytest.mark.parametrize(("dtype", "nodata"), [("uint16", 0), ("int16", -9999), ("uint8", 255), ("int8", None)])
@pytest.mark.parametrize("ignore_nodata", [True, False])
def test_integers_give_what_floats_give(dtype: str, nodata: int | None, ignore_nodata: bool) -> None:
    rng = np.random.default_rng(4)
    limits = np.iinfo(dtype)
    for count in (1, 4, 40):  # beyond some elements quantiles are taken pixel by pixel
        values = rng.integers(limits.min, limits.max, (count, 33, 70), dtype, endpoint=True)
        if nodata is not None:
            values[rng.random(values.shape) < 0.4] = nodata
        floats = np.where(values == nodata, np.nan, values.astype("float32")).astype("float32")
        found = order.quantiles(values, [0.1, 0.5, 1.0], ignore_nodata, nodata)
        assert found is not None
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, order.quantiles(floats, [0.1, 0.5, 1.0], ignore_nodata))
