"""Compiled loops along the elements of pixels: what numpy gives, and the same with and without them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from openeo_backend.cube import along
from openeo_backend.cube.pixels import PixelArray
from openeo_backend.processes import sequences, statistics

BOTH = [True, False]


def elements(dtype: str, count: int = 12, nulls: float = 0.25, pixels: int = 2100) -> np.ndarray:
    rng = np.random.default_rng(count)
    values = rng.normal(0, 100, (count, pixels)).round().astype(dtype)
    values[rng.random(values.shape) < nulls] = np.nan
    values[:, :3] = np.nan if nulls else 1
    return values


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", [1, 2, 12])
def test_moments_are_those_of_numpy(dtype: str, count: int) -> None:
    values = elements(dtype, count)
    known = (~np.isnan(values)).sum(axis=0)
    wide = np.where(np.isnan(values), 0, values).astype("float64")
    with np.errstate(all="ignore"):
        mean = wide.sum(axis=0) / known
        off = np.where(np.isnan(values), 0, values - mean)
        variance = (off**2).sum(axis=0) / (known - 1)
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(along.mean(values, ignore_nodata=True), mean, rtol=tolerance, atol=1e-5)
    np.testing.assert_allclose(
        along.variance(values, ignore_nodata=True), np.where(known > 0, variance, np.nan), rtol=tolerance, atol=1e-3
    )
    strict = along.mean(values, ignore_nodata=False)
    assert strict is not None
    np.testing.assert_array_equal(np.isnan(strict), known < count)


@pytest.mark.parametrize("count", [1, 5, 12, 70])
@pytest.mark.parametrize("ascending", BOTH)
@pytest.mark.parametrize("last", BOTH)
def test_ranks_are_stable(count: int, ascending: bool, last: bool) -> None:
    values = elements("float32", count, 0.3, 2200)
    values[0, 5], values[-1, 6] = np.inf, -np.inf
    found = along.ranked(values, ascending, last)
    assert found is not None
    order, ranked = found
    for pixel in range(0, 2200, 37):
        own = values[:, pixel]
        known = [i for i in range(count) if not np.isnan(own[i])]
        known.sort(key=lambda i: own[i] if ascending else -own[i])
        gone = [i for i in range(count) if np.isnan(own[i])]
        assert order[:, pixel].tolist() == (known + gone if last else gone + known)
    np.testing.assert_array_equal(ranked, np.take_along_axis(values, order, axis=0))


def reference(kind: str, own: list[float], strict: bool) -> list[float]:
    join = {"sum": lambda a, b: a + b, "product": lambda a, b: a * b, "min": min, "max": max}[kind]
    held: float | None = None
    found, gone = [], False
    for value in own:
        gone = gone or (strict and value != value)
        if value != value or gone:
            found.append(np.nan)
        else:
            held = value if held is None else join(held, value)
            found.append(held)
    return found


@pytest.mark.parametrize("kind", ["sum", "product", "min", "max"])
@pytest.mark.parametrize("ignore", BOTH)
def test_accumulation(kind: str, ignore: bool) -> None:
    values = elements("float32", 7)
    found = along.accumulated(values, kind, ignore)
    assert found is not None
    for pixel in range(0, 2100, 53):
        expected = reference(kind, values[:, pixel].tolist(), not ignore)
        np.testing.assert_allclose(found[:, pixel], expected, rtol=1e-6)


def test_gaps_are_bridged() -> None:
    values, places = elements("float64", 9), np.array([0, 1, 2.5, 3, 7, 8, 9, 12, 20.0])
    found = along.bridged(values, places)
    assert found is not None
    for pixel in range(0, 2100, 53):
        own = values[:, pixel]
        known = ~np.isnan(own)
        expected = own.copy()
        if known.any():
            inner = (places >= places[known].min()) & (places <= places[known].max())
            expected[inner] = np.interp(places[inner], places[known], own[known])
        np.testing.assert_allclose(found[:, pixel], expected, rtol=1e-12, atol=1e-12)


PROCESSES: dict[str, Callable[[Any], Any]] = {
    **{f"mean {i}": (lambda d, i=i: statistics.mean(d, i)) for i in BOTH},
    **{f"sd {i}": (lambda d, i=i: statistics.sd(d, i)) for i in BOTH},
    "variance": statistics.variance,
    **{f"sort {a} {n}": (lambda d, a=a, n=n: sequences.sort(d, a, n)) for a in BOTH for n in (None, True, False)},
    **{f"order {a} {n}": (lambda d, a=a, n=n: sequences.order(d, a, n)) for a in BOTH for n in (None, True, False)},
    **{f"cumsum {i}": (lambda d, i=i: sequences.cumsum(d, i)) for i in BOTH},
    "cumproduct": sequences.cumproduct,
    **{f"cummin {i}": (lambda d, i=i: sequences.cummin(d, i)) for i in BOTH},
    "cummax": sequences.cummax,
    "interpolate": sequences.array_interpolate_linear,
}


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("kind", ["float32", "float64", "uint16", "int16 complete", "uint8", "int32"])
def test_compiled_and_plain_give_the_same(monkeypatch: pytest.MonkeyPatch, name: str, kind: str) -> None:
    floats = elements("float64", 6, 0.25, 300)
    data: Any = floats.astype(kind) if kind.startswith("float") else np.nan_to_num(np.abs(floats)) % 250
    if not kind.startswith("float"):
        data = data.astype(kind.split()[0])
        data = data if "complete" in kind else np.ma.MaskedArray(data, np.isnan(floats))
    array = PixelArray(data.reshape(6, 20, 15))
    compiled = PROCESSES[name](array)
    monkeypatch.setattr(along, "kernels", lambda module: None)
    plain = PROCESSES[name](array)
    one, other = (found.values if isinstance(found, PixelArray) else found for found in (compiled, plain))
    assert one.dtype == other.dtype
    np.testing.assert_array_equal(np.ma.getmaskarray(one), np.ma.getmaskarray(other))
    if one.dtype.kind == "f":
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-4)
    else:
        np.testing.assert_array_equal(np.ma.filled(one, 0), np.ma.filled(other, 0))
