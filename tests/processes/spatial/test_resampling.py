"""Resampling in space, against GDAL on whole arrays, and in time."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio.warp
from affine import Affine
from dask.optimization import cull
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.transform import from_origin
from spatial_cubes import UTM, WGS84, both, environment, no_computes, raster

from openeo_backend.cube.warp import warp
from openeo_backend.errors import OpenEOError
from openeo_backend.processes.resample import resample_cube_spatial, resample_cube_temporal, resample_spatial

# rasterio's own helpers still multiply affines the old way
pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")

RNG = np.random.default_rng(3)
FIELD = (RNG.random((60, 80)) * 1000).astype("float32")
ORDER = {
    "near": Resampling.nearest,
    "mode": Resampling.mode,
    "max": Resampling.max,
    "min": Resampling.min,
    "med": Resampling.med,
    "q1": Resampling.q1,
    "q3": Resampling.q3,
}
COMPUTE = {
    "bilinear": Resampling.bilinear,
    "cubic": Resampling.cubic,
    "cubicspline": Resampling.cubic_spline,
    "lanczos": Resampling.lanczos,
    "average": Resampling.average,
    "sum": Resampling.sum,
    "rms": Resampling.rms,
}


def resample(cube, *args, **kwargs):
    return resample_spatial(cube, *args, env=environment(), **kwargs)


def gdal(values, source, crs, target, target_crs, shape, method, nodata):
    out = np.full(shape, nodata, values.dtype)
    rasterio.warp.reproject(
        values,
        out,
        src_transform=source,
        src_crs=crs,
        src_nodata=nodata,
        dst_transform=target,
        dst_crs=target_crs,
        dst_nodata=nodata,
        resampling=method,
    )
    return out


@pytest.mark.parametrize("method", [*ORDER, *COMPUTE])
def test_every_method_gives_the_numbers_of_gdal(method):
    """Downsampling 10 m to 25 m, with missing pixels; dask blocks give the same as the whole."""
    values = FIELD.copy()
    values[20:24, 30:37] = np.nan
    result = both(raster(values), lambda c: resample(c, 25, method=method), (23, 31))
    source = from_origin(500_000, 5_700_000, 10, 10)
    target = from_origin(500_000, 5_700_000, 25, 25)
    expected = gdal(values, source, "EPSG:32631", target, "EPSG:32631", (24, 32), (ORDER | COMPUTE)[method], np.nan)
    np.testing.assert_allclose(result.data.values, expected, rtol=2e-5)
    assert result.data.dtype == "float32"


@pytest.mark.parametrize("method", [*ORDER, *COMPUTE])
def test_types_stay_where_values_are_chosen(method):
    cube = raster(np.arange(64, dtype="uint16").reshape(8, 8), nodata=0)
    result = both(cube, lambda c: resample(c, 20, method=method), 3)
    if method in ORDER:
        assert result.data.dtype == "uint16"
        assert result.nodata == 0
    else:
        assert result.data.dtype == "float32"
        assert result.nodata is None


def test_missing_integers_do_not_count():
    cube = raster(np.array([[1, 3, 0, 0], [5, 0, 0, 0]], "uint8"), nodata=0)
    assert resample(cube, 20, method="average").data.values[0, 0] == 3
    assert np.isnan(resample(cube, 20, method="average").data.values[0, 1])
    assert resample(cube, 20, method="max").data.values.tolist() == [[5, 0]]
    assert resample(cube, 20, method="min").data.values.tolist() == [[1, 0]]


@pytest.mark.parametrize("dtype", ["bool", "int8", "int64", "uint32", "float64"])
def test_types_that_gdal_does_not_warp(dtype):
    values = np.array([[1, 0], [0, 1]]).astype(dtype)
    result = both(raster(values), lambda c: resample(c, 5), 1)
    assert result.data.values.tolist() == np.kron(values.astype(int), np.ones((2, 2), int)).tolist()
    if dtype == "bool":
        assert result.data.attrs == {"boolean": True}
    else:
        assert result.data.dtype == dtype


@pytest.mark.parametrize("dy", [-10.0, 10.0])
@pytest.mark.parametrize(
    ("align", "left", "top"),
    [
        ("upper-left", 500_000, 5_700_000),
        ("upper-right", 499_990, 5_700_000),
        ("lower-left", 500_000, 5_700_010),
        ("lower-right", 499_990, 5_700_010),
    ],
)
def test_the_grid_shares_the_corner_asked_for(align, left, top, dy):
    """50 x 50 m at 30 m make 2 x 2 pixels, which cover 60 x 60 m."""
    cube = raster(np.ones((5, 5), "float32"), y0=5_700_000 if dy < 0 else 5_699_950, dy=dy)
    box = resample(cube, 30, align=align).geobox
    assert box is not None
    assert box.shape == (2, 2)
    bounds = box.boundingbox
    assert (bounds.left, bounds.top, bounds.right, bounds.bottom) == (left, top, left + 60, top - 60)
    assert np.sign(box.affine.e) == np.sign(dy)


def test_two_resolutions_and_dimension_order():
    values = RNG.random((2, 8, 6)).astype("float32")
    cube = raster(values, dims=("bands", "x", "y"))
    result = both(cube, lambda c: resample(c, [20, 0]), 3)
    assert result.names == ("bands", "x", "y")
    assert result.data.shape == (2, 4, 6)
    assert result.geobox is not None
    assert (result.geobox.affine.a, result.geobox.affine.e) == (20, -10)


def test_reprojection_matches_gdal_and_the_resolution_stays():
    cube = raster(FIELD)
    result = both(cube, lambda c: resample(c, projection=32632, method="bilinear"), (25, 33))
    assert result.crs == CRS("EPSG:32632")
    box = result.geobox
    assert box is not None
    assert (box.affine.a, box.affine.e) == (10, -10)
    bounds = rasterio.warp.transform_bounds(
        "EPSG:32631", "EPSG:32632", 500_000, 5_699_400, 500_800, 5_700_000, densify_pts=51
    )
    assert box.boundingbox.left == pytest.approx(bounds[0])
    assert box.boundingbox.top == pytest.approx(bounds[3])
    expected = gdal(
        FIELD,
        from_origin(500_000, 5_700_000, 10, 10),
        "EPSG:32631",
        box.affine,
        "EPSG:32632",
        box.shape,
        Resampling.bilinear,
        np.nan,
    )
    inner = ~np.isnan(expected) & ~np.isnan(result.data.values)
    assert inner.sum() > 0.95 * FIELD.size
    # GDAL's own positions are off by up to an eighth of a pixel
    smooth = np.abs(result.data.values - expected)[inner]
    assert np.median(smooth) < 15


def test_exact_positions_of_a_reprojected_ramp():
    """A plane in x and y stays one: bilinear values tell the exact position of each pixel in the source."""
    from pyproj import Transformer

    columns, rows = np.meshgrid(np.arange(200), np.arange(150))
    cube = raster((columns + 1000 * rows).astype("float64"))
    result = resample(cube, projection=3857, method="bilinear", resolution=12)
    xs, ys = np.meshgrid(result.labels("x"), result.labels("y"))
    x, y = Transformer.from_crs(3857, 32631, always_xy=True).transform(xs, ys)
    column, row = (x - 500_000) / 10 - 0.5, (5_700_000 - y) / 10 - 0.5
    safe = (column > 2) & (column < 197) & (row > 2) & (row < 147)
    error = np.abs(result.data.values - (column + 1000 * row))[safe] / 1000
    assert safe.sum() > 5000
    assert error.max() < 0.02


def test_to_degrees_with_gdals_suggested_resolution():
    result = both(raster(FIELD), lambda c: resample(c, projection=4326), (30, 40))
    # rasterio.warp.calculate_default_transform("EPSG:32631", "EPSG:4326", 80, 60, 500000, 5699400, 500800, 5700000)
    suggested = 0.00012713385746630638
    assert result.crs == WGS84
    assert result.geobox is not None
    assert result.geobox.affine.a == pytest.approx(suggested, rel=1e-3)
    assert result.geobox.affine.e == pytest.approx(-suggested, rel=1e-3)


def test_wkt_projections():
    result = resample(raster(FIELD), projection=UTM.to_wkt(version="WKT2_2019"), resolution=20)
    assert result.data.shape == (30, 40)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"method": "geocode", "resolution": 20}, "FeatureUnsupported"),
        ({"resolution": 20, "align": "middle"}, "ProcessParameterInvalid"),
        ({}, "ProcessParameterInvalid"),
        ({"resolution": [1, 2, 3]}, "ProcessParameterInvalid"),
        ({"resolution": -5}, "ProcessParameterInvalid"),
        ({"projection": "nonsense"}, "ProcessParameterInvalid"),
    ],
)
def test_arguments_that_cannot_be(arguments, code):
    with pytest.raises(OpenEOError, match=code):
        resample(raster(FIELD), **arguments)


# -- onto another cube ----------------------------------------------------------------------------------


def test_onto_the_pixels_of_another_cube():
    target = raster(np.zeros((4, 5)), x0=500_033, y0=5_699_957, dx=20, dy=-30)
    result = both(raster(FIELD), lambda c: resample_cube_spatial(c, target, "near"), (13, 17))
    assert result.labels("x").tolist() == target.labels("x").tolist()
    assert result.labels("y").tolist() == target.labels("y").tolist()
    columns = ((target.labels("x") - 500_000) // 10).astype(int)
    rows = ((5_700_000 - target.labels("y")) // 10).astype(int)
    np.testing.assert_array_equal(result.data.values, FIELD[np.ix_(rows, columns)])


def test_pixels_outside_are_missing():
    target = raster(np.zeros((1, 4)), x0=499_980)
    assert np.isnan(resample_cube_spatial(raster(FIELD), target).data.values).tolist() == [[True, True, False, False]]
    coded = resample_cube_spatial(raster(np.ones((2, 2), "int16")), target)
    assert coded.nodata == -32768
    assert coded.data.values.tolist() == [[-32768, -32768, 1, 1]]
    far = raster(np.zeros((2, 2)), x0=900_000)
    with no_computes():
        lazy = resample_cube_spatial(raster(FIELD, chunks=20), far)
    assert np.isnan(lazy.data.values).all()


def test_nothing_onto_something():
    target = raster(np.zeros((2, 3)))
    assert np.isnan(resample_cube_spatial(raster(np.zeros((0, 4), "float32")), target).data.values).all()


def test_one_pixel():
    target = raster(np.zeros((2, 2)), dx=5, dy=-5)
    assert resample_cube_spatial(raster(np.array([[7]], "uint8")), target).data.values.tolist() == [[7, 7], [7, 7]]


def test_only_the_blocks_that_are_needed_are_read():
    import dask.array as da

    read = []

    def block(block_info=None):
        read.append(block_info[None]["chunk-location"])
        return np.ones((100, 100), "float32")

    cube = raster(FIELD).patch()
    values = da.map_blocks(block, chunks=((100,) * 10, (100,) * 10), dtype="float32", meta=np.empty((0, 0), "float32"))
    big = raster(np.zeros((1000, 1000), "float32"))
    big = big.patch(data=big.data.copy(data=values))
    target = raster(np.zeros((30, 30)), x0=502_150, y0=5_695_850)
    assert resample_cube_spatial(big, target).data.values.sum() == 900
    assert read == [(4, 2)]
    assert cube.crs == UTM


def test_the_affine_of_the_result_is_that_of_its_labels():
    result = resample(raster(FIELD), 20)
    assert result.geobox is not None
    assert result.geobox.affine == Affine(20, 0, 500_000, 0, -20, 5_700_000)


# -- time -----------------------------------------------------------------------------------------------


def dated(values, dates, **kwargs):
    return raster(np.asarray(values)[:, None, None], dims=("t", "y", "x"), dates=dates, **kwargs)


DATES = ["2020-01-01", "2020-01-05", "2020-01-09", "2020-01-20"]


def test_the_nearest_date_and_of_two_the_earlier():
    cube = dated(np.array([1, 2, 3, 4], "uint8"), DATES)
    target = dated(np.zeros(5), ["2019-12-01", "2020-01-03", "2020-01-07T00:00:01", "2020-01-15", "2021-01-01"])
    result = both(cube, lambda c: resample_cube_temporal(c, target), 1)
    assert result.data.values.ravel().tolist() == [1, 1, 3, 4, 4]
    assert result.labels("t").tolist() == target.labels("t").tolist()
    assert result.data.dtype == "uint8"


def test_ties_go_to_the_earlier_date_in_any_order():
    cube = dated([4, 3, 2, 1], DATES[::-1])
    target = dated([0], ["2020-01-03"])
    assert resample_cube_temporal(cube, target).data.values.ravel().tolist() == [1]


def test_the_nearest_valid_value_within_some_days():
    values = np.array([[1, 2, np.nan, 4], [1, np.nan, np.nan, np.nan]], "float32").T
    cube = raster(values[:, None, :], dims=("t", "y", "x"), dates=DATES)
    target = dated([0, 0, 0], ["2020-01-09", "2020-01-01", "2020-01-25"])
    result = both(cube, lambda c: resample_cube_temporal(c, target, valid_within=5), (1, 1, 1))
    # 2020-01-09: its own value is missing, 01-05 is 4 days away; 01-20 is exactly 5 days from 01-25: not within
    expected = [[[2, np.nan]], [[1, 1]], [[np.nan, np.nan]]]
    np.testing.assert_array_equal(result.data.values, np.array(expected, "float32"))
    coded = raster(
        np.nan_to_num(values, nan=0).astype("uint8")[:, None, :], dims=("t", "y", "x"), dates=DATES, nodata=0
    )
    found = both(coded, lambda c: resample_cube_temporal(c, target, valid_within=5), (1, 1, 1))
    assert found.nodata == 0
    np.testing.assert_array_equal(found.data.values, np.nan_to_num(expected, nan=0))


@pytest.mark.parametrize("method", ["average", "max", "bilinear", "sum"])
def test_infinite_pixels_are_not_valid(method):
    pixels = np.arange(36, dtype="float32").reshape(6, 6)
    gaps = pixels.copy()
    pixels[2, 3], pixels[0, 0], gaps[2, 3], gaps[0, 0] = np.inf, -np.inf, np.nan, np.nan
    found, expected = (
        both(raster(values), lambda c: resample_spatial(c, resolution=20, method=method, env=environment()), 3)
        for values in (pixels, gaps)
    )
    assert np.isfinite(found.data.values).all()
    np.testing.assert_array_equal(found.data.values, expected.data.values)


def test_the_nearest_pixel_may_be_infinite():
    result = resample_spatial(raster(np.array([[np.inf, 1.0]])), resolution=5, env=environment())
    np.testing.assert_array_equal(result.data.values, [[np.inf, np.inf, 1, 1]] * 2)


def test_infinite_values_are_not_valid():
    values = np.array([3, np.inf, np.inf, np.nan], "float32").reshape(4, 1, 1)
    cube = raster(values, dims=("t", "y", "x"), dates=DATES)
    target = dated([0, 0], ["2020-01-05", "2020-01-10"])
    result = both(cube, lambda c: resample_cube_temporal(c, target, valid_within=5), (1, 1, 1))
    np.testing.assert_array_equal(result.data.values.ravel(), [3, np.nan])


def test_dimensions_that_do_not_match():
    cube = dated([1, 2, 3, 4], DATES)
    still = raster(np.zeros((2, 2)))
    with pytest.raises(OpenEOError, match="DimensionMismatch"):
        resample_cube_temporal(cube, still)
    with pytest.raises(OpenEOError, match="DimensionNotAvailable"):
        resample_cube_temporal(cube, still, "t")
    with pytest.raises(OpenEOError, match="DimensionMismatch"):
        resample_cube_temporal(cube, cube, "x")


def test_blocks_within_a_coarser_block_need_only_that_one() -> None:
    """A mask of half the resolution: four blocks of the finer grid lie in each of its blocks, and share it alone."""
    values = RNG.integers(0, 12, (1024, 1024)).astype("uint8")
    coarse = raster(values, dx=20.0, dy=-20.0, chunks=512)
    fine = warp(coarse, GeoBox((2048, 2048), from_origin(500_000, 5_700_000, 10, 10), UTM)).data.data
    assert fine.numblocks == (2, 2)
    for row, column in np.ndindex(2, 2):
        block = fine.blocks[row, column]
        loaded = {
            key[1:] for key in cull(dict(block.dask), block.__dask_keys__()[0])[0] if key[0] == coarse.data.data.name
        }
        assert loaded == {(row, column)}
    np.testing.assert_array_equal(fine, values.repeat(2, 0).repeat(2, 1))
