"""vector_to_random_points and vector_to_regular_points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import shapely
from vector_support import geojson

from openeo_backend.errors import OpenEOError

Call = Callable[..., Any]

RING = shapely.Point(0, 0).buffer(1000, quad_segs=64).difference(shapely.box(-500, -500, 500, 500))
PARTS = shapely.MultiPolygon([shapely.box(0, 0, 300, 100), shapely.box(1000, 0, 1100, 100)])
LINE = shapely.LineString([(0, 0), (300, 0), (300, 100)])
POINTS = shapely.MultiPoint([(1, 1), (2, 2), (3, 3)])
SHAPES = [RING, PARTS, LINE, POINTS, shapely.Point(7, 7), shapely.Polygon()]


def cube_of(call: Call, shapes: Any = SHAPES, epsg: int | None = 32631) -> Any:
    return call("load_geojson", data=geojson(shapes, epsg=epsg), properties=["number"])


def counts(cube: Any) -> list[int]:
    return [shapely.get_num_geometries(shape) if not shape.is_empty else 0 for shape in cube.labels("geometry")]


# -- random ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ({}, [1, 1, 1, 1, 1, 0]),
        ({"geometry_count": 10}, [10, 10, 10, 3, 1, 0]),
        ({"total_count": 6}, [2, 1, 1, 1, 1, 0]),
        ({"total_count": 24}, [7, 7, 6, 3, 1, 0]),
        ({"geometry_count": 4, "total_count": 100}, [4, 4, 4, 3, 1, 0]),
        ({"geometry_count": 4, "total_count": 10}, [3, 2, 2, 2, 1, 0]),
    ],
)
def test_counts_of_random_points(call: Call, arguments: dict[str, int], wanted: list[int]) -> None:
    found = call("vector_to_random_points", data=cube_of(call), seed=1, **arguments)
    own = counts(found)
    assert own == wanted
    assert found.labels("geometry")[5].is_empty
    assert {shape.geom_type for shape in found.labels("geometry")[:5]} == {"MultiPoint"}
    for shape, points in zip(SHAPES[:5], found.labels("geometry"), strict=False):
        assert shapely.dwithin(shape, shapely.get_parts(points), 1e-9).all()
        assert len(np.unique(shapely.get_coordinates(points), axis=0)) == shapely.get_num_geometries(points)
    assert found.properties.number.tolist() == list(range(6))
    np.testing.assert_array_equal(found.data.values[:, 0], range(6))


def test_single_random_points(call: Call) -> None:
    found = call("vector_to_random_points", data=cube_of(call), geometry_count=2, group=False, seed=1)
    assert found.properties.number.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 5]
    assert {shape.geom_type for shape in found.labels("geometry")[:9]} == {"Point"}
    np.testing.assert_array_equal(found.data.values[:, 0], found.properties.number)


def test_seeds_repeat_samples(call: Call) -> None:
    def sample(seed: int | None) -> list[str]:
        found = call("vector_to_random_points", data=cube_of(call), geometry_count=3, seed=seed)
        return [shape.wkt for shape in found.labels("geometry")]

    assert sample(5) == sample(5)
    assert sample(-5) == sample(-5)
    assert len({tuple(sample(seed)) for seed in (5, 6, -5)}) == 3
    assert sample(None) != sample(None)


def test_random_points_are_evenly_distributed(call: Call) -> None:
    found = call("vector_to_random_points", data=cube_of(call, [RING, PARTS, LINE]), geometry_count=20_000, seed=3)
    ring, parts, line = (shapely.get_coordinates(shape) for shape in found.labels("geometry"))
    assert not ((np.abs(ring) < 500).all(axis=1)).any()
    right = RING.intersection(shapely.box(400, -1000, 1000, 1000)).area / RING.area
    assert abs((ring[:, 0] > 400).mean() - right) < 0.02
    assert abs((parts[:, 0] < 500).mean() - 0.75) < 0.02
    assert abs((line[:, 1] > 0).mean() - 0.25) < 0.02
    assert abs(line[line[:, 1] == 0, 0].mean() - 150) < 5


def test_polygons_over_the_antimeridian(call: Call) -> None:
    across = shapely.Polygon([(178, 0), (-179, 0), (-179, 2), (178, 2)])
    beyond = shapely.box(179, 0, 183, 2)
    cube = cube_of(call, [across, beyond], epsg=None)
    found = call("vector_to_random_points", data=cube, geometry_count=3000, seed=3)
    for points, east in zip(found.labels("geometry"), (2 / 3, 1 / 4), strict=True):
        longitudes = shapely.get_coordinates(points)[:, 0]
        assert (np.abs(longitudes) <= 180).all()
        assert (np.abs(longitudes) >= 177).all()
        assert abs((longitudes > 0).mean() - east) < 0.05


def test_invalid_and_tiny_polygons(call: Call) -> None:
    bow = shapely.Polygon([(0, 0), (10, 10), (10, 0), (0, 10)])
    flat = shapely.Polygon([(0, 0), (10, 0), (5, 0)])
    tiny = shapely.box(5e5, 5e6, np.nextafter(5e5, 6e5), np.nextafter(5e6, 6e6))
    cube = cube_of(call, [bow, flat, tiny])
    own = call("vector_to_random_points", data=cube, geometry_count=500, seed=1).labels("geometry")
    points = shapely.get_coordinates(own[0])
    assert len(points) == 500
    assert shapely.intersects_xy(shapely.make_valid(bow), *points.T).all()
    assert abs((points[:, 0] > 5).mean() - 0.5) < 0.1
    assert shapely.get_coordinates(own[1])[:, 1].tolist() == [0] * 500
    assert shapely.get_num_geometries(own[2]) >= 1


def test_too_few_points_in_total(call: Call) -> None:
    with pytest.raises(OpenEOError) as caught:
        call("vector_to_random_points", data=cube_of(call), total_count=5)
    assert caught.value.code == "CountMismatch"
    for name in ("geometry_count", "total_count"):
        with pytest.raises(OpenEOError) as caught:
            call("vector_to_random_points", data=cube_of(call), **{name: 0})
        assert caught.value.code == "ProcessParameterInvalid"


# -- regular -----------------------------------------------------------------------------------------------


def test_grids_in_polygons(call: Call) -> None:
    found = call("vector_to_regular_points", data=cube_of(call, [PARTS, RING]), distance=80)
    # cells start at (0, 100): centres at x 40, 120, ... and y 60, -20
    wanted = [(40, 60), (120, 60), (200, 60), (280, 60), (1000, 60), (1080, 60)]
    assert sorted(map(tuple, shapely.get_coordinates(found.labels("geometry")[0]).tolist())) == sorted(wanted)
    ring = shapely.get_coordinates(found.labels("geometry")[1])
    centres = np.arange(-960, 1000, 80)
    grid = np.array([(x, -y) for x in centres for y in centres])
    inside = grid[shapely.intersects_xy(RING, grid[:, 0], grid[:, 1])]
    assert sorted(map(tuple, ring.tolist())) == sorted(map(tuple, inside.tolist()))


def test_polygons_without_a_centre_give_their_first_coordinate(call: Call) -> None:
    corner = shapely.Polygon([(0, 0), (10, 0), (0, 10)])
    found = call("vector_to_regular_points", data=cube_of(call, [corner]), distance=30)
    first = shapely.get_coordinates(corner)[0]
    assert shapely.get_coordinates(found.labels("geometry")[0]).tolist() == [first.tolist()]


def test_steps_along_lines_and_points(call: Call) -> None:
    lines = shapely.MultiLineString([[(0, 0), (0, 100)], [(50, 0), (90, 0)]])
    cube = cube_of(call, [LINE, lines, POINTS, shapely.Point(7, 7), shapely.LineString()])
    found = call("vector_to_regular_points", data=cube, distance=50)
    labels = [shapely.get_coordinates(shape).tolist() for shape in found.labels("geometry")]
    assert labels[0] == [[x, 0] for x in range(0, 301, 50)] + [[300, 50], [300, 100]]
    assert labels[1] == [[0, 0], [0, 50], [0, 100], [50, 0]]
    assert labels[2] == [[1, 1], [2, 2], [3, 3]]
    assert labels[3] == [[7, 7]]
    assert labels[4] == []
    single = call("vector_to_regular_points", data=cube, distance=50, group=False)
    assert single.properties.number.tolist() == [0] * 9 + [1] * 4 + [2] * 3 + [3, 4]
    assert {shape.geom_type for shape in single.labels("geometry")[:-1]} == {"Point"}


def test_regular_points_refuse(call: Call) -> None:
    cases = [
        (4326, 50, "UnitMismatch"),
        (32631, 0, "ProcessParameterInvalid"),
        (32631, 1e-6, "ProcessParameterInvalid"),
    ]
    for epsg, distance, code in cases:
        with pytest.raises(OpenEOError) as caught:
            call("vector_to_regular_points", data=cube_of(call, epsg=epsg), distance=distance)
        assert caught.value.code == code
