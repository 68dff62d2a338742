"""Whole back-ends in this process, on a small catalog with true pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from scenes import write_scenes
from sites import Site, open_sites


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Makes back-ends over a catalog."""
    with open_sites(tmp_path) as make:
        yield make


@pytest.fixture
def values() -> dict[str, np.ndarray]:
    """Stored values of two bands at three dates, (t, y, x), with no-data 0."""
    rng = np.random.default_rng(5)
    return {name: rng.integers(0, 9000, (3, 23, 31)).astype("uint16") for name in ("B04", "B08")}


@pytest.fixture
def catalog(tmp_path: Path, values: dict[str, np.ndarray]) -> Path:
    """A static collection SCENES of these values, one item per date, with pixels of 10 x 20 m."""
    return write_scenes(tmp_path / "scenes", values)
