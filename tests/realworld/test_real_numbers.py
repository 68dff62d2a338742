"""Numbers of published graphs against scripts written from what the graphs mean, with rasterio and numpy alone."""

from __future__ import annotations

import csv
import json
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import rasterio.features
import rasterio.warp
import shapely
import xarray as xr
from stand_in_pixels import Grid, first, grid_of, read_tiff, series

# rasterio silences this warning while it warps, but not for several threads
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

Published = Callable[[str], Any]


def agree(found: np.ndarray, expected: np.ndarray, tolerance: float = 2e-6, share: float = 0.0) -> None:
    """Same shape, missing at the same places, values equal in single precision.

    :param share: how many pixels may differ, where rounding decides on which side of a threshold a pixel is.
    """
    assert found.shape == expected.shape
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    assert np.mean(~np.isnan(expected)) > 0.2, "hardly anything to compare"
    wrong = np.abs(found - expected) > tolerance * np.maximum(1, np.abs(expected))
    assert np.mean(wrong) <= share


def sentinel2(computed: Any, bands: list[str], grid: Grid, period: list[str], clouds: float = 100) -> np.ndarray:
    return series(computed.archive, "SENTINEL2_L2A", bands, grid, period, clouds)[1]


def mean(values: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings(action="ignore"):
        return np.nanmean(values, axis=0)


def test_maximum_of_the_ndvi(run_published: Published) -> None:
    computed = run_published("apex_max_ndvi")
    found, grid, _ = read_tiff(computed.files[0])
    data = sentinel2(computed, ["B04", "B08"], grid, ["2023-08-01", "2023-09-30"])
    red, nir = data[:, 0], data[:, 1]
    agree(found[0], np.nanmax((nir - red) / (nir + red), axis=0))


def test_enhanced_vegetation_index_in_colours(run_published: Published) -> None:
    computed = run_published("apex_enhanced_vegetation_index")
    found, grid, _ = read_tiff(computed.files[0])
    nir, red = first(sentinel2(computed, ["B08", "B04"], grid, ["2025-05-12", "2025-05-13"], 30)) / 10_000
    index = 2.4 * (nir - red) / (nir + red + 1)
    colours = [
        (-1.1, (0, 0, 0)),
        (-0.2, (0.75, 0.75, 1)),
        (-0.1, (0.86, 0.86, 0.86)),
        (0.0, (1, 1, 0.88)),
        (0.025, (1, 0.98, 0.8)),
        (0.05, (0.93, 0.91, 0.71)),
        (0.075, (0.87, 0.85, 0.61)),
        (0.1, (0.8, 0.78, 0.51)),
        (0.125, (0.74, 0.72, 0.42)),
        (0.15, (0.69, 0.76, 0.38)),
        (0.175, (0.64, 0.8, 0.35)),
        (0.2, (0.57, 0.75, 0.32)),
        (0.25, (0.5, 0.7, 0.28)),
        (0.3, (0.44, 0.64, 0.25)),
        (0.35, (0.38, 0.59, 0.21)),
        (0.4, (0.31, 0.54, 0.18)),
        (0.45, (0.25, 0.49, 0.14)),
        (0.5, (0.19, 0.43, 0.11)),
        (0.55, (0.13, 0.38, 0.07)),
        (0.6, (0.06, 0.33, 0.04)),
    ]
    # a pixel without data is below no threshold and gets the colour of the highest class
    expected = np.stack(
        [np.select([index < top for top, _ in colours], [c[i] for _, c in colours], (0, 0.27, 0)[i]) for i in range(3)]
    )
    agree(found, expected, share=1e-3)
    assert len(np.unique(found[0])) > 5


def test_atmospherically_resistant_index(run_published: Published) -> None:
    computed = run_published("apex_atmospheric_resistant_vegetation_index")
    found, grid, _ = read_tiff(computed.files[0])
    blue, red, nir = first(sentinel2(computed, ["B02", "B04", "B8A"], grid, ["2025-05-10", "2025-05-12"], 30)) / 10_000
    difference = 0.106 * (red - blue)
    agree(found[0], (nir - red - difference) / (nir + red - difference), 2e-5)


def test_plant_senescence(run_published: Published) -> None:
    computed = run_published("apex_plant_senescence_reflectance_index")
    found, grid, _ = read_tiff(computed.files[0])
    blue, red, edge = first(sentinel2(computed, ["B02", "B04", "B06"], grid, ["2025-05-10", "2025-05-12"], 30)) / 10_000
    with np.errstate(divide="ignore", invalid="ignore"):
        index = np.where(edge > 0, (red - blue) / edge, 1.0)
    low, middle = 1.5431666666666664 * (index + 0.2), 0.9259 + 0.1235000000000001 * (index - 0.4)
    expected = np.select([index <= -0.2, index <= 0.4, index <= 1.0], [0.0, low, middle], 1.0)
    agree(found[0], expected, 2e-5, share=1e-3)
    assert np.ptp(found[0]) > 0.1


def test_barren_soil(run_published: Published) -> None:
    computed = run_published("apex_barren_soil")
    found, grid, _ = read_tiff(computed.files[0])
    bands = ["B02", "B04", "B08", "B11"]
    blue, red, nir, swir = first(sentinel2(computed, bands, grid, ["2019-04-15", "2019-04-20"], 30)) / 10_000
    index = 2.5 * (swir + red - nir - blue) / (swir + red + nir + blue)
    agree(found, np.stack([index, nir, swir]), 2e-5)


def test_fapar(run_published: Published, published: Published) -> None:
    """The neural network of the Sentinel-2 toolbox as arrays: eleven inputs, five hidden neurons, one output."""
    computed = run_published("apex_fapar")
    found, grid, _ = read_tiff(computed.files[0])
    bands = ["B03", "B04", "B05", "B06", "B07", "B8A", "B11", "B12"]
    angles = ["viewZenithMean", "sunZenithAngles", "sunAzimuthAngles", "viewAzimuthMean"]
    loaded = published("apex_fapar")["process_graph"]["loadcollection1"]["arguments"]
    (limit,) = loaded["properties"]["eo:cloud_cover"]["process_graph"].values()
    data = first(sentinel2(computed, bands + angles, grid, loaded["temporal_extent"], limit["arguments"]["y"]))
    view, sun, sun_azimuth, view_azimuth = np.deg2rad(data[8:])
    inputs = np.concatenate([data[:8] / 10_000, [np.cos(view), np.cos(sun)]])
    low = [0, 0, 0, 0.006637972542253, 0.013972727018939, 0.026690138082061, 0.016388074192258, 0]
    low += [0.918595400582046, 0.342022871159208]
    width = [0.253061520471542, 0.290393577911328, 0.305398915248555, 0.6022624232556361, 0.7398546573039879]
    width += [0.755321632587117, 0.47737332369083396, 0.493025984460231, 0.08140459941795397, 0.594183558016194]
    scaled = 2 * (inputs - np.reshape(low, (-1, 1, 1))) / np.reshape(width, (-1, 1, 1)) - 1
    scaled = np.concatenate([scaled, [np.cos(sun_azimuth - view_azimuth)]])
    # fmt: off
    weights = np.array([
        [0.268714454733421, -0.205473108029835, 0.281765694196018, 1.33744341225598,
         0.390319212938497, -3.61271434220335, 0.222530960987244, 0.821790549667255,
         -0.093664567310731, 0.019290146147447, 0.037364446377188],
        [-0.248998054599707, -0.571461305473124, -0.369957603466673, 0.246031694650909,
         0.332536215252841, 0.438269896208887, 0.81900055189045, -0.93493149905931,
         0.082716247651866, -0.286978634108328, -0.035890968351662],
        [-0.16406357531588, -0.126303285737763, -0.253670784366822, -0.321162835049381,
         0.06708228797358, 2.02983228865526, -0.023141228827722, -0.553176625657559,
         0.059285451897783, -0.034334454541432, -0.031776704097009],
        [0.130240753003835, 0.236781035723321, 0.131811664093253, -0.250181799267664,
         -0.011364149953286, -1.85757321463352, -0.146860751013916, 0.528008831372352,
         -0.046230769098303, -0.034509608392235, 0.031884395036004],
        [-0.029929946166941, 0.795804414040809, 0.348025317624568, 0.943567007518504,
         -0.276341670431501, -2.94659418014259, 0.2894830735075, 1.04400695044018,
         -0.000413031960419, 0.403331114840215, 0.068427130526696],
    ])
    # fmt: on
    bias = np.array([-0.88706836404028, 0.320126471197199, 0.610523702500117, -0.379156190833946, 1.35302339669057])
    hidden = np.tanh(np.tensordot(weights, scaled, 1) + bias[:, None, None])
    output = np.array([2.12603881106449, -0.632044932794919, 5.59899578720625, 1.77044414057897, -0.267879583604849])
    value = np.tensordot(output, hidden, 1) - 0.336431283973339
    agree(found[0], (value + 1) / 2 * 0.976982083516331 + 0.000153013463222, 2e-5)


def test_difference_of_two_mean_ndvis(run_published: Published) -> None:
    computed = run_published("nb_landslidesndvi")
    found, grid, _ = read_tiff(computed.files[0])
    means = []
    for period in (["2022-11-26", "2022-12-25"], ["2022-08-25", "2022-11-25"]):
        data = sentinel2(computed, ["B04", "B08"], grid, period)
        red, nir = data[:, 0], data[:, 1]
        means.append(mean((nir - red) / (nir + red)))
    agree(found[0], means[0] - means[1])
    assert np.nanstd(found[0]) > 0.001


def test_composite_of_the_best_dates(run_published: Published) -> None:
    """The colours of the date with the highest ratio of B08 and B03 among those without clouds."""
    computed = run_published("apex_monthly_composite")
    found, grid, _ = read_tiff(computed.files[0])
    bands = ["B02", "B03", "B04", "B05", "B08", "SCL"]
    data = sentinel2(computed, bands, grid, ["2024-06-01", "2024-07-01"], 90)
    data = np.where(np.isin(data[:, 5:], [3, 8, 9, 10, 11]), np.nan, data)
    blue, green, red, edge, nir, _ = np.moveaxis(data, 1, 0)
    # single precision as the data cube: dates that are equally good there are so here
    ratio = nir.astype("float32") / green.astype("float32")
    with warnings.catch_warnings(action="ignore"):
        best = ratio == np.nanmax(ratio, axis=0)
        colours = np.stack([2.8 * red + 0.1 * edge, 2.8 * green + 0.15 * nir, 2.8 * blue], axis=1) / 10_000
        expected = np.nanmax(np.where(best[:, None], colours, np.nan), axis=0)
    agree(found, expected)
    assert (ratio[0] != np.nanmax(ratio, axis=0)).any()


def test_flood_in_any_band_at_any_date(run_published: Published) -> None:
    computed = run_published("nb_global_flood_monitoring_2")
    with xr.open_dataset(computed.files[0], decode_coords="all") as data:
        found, grid = data["var"].values.astype(float), grid_of(data)
    bands = ["ensemble_flood_extent", "reference_water_mask"]
    _, values = series(computed.archive, "GFM", bands, grid, ["2022-09-01", "2022-10-01"])
    expected = np.where(np.isnan(values).all(axis=(0, 1)), np.nan, (np.nan_to_num(values) > 0).any(axis=(0, 1)))
    agree(found, expected)


def test_mean_of_each_day(run_published: Published) -> None:
    computed = run_published("nb_statisticaldatafill_2")
    with xr.open_dataset(computed.files[0], decode_coords="all") as data:
        found, grid = data["NO2"].transpose("t", "y", "x").load(), grid_of(data)
    days, values = series(computed.archive, "SENTINEL_5P_L2", ["NO2"], grid, ["2021-04-01", "2021-06-01"])
    labels = [str(label) for label in found["t"].values]
    expected = np.full(found.shape, np.nan)
    for day in set(days):
        same = [index for index, other in enumerate(days) if other.date() == day.date()]
        expected[labels.index(f"{day:%Y-%j}")] = mean(values[same, 0])
    valid = ~np.isnan(expected)
    np.testing.assert_array_equal(~np.isnan(found.values), valid)
    np.testing.assert_allclose(found.values[valid], expected[valid], rtol=1e-6)
    assert valid.any(axis=(1, 2)).sum() == len(set(days)) > 3


def test_two_crops_in_one_map(run_published: Published) -> None:
    computed = run_published("nb_worldcereal")
    found, grid, _ = read_tiff(computed.files[0])
    period = ["2020-09-01", "2021-12-31"]
    maize, cereals = (
        series(computed.archive, f"ESA_WORLDCEREAL_{crop}", ["CLASSIFICATION"], grid, period)[1][:, 0]
        for crop in ("MAIZE", "WINTERCEREALS")
    )
    first_map, second_map = mean(maize), mean(100 * (cereals + 10))
    both = np.stack([first_map, second_map])
    expected = np.where(np.isnan(both).all(axis=0), np.nan, np.nansum(both, axis=0))
    agree(found[0], expected)


def test_maps_of_each_date(run_published: Published) -> None:
    computed = run_published("nb_federatedprocessing")
    grid = read_tiff(computed.files[0])[1]
    days, values = series(
        computed.archive, "ESA_WORLDCEREAL_ACTIVECROPLAND", ["classification"], grid, ["2024-08-01", "2024-09-01"]
    )
    assert [file.stem.rsplit("_", 1)[1] for file in computed.files] == [f"{day:%Y-%m-%d}" for day in days]
    for file, expected in zip(computed.files, values, strict=True):
        agree(read_tiff(file)[0], expected)


def test_statistics_of_many_bands_follow_each_other(published: Published, run_process: Any) -> None:
    """Eight statistics of each of thirteen bands, in the order that the graph's own labels tell."""
    graph = published("nb_dimensionality_reduction_2")["process_graph"]
    statistics = ["min", "q05", "q25", "median", "q75", "q95", "max", "mean"]
    wanted = [f"{band}_{name}" for band in ("B02", "B08", "NDVI") for name in statistics]
    graph["filterbands1"]["arguments"]["bands"] = wanted
    computed = run_process({"process_graph": graph})
    assert computed.outcome.error is None, computed.outcome.error
    found, grid, names = read_tiff(computed.files[0])
    assert list(names) == wanted
    values = np.ma.masked_invalid(found).reshape(3, 8, *grid.shape)
    assert (np.diff(values[:, :7], axis=1) >= -1e-4).all()
    assert ((values[:, 0] <= values[:, 7] + 1e-3) & (values[:, 7] <= values[:, 6] + 1e-3)).all()
    assert values[2].min() >= -1
    assert values[2].max() <= 1
    # of the darkest date's value the archive holds: the smallest of all dates cannot be below it
    data = sentinel2(computed, ["B02", "B08"], grid, ["2021-01-01", "2022-01-01"], 10)
    for band in range(2):
        assert (values[band, 0] >= np.nanmin(data[:, band], axis=0) - 1e-3).all()
        assert (values[band, 6] <= np.nanmax(data[:, band], axis=0) + 1e-3).all()
        assert np.isin(values[band, 0].compressed(), data[:, band]).all()


def _inside(shape: dict[str, Any], grid: Grid) -> np.ndarray:
    (turned,) = rasterio.warp.transform_geom("EPSG:4326", grid.crs, [shape])
    rows, columns = np.indices(grid.shape)
    xs = grid.transform.c + (columns + 0.5) * grid.transform.a
    ys = grid.transform.f + (rows + 0.5) * grid.transform.e
    return shapely.intersects_xy(shapely.geometry.shape(turned), xs, ys)


def _rows(path: Any) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def _native(computed: Any, collection: str, band: str) -> Grid:
    (path, *_) = sorted((computed.archive / collection.lower()).glob("*/*.json"))
    href = json.loads(path.read_text(encoding="utf-8"))["assets"][band]["href"]
    return read_tiff(path.parent / href)[1]


def test_shares_of_land_cover(run_published: Published, published: Published) -> None:
    computed = run_published("apex_worldcover_statistics")
    (row,) = _rows(computed.files[0])
    grid = _native(computed, "ESA_WORLDCOVER_10M_2021_V2", "MAP")
    _, values = series(computed.archive, "ESA_WORLDCOVER_10M_2021_V2", ["MAP"], grid, ["2021-01-01", "2022-01-01"])
    graph = published("apex_worldcover_statistics")["process_graph"]
    cover = values[0, 0][_inside(graph["aggregate5"]["arguments"]["geometries"], grid)]
    cover = cover[~np.isnan(cover)]
    names = graph["rename7"]["arguments"]["target"]
    shares = {name: float(np.mean(cover == code)) for name, code in zip(names, _CLASSES, strict=True)}
    assert {name: float(row[name]) for name in names} == pytest.approx(shares, abs=1e-6)
    assert sum(shares.values()) == pytest.approx(1)


_CLASSES = (10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 100)


def test_mean_ndvi_of_fields(run_published: Published, published: Published) -> None:
    computed = run_published("nb_proba_v")
    grid = _native(computed, "PROBAV_L3_S5_TOC_100M", "NDVI")
    days, values = series(computed.archive, "PROBAV_L3_S5_TOC_100M", ["NDVI"], grid, ["2021-01-01", "2021-12-01"])
    features = published("nb_proba_v")["process_graph"]["aggregatespatial1"]["arguments"]["geometries"]["features"]
    expected = {}
    for number, feature in enumerate(features):
        selected = _inside(feature["geometry"], grid)
        for day, ndvi in zip(days, values[:, 0], strict=True):
            fields = ndvi[selected & ~np.isnan(ndvi)]
            if fields.size:
                expected[f"{day:%Y-%m-%d}", number] = float(np.mean(fields * 0.004 - 0.08))
    found = {
        (row["date"][:10], int(row["feature_index"])): float(row["NDVI"])
        for row in _rows(computed.files[0])
        if row["NDVI"]
    }
    assert found == pytest.approx(expected, abs=1e-5)
    assert expected
