"""The area of terrain in radar images, and values of these between pixels: compiled as plain."""

from __future__ import annotations

import numpy as np
import pytest

from openeo_backend.cube import backscatter, relief


def test_compiled_and_plain_areas_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    i, j = np.mgrid[:60, :50].astype(float)
    rows, columns = 0.9 * i + 0.3 * j - 5 + rng.normal(size=i.shape), 1.1 * j - 0.1 * i + rng.normal(size=i.shape)
    areas, hidden = rng.uniform(50, 150, i.shape), rng.random(i.shape) < 0.1
    rows[20, 20], areas[30, 30] = np.nan, np.nan
    arguments = areas, rows, columns, (40, 45), hidden
    compiled = relief.accumulate(*arguments)
    monkeypatch.setattr(relief, "compile_loop", lambda loop: None)
    with np.errstate(invalid="ignore"):
        plain = relief.accumulate(*arguments)
    np.testing.assert_allclose(compiled, plain, rtol=1e-10, atol=1e-9)
    assert compiled.sum() > 50 * 40 * 40


def test_areas_far_inside_are_all_there() -> None:
    """Facets one pixel apart, whose parts fall on both sides of centres: each pixel gets the area of one facet."""
    rows, columns = np.mgrid[:20, :20].astype(float)
    found = relief.accumulate(np.full(rows.shape, 9.0), rows, columns, (20, 20), np.zeros(rows.shape, bool))
    np.testing.assert_allclose(found[2:-2, 2:-2], 9.0, rtol=1e-12)


def test_compiled_and_plain_values_between_pixels_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    image = rng.normal(size=(20, 30))
    image[5, 5:9] = np.nan
    rows, columns = rng.uniform(-1, 21, (50, 40)), rng.uniform(-1, 31, (50, 40))
    rows[0, :5], columns[0, :5] = (0, 19, 5, np.nan, 19), (0, 29, 4, 3, 7.5)
    for shown in (image, image[:1], image[:, :1]):
        compiled = backscatter.interpolate(shown, rows, columns)
        with monkeypatch.context() as plainly:
            plainly.setattr(backscatter, "compile_loop", lambda loop: None)
            plain = backscatter.interpolate(shown, rows, columns)
        np.testing.assert_allclose(compiled, plain, rtol=1e-12, atol=1e-12)
    assert np.isfinite(backscatter.interpolate(image, rows, columns)[0, :3]).tolist() == [True, True, True]
