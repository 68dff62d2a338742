"""Masking by cubes, polygons and scene classifications."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from scipy import ndimage, signal
from spatial_cubes import UTM, WGS84, both, environment, no_computes, raster

from openeo_backend.cube import Cube
from openeo_backend.errors import OpenEOError
from openeo_backend.processes.masks import mask, mask_polygon, mask_scl_dilation, to_scl_dilation_mask

RNG = np.random.default_rng(7)
VALUES = RNG.integers(0, 200, (2, 3, 5, 6)).astype("uint8")


def masked(cube, by, replacement=None):
    return mask(cube, by, replacement, env=environment())


# -- mask -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dims",
    [("y", "x"), ("x", "y"), ("t", "y", "x"), ("bands", "y", "x"), ("bands", "t", "x", "y"), ("t", "bands", "y", "x")],
)
def test_masks_of_every_shape(dims):
    cube = raster(VALUES)
    sizes = {"t": 2, "bands": 3, "y": 5, "x": 6}
    pattern = RNG.integers(0, 3, [sizes[d] for d in dims])
    by = raster(pattern.astype("int32"), dims=dims)
    full = np.broadcast_to(
        by.data.transpose(*[d for d in ("t", "bands", "y", "x") if d in dims]).values[
            tuple(slice(None) if d in dims else None for d in ("t", "bands", "y", "x"))
        ],
        VALUES.shape,
    )
    result = both(cube, lambda c: masked(c, by), 2)
    assert result.names == ("t", "bands", "y", "x")
    assert result.data.dtype == "uint8"
    assert result.nodata == 255
    np.testing.assert_array_equal(result.data.values, np.where(full != 0, 255, VALUES))


def test_a_lazy_mask_on_lazy_data_computes_nothing():
    by = raster((RNG.random((5, 6)) > 0.5), chunks=2)
    cube = raster(VALUES.astype("float32"), chunks=(1, 1, 3, 3))
    with no_computes():
        result = masked(cube, by)
    expected = np.where(by.data.values, np.nan, VALUES.astype("float32"))
    np.testing.assert_array_equal(result.data.values, expected)
    assert result.nodata is None


@pytest.mark.parametrize(
    ("replacement", "dtype", "nodata"),
    [(7, "uint8", 250), (-1, "int16", 250), (300, "uint16", 250), (0.5, "float32", None), (True, "uint8", 250)],
)
def test_replacements_keep_the_type_as_far_as_they_fit(replacement, dtype, nodata):
    values = np.array([[1, 250, 3]], "uint8")
    by = raster(np.array([[1, 0, 0]], "uint8"))
    result = both(raster(values, nodata=250), lambda c: masked(c, by, replacement), 1)
    assert result.data.dtype == dtype
    assert result.nodata == nodata
    expected = np.array([[replacement, 250 if nodata else np.nan, 3]], dtype)
    np.testing.assert_array_equal(result.data.values, expected)


def test_booleans_become_nullable_and_null_in_the_mask_does_not_mask():
    by = raster(np.array([[1.0, np.nan, 0.0]], "float32"))
    result = both(raster(np.array([[True, True, False]])), lambda c: masked(c, by), 1)
    assert result.data.dtype == "uint8"
    assert result.nodata == 255
    assert result.data.attrs["boolean"] is True
    assert result.data.values.tolist() == [[255, 1, 0]]
    coded = raster(np.array([[1, 9, 0]], "uint8"), nodata=9)
    assert masked(raster(np.array([[5, 6, 7]], "int16"), nodata=-1), coded).data.values.tolist() == [[-1, 6, 7]]
    truth = masked(raster(np.array([[True, True, False]])), coded, False)
    assert truth.data.dtype == bool
    assert truth.data.values.tolist() == [[False, True, False]]


def test_masks_are_brought_onto_the_pixels_of_the_data():
    """A coarser mask with ascending y: each pixel takes the coarse pixel that holds its centre."""
    cube = raster(np.ones((4, 6), "float32"))
    coarse = raster(np.array([[1, 0, 0], [0, 0, 1]]), y0=5_699_960.0, dx=20.0, dy=20.0)
    result = both(cube, lambda c: masked(c, coarse), 2)
    expected = np.ones((4, 6))
    expected[2:, :2] = np.nan
    expected[:2, 4:] = np.nan
    np.testing.assert_array_equal(result.data.values, expected)


def test_pixels_outside_of_the_mask_stay():
    cube = raster(np.ones((4, 4), "float32"))
    by = raster(np.ones((2, 2), "uint8"))
    assert np.isnan(masked(cube, by).data.values).sum() == 4


@pytest.mark.parametrize(
    "by",
    [
        raster(np.ones((2, 5, 6)), dims=("t", "y", "x"), dates=["2023-05-01", "2024-01-01"]),
        raster(np.ones((1, 5, 6)), dims=("t", "y", "x")),
        raster(np.ones((2, 5, 6)), dims=("bands", "y", "x"), bands=["B00", "B01"]),
    ],
)
def test_other_labels_are_refused(by):
    with pytest.raises(OpenEOError, match="IncompatibleDataCubes"):
        masked(raster(VALUES), by)


def test_a_dimension_that_the_data_lack_is_refused():
    with pytest.raises(OpenEOError, match="'t'"):
        masked(raster(VALUES[0]), raster(np.ones((2, 5, 6)), dims=("t", "y", "x")))


def test_labels_in_another_order_are_matched():
    pattern = RNG.integers(0, 2, (3, 5, 6))
    by = raster(pattern, bands=["B02", "B00", "B01"])
    result = masked(raster(VALUES[0]), by)
    np.testing.assert_array_equal(result.data.values, np.where(pattern[[1, 2, 0]] != 0, 255, VALUES[0]))


def test_a_mask_of_one_other_band_applies_to_all_and_says_so():
    env = environment()
    pattern = RNG.integers(0, 2, (1, 5, 6))
    result = mask(raster(VALUES), raster(pattern, bands=["SCL"]), env=env)
    np.testing.assert_array_equal(result.data.values, np.where(pattern != 0, 255, VALUES))
    assert "SCL" in env.log.entries[0][1]


# -- mask_polygon ---------------------------------------------------------------------------------------

OUTER = [(500_012, 5_699_993), (500_093, 5_699_988), (500_081, 5_699_917), (500_022, 5_699_903), (500_012, 5_699_993)]
HOLE = [(500_040, 5_699_970), (500_070, 5_699_970), (500_055, 5_699_935), (500_040, 5_699_970)]
ISLAND = [(500_100, 5_699_920), (500_119, 5_699_920), (500_119, 5_699_901), (500_100, 5_699_920)]


def collection(*geometries):
    crs = {"type": "name", "properties": {"name": "EPSG:32631"}}
    features = [{"type": "Feature", "geometry": g, "properties": None} for g in geometries]
    return {"type": "FeatureCollection", "crs": crs, "features": features}


def rings(*polygons):
    return [[[list(p) for p in ring] for ring in polygon] for polygon in polygons]


GIVEN = {
    "multipolygon": collection({"type": "MultiPolygon", "coordinates": rings((OUTER, HOLE), (ISLAND,))}),
    "features": collection(
        {"type": "Polygon", "coordinates": rings((OUTER, HOLE))[0]},
        {"type": "Polygon", "coordinates": rings((ISLAND,))[0]},
        None,
    ),
}
SHAPE = shapely.MultiPolygon([shapely.Polygon(OUTER, [HOLE]), shapely.Polygon(ISLAND)])


def where_in(cube: Cube, shape=SHAPE):
    xs, ys = np.meshgrid(cube.labels("x"), cube.labels("y"))
    return shapely.intersects_xy(shape, xs, ys)


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize(("dx", "dy", "y0"), [(10, -10, 5_700_000), (3, -7, 5_700_000), (10, 10, 5_699_900)])
def test_holes_parts_and_inside(given, inside, dx, dy, y0):
    values = RNG.random((12, 40)).astype("float32")
    cube = raster(values, dx=dx, dy=dy, y0=y0)
    result = both(cube, lambda c: mask_polygon(c, GIVEN[given], inside=inside), (5, 7))
    inner = where_in(cube)
    assert 0 < inner.sum() < inner.size
    np.testing.assert_array_equal(result.data.values, np.where(inner == inside, np.nan, values))


def test_centres_on_the_boundary_are_in_and_those_on_a_hole_too():
    """Intersection as Simple Features define it: the boundary belongs to a polygon, that of holes too."""
    square = [
        (500_005, 5_699_995),
        (500_055, 5_699_995),
        (500_055, 5_699_945),
        (500_005, 5_699_945),
        (500_005, 5_699_995),
    ]
    hole = [
        (500_015, 5_699_985),
        (500_045, 5_699_985),
        (500_045, 5_699_955),
        (500_015, 5_699_955),
        (500_015, 5_699_985),
    ]
    result = mask_polygon(
        raster(np.zeros((7, 7), "float32")), collection({"type": "Polygon", "coordinates": rings((square, hole))[0]})
    )
    expected = np.ones((7, 7))
    expected[6] = expected[:, 6] = 0
    expected[2:4, 2:4] = 0
    np.testing.assert_array_equal(~np.isnan(result.data.values), expected.astype(bool))


def test_missing_values_stay_missing_under_a_replacement():
    values = np.array([[1, 255, 3], [4, 255, 6]], "uint8")
    left = [
        (499_990, 5_700_010),
        (500_011, 5_700_010),
        (500_011, 5_699_900),
        (499_990, 5_699_900),
        (499_990, 5_700_010),
    ]
    given = collection({"type": "Polygon", "coordinates": rings((left,))[0]})
    result = mask_polygon(raster(values, nodata=255), given, replacement=9)
    assert result.data.values.tolist() == [[1, 255, 9], [4, 255, 9]]
    assert result.data.dtype == "uint8"


def test_long_edges_in_degrees_are_straight_in_degrees():
    cube = raster(np.zeros((60, 60), "float32"), x0=200_000, y0=5_900_000, dx=10_000, dy=-10_000)
    ring = [[0, 50], [6, 50], [6, 52], [0, 52], [0, 50]]
    result = mask_polygon(cube, {"type": "Polygon", "coordinates": [ring]})
    from pyproj import Transformer

    xs, ys = np.meshgrid(cube.labels("x"), cube.labels("y"))
    lon, lat = Transformer.from_crs(32631, 4326, always_xy=True).transform(xs, ys)
    expected = (lon >= 0) & (lon <= 6) & (lat >= 50) & (lat <= 52)
    np.testing.assert_array_equal(~np.isnan(result.data.values), expected)


def test_lines_are_no_mask():
    with pytest.raises(OpenEOError, match="not polygons"):
        mask_polygon(raster(VALUES), {"type": "LineString", "coordinates": [[0, 0], [1, 1]]})


def test_one_row_and_an_empty_cube():
    row = raster(np.zeros((1, 12), "float32"), y0=5_699_980.0)
    np.testing.assert_array_equal(np.isnan(mask_polygon(row, GIVEN["features"]).data.values), ~where_in(row))
    empty = raster(np.zeros((0, 12), "float32"))
    assert mask_polygon(empty, GIVEN["features"]).data.shape == (0, 12)


def test_a_world_wide_polygon_is_no_jump_over_the_antimeridian():
    cube = raster(np.zeros((3, 36), "float32"), x0=-180, y0=15, dx=10, dy=-10, crs=WGS84)
    world = {"type": "Polygon", "coordinates": [[[-180, -90], [180, -90], [180, 90], [-180, 90], [-180, -90]]]}
    assert not np.isnan(mask_polygon(cube, world).data.values).any()


# -- scene classification -------------------------------------------------------------------------------


def blobs(shape=(60, 70)):
    """Mostly vegetation, with some spots of every class."""
    noise = ndimage.gaussian_filter(RNG.random(shape), 2)
    classes = ndimage.grey_dilation(RNG.integers(0, 12, shape), size=3)
    return np.where(noise > np.quantile(noise, 0.9), classes, 4).astype("uint8")


def gauss(size):
    y, x = np.mgrid[:size, :size] - size // 2
    kernel = np.exp(-(x**2 + y**2) / (2 * (size / 6) ** 2))
    return kernel / kernel.sum()


def expected_mask(scl, erosion, keep, drop, size1, size2):
    def dilate(pixels, size, threshold):
        return signal.convolve2d(pixels.astype(float), gauss(size), mode="same") > threshold

    def erode(pixels):
        if erosion < 2:
            return pixels
        return ndimage.binary_erosion(pixels, np.ones((erosion, erosion)), border_value=1)

    first = dilate(erode(~np.isin(scl, keep)), size1, 0.057)
    return first | dilate(erode(np.isin(scl, drop)), size2, 0.025)


@pytest.mark.parametrize("erosion", [0, 3])
def test_the_dilated_mask_is_that_of_the_formula(erosion):
    scl = blobs()
    options = {"erosion_kernel_size": erosion, "kernel1_size": 9, "kernel2_size": 21}
    result = both(
        raster(scl[None, None], bands=["SCL"], nodata=0), lambda c: to_scl_dilation_mask(c, **options), (1, 1, 25, 30)
    )
    expected = expected_mask(scl, erosion, [2, 4, 5, 6, 7], [3, 8, 9, 10, 11], 9, 21)
    assert 0.03 < expected.mean() < 0.9
    assert result.data.dtype == bool
    assert result.nodata is None
    assert result.labels("bands").tolist() == ["SCL"]
    np.testing.assert_array_equal(result.data.values[0, 0], expected)


def test_other_classes_and_no_dilation():
    scl = blobs()
    result = to_scl_dilation_mask(raster(scl), mask1_values=list(range(12)), mask2_values=[5], kernel2_size=0)
    np.testing.assert_array_equal(result.data.values, scl == 5)


def test_masking_in_place_leaves_the_classification():
    scl = blobs()
    cube = raster(np.stack([np.full_like(scl, 77), scl]), bands=["B02", "SCL"], nodata=0)
    options = {"kernel1_size": 5, "kernel2_size": 9}
    result = both(cube, lambda c: mask_scl_dilation(c, "SCL", **options), (1, 20, 20))
    where = expected_mask(scl, 0, [2, 4, 5, 6, 7], [3, 8, 9, 10, 11], 5, 9)
    np.testing.assert_array_equal(result.data.values[0], np.where(where, 0, 77))
    np.testing.assert_array_equal(result.data.values[1], scl)


def test_a_missing_classification_is_told():
    with pytest.raises(OpenEOError, match="B00, B01"):
        to_scl_dilation_mask(raster(VALUES[:, :2]))


def test_the_mask_of_a_classification_masks_all_bands():
    scl = raster(blobs((5, 6))[None, None].repeat(2, 0), bands=["SCL"], crs=UTM)
    found = to_scl_dilation_mask(scl, kernel1_size=3, kernel2_size=3)
    result = masked(raster(VALUES), found)
    np.testing.assert_array_equal(result.data.values, np.where(found.data.values, 255, VALUES))
