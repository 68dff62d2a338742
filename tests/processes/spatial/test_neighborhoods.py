"""Kernels, neighbourhoods and windows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from spatial_cubes import WGS84, both, no_computes, raster

from openeo_backend.cube import Cube
from openeo_backend.cube.pixels import PixelArray
from openeo_backend.errors import OpenEOError
from openeo_backend.processes.neighborhood import aggregate_spatial_window, apply_kernel, apply_neighborhood

RNG = np.random.default_rng(11)
FIELD = RNG.random((2, 11, 13)).astype("float32")
KERNEL = [[1.0, -2.0, 0.5, 3.0, 0.25], [0.0, 1.0, 4.0, -1.0, 2.0], [2.0, 0.5, -0.5, 1.0, 1.0]]
#: scipy's names of the borders
MODES = {"replicate": "nearest", "reflect": "reflect", "reflect_pixel": "mirror", "wrap": "wrap"}


def flat(values):
    return raster(values, dims=("bands", "y", "x"))


# -- apply_kernel ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("border", [0, 2.5, *MODES])
@pytest.mark.parametrize("chunks", [4, (1, 11, 5), 13])
def test_kernels_weigh_the_pixel_at_the_same_place(border, chunks):
    """No flipping: the inner lists go along x, the first one has the rows of lower index."""
    result = both(flat(FIELD), lambda c: apply_kernel(c, KERNEL, 0.5, border), chunks)
    mode = MODES.get(border, "constant")
    constant = 0.0 if isinstance(border, str) else border
    expected = [ndimage.correlate(b.astype("float64"), np.array(KERNEL), mode=mode, cval=constant) * 0.5 for b in FIELD]
    np.testing.assert_allclose(result.data.values, expected, rtol=1e-4, atol=1e-5)
    assert result.data.dtype == "float32"


def test_large_kernels_go_another_way_to_the_same_numbers():
    kernel = RNG.random((23, 21))
    result = apply_kernel(flat(RNG.random((1, 40, 40)).astype("float64")), kernel.tolist(), border="reflect")
    again = apply_kernel(
        flat(np.asarray(result.data.values * 0 + 1.0)), kernel.tolist(), factor=1 / kernel.sum(), border="replicate"
    )
    np.testing.assert_allclose(again.data.values, 1.0, rtol=1e-9)


def test_a_large_asymmetric_kernel_is_not_flipped():
    kernel = np.zeros((21, 21))
    kernel[0, 1] = 2.0  # 10 rows up, 9 columns left
    values = np.zeros((1, 30, 30))
    values[0, 12, 14] = 1.0
    result = apply_kernel(flat(values), kernel.tolist())
    assert np.round(result.data.values[0], 9).nonzero() == (np.array([22]), np.array([23]))


def test_invalid_values_are_replaced_and_integers_become_floats():
    values = np.array([[[1, 255, 3]]], "uint8")
    result = both(
        raster(values, dims=("bands", "y", "x"), nodata=255),
        lambda c: apply_kernel(c, [[1, 1, 1]], replace_invalid=10),
        1,
    )
    assert result.data.values.tolist() == [[[11, 14, 13]]]
    assert result.data.dtype == "float32"
    assert result.nodata is None
    infinite = apply_kernel(flat(np.array([[[np.inf, np.nan, 1.0]]])), [[1]])
    assert infinite.data.values.tolist() == [[[0, 0, 1]]]
    assert apply_kernel(flat(np.array([[[True, False, True]]])), [[1, 1, 1]]).data.values.tolist() == [[[1, 2, 1]]]


def test_large_sums_of_bytes_do_not_wrap():
    result = apply_kernel(flat(np.full((1, 3, 3), 255, "uint8")), [[1] * 3] * 3)
    assert result.data.values[0, 1, 1] == 2295


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"kernel": [[1, 2], [3, 4]]}, "KernelDimensionsUneven"),
        ({"kernel": [[1, 2, 3], [3, 4, 5]]}, "KernelDimensionsUneven"),
        ({"kernel": [[1, 2, 3], [3]]}, "ProcessParameterInvalid"),
        ({"kernel": [[1]], "border": "mirror"}, "ProcessParameterInvalid"),
    ],
)
def test_kernels_that_cannot_be(arguments, code):
    with pytest.raises(OpenEOError, match=code):
        apply_kernel(flat(FIELD), **arguments)


def test_one_pixel_and_none():
    assert apply_kernel(flat(np.array([[[2.0]]])), [[1] * 5] * 5, border="replicate").data.values.tolist() == [[[50]]]
    assert apply_kernel(flat(np.zeros((1, 0, 3))), [[1]]).data.shape == (1, 0, 3)


# -- apply_neighborhood ---------------------------------------------------------------------------------


def px(**sizes):
    return [{"dimension": name, "value": value, "unit": "px"} for name, value in sizes.items()]


class Recorder:
    """Returns its window unchanged but for a sum, and notes what it saw."""

    def __init__(self, function=lambda values: values):
        self.windows = []
        self.function = function

    def __call__(self, data, context=None):
        assert isinstance(data, Cube)
        self.windows.append(data)
        return data.patch(data=data.data.copy(data=self.function(np.asarray(data.data.values))))


def test_windows_and_their_overlap():
    """Each pixel minus the mean of its window with the overlap, as done by hand."""
    values = FIELD
    center = Recorder(lambda block: block - np.nanmean(block))
    result = both(flat(values), lambda c: apply_neighborhood(c, center, px(x=4, y=5), px(x=1, y=2)), (1, 5, 6))
    padded = np.pad(values, ((0, 0), (2, 2 + 4), (1, 1 + 3)), constant_values=np.nan)
    expected = np.empty_like(values)
    for top in range(0, 11, 5):
        for left in range(0, 13, 4):
            window = padded[:, top : top + 9, left : left + 6]
            part = values[:, top : top + 5, left : left + 4]
            expected[:, top : top + 5, left : left + 4] = part - np.nanmean(window)
    np.testing.assert_allclose(result.data.values, expected, rtol=1e-5, atol=1e-6)
    first = center.windows[1]  # after the trace
    assert first.data.shape == (2, 9, 6)
    assert first.labels("x").tolist() == [499_995 + 10 * i for i in range(6)]
    assert first.labels("y").tolist() == [5_700_015 - 10 * i for i in range(9)]
    assert {window.data.shape for window in center.windows} == {(2, 9, 6)}


def test_metres_and_degrees():
    same = Recorder()
    size = [{"dimension": "x", "value": 40, "unit": "m"}, {"dimension": "y", "value": 20}]
    apply_neighborhood(flat(FIELD), same, size, [{"dimension": "x", "value": 10, "unit": "m"}])
    assert same.windows[0].data.shape == (2, 2, 6)
    degrees = raster(FIELD, dims=("bands", "y", "x"), x0=0, y0=60.055, dx=0.01, dy=-0.01, crs=WGS84)
    # at 60 degrees north, 0.01 degrees are 1113 m from south to north and 557 m from west to east
    size = [{"dimension": "x", "value": 2228, "unit": "m"}, {"dimension": "y", "value": 2228, "unit": "m"}]
    same = Recorder()
    apply_neighborhood(degrees, same, size)
    assert same.windows[0].data.shape == (2, 2, 4)


def series(dates, shape=(2, 3)):
    values = RNG.random((len(dates), *shape)).astype("float32")
    return raster(values, dims=("t", "y", "x"), dates=dates)


def test_durations_cut_by_the_calendar():
    dates = ["2023-01-05T10:00", "2023-01-30", "2023-02-04T23:00", "2023-02-05T01:00", "2023-05-01"]
    same = Recorder()
    size = [{"dimension": "t", "value": "P1M"}, *px(x=2, y=2)]
    overlap = [{"dimension": "t", "value": "P3D"}]
    result = apply_neighborhood(series(dates), same, size, overlap)
    seen = {tuple(str(label)[:13] for label in window.labels("t")) for window in same.windows}
    # windows from 01-05, 02-05 and 05-01 on; three days around the dates of each
    assert seen == {
        ("2023-01-05T10", "2023-01-30T00", "2023-02-04T23", "2023-02-05T01"),
        ("2023-02-04T23", "2023-02-05T01"),
        ("2023-05-01T00",),
    }
    assert result.data.shape == (5, 2, 3)


def test_null_means_all_values():
    same = Recorder()
    size = [{"dimension": "t", "value": None}, *px(x=2)]
    apply_neighborhood(series(["2023-01-01", "2023-01-02"]), same, size, [{"dimension": "x", "value": None}])
    assert {window.data.shape for window in same.windows} == {(2, 2, 2)}


def test_one_dimension_is_a_labelled_array_for_all_pixels_at_once():
    cube = series(["2023-01-01", "2023-01-02", "2023-01-03"])
    seen = []

    def running(data, context):
        assert isinstance(data, PixelArray)
        seen.append(data.labels)
        return PixelArray(np.nancumsum(data.values, axis=0) * context, data.labels)

    result = both(cube, lambda c: apply_neighborhood(c, running, px(x=1, y=1), None, 2), 1)
    np.testing.assert_allclose(result.data.values, np.cumsum(cube.data.values, axis=0) * 2, rtol=1e-6)
    assert seen[-1] == ("2023-01-01T00:00:00Z", "2023-01-02T00:00:00Z", "2023-01-03T00:00:00Z")


def test_sliding_arrays_get_missing_elements_over_the_edge():
    cube = series(["2023-01-01", "2023-01-02", "2023-01-03"], (1, 2))

    def spread(data, context):
        return PixelArray(np.broadcast_to(np.fmax.reduce(data.values, axis=0), data.values.shape), data.labels)

    size = px(x=1, y=1, t=1)
    result = both(cube, lambda c: apply_neighborhood(c, spread, size, px(t=1)), 1)
    v = cube.data.values
    expected = [np.maximum(v[0], v[1]), v.max(axis=0), np.maximum(v[1], v[2])]
    np.testing.assert_array_equal(result.data.values, expected)


def test_integers_keep_type_and_get_missing_values_around():
    values = RNG.integers(1, 200, (1, 5, 5)).astype("uint8")
    same = Recorder()
    result = both(flat(values), lambda c: apply_neighborhood(c, same, px(x=2, y=2), px(x=1, y=1)), (1, 2, 2))
    np.testing.assert_array_equal(result.data.values, values)
    assert result.data.dtype == "uint8"
    assert same.windows[-1].nodata == 255


def test_results_of_another_type():
    result = both(
        flat(FIELD),
        lambda c: apply_neighborhood(c, lambda data, context: data.patch(data=data.data > 0.5), px(x=6, y=6)),
        5,
    )
    assert result.data.dtype == bool
    np.testing.assert_array_equal(result.data.values, FIELD > 0.5)


@pytest.mark.parametrize(
    "function",
    [
        lambda data, context: data.patch(data=data.data.assign_coords(x=data.data.x + 1)),
        lambda data, context: data.with_data(data.data.isel(bands=0, drop=True)),
        lambda data, context: 1.0,
    ],
)
def test_dimensions_and_labels_must_stay(function):
    with pytest.raises(OpenEOError, match="DataCubePropertiesImmutable"):
        apply_neighborhood(flat(FIELD), function, px(x=6, y=6))


def test_other_lengths_of_arrays_are_refused():
    with pytest.raises(OpenEOError, match="DataCubePropertiesImmutable"):
        apply_neighborhood(
            series(["2023-01-01", "2023-01-02"]),
            lambda data, context: PixelArray(data.values[:1], data.labels[:1]),
            px(x=1, y=1),
        )


@pytest.mark.parametrize(
    ("size", "code"),
    [
        ([{"dimension": "z", "value": 1, "unit": "px"}], "DimensionNotAvailable"),
        ([{"dimension": "t", "value": 1, "unit": "m"}], "ProcessParameterInvalid"),
        ([{"dimension": "t", "value": "P0D"}], "ProcessParameterInvalid"),
        ([{"dimension": "x", "value": "P1D"}], "ProcessParameterInvalid"),
        ([{"dimension": "x", "value": 0, "unit": "px"}], "ProcessParameterInvalid"),
    ],
)
def test_sizes_that_cannot_be(size, code):
    with pytest.raises(OpenEOError, match=code):
        apply_neighborhood(series(["2023-01-01", "2023-01-02"]), Recorder(), size)


# -- aggregate_spatial_window ---------------------------------------------------------------------------


def mean(data, context=None):
    count = np.sum(~np.isnan(data.values), axis=0)
    total = np.nansum(data.values, axis=0, dtype="float64")
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(data.values.dtype)


@pytest.mark.parametrize("align", ["upper-left", "lower-left", "upper-right", "lower-right"])
@pytest.mark.parametrize("boundary", ["pad", "trim"])
@pytest.mark.parametrize("dy", [-10.0, 10.0])
def test_windows_from_each_corner(align, boundary, dy):
    """11 x 13 pixels in windows of 4 columns and 3 rows: 2 rows (or 1) and 1 column (or 3) are too many (few)."""
    cube = raster(
        FIELD if dy < 0 else FIELD[:, ::-1], dims=("bands", "y", "x"), dy=dy, y0=5_700_000 if dy < 0 else 5_699_890
    )
    result = both(cube, lambda c: aggregate_spatial_window(c, mean, [4, 3], boundary, align), 5)
    upper, leftmost = align.startswith("upper"), align.endswith("left")
    if boundary == "pad":
        around = ((0, 0), (0, 1) if upper else (1, 0), (0, 3) if leftmost else (3, 0))
        whole = np.pad(FIELD, around, constant_values=np.nan)
        first_x, first_y = 500_000 - 10 * around[2][0], 5_700_000 + 10 * around[1][0]
    else:
        rows, columns = slice(0, 9) if upper else slice(2, 11), slice(0, 12) if leftmost else slice(1, 13)
        whole = FIELD[:, rows, columns]
        first_x, first_y = 500_000 + 10 * columns.start, 5_700_000 - 10 * rows.start
    height, width = whole.shape[1] // 3, whole.shape[2] // 4
    expected = np.nanmean(whole.reshape(2, height, 3, width, 4), axis=(2, 4))
    found = result if dy < 0 else result.patch(data=result.data.isel(y=slice(None, None, -1)))
    np.testing.assert_allclose(found.data.values, expected, rtol=1e-6)
    assert found.labels("x").tolist() == [first_x + 20 + 40 * i for i in range(width)]
    assert found.labels("y").tolist() == [first_y - 15 - 30 * i for i in range(height)]
    assert result.geobox is not None
    assert (result.geobox.affine.a, abs(result.geobox.affine.e)) == (40, 30)


def test_integers_keep_their_type_where_the_reducer_does():
    values = np.arange(12, dtype="int16").reshape(3, 4)
    result = both(
        raster(values), lambda c: aggregate_spatial_window(c, lambda data, context: data.values.max(axis=0), [2, 2]), 2
    )
    assert result.data.dtype == "int16"
    assert result.data.values.tolist() == [[5, 7], [9, 11]]


def test_one_window_larger_than_the_cube():
    result = aggregate_spatial_window(raster(np.array([[1.0, 3.0]])), mean, [5, 5])
    assert result.data.values.tolist() == [[2.0]]
    assert aggregate_spatial_window(raster(np.array([[1.0, 3.0]])), mean, [5, 5], "trim").data.shape == (0, 0)


def test_wrong_windows():
    for size in ([0, 1], [1], [1.5, 2]):
        with pytest.raises(OpenEOError, match="ProcessParameterInvalid"):
            aggregate_spatial_window(raster(np.zeros((2, 2))), mean, size)


def test_laziness_of_everything():
    cube = raster(FIELD, dims=("bands", "y", "x"), chunks=(1, 4, 4))
    with no_computes():
        apply_kernel(cube, KERNEL, border="wrap")
        apply_neighborhood(cube, Recorder(), px(x=4, y=4), px(x=1))
        aggregate_spatial_window(cube, mean, [3, 3])
