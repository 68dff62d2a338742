"""Loads of tiny scenes made for one question each."""

from __future__ import annotations

import json
import math

import dask
import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox

from openeo_backend.catalog.chunks import chunks
from openeo_backend.catalog.missing import missing_value
from openeo_backend.catalog.request import LoadRequest
from openeo_backend.catalog.tiles import Tiles
from openeo_backend.cube.memory import BASE_MB
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.effects import LoadHints


def plane(value: float, shape: tuple[int, int] = (8, 8), dtype: str = "uint16") -> np.ndarray:
    return np.full(shape, value, dtype=dtype)


def ramp(shape: tuple[int, int] = (8, 8), start: int = 1, dtype: str = "uint16") -> np.ndarray:
    return (np.arange(shape[0] * shape[1]) + start).reshape(shape).astype(dtype)


def load(archive, env, settings=None, **request):
    return archive.open(**(settings or {})).load("TEST", LoadRequest(**request), env)


def test_loads_are_lazy(archive, env):
    archive.add("A", {"B04": ramp()})

    def forbidden(*args, **kwargs):
        raise AssertionError("computed")

    with dask.config.set(scheduler=forbidden):
        cube = load(archive, env)
    assert cube.is_lazy
    np.testing.assert_array_equal(cube.data.values[0, 0], ramp())


def test_provenance_names_items_licence_and_providers(archive, env):
    archive.collection["providers"] = [{"name": "someone"}]
    archive.add("A", {"B04": ramp()})
    cube = load(archive, env)
    assert cube.provenance.collections == ("TEST",)
    assert cube.provenance.licenses == ("CC-BY-4.0",)
    assert cube.provenance.providers == ({"name": "someone"},)
    assert cube.provenance.items == ("collections/TEST/items/A",)


def test_scenes_of_a_day_complete_each_other_oldest_on_top(archive, env):
    west = ramp()
    west[:, 6:] = 0  # nodata at the scene's edge
    archive.add("W", {"B04": west}, time="2023-04-02T10:50:00Z")
    archive.add("E", {"B04": plane(900)}, time="2023-04-02T10:50:30Z", origin=(600_040.0, 5_700_000.0))
    cube = load(archive, env)
    assert [str(t) for t in cube.labels("t")] == ["2023-04-02T00:00:00.000000000"]
    expected = np.full((8, 12), 900, dtype=np.uint16)
    expected[:, :6] = ramp()[:, :6]
    np.testing.assert_array_equal(cube.data.values[0, 0], expected)


@pytest.mark.parametrize(
    ("mosaic", "labels"),
    [
        ("solar_day", ["2023-04-03T00:00:00"]),
        ("utc_day", ["2023-04-02T00:00:00", "2023-04-03T00:00:00"]),
        ("none", ["2023-04-02T22:30:00", "2023-04-03T02:10:00"]),
    ],
)
def test_time_steps_by_setting(archive, env, mosaic, labels):
    # New Zealand, 170 degrees east: the sun is 11 h 20 min ahead of UTC
    place = {"epsg": 32759, "origin": (420_000.0, 5_000_000.0)}
    archive.add("A", {"B04": plane(1)}, time="2023-04-02T22:30:00Z", **place)
    archive.add("B", {"B04": plane(2)}, time="2023-04-03T02:10:00Z", **place)
    cube = load(archive, env, {"collections": {"TEST": {"mosaic": mosaic}}})
    assert [str(t)[:19] for t in cube.labels("t")] == labels


def test_dates_without_a_time_keep_their_date(archive, env):
    place = {"epsg": 32618, "origin": (420_000.0, 5_000_000.0)}  # 76 degrees west: five hours behind UTC
    archive.add("A", {"B04": plane(1)}, time="2023-04-02T00:00:00Z", **place)
    assert str(load(archive, env).labels("t")[0])[:10] == "2023-04-02"


def test_dates_are_sorted_whatever_the_order_of_items(archive, env):
    for day in (12, 2, 22):
        archive.add(f"D{day}", {"B04": plane(day)}, time=f"2023-04-{day:02d}T10:50:00Z")
    cube = load(archive, env)
    assert cube.data.values[:, 0, 0, 0].tolist() == [2, 12, 22]
    assert (np.diff(cube.labels("t")) > np.timedelta64(0)).all()


def test_of_one_acquisition_the_newest_baseline_wins(archive, env):
    tile = {"s2:mgrs_tile": "31UFS", "platform": "sentinel-2a"}
    old = ramp()
    archive.add("X_N0500", {"B04": plane(500)}, properties={**tile, "s2:processing_baseline": "05.00"})
    archive.add("X_N0214", {"B04": old}, properties={**tile, "s2:processing_baseline": "02.14"})
    # a few milliseconds differ between the versions
    document = json.loads((archive.folder / "X_N0214" / "item.json").read_text())
    document["properties"]["datetime"] = "2023-04-02T10:50:00.413Z"
    archive.write_item(document)
    cube = load(archive, env)
    assert cube.provenance.items == ("collections/TEST/items/X_N0500",)
    assert set(np.unique(cube.data.values)) == {500}


def test_of_equal_versions_the_last_made_wins(archive, env):
    archive.add("A1", {"B04": plane(1)}, properties={"created": "2023-05-01T00:00:00Z"})
    archive.add("A2", {"B04": plane(2)}, properties={"created": "2024-05-01T00:00:00Z"})
    assert set(np.unique(load(archive, env).data.values)) == {2}


def test_two_datastrips_of_one_tile_complete_each_other(archive, env):
    tile = {"s2:mgrs_tile": "31UFS", "platform": "sentinel-2a", "s2:processing_baseline": "05.09"}
    upper, lower = ramp(), plane(700)
    upper[5:] = 0
    archive.add("S0", {"B04": upper}, properties=tile)
    archive.add("S1", {"B04": lower}, properties=tile, time="2023-04-02T10:50:07Z")
    values = load(archive, env).data.values[0, 0]
    np.testing.assert_array_equal(values[:5], ramp()[:5])
    assert (values[5:] == 700).all()


def sentinel2(archive, offset=None):
    band = {"name": "B04", "data_type": "uint16", "nodata": 0, "scale": 0.0001}
    if offset is not None:
        band["offset"] = offset
    archive.collection["item_assets"] = {
        "B04": {"type": "image/tiff", "roles": ["data"], "eo:bands": [{"name": "B04"}], "raster:bands": [band]},
        "SCL": {"type": "image/tiff", "roles": ["data"], "eo:bands": [{"name": "SCL"}]},
    }


def test_items_are_brought_to_the_offset_of_the_collection(archive, env):
    sentinel2(archive, 0.0)
    told = {"B04": {"scale": 0.0001, "offset": -0.1}}
    dark = ramp(start=970)  # from 970: 30 values below the offset
    archive.add("OLD", {"B04": ramp(start=100)}, time="2021-06-01T10:50:00Z")
    archive.add("NEW", {"B04": dark}, time="2023-06-01T10:50:00Z", bands=told)
    cube = load(archive, env)
    np.testing.assert_array_equal(cube.data.values[0, 0], ramp(start=100))
    # 1 stands for everything darker: 0 is no-data, and a dark pixel is not a missing one
    np.testing.assert_array_equal(cube.data.values[1, 0], np.maximum(dark.astype(int) - 1000, 1))
    assert cube.bands["B04"].offset == 0.0


def test_the_baseline_tells_the_offset_where_the_metadata_do_not(archive, env):
    sentinel2(archive)
    values = {"B04": ramp(start=2000), "SCL": plane(4, dtype="uint8")}
    archive.add("N0400", values, time="2022-02-01T10:50:00Z", properties={"s2:processing_baseline": "04.00"})
    archive.add("N0301", values, time="2021-06-01T10:50:00Z", properties={"s2:processing_baseline": "03.01"})
    applied = {"s2:processing_baseline": "05.09", "earthsearch:boa_offset_applied": True}
    archive.add("APPLIED", values, time="2022-03-01T10:50:00Z", properties=applied)
    sentinel2(archive, 0.0)
    cube = load(archive, env, bands=("B04", "SCL"))
    expected = ramp(start=2000)
    np.testing.assert_array_equal(cube.data.values[0, 0], expected)
    np.testing.assert_array_equal(cube.data.values[1, 0], expected - 1000)
    np.testing.assert_array_equal(cube.data.values[2, 0], expected)
    assert set(np.unique(cube.data.values[:, 1])) == {4}


def test_scaled_loads_are_the_same_physical_values_for_all_baselines(archive, env):
    sentinel2(archive, -0.1)
    archive.add(
        "N0400", {"B04": plane(3000)}, time="2022-02-01T10:50:00Z", bands={"B04": {"scale": 1e-4, "offset": -0.1}}
    )
    archive.add("N0301", {"B04": plane(2000)}, time="2021-06-01T10:50:00Z", bands={"B04": {"scale": 1e-4, "offset": 0}})
    cube = load(archive, env, {"collections": {"TEST": {"apply_scale": True}}}, bands=("B04",))
    assert cube.data.dtype == np.float32
    np.testing.assert_allclose(cube.data.values, 0.2, rtol=1e-6)


def test_items_without_a_band(archive, env):
    archive.add("A", {"B04": ramp(), "B08": plane(8)}, time="2023-04-02T10:50:00Z")
    archive.add("B", {"B04": plane(4)}, time="2023-04-12T10:50:00Z")
    archive.add("C", {"WVP": plane(3)}, time="2023-04-22T10:50:00Z")
    cube = load(archive, env, bands=("B08", "B04"))
    assert [str(t)[:10] for t in cube.labels("t")] == ["2023-04-02", "2023-04-12"]
    assert (cube.data.values[1, 0] == cube.nodata).all()
    assert (cube.data.values[1, 1] == 4).all()
    with pytest.raises(OpenEOError) as failure:
        load(archive, env, bands=("WVP",), temporal_extent=["2023-04-01", "2023-04-10"])
    assert failure.value.code == "NoDataAvailable"
    assert "none of the bands" in failure.value.message


def test_coarse_bands_are_repeated_on_the_grid_of_the_finest(archive, env):
    fine, coarse = ramp((12, 12)), ramp((6, 6), start=500)
    archive.add("A", {"B04": fine, "B11": coarse}, step={"B04": 10.0, "B11": 20.0})
    cube = load(archive, env, bands=("B11", "B04"))
    np.testing.assert_array_equal(cube.data.values[0, 0], np.kron(coarse, np.ones((2, 2), dtype=int)))
    np.testing.assert_array_equal(cube.data.values[0, 1], fine)
    assert load(archive, env, bands=("B11",)).data.shape == (1, 1, 6, 6)


def test_bands_kept_by_later_filters_do_not_change_the_grid_asked_for(archive, env, surroundings):
    archive.add("A", {"B04": ramp((12, 12)), "B11": ramp((6, 6))}, step={"B04": 10.0, "B11": 20.0})
    narrowed = load(archive, surroundings(hint=LoadHints(bands=("B11",))), bands=("B04", "B11"))
    whole = load(archive, env, bands=("B04", "B11"))
    assert list(narrowed.labels("bands")) == ["B11"]
    np.testing.assert_array_equal(narrowed.data.values[:, 0], whole.data.values[:, 1])


def test_the_zone_that_covers_most_of_the_extent_gives_the_grid(archive, env):
    # the same places seen from zones 31 and 32, around 6 degrees east
    archive.add("Z31", {"B04": plane(31, (100, 100))}, epsg=32631, origin=(705_000.0, 5_600_000.0), step=100.0)
    archive.add("Z32", {"B04": plane(32, (100, 100))}, epsg=32632, origin=(287_000.0, 5_603_000.0), step=100.0)
    west = {"west": 5.92, "south": 50.45, "east": 5.95, "north": 50.48}
    east = {"west": 6.03, "south": 50.45, "east": 6.06, "north": 50.48}
    cube = load(archive, env, spatial_extent=west)
    assert cube.crs.epsg == 32631
    assert (cube.data.values == 31).mean() > 0.9
    cube = load(archive, env, spatial_extent=east)
    assert cube.crs.epsg == 32632
    assert (cube.data.values == 32).mean() > 0.9


def test_grids_without_metadata_are_read_from_the_files(archive, env):
    archive.add("A", {"B04": ramp()}, grid_told=False)
    cube = load(archive, env)
    np.testing.assert_array_equal(cube.data.values[0, 0], ramp())
    assert cube.crs.epsg == 32631
    assert cube.labels("x")[0] == 600_005.0


def test_integers_without_nodata_stay_as_they_are_where_nothing_is_missing(archive, env):
    values = np.arange(64).reshape(8, 8).astype("uint8")
    archive.add("A", {"QA": values}, nodata=None)
    cube = load(archive, env)
    assert cube.data.dtype == np.uint8
    assert cube.nodata is None
    np.testing.assert_array_equal(cube.data.values[0, 0], values)


def test_integers_without_nodata_get_one_that_they_do_not_use(archive, env):
    values = np.arange(256).reshape(16, 16).astype("uint8")
    archive.add("A", {"QA": values}, nodata=None)
    archive.add("B", {"QA": values}, nodata=None, origin=(600_160.0, 5_700_000.0), time="2023-04-12T10:50:00Z")
    cube = load(archive, env)
    assert cube.nodata is not None
    assert not 0 <= cube.nodata <= 255
    np.testing.assert_array_equal(cube.data.values[0, 0, :, :16], values)
    assert (cube.data.values[0, 0, :, 16:] == cube.nodata).all()


def test_floats_with_a_nodata_value_become_nan(archive, env):
    values = ramp(dtype="float32")
    values[0, 0] = -9999
    archive.add("A", {"DEM": values}, nodata=-9999)
    found = load(archive, env)
    assert found.nodata is None
    assert math.isnan(found.data.values[0, 0, 0, 0])
    np.testing.assert_array_equal(found.data.values[0, 0].ravel()[1:], values.ravel()[1:])


def test_blocks_are_seamless(archive, env):
    values = ramp((1100, 700), dtype="uint32")
    archive.add("A", {"B04": values})
    cube = load(archive, env)
    assert max(cube.data.chunks[2]) == 512
    np.testing.assert_array_equal(cube.data.values[0, 0], values)


def test_south_up_rasters_come_north_up(archive, env):
    document = archive.add("A", {"B04": ramp()})
    south_up = Affine(10, 0, 600_000, 0, 10, 5_699_920)
    write(archive.folder / "A" / "B04.tif", ramp()[None, ::-1], south_up)
    document["assets"]["B04"]["proj:transform"] = list(south_up)[:6]
    archive.write_item(document)
    cube = load(archive, env)
    assert cube.labels("y")[0] > cube.labels("y")[-1]
    np.testing.assert_array_equal(cube.data.values[0, 0], ramp())


def test_a_grid_given_with_the_request(archive, env):
    archive.add("A", {"B04": ramp()})
    grid = GeoBox((2, 2), Affine(20, 0, 600_020, 0, -20, 5_699_980), "EPSG:32631")
    cube = load(archive, env, geobox=grid)
    # the centre of a 20 m pixel is a corner of four 10 m pixels: the one to the lower right counts
    np.testing.assert_array_equal(cube.data.values[0, 0], ramp()[3:7:2, 3:7:2])


def test_an_extent_between_pixel_centres(archive, env):
    archive.add("A", {"B04": ramp()})
    box = {"west": 600_011, "south": 5_699_951, "east": 600_014, "north": 5_699_954, "crs": 32631}
    with pytest.raises(OpenEOError) as failure:
        load(archive, env, spatial_extent=box)
    assert failure.value.code == "NoDataAvailable"
    assert "3 x 3 and pixels are 10 x 10" in failure.value.message


def test_unreadable_assets_are_named(archive, env, surroundings):
    archive.add("GOOD", {"B04": ramp()}, time="2023-04-02T10:50:00Z")
    archive.add("BAD", {"B04": ramp()}, time="2023-04-12T10:50:00Z")
    path = archive.folder / "BAD" / "B04.tif"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(OpenEOError) as failure:
        load(archive, env).data.compute()
    assert failure.value.code == "AssetUnreadable"
    assert "asset 'B04' of item 'BAD'" in failure.value.message
    soft = surroundings(options={"soft_errors": True})
    values = load(archive, soft).data.values
    np.testing.assert_array_equal(values[0, 0], ramp())
    assert (values[1] == 0).all()
    assert any(level == "warning" and "item 'BAD'" in message for level, message in soft.entries)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"proj:transform": [10, 0, 600_050, 0, -10, 5_700_000]}, "proj:transform"),
        ({"proj:shape": [8, 9]}, "shape"),
        (
            {"raster:bands": [{"data_type": "int16", "nodata": 0}]},
            "data type is uint16, according to the metadata int16",
        ),
        ({"proj:epsg": 32632}, "EPSG:32632"),
        ({"href": "./MISSING.tif"}, "item 'A'"),
    ],
)
def test_lying_metadata_are_errors_that_name_the_item(archive, env, change, told):
    document = archive.add("A", {"B04": ramp()})
    document["assets"]["B04"].update(change)
    archive.write_item(document)
    with pytest.raises(OpenEOError) as failure:
        load(archive, env).data.compute()
    assert failure.value.code == "AssetUnreadable"
    assert "item 'A'" in failure.value.message
    assert told in failure.value.message


@pytest.mark.parametrize(
    "href", ["/etc/passwd", "file:///etc/passwd", "../../../outside.tif", "/vsimem/x.tif", "vrt:///etc/passwd"]
)
def test_files_outside_of_the_catalog_are_not_read(archive, env, href):
    document = archive.add("A", {"B04": ramp()})
    document["assets"]["B04"]["href"] = href
    archive.write_item(document)
    with pytest.raises(OpenEOError) as failure:
        load(archive, env)
    assert failure.value.code == "PermissionsInsufficient"


def test_a_vrt_called_tif_is_not_followed(archive, env, tmp_path):
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(range(64)) * 2)
    document = archive.add("A", {"B04": ramp()})
    (archive.folder / "A" / "B04.tif").write_text(
        '<VRTDataset rasterXSize="8" rasterYSize="8"><SRS>EPSG:32631</SRS>'
        "<GeoTransform>600000,10,0,5700000,0,-10</GeoTransform>"
        '<VRTRasterBand dataType="UInt16" band="1" subClass="VRTRawRasterBand">'
        f'<SourceFilename relativeToVRT="0">{secret}</SourceFilename><ImageOffset>0</ImageOffset>'
        "<PixelOffset>2</PixelOffset><LineOffset>16</LineOffset></VRTRasterBand></VRTDataset>"
    )
    archive.write_item(document)
    with pytest.raises(OpenEOError) as failure:
        load(archive, env).data.compute()
    assert failure.value.code == "AssetUnreadable"


def test_bands_of_one_file(archive, env):
    document = archive.add("A", {"ALL": ramp()})
    planes = np.stack([ramp(start=1), ramp(start=100), ramp(start=200)])
    write(archive.folder / "A" / "ALL.tif", planes, Affine(10, 0, 600_000, 0, -10, 5_700_000))
    document["assets"]["ALL"]["eo:bands"] = [{"name": "red"}, {"name": "green"}, {"name": "blue"}]
    document["assets"]["ALL"]["raster:bands"] = [{"data_type": "uint16", "nodata": 0}] * 3
    archive.write_item(document)
    cube = load(archive, env, bands=("blue", "red"))
    np.testing.assert_array_equal(cube.data.values[0], planes[[2, 0]])


def write(path, planes, transform):
    profile = {"driver": "GTiff", "count": len(planes), "height": 8, "width": 8, "dtype": "uint16", "crs": 32631}
    with rasterio.open(path, "w", transform=transform, nodata=0, **profile) as file:
        file.write(planes)


@pytest.mark.parametrize(
    ("kinds", "dtype", "value"),
    [
        ({("uint8", 0), ("uint16", 65535)}, "uint16", 65535),
        ({("uint8", 0), ("uint16", 0)}, "uint16", 0),
        ({("uint16", 0), ("uint16", 1)}, "int32", None),
        ({("uint8", None)}, "int16", None),
        ({("int16", -32768), ("uint8", None)}, "int16", -32768),
    ],
)
def test_the_shared_missing_value_is_used_by_no_band(kinds, dtype, value):
    given = {(np.dtype(name), nodata) for name, nodata in kinds}
    found, missing = missing_value(np.result_type(*[kind for kind, _ in given]), given)
    assert found == np.dtype(dtype)
    assert value is None or missing == value
    for kind, nodata in given:
        limits = np.iinfo(kind)
        assert missing == nodata or not limits.min <= missing <= limits.max


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((12, 4, 4096, 4096), ((12,), (4,), (1024,) * 4, (1024,) * 4)),
        ((12, 4, 1024, 1024), ((12,), (4,), (512, 512), (512, 512))),
        ((120, 4, 4096, 4096), ((120,), (4,), (512,) * 8, (512,) * 8)),
    ],
)
def test_blocks_hold_all_dates_and_bands(shape, expected):
    assert chunks(shape, 2) == expected


@pytest.mark.parametrize(("first", "lengths"), [(0, (512, 512)), (200, (312, 512, 200)), (500, (524, 500))])
def test_blocks_end_where_the_tiles_of_the_source_do(first, lengths):
    assert chunks((12, 2, 1024, 1024), 2, (first, 0))[2:] == (lengths, (512, 512))


def test_each_tile_of_the_source_is_read_once(archive, env, monkeypatch):
    """A window of 12 dates and 2 bands that begins within a tile."""
    transform, size = Affine(10, 0, 600_000, 0, -10, 5_700_000), 1600
    tiles = np.arange(size)[:, None] // 512 * 4 + np.arange(size)[None, :] // 512
    for month in range(12):
        archive.add(f"M{month}", {"B04": ramp(), "B08": ramp()}, time=f"2023-{month + 1:02d}-02T10:50:00Z")
        document = json.loads((archive.folder / f"M{month}" / "item.json").read_text())
        for name, asset in document["assets"].items():
            profile = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "crs": 32631}
            profile |= {"width": size, "height": size, "count": 1, "dtype": "uint16", "transform": transform}
            with rasterio.open(archive.folder / f"M{month}" / f"{name}.tif", "w", "GTiff", **profile) as file:
                file.write((tiles + month + 1).astype("uint16"), 1)
            asset["proj:shape"] = [size, size]
        document["geometry"], document["bbox"] = None, [4.4, 51.2, 4.8, 51.6]
        archive.write_item(document)
    read: list[tuple[str, int, int]] = []
    original = Tiles._stored

    def watched(self, band, row, column):
        read.append((self.source.path, row, column))
        return original(self, band, row, column)

    monkeypatch.setattr(Tiles, "_stored", watched)
    west, north = 600_000 + 2000, 5_700_000 - 2000
    extent = {"west": west, "east": west + 10_240, "south": north - 10_240, "north": north, "crs": 32631}
    cube = load(archive, env, spatial_extent=extent)
    assert cube.data.shape == (12, 2, 1024, 1024)
    np.testing.assert_array_equal(cube.data.values[7, 1], tiles[200:1224, 200:1224] + 8)
    assert len(read) == len(set(read)) == 12 * 2 * 3 * 3


def test_blocks_are_bounded_in_memory():
    found = chunks((3000, 12, 4096, 4096), 4)
    biggest = math.prod(max(sizes) for sizes in found) * 4
    assert biggest <= (2048 - BASE_MB) * 10**6 / 2  # half of what is planned with; the rest is for what follows
    assert all(sum(sizes) == length for sizes, length in zip(found, (3000, 12, 4096, 4096), strict=True))


def test_jpeg_2000_assets(archive, env):
    document = archive.add("A", {"B04": ramp((64, 64))})
    profile = {"driver": "JP2OpenJPEG", "count": 1, "height": 64, "width": 64, "dtype": "uint16", "crs": 32631}
    lossless = {"QUALITY": "100", "REVERSIBLE": "YES"}
    transform = Affine(10, 0, 600_000, 0, -10, 5_700_000)
    with rasterio.open(archive.folder / "A" / "B04.jp2", "w", transform=transform, **profile, **lossless) as file:
        file.write(ramp((64, 64)), 1)
    document["assets"]["B04"] |= {"href": "./B04.jp2", "type": "image/jp2"}
    archive.write_item(document)
    box = {"west": 600_100, "south": 5_699_500, "east": 600_300, "north": 5_699_900, "crs": 32631}
    np.testing.assert_array_equal(
        load(archive, env, spatial_extent=box).data.values[0, 0], ramp((64, 64))[10:50, 10:30]
    )
