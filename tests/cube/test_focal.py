"""Working on neighbours: blocks of any size give what the whole gives, compiled what scipy gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from odc.geo.crs import CRS

from openeo_backend.cube import Cube, Dimension, focal
from openeo_backend.cube.joining import join


def cube(values: np.ndarray, chunks: Any = None) -> Cube:
    _, height, width = values.shape
    labels = {"bands": ["a", "b"], "y": -np.arange(height) - 0.5, "x": np.arange(width) + 0.5}
    data = xr.DataArray(values, labels, ("bands", "y", "x"))
    dimensions = (
        Dimension("bands", "bands"),
        Dimension("y", "spatial", axis="y", step=-1.0),
        Dimension("x", "spatial", axis="x", step=1.0),
    )
    return Cube(data if chunks is None else data.chunk(chunks), dimensions, CRS("EPSG:32633"))


def scene(dtype: str = "float32") -> np.ndarray:
    values = np.random.default_rng(2).normal(50, 20, (2, 23, 31)).astype(dtype)
    values[0, 3:6, 4] = np.nan
    values[1, 0, 0] = -np.inf
    return values


def padded(values: np.ndarray, depths: tuple[int, int], border: Any) -> np.ndarray:
    widths = [(0, 0), (depths[0],) * 2, (depths[1],) * 2]
    if isinstance(border, str):
        return np.pad(values, widths, mode=border)  # type: ignore[call-overload,no-any-return]
    return np.pad(values, widths, constant_values=border)


@pytest.mark.parametrize("border", [0.0, 7.5, "edge", "symmetric", "reflect", "wrap"])
@pytest.mark.parametrize("shape", [(3, 5), (1, 7), (9, 1), (21, 25)])
@pytest.mark.parametrize("chunks", [(1, 23, 31), (2, 4, 31), (1, 5, 6), (1, 1, 30)])
def test_sums_of_neighbours(border: Any, shape: tuple[int, int], chunks: tuple[int, int, int]) -> None:
    values, depths = scene(), (shape[0] // 2, shape[1] // 2)
    kernel = np.random.default_rng(3).normal(size=shape)
    clean = padded(np.where(np.isfinite(values), values, np.float32(3)), depths, border).astype("float64")
    expected = np.zeros(values.shape)
    for i in range(shape[0]):
        for j in range(shape[1]):
            expected += kernel[i, j] * 0.5 * clean[:, i : i + 23, j : j + 31]
    given = cube(values, dict(zip(("bands", "y", "x"), chunks, strict=True)))
    fixed = {"kernel": kernel, "factor": 0.5, "replacement": 3.0}
    found = focal.map_focal(given, given.data, focal.weigh, depths, border, "float32", **fixed)
    assert found.dtype == "float32"
    assert found.chunks == given.data.chunks or shape == (21, 25)
    np.testing.assert_allclose(found.values, expected, rtol=3e-6, atol=2e-4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compiled_and_plain_sums_are_the_same(monkeypatch: pytest.MonkeyPatch, dtype: str) -> None:
    values, kernel = scene(dtype), np.array([[0.0, 1, 0], [1, -4, 1], [0, 1, 0.25]])
    compiled = focal.weigh(values, kernel, 0.1, 2.0)
    monkeypatch.setattr(focal, "kernels", lambda module: None)
    plain = focal.weigh(values, kernel, 0.1, 2.0)
    assert compiled.dtype == plain.dtype == dtype
    assert compiled.shape == (2, 21, 29)
    np.testing.assert_allclose(compiled, plain, rtol=1e-6 if dtype == "float32" else 1e-12, atol=1e-5)


def test_parts_of_several_blocks_are_joined() -> None:
    whole = np.arange(2 * 10 * 12).reshape(2, 10, 12)
    blocks = [[whole[:, r, c] for c in (slice(0, 5), slice(5, 12))] for r in (slice(0, 3), slice(3, 4), slice(4, 10))]
    np.testing.assert_array_equal(join(blocks, (slice(2, 9), slice(4, 7))), whole[:, 2:9, 4:7])
    np.testing.assert_array_equal(join([[whole]], (slice(1, 3), slice(0, 2))), whole[:, 1:3, 0:2])
