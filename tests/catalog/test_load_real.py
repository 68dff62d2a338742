"""Loads of real scenes, compared with plain rasterio and numpy on the same files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
import rasterio.features
import rasterio.warp
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.windows import Window

from openeo_backend.catalog.catalog import Catalog
from openeo_backend.catalog.request import LoadRequest
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.effects import LoadHints
from openeo_backend.net.door import Door
from openeo_backend.settings import CatalogSettings, NetSettings


@pytest.fixture(scope="module")
def stac(shared: Path) -> Path:
    return shared / "data" / "stac"


@pytest.fixture(scope="module")
def catalog(stac: Path) -> Catalog:
    return Catalog([str(stac / "catalog.json")], CatalogSettings(), Door(NetSettings()))


def items(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob("*/*.json"))


def test_whole_collection_equals_the_files(catalog, stac, env):
    cube = catalog.load("s2-l2a-flanders", LoadRequest(), env)
    assert cube.names == ("t", "bands", "y", "x")
    assert cube.is_lazy
    bands = ["B01", "B04", "B08", "B11", "AOT", "SCL"]
    assert list(cube.labels("bands")) == bands
    values = cube.data.values
    assert values.dtype == np.uint16
    folders = items(stac / "s2-l2a-flanders")
    assert values.shape[0] == len(folders) == 12
    for t, folder in enumerate(folders):
        for b, band in enumerate(bands):
            with rasterio.open(folder / f"{band}.tif") as file:
                expected = file.read(1)
                if band == "SCL":  # stored with nodata 0, in a cube whose nodata is 65535
                    expected = np.where(expected == 0, 65535, expected)
                np.testing.assert_array_equal(values[t, b], expected)
    assert cube.nodata == 65535
    assert str(cube.labels("t")[0]) == "2023-04-02T00:00:00.000000000"
    assert cube.labels("x")[:2].tolist() == [643265.0, 643275.0]
    assert cube.labels("y")[:2].tolist() == [5676475.0, 5676465.0]
    assert cube.crs is not None
    assert cube.crs.epsg == 32631
    level, message = env.entries[0]
    assert level == "info"
    assert "EPSG:32631" in message
    assert "resolution 10 x 10" in message
    assert "64 x 66 pixels" in message


def test_radar_stays_float_with_nan(catalog, stac, env):
    cube = catalog.load(
        "s1-grd-flanders", LoadRequest(bands=("VH",), temporal_extent=["2023-04-05", "2023-04-13"]), env
    )
    assert cube.nodata is None
    assert cube.data.dtype == np.float32
    assert [str(t)[:10] for t in cube.labels("t")] == ["2023-04-05", "2023-04-08", "2023-04-12"]
    with rasterio.open(stac / "s1-grd-flanders/S1_GRD_FL_20230408/VH.tif") as file:
        np.testing.assert_array_equal(cube.data.values[1, 0], file.read(1))


def test_pixels_whose_centre_is_within_the_box(catalog, stac, env):
    box = {"west": 643304, "south": 5676203, "east": 643407, "north": 5676296, "crs": 32631}
    cube = catalog.load("s2-l2a-flanders", LoadRequest(spatial_extent=box, bands=("B04",)), env)
    # centres 643305 ... 643405 and 5676205 ... 5676295
    assert cube.labels("x").tolist() == list(np.arange(643305, 643406, 10))
    assert cube.labels("y").tolist() == list(np.arange(5676295, 5676204, -10))
    with rasterio.open(stac / "s2-l2a-flanders/S2_L2A_31UFS_20230402/B04.tif") as file:
        expected = file.read(1, window=Window(4, 18, 11, 10))
    np.testing.assert_array_equal(cube.data.values[0, 0], expected)


def test_box_in_degrees_becomes_a_box_in_the_grid(catalog, stac, env):
    box = {"west": 5.053, "south": 51.217, "east": 5.057, "north": 51.2195}
    cube = catalog.load("s2-l2a-flanders", LoadRequest(spatial_extent=box, bands=("B08",)), env)
    west, south, east, north = rasterio.warp.transform_bounds(
        4326, 32631, *(box[k] for k in ("west", "south", "east", "north"))
    )
    with rasterio.open(stac / "s2-l2a-flanders/S2_L2A_31UFS_20230402/B08.tif") as file:
        xs = file.transform.c + (np.arange(file.width) + 0.5) * 10
        ys = file.transform.f - (np.arange(file.height) + 0.5) * 10
        cols, rows = (xs >= west) & (xs <= east), (ys >= south) & (ys <= north)
        expected = file.read(1)[np.ix_(rows, cols)]
    np.testing.assert_array_equal(cube.labels("x"), xs[cols])
    np.testing.assert_array_equal(cube.labels("y"), ys[rows])
    np.testing.assert_array_equal(cube.data.values[0, 0], expected)


def test_polygon_masks_by_pixel_centre(catalog, stac, env):
    ring = [[5.052, 51.2165], [5.059, 51.2168], [5.056, 51.2213], [5.052, 51.2165]]
    polygon = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    cube = catalog.load("s2-l2a-flanders", LoadRequest(spatial_extent=polygon, bands=("B04",)), env)
    xs, ys = rasterio.warp.transform(4326, 32631, *zip(*ring, strict=True))
    shape = {"type": "Polygon", "coordinates": [list(zip(xs, ys, strict=True))]}
    with rasterio.open(stac / "s2-l2a-flanders/S2_L2A_31UFS_20230402/B04.tif") as file:
        outside = rasterio.features.geometry_mask([shape], file.shape, file.transform)
        expected = np.where(outside, 65535, file.read(1))
    rows, cols = np.flatnonzero(~outside.all(axis=1)), np.flatnonzero(~outside.all(axis=0))
    window = expected[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    values = cube.data.values[0, 0]
    y0 = round((file.transform.f - cube.labels("y")[0] - 5) / 10)
    x0 = round((cube.labels("x")[0] - 5 - file.transform.c) / 10)
    full = np.full(file.shape, 65535, dtype=np.uint16)
    full[y0 : y0 + values.shape[0], x0 : x0 + values.shape[1]] = values
    np.testing.assert_array_equal(full, expected)
    assert 0 < (window == 65535).sum() < window.size


def test_common_names_in_the_order_asked(catalog, env):
    cube = catalog.load("s2-l2a-flanders", LoadRequest(bands=("nir", "SCL", "red")), env)
    assert list(cube.labels("bands")) == ["B08", "SCL", "B04"]
    assert cube.bands["B08"].common_name == "nir"
    assert cube.bands["B04"].scale == 0.0001


def test_finest_band_gives_the_grid_and_scenes_of_a_day_are_mosaicked(catalog, stac, env):
    folder = stac / "landsat8-l1tp-ny18"
    day = [path for path in items(folder) if "_20180428_" in path.name]
    assert [path.name[10:16] for path in day] == ["014031", "014032"]
    request = LoadRequest(temporal_extent=["2018-04-28", "2018-04-29"], bands=("B4", "B8"))
    cube = catalog.load("landsat8-l1tp-ny18", request, env)
    assert cube.data.shape[0] == 1
    grid = cube.geobox
    with rasterio.open(day[0] / "B8.tif") as file:
        assert grid.resolution.x == pytest.approx(file.transform.a)
        assert grid.resolution.y == pytest.approx(file.transform.e)
    expected = np.zeros((2, *grid.shape), dtype=np.uint16)
    xs, ys = np.meshgrid(cube.labels("x"), cube.labels("y"))
    for path in day:
        for b, band in enumerate(("B4", "B8")):
            with rasterio.open(path / f"{band}.tif") as file:
                cols = np.floor((xs - file.transform.c) / file.transform.a + 1e-7).astype(int)
                rows = np.floor((ys - file.transform.f) / file.transform.e + 1e-7).astype(int)
                inside = (cols >= 0) & (rows >= 0) & (cols < file.width) & (rows < file.height)
                found = np.where(inside, file.read(1)[np.where(inside, rows, 0), np.where(inside, cols, 0)], 0)
            expected[b] = np.where(expected[b] == 0, found, expected[b])
    np.testing.assert_array_equal(cube.data.values[0], expected)
    assert cube.nodata == 0


def test_reprojection_is_the_nearest_neighbour(catalog, stac, env):
    """Scenes of another zone land on the grid pixel by pixel, at exactly projected positions."""
    transform = Affine(300, 0, -300_000, 0, -300, 250_000)
    grid = GeoBox((700, 1100), transform, "EPSG:32619")
    request = LoadRequest(bands=("SR_B4",), temporal_extent=["2019-12-01", "2019-12-02"], geobox=grid)
    cube = catalog.load("landsat-c2-l2-multi-crs", request, env)
    folder = stac / "landsat-c2-l2-multi-crs" / "LC08_L2SP_008059_20191201_20200825_02_T1"
    xs, ys = np.meshgrid(-300_000 + (np.arange(1100) + 0.5) * 300, 250_000 - (np.arange(700) + 0.5) * 300)
    xs, ys = pyproj.Transformer.from_crs(32619, 32618, always_xy=True).transform(xs, ys)
    warped = np.zeros(grid.shape, dtype=np.uint16)
    with rasterio.open(folder / "SR_B4.tif") as file:
        cols = np.floor((xs - file.transform.c) / file.transform.a).astype(int)
        rows = np.floor((ys - file.transform.f) / file.transform.e).astype(int)
        inside = (cols >= 0) & (rows >= 0) & (cols < file.width) & (rows < file.height)
        expected = np.where(inside, file.read(1)[np.where(inside, rows, 0), np.where(inside, cols, 0)], 0)
        rasterio.warp.reproject(rasterio.band(file, 1), warped, dst_transform=transform, dst_crs="EPSG:32619")
    found = cube.data.values[0, 0]
    assert (found > 0).mean() > 0.3
    np.testing.assert_array_equal(found, expected)
    # GDAL interpolates positions, up to 0.1 pixels off here: most pixels are the same, the others are neighbours
    assert (found != warped).mean() < 0.05


def test_geographic_window_of_a_large_raster(catalog, stac, env):
    box = {"west": 8.99, "south": 2.0, "east": 9.0, "north": 2.013}
    cube = catalog.load("esa-worldcover", LoadRequest(spatial_extent=box, temporal_extent=["2021-01-01", None]), env)
    path = next((stac / "esa-worldcover").glob("*2021*/map.tif"))
    with rasterio.open(path) as file:
        step = file.transform.a
        col, row = round((8.99 - 6) / step), round((3 - 2.013) / step)
        expected = file.read(1, window=Window(col, row, 120, 156))
    assert cube.data.shape == (1, 1, 156, 120)
    np.testing.assert_array_equal(cube.data.values[0, 0], expected)
    assert str(cube.labels("t")[0])[:10] == "2021-01-01"


def test_half_open_interval(catalog, env):
    request = LoadRequest(temporal_extent=["2023-04-05", "2023-04-12"], bands=("SCL",))
    cube = catalog.load("s2-l2a-flanders", request, env)
    assert [str(t)[:10] for t in cube.labels("t")] == ["2023-04-05", "2023-04-07", "2023-04-10"]
    assert cube.data.dtype == np.uint8
    assert cube.nodata == 0


@pytest.mark.parametrize("extent", [["2023-04-05", "2023-04-05"], ["2023-04-06", "2023-04-05"]])
def test_empty_intervals_are_refused(catalog, env, extent):
    with pytest.raises(OpenEOError) as failure:
        catalog.load("s2-l2a-flanders", LoadRequest(temporal_extent=extent), env)
    assert failure.value.code == "TemporalExtentEmpty"


def test_no_data_tells_what_was_asked_what_there_is_and_what_was_removed(catalog, env, condition):
    clear = condition(
        {"lt": {"process_id": "lt", "arguments": {"x": {"from_parameter": "value"}, "y": -1}, "result": True}}
    )
    with pytest.raises(OpenEOError) as failure:
        catalog.load("s2-l2a-flanders", LoadRequest(properties={"eo:cloud_cover": clear}), env)
    assert failure.value.code == "NoDataAvailable"
    assert "12 of 12 items are removed by the condition on 'eo:cloud_cover'" in failure.value.message
    box = {"west": 10, "south": 50, "east": 11, "north": 51}
    request = LoadRequest(spatial_extent=box, temporal_extent=["2023-04-05", "2024-01-01"])
    with pytest.raises(OpenEOError) as failure:
        catalog.load("s2-l2a-flanders", request, env)
    message = failure.value.message
    assert "s2-l2a-flanders" in message
    assert "west 10, south 50, east 11, north 51" in message
    assert "[2023-04-05T00:00:00Z, 2024-01-01T00:00:00Z)" in message
    assert "2023-04-02T00:00:00Z to 2023-04-30T00:00:00Z" in message
    assert "12 of 12 items lie outside of the spatial extent" in message


def test_properties_keep_what_fulfils_all(catalog, stac, env, condition):
    cover = {
        path.name: json.loads((path / f"{path.name}.json").read_text())["properties"]["eo:cloud_cover"]
        for path in items(stac / "s2-l2a-flanders")
    }
    expected = [name[-8:] for name, value in cover.items() if value is not None and value <= 50]
    assert 0 < len(expected) < 12
    low = condition(
        {"a": {"process_id": "lte", "arguments": {"x": {"from_parameter": "value"}, "y": 50}, "result": True}}
    )
    backends = condition(
        {"a": {"process_id": "eq", "arguments": {"x": {"from_parameter": "value"}, "y": "x"}, "result": True}}
    )
    request = LoadRequest(properties={"eo:cloud_cover": low, "federation:backends": backends}, bands=("B04",))
    cube = catalog.load("s2-l2a-flanders", request, env)
    assert [str(t)[:10].replace("-", "") for t in cube.labels("t")] == expected


def test_later_filters_narrow_the_load_without_changing_the_grid(catalog, surroundings, env):
    whole = catalog.load("s2-l2a-flanders", LoadRequest(), env).data
    box = {"west": 643400, "south": 5676100, "east": 643500, "north": 5676200, "crs": 32631}
    hint = LoadHints(spatial=(box,), temporal=(("2023-04-05", "2023-04-11"),), bands=("red",), margin=3)
    cube = catalog.load("s2-l2a-flanders", LoadRequest(), surroundings(hint=hint))
    assert [str(t)[:10] for t in cube.labels("t")] == ["2023-04-05", "2023-04-07", "2023-04-10"]
    assert list(cube.labels("bands")) == ["B04"]
    xs, ys = cube.labels("x"), cube.labels("y")
    assert xs[0] <= 643400 - 30 + 5
    assert xs[-1] >= 643500 + 30 - 5
    assert len(xs) < 20
    assert (ys.min(), ys.max()) < (5676100, 5676230)
    part = whole.sel(t=cube.labels("t"), bands=["B04"], x=xs, y=ys)
    np.testing.assert_array_equal(cube.data.values, part.values)


def test_unknown_bands_and_collections(catalog, env):
    with pytest.raises(OpenEOError) as failure:
        catalog.load("s2-l2a-flanders", LoadRequest(bands=("B99",)), env)
    assert failure.value.code == "ProcessParameterInvalid"
    assert "B99" in failure.value.message
    assert "B04 (red)" in (failure.value.hint or "")
    with pytest.raises(OpenEOError) as failure:
        catalog.load("NOPE", LoadRequest(), env)
    assert failure.value.code == "CollectionNotFound"


def test_scale_is_applied_only_where_set(stac, env):
    settings = CatalogSettings(collections={"landsat-c2-l2-multi-crs": {"apply_scale": True}})
    catalog = Catalog([str(stac / "catalog.json")], settings, Door(NetSettings()))
    request = LoadRequest(bands=("SR_B4", "ST_B10"), temporal_extent=["2013-01-01", "2014-01-01"])
    cube = catalog.load("landsat-c2-l2-multi-crs", request, env)
    assert cube.data.dtype == np.float32
    folder = stac / "landsat-c2-l2-multi-crs/LC08_L2SP_017036_20130419_20200913_02_T2"
    for b, (band, scale, offset) in enumerate((("SR_B4", 2.75e-05, -0.2), ("ST_B10", 0.00341802, 149.0))):
        with rasterio.open(folder / f"{band}.tif") as file:
            stored = file.read(1).astype("float64")
        expected = np.where(stored == 0, np.nan, stored * scale + offset)
        np.testing.assert_allclose(cube.data.values[0, b], expected, rtol=2e-6, atol=1e-6)
    assert cube.bands["SR_B4"].scale is None
    described = catalog.collection("landsat-c2-l2-multi-crs")
    assert all("scale" not in band for band in described["summaries"]["raster:bands"])


def test_bands_with_different_nodata_share_one_that_none_uses(catalog, stac, env):
    request = LoadRequest(bands=("SR_B4", "QA_PIXEL"), temporal_extent=["2013-01-01", "2014-01-01"])
    cube = catalog.load("landsat-c2-l2-multi-crs", request, env)
    folder = stac / "landsat-c2-l2-multi-crs/LC08_L2SP_017036_20130419_20200913_02_T2"
    for b, (band, nodata) in enumerate((("SR_B4", 0), ("QA_PIXEL", 1))):
        with rasterio.open(folder / f"{band}.tif") as file:
            stored = file.read(1).astype("int64")
        np.testing.assert_array_equal(cube.data.values[0, b], np.where(stored == nodata, cube.nodata, stored))


def test_four_reference_systems_on_one_grid(catalog, env):
    box = {"west": -84, "south": 33.7, "east": -81.7, "north": 35.5}
    cube = catalog.load("landsat-c2-l2-multi-crs", LoadRequest(spatial_extent=box, bands=("SR_B2",)), env)
    assert cube.crs is not None
    assert cube.crs.epsg == 32617


def test_an_extent_that_one_zone_cannot_hold(catalog, surroundings):
    everywhere = {"west": -180, "south": -90, "east": 180, "north": 90}
    request = LoadRequest(spatial_extent=everywhere, bands=("SR_B2",), temporal_extent=["2013-01-01", "2014-01-01"])
    with pytest.raises(OpenEOError) as failure:
        catalog.load("landsat-c2-l2-multi-crs", request, surroundings())
    assert failure.value.code == "ProcessParameterInvalid"
    assert "EPSG:32617" in failure.value.message
