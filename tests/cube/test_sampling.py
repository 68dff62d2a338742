"""Compiled interpolation between pixels: GDAL's warper is what it is compared with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from rasterio.enums import Resampling
from rasterio.warp import reproject

from openeo_backend.cube import Cube, Dimension, warp
from openeo_backend.cube.positions import control

UTM, MERCATOR = CRS("EPSG:32633"), CRS("EPSG:3857")
SOURCE = GeoBox((90, 110), Affine(10, 0, 400_000, 0, -10, 5_300_000), UTM)
TARGETS = {
    "other system": GeoBox((100, 93), Affine(14.3, 0, 1_520_900, 0, -14.3, 6_081_290), MERCATOR),
    "finer": GeoBox((150, 160), Affine(6.1, 0, 400_023, 0, -6.1, 5_300_021), UTM),
    "upwards": GeoBox((70, 80), Affine(9.7, 0, 399_901, 0, 9.9, 5_299_300), UTM),
    "one pixel": GeoBox((1, 1), Affine(10, 0, 400_104, 0, -10, 5_299_704), UTM),
}


def scene(dtype: str, nulls: float) -> np.ndarray:
    rng = np.random.default_rng(4)
    values = rng.normal(1000, 200, (2, *SOURCE.shape)).astype(dtype)
    values[rng.random(values.shape) < nulls] = np.nan
    if nulls:
        values[1, 50, 60] = np.inf
        values[0, :9] = np.nan
    return values


def cube(values: np.ndarray, chunks: Any = None) -> Cube:
    xs = SOURCE.affine.c + (np.arange(110) + 0.5) * 10
    ys = SOURCE.affine.f - (np.arange(90) + 0.5) * 10
    data = xr.DataArray(values, {"bands": ["a", "b"], "y": ys, "x": xs}, ("bands", "y", "x"))
    dimensions = (
        Dimension("bands", "bands"),
        Dimension("y", "spatial", axis="y", step=-10.0),
        Dimension("x", "spatial", axis="x", step=10.0),
    )
    return Cube(data if chunks is None else data.chunk(chunks), dimensions, UTM)


def by_gdal(values: np.ndarray, target: GeoBox, method: str) -> np.ndarray:
    out = np.full((2, *target.shape), np.nan, values.dtype)
    for plane, result in zip(np.where(np.isinf(values), np.nan, values), out, strict=True):
        reproject(
            plane.astype(values.dtype),
            result,
            src_transform=SOURCE.affine,
            src_crs=str(SOURCE.crs),
            src_nodata=np.nan,
            dst_transform=target.affine,
            dst_crs=str(target.crs),
            dst_nodata=np.nan,
            resampling=Resampling[method],
            tolerance=0.0,
            XSCALE=1,
            YSCALE=1,
        )
    return out


@pytest.mark.parametrize("method", ["bilinear", "cubic"])
@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize(("dtype", "nulls"), [("float32", 0.0), ("float32", 0.1), ("float64", 0.1)])
def test_values_and_gaps_are_those_of_gdal(method: str, name: str, dtype: str, nulls: float) -> None:
    values, target = scene(dtype, nulls), TARGETS[name]
    step = warp._Step(SOURCE, target, method, warp.Storage(np.dtype(dtype)), (1.0, 1.0))
    found = step._interpolated(values)
    assert found is not None
    assert found.dtype == values.dtype
    expected = by_gdal(values, target, method)
    differing = np.isnan(found) != np.isnan(expected)
    # GDAL's positions are up to 0.002 pixels from those of PROJ: a centre so near to an edge may fall on its other side
    assert differing.sum() <= (6 if target.crs == MERCATOR else 0)
    both = ~np.isnan(found) & ~np.isnan(expected)
    assert both.any()
    difference = np.abs(found - expected)[both]
    if target.crs == MERCATOR:
        # a few lie where cubic convolution ends, which is a jump
        assert np.quantile(difference, 0.995) < 0.002 * 1500
    else:
        assert difference.max() < 2e-3


def test_slopes_show_the_positions_of_proj() -> None:
    target = TARGETS["other system"]
    rows, cols = np.indices(SOURCE.shape).astype("float64")
    found = warp._Step(SOURCE, target, "bilinear", warp.Storage(rows.dtype), (1.0, 1.0))._interpolated(
        np.stack([rows, cols])
    )
    assert found is not None
    xs, ys = np.meshgrid(np.arange(93) + 0.5, np.arange(100) + 0.5)
    xs, ys = Transformer.from_crs(3857, 32633, always_xy=True).transform(
        target.affine.c + xs * target.affine.a, target.affine.f + ys * target.affine.e
    )
    wanted = np.stack([(5_300_000 - ys) / 10 - 0.5, (xs - 400_000) / 10 - 0.5])
    inner = ((wanted > 0) & (wanted < np.array([89, 109])[:, None, None])).all(axis=0)
    assert inner.sum() > 5000
    assert np.abs(found - wanted)[:, inner].max() < warp.ERROR


@pytest.mark.parametrize("method", ["bilinear", "cubic"])
def test_blocks_give_what_the_whole_gives_and_gdal_is_beside(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values, target = scene("float32", 0.05), TARGETS["other system"]
    monkeypatch.setattr(warp, "EDGES", (40, 41))
    whole = warp.warp(cube(values), target, method).data.values
    blocks = warp.warp(cube(values, {"bands": 1, "y": 40, "x": 50}), target, method).data.values
    assert (np.isnan(blocks) != np.isnan(whole)).sum() <= 2
    assert np.nanmax(np.abs(blocks - whole)) < 1.0
    monkeypatch.setattr(warp, "kernels", lambda module: None)
    plain = warp.warp(cube(values), target, method).data.values
    assert plain.dtype == whole.dtype
    assert (np.isnan(plain) != np.isnan(whole)).mean() < 0.01
    assert np.nanmean(np.abs(plain - whole)) < 3.0


def test_downsampling_and_places_without_positions_stay_with_gdal() -> None:
    values = scene("float32", 0.0)
    coarse = GeoBox((30, 30), Affine(30, 0, 400_000, 0, -30, 5_300_000), UTM)
    assert warp._Step.between(SOURCE, coarse, "bilinear", warp.Storage(values.dtype))._interpolated(values) is None
    beyond = GeoBox((50, 50), Affine(1e6, 0, -3e7, 0, -1e6, 3e7), MERCATOR)
    step = warp._Step(SOURCE, beyond, "cubic", warp.Storage(values.dtype), (1.0, 1.0))
    assert step._interpolated(values) is None


@pytest.mark.parametrize("zone", [32633, 3035, 4326])
def test_interpolated_positions_keep_the_error_bound(zone: int) -> None:
    block = GeoBox((300, 411), Affine(90, 0, 1_520_900, 0, -90, 6_081_290), MERCATOR)
    change = Transformer.from_crs(3857, zone, always_xy=True)
    size = 1 / 900 if zone == 4326 else 100.0

    def exact(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.stack(change.transform(x, y)) / size

    x = block.affine.c + (np.arange(411) + 0.5) * 90
    y = block.affine.f - (np.arange(300) + 0.5) * 90
    found = control(x, y, exact, 2e-3, (64, 32, 16, 8, 4))
    assert found is not None
    assert len(found.at_x) < 411
    truth = exact(*np.meshgrid(x, y))
    for plane, wanted in zip((found.rows, found.cols), truth, strict=True):
        across = np.stack([np.interp(np.arange(411), found.at_x, row) for row in plane])
        guess = np.stack([np.interp(np.arange(300), found.at_y, column) for column in across.T], axis=1)
        assert np.abs(guess - wanted).max() <= 2e-3
    assert control(x, y, exact, 1e-12, (64, 32)) is None
