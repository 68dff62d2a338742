"""NDVI, slope and aspect."""

from __future__ import annotations

import numpy as np
import pytest
from pyproj import Geod
from scipy import ndimage
from spatial_cubes import WGS84, both, raster

from openeo_backend.cube import Band
from openeo_backend.errors import OpenEOError
from openeo_backend.processes.indices import ndvi
from openeo_backend.processes.terrain import aspect, slope

RNG = np.random.default_rng(5)
VALUES = RNG.integers(1, 10_000, (2, 3, 4, 5)).astype("uint16")
NAMES = {"B04": Band("red"), "B08": Band("nir"), "B8A": Band("nir08")}


def scene(values=VALUES, **kwargs):
    return raster(values, **({"bands": list(NAMES), "known": NAMES, "nodata": 0} | kwargs))


# -- ndvi -----------------------------------------------------------------------------------------------


def test_ndvi_by_common_name_without_overflow():
    values = VALUES.copy()
    values[0, 0, 1, 1] = 0
    values[1, 1] = 60_000
    result = both(scene(values), ndvi, (1, 1, 2, 2))
    red, nir = values[:, 0].astype("float64"), values[:, 1].astype("float64")
    expected = (nir - red) / (nir + red)
    expected[0, 1, 1] = np.nan
    assert result.names == ("t", "y", "x")
    assert result.data.dtype == "float32"
    assert result.nodata is None
    np.testing.assert_allclose(result.data.values, expected, rtol=1e-6)


def test_ndvi_as_another_band():
    result = both(scene(), lambda c: ndvi(c, "B8A", "B04", "NDVI"), (1, 1, 2, 2))
    assert result.labels("bands").tolist() == ["B04", "B08", "B8A", "NDVI"]
    nir, red = VALUES[:, 2].astype("float64"), VALUES[:, 0].astype("float64")
    np.testing.assert_allclose(result.data.values[:, 3], (nir - red) / (nir + red), rtol=1e-5)
    np.testing.assert_array_equal(result.data.values[:, :3], VALUES.astype("float32"))
    assert result.bands["B08"].common_name == "nir"


def test_zero_by_zero_is_missing():
    result = ndvi(raster(np.zeros((2, 1, 1), "float32"), bands=["nir", "red"]))
    assert np.isnan(result.data.values).all()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"nir": "B99"}, "NirBandAmbiguous"),
        ({"red": "B99"}, "RedBandAmbiguous"),
        ({"target_band": "B04"}, "BandExists"),
    ],
)
def test_bands_that_cannot_be(arguments, code):
    with pytest.raises(OpenEOError, match=code):
        ndvi(scene(), **arguments)


def test_two_bands_of_the_same_common_name_are_ambiguous():
    twice = {"B04": Band("red"), "B08": Band("nir"), "B8A": Band("nir")}
    with pytest.raises(OpenEOError, match="NirBandAmbiguous"):
        ndvi(scene(known=twice))
    with pytest.raises(OpenEOError, match="DimensionAmbiguous"):
        ndvi(raster(np.zeros((2, 2))))


# -- terrain --------------------------------------------------------------------------------------------


def expected_gradient(z, dx, dy):
    """Horn's formula as the sums of weighted neighbours (rows go south)."""
    weights = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], float)
    east = ndimage.correlate(z.astype(float), weights, mode="constant", cval=np.nan) / (8 * dx)
    north = ndimage.correlate(z.astype(float), -weights.T, mode="constant", cval=np.nan) / (8 * dy)
    return east, north


@pytest.mark.parametrize("dy", [-30.0, 30.0])
def test_slope_and_aspect_by_horn(dy):
    z = (RNG.random((12, 14)) * 500).astype("float32")
    z[5, 6] = np.nan
    cube = raster(z if dy < 0 else z[::-1], dx=20.0, dy=dy, y0=5_700_000 if dy < 0 else 5_699_640)
    east, north = expected_gradient(z, 20, 30)
    steep = both(cube, slope, 5).data.values
    facing = both(cube, aspect, 5).data.values
    if dy > 0:
        steep, facing = steep[::-1], facing[::-1]
    valid = np.zeros(z.shape, bool)
    valid[1:-1, 1:-1] = True
    valid[4:7, 5:8] = False
    np.testing.assert_array_equal(~np.isnan(steep), valid)
    np.testing.assert_allclose(steep[valid], np.arctan(np.hypot(east, north))[valid], rtol=1e-4)
    expected = np.arctan2(-east, -north)[valid] % (2 * np.pi)
    difference = (facing[valid] - expected + np.pi) % (2 * np.pi) - np.pi
    assert np.abs(difference).max() < 1e-3
    assert facing[valid].min() >= 0
    assert facing[valid].max() < 2 * np.pi


@pytest.mark.parametrize(
    ("rise_east", "rise_north", "expected"),
    [(0, -1, 0.0), (-1, 0, np.pi / 2), (0, 1, np.pi), (1, 0, 1.5 * np.pi), (-1, -1, np.pi / 4), (0, 0, np.nan)],
)
def test_planes_face_downhill(rise_east, rise_north, expected):
    rows, columns = np.mgrid[:3, :3]
    z = 100 + 10 * (rise_east * columns - rise_north * rows)
    cube = raster(z.astype("int16"))
    np.testing.assert_allclose(aspect(cube).data.values[1, 1], expected, atol=1e-6)
    steepness = np.arctan(np.hypot(rise_east, rise_north))
    np.testing.assert_allclose(slope(cube).data.values[1, 1], steepness, rtol=1e-6)


def test_degrees_are_measured_on_the_ellipsoid():
    rows, columns = np.mgrid[:3, :3]
    geod = Geod(ellps="WGS84")
    _, _, across = geod.inv(7.0, 60.0, 7.01, 60.0)
    _, _, up = geod.inv(7.0, 59.995, 7.0, 60.005)
    north = raster((100.0 - 50 * rows), x0=7.0, y0=60.015, dx=0.01, dy=-0.01, crs=WGS84)
    east = raster((100.0 + 50 * columns), x0=7.0, y0=60.015, dx=0.01, dy=-0.01, crs=WGS84)
    np.testing.assert_allclose(np.tan(slope(north).data.values[1, 1]), 50 / up, rtol=1e-3)
    np.testing.assert_allclose(np.tan(slope(east).data.values[1, 1]), 50 / across, rtol=1e-3)


def test_bands_are_renamed_and_types_kept():
    z = RNG.integers(0, 1000, (2, 1, 6, 6)).astype("int16")
    cube = raster(z, bands=["DEM"], nodata=-32768)
    result = both(cube, slope, (1, 1, 4, 4))
    assert result.labels("bands").tolist() == ["DEM_slope"]
    assert result.data.dtype == "float32"
    assert result.nodata is None
    assert aspect(cube).labels("bands").tolist() == ["DEM_aspect"]
