"""The area of terrain in radar images: compiled as plain."""

from __future__ import annotations

import numpy as np
import pytest

from openeo_backend.cube import relief


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
