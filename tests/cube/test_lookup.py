"""Which source pixel lies under which pixel of a block."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from openeo_backend.cube.lookup import find

WGS84 = CRS("EPSG:4326")


def seen(block: GeoBox, transform: Affine, source: np.ndarray, crs: CRS) -> np.ndarray:
    """The block as the lookup fills it, -1 where the source is not."""
    out = np.full(block.shape, -1)
    match = find(block, transform, source.shape, crs)
    if match is not None:
        values, inside = match.take(source[match.window])
        out[match.place] = values if inside is None else np.where(inside, values, -1)
    return out


def numbered(height: int, width: int) -> np.ndarray:
    return np.arange(height * width).reshape(height, width)


def test_parallel_grids_partly_over_each_other():
    source = numbered(4, 5)
    block = GeoBox((4, 4), Affine(10, 0, 20, 0, -10, 60), "EPSG:32631")
    found = seen(block, Affine(10, 0, 0, 0, -10, 40), source, CRS("EPSG:32631"))
    expected = np.full((4, 4), -1)
    expected[2:, :3] = source[:2, 2:]
    np.testing.assert_array_equal(found, expected)
    assert find(block, Affine(10, 0, 900, 0, -10, 40), (4, 5), CRS("EPSG:32631")) is None


def test_longitudes_beyond_the_antimeridian():
    world = numbered(4, 36)  # 10 degrees
    block = GeoBox((2, 4), Affine(10, 0, 160, 0, -10, 10), WGS84)  # 160 to 200 degrees east
    found = seen(block, Affine(10, 0, -180, 0, -10, 20), world, WGS84)
    np.testing.assert_array_equal(found, world[1:3][:, [34, 35, 0, 1]])


def test_a_source_west_of_the_antimeridian_seen_from_beyond():
    fiji = numbered(2, 2)
    block = GeoBox((2, 4), Affine(1, 0, 179, 0, -1, -16), WGS84)  # 179 to 183
    found = seen(block, Affine(1, 0, -180, 0, -1, -16), fiji, WGS84)
    expected = np.full((2, 4), -1)
    expected[:, 1:3] = fiji
    np.testing.assert_array_equal(found, expected)


def test_rotated_sources():
    source = numbered(20, 20)
    transform = Affine.translation(500_000, 5_000_000) @ Affine.rotation(30) @ Affine.scale(10, -10)
    block = GeoBox((40, 40), Affine(7, 0, 499_950, 0, -7, 5_000_100), "EPSG:32631")
    xs, ys = np.meshgrid(499_950 + (np.arange(40) + 0.5) * 7, 5_000_100 - (np.arange(40) + 0.5) * 7)
    cols, rows = (np.floor(c).astype(int) for c in ~transform @ (xs, ys))
    inside = (cols >= 0) & (rows >= 0) & (cols < 20) & (rows < 20)
    expected = np.where(inside, source[np.where(inside, rows, 0), np.where(inside, cols, 0)], -1)
    assert inside.any()
    np.testing.assert_array_equal(seen(block, transform, source, CRS("EPSG:32631")), expected)


@pytest.mark.parametrize(
    ("crs", "origin", "step"),
    [
        ("EPSG:32632", (280_000, 5_610_000), 20.0),
        ("EPSG:3035", (3_980_000, 3_090_000), 30.0),
        ("EPSG:3031", (0, 0), 1e4),
    ],
)
def test_interpolated_positions_find_the_same_pixels_as_exact_ones(crs, origin, step):
    source = numbered(1500, 1500)
    transform = Affine(step, 0, origin[0], 0, -step, origin[1])
    block = GeoBox((300, 400), Affine(25, 0, 700_000, 0, -25, 5_605_000), "EPSG:32631")
    xs, ys = np.meshgrid(700_000 + (np.arange(400) + 0.5) * 25, 5_605_000 - (np.arange(300) + 0.5) * 25)
    xs, ys = pyproj.Transformer.from_crs("EPSG:32631", crs, always_xy=True).transform(xs, ys)
    cols, rows = np.floor((xs - origin[0]) / step).astype(int), np.floor((ys - origin[1]) / -step).astype(int)
    inside = (cols >= 0) & (rows >= 0) & (cols < 1500) & (rows < 1500)
    expected = np.where(inside, source[np.where(inside, rows, 0), np.where(inside, cols, 0)], -1)
    np.testing.assert_array_equal(seen(block, transform, source, CRS(crs)), expected)
