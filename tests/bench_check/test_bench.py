"""The benchmark's floor, this back-end and plain numpy have the same pixels, so that the benchmark compares equals."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from rasterio.warp import Resampling, reproject
from scipy.ndimage import convolve

from openeo_backend.cli.main import main

sys.path.append(str(Path(__file__).parents[1] / "bench"))

import compare
import floor
import forest
import plain
import season
import workload

SIZE = 256


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("season")
    season.tile(folder, SIZE)
    return folder


def ours(name: str, folder: Path, catalog: Path, out: Path) -> np.ndarray:
    """What `openeo-backend run` makes of a workload."""
    out.mkdir()
    graph = out / "graph.json"
    graph.write_text(json.dumps(workload.process(name, SIZE, folder)))
    done = CliRunner().invoke(main, ["run", str(graph), "-o", str(out), "--stac", str(catalog)])
    assert done.exit_code == 0, done.output
    return compare.planes(next(path for path in out.iterdir() if path.suffix in (".tif", ".nc")))[0]


def stack(folder: Path, band: str) -> np.ndarray:
    """All dates of a band."""
    values = []
    for item in season.items(folder):
        with rasterio.open(item["assets"][band]["href"]) as file:
            values.append(file.read(1))
    return np.stack(values)


def measured(folder: Path, band: str) -> np.ndarray:
    """As float32, with NaN for no data."""
    values = stack(folder, band).astype(np.float32)
    values[values == 0] = np.nan
    return values


def plain_a(folder: Path) -> np.ndarray:
    red, nir = measured(folder, "B04"), measured(folder, "B08")
    return np.nanmedian((nir - red) / (nir + red), axis=0)[np.newaxis]


def plain_b(folder: Path) -> np.ndarray:
    bad = np.isin(stack(folder, "SCL"), workload.CLOUDS).repeat(2, 1).repeat(2, 2)
    months = []
    for band in workload.BANDS:
        clear = np.where(bad, np.nan, measured(folder, band))
        months.append(np.stack([np.nanmedian(clear[start : start + 4], axis=0) for start in (0, 4, 8)]))
    return np.concatenate(months)


def plain_c(folder: Path) -> np.ndarray:
    transform, height, width = workload.warped(SIZE)
    row = np.array([1, 4, 6, 4, 1], np.float32) / 16
    planes = []
    for band in workload.BANDS:
        with rasterio.open(season.items(folder)[0]["assets"][band]["href"]) as file:
            out = np.zeros((height, width), np.float32)
            where = {"src_crs": file.crs, "dst_crs": 3857, "src_nodata": 0, "dst_nodata": 0}
            where |= {"src_transform": file.transform, "dst_transform": transform}
            reproject(file.read(1), out, resampling=Resampling.bilinear, tolerance=0, **where)
        planes.append(convolve(out, np.outer(row, row), mode="constant"))
    return np.stack(planes)


def plain_d(folder: Path) -> np.ndarray:
    """Quantiles rounded as ours, since a training set that differs in the last digit grows another forest."""
    features = []
    for band in workload.BANDS:
        values = np.sort(measured(folder, band), axis=0)
        last = np.count_nonzero(~np.isnan(values), axis=0) - 1
        for share in workload.SHARES:
            below, part = np.divmod(last * share, 1)
            low = np.take_along_axis(values, below.astype(int)[np.newaxis], 0)[0]
            high = np.take_along_axis(values, np.minimum(below.astype(int) + 1, last)[np.newaxis], 0)[0]
            mixed = low * (1 - part.astype(np.float32)) + high * part.astype(np.float32)
            features.append(np.where(low == high, low, mixed))
    table = np.stack(features).reshape(12, -1).T
    return forest.classify(forest.grow(table, folder), table).reshape(1, SIZE, SIZE).astype(np.float32)


@pytest.mark.filterwarnings("ignore:All-NaN:RuntimeWarning")
@pytest.mark.parametrize("name", ["a", "b", "c", "d"])
def test_floor_and_ours_have_the_pixels_of_plain_numpy(name: str, data: Path, tmp_path: Path) -> None:
    expected: np.ndarray = {"a": plain_a, "b": plain_b, "c": plain_c, "d": plain_d}[name](data)
    inner = slice(compare.EDGE, -compare.EDGE) if name == "c" else slice(None)

    found = {"ours": ours(name, data, data / "collection.json", tmp_path / "ours")}
    found["floor"] = compare.planes(floor.run(name, data, SIZE, tmp_path))[0]

    for kind, values in found.items():
        assert values.shape == expected.shape, kind
        check(name, values[:, inner, inner], expected[:, inner, inner])


@pytest.mark.parametrize("name", ["f", "g"])
def test_ours_has_the_pixels_of_plain_numpy_on_another_season(name: str, tmp_path: Path) -> None:
    """Other blocks, strips, LZW and Zstandard, signed and floating point numbers, seven dates, other graphs."""
    catalog = season.coarse(tmp_path / "coarse", SIZE)

    found = ours(name, catalog.parent, catalog, tmp_path / "ours")

    expected = compare.planes(plain.run(name, catalog.parent, SIZE, tmp_path))[0]
    assert 0.01 < np.isnan(expected).mean() < 0.9
    np.testing.assert_allclose(found, expected, rtol=3e-6, atol=2e-6)


def check(name: str, values: np.ndarray, expected: np.ndarray) -> None:
    assert not np.isnan(expected).all()
    if name == "d":
        assert np.mean(values == expected) > 0.999
    elif name == "c":  # GDAL finds coordinates between those that it computes
        assert np.median(np.abs(values - expected)) < 1
        assert np.abs(values - expected).max() < 100
    else:
        np.testing.assert_allclose(values, expected, rtol=2e-6, atol=1e-7)


def test_the_floor_writes_what_ours_writes(data: Path, tmp_path: Path) -> None:
    """Overviews and statistics, in a layout that GDAL takes for cloud optimized."""
    path = floor.run("a", data, SIZE, tmp_path)

    with rasterio.open(path) as file:
        tags: dict[str, Any] = file.tags(1)
        values = file.read(1)
        assert file.profile["compress"] == "deflate"
        assert file.crs.to_epsg() == season.TILE.epsg
    assert float(tags["STATISTICS_MEAN"]) == pytest.approx(np.nanmean(values), rel=1e-5)
    assert float(tags["STATISTICS_STDDEV"]) == pytest.approx(np.nanstd(values), rel=1e-4)


def test_cog_has_overviews_of_means(tmp_path: Path) -> None:
    from cog import Cog

    values = np.random.default_rng(3).random((1500, 2100), np.float32)
    values[:100] = np.nan
    file = Cog(tmp_path / "x.tif", values.shape, 1, "float32", 32633, rasterio.Affine(10, 0, 0, 0, -10, 0))
    for x, y, width, height in floor.blocks(*values.shape):
        file.add(0, x, y, values[y : y + height, x : x + width])
    file.finish(floor.spread)

    with rasterio.open(file.path) as read:
        assert np.array_equal(read.read(1), values, equal_nan=True)
        assert read.overviews(1) == [2, 4, 8]
    with rasterio.open(file.path, overview_level=1) as read:
        quarter = values.reshape(375, 4, 525, 4).mean(axis=(1, 3))
        np.testing.assert_allclose(read.read(1), quarter, rtol=1e-5)
