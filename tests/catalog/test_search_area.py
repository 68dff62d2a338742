"""Where items are searched for that geometries of later steps need."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from openeo_backend.catalog.search import widened


@pytest.mark.parametrize("count", [3, 200])
def test_room_around_many_points_holds_all_that_is_near_and_little_else(count: int) -> None:
    places = np.random.default_rng(1).random((count, 2)) * [40, 20]
    points = shapely.multipoints(places)

    found = widened(points, 0.5)

    exact = shapely.union_all([shapely.buffer(shapely.Point(place), 0.5) for place in places])
    assert found.covers(exact)
    assert found.area < 1.5 * exact.area
