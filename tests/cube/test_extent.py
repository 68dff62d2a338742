"""Extents as process graphs give them."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio.warp
import shapely
import xarray as xr
from odc.geo.crs import CRS

from openeo_backend.cube import Cube, Dimension
from openeo_backend.cube.extent import Interval, parse_area, parse_crs, parse_interval, parse_time
from openeo_backend.errors import OpenEOError

RING = [[5.0, 51.0], [5.1, 51.0], [5.1, 51.1], [5.0, 51.0]]


def test_a_box_is_reprojected_with_bent_edges():
    area = parse_area({"west": 0, "south": 50, "east": 30, "north": 60})
    expected = rasterio.warp.transform_bounds(4326, 3035, 0, 50, 30, 60, densify_pts=101)
    # the edge in the south bulges: corners alone would cut it off
    np.testing.assert_allclose(area.bounds(CRS("EPSG:3035")), expected, atol=2000)
    corners = rasterio.warp.transform_bounds(4326, 3035, 0, 50, 30, 60, densify_pts=0)
    assert area.bounds(CRS("EPSG:3035"))[1] < corners[1] - 40_000


@pytest.mark.parametrize("crs", [32631, "EPSG:32631", "32631", CRS("EPSG:32631").to_wkt()])
def test_reference_systems_in_every_form(crs):
    assert parse_crs(crs).epsg == 32631
    area = parse_area({"west": 1, "south": 2, "east": 3, "north": 4, "crs": crs, "base": 0, "height": None})
    assert area.bounds(CRS("EPSG:32631")) == (1, 2, 3, 4)


def test_a_box_across_the_antimeridian_runs_eastwards():
    area = parse_area({"west": 179, "south": -1, "east": -179, "north": 1})
    assert area.geometry.bounds == (179, -1, 181, 1)
    west, _, east, _ = area.bounds(CRS("EPSG:32601"))
    assert 200_000 < east - west < 250_000


@pytest.mark.parametrize(
    "geojson",
    [
        {"type": "Polygon", "coordinates": [RING]},
        {"type": "Feature", "geometry": {"type": "MultiPolygon", "coordinates": [[RING]]}, "properties": {}},
        {
            "type": "FeatureCollection",
            "features": [
                {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [RING]}, "properties": {}},
                {"type": "Feature", "geometry": None, "properties": {}},
            ],
        },
    ],
)
def test_polygons_of_geojson(geojson):
    area = parse_area(geojson)
    assert not area.is_box
    assert area.crs.epsg == 4326
    assert area.geometry.equals(shapely.Polygon(RING))


def test_the_old_crs_member_of_geojson():
    name = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32631"}}
    ring = [[0, 0], [10, 0], [10, 10], [0, 0]]
    assert parse_area({"type": "Polygon", "coordinates": [ring], "crs": name}).crs.epsg == 32631


def test_a_vector_cube():
    shapes = np.empty(1, dtype=object)
    shapes[:] = [shapely.box(0, 0, 10, 20)]
    data = xr.DataArray(np.zeros(1), dims=("geometry",), coords={"geometry": shapes})
    area = parse_area(Cube(data, (Dimension("geometry", "geometry"),), crs=CRS("EPSG:32631")))
    assert area.crs.epsg == 32631
    assert area.geometry.bounds == (0, 0, 10, 20)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"west": 1, "south": 2, "east": 3}, "lacks one of"),
        ({"west": 1, "south": 5, "east": 3, "north": 4}, "not a box"),
        ({"west": 1, "south": 2, "east": 3, "north": 4, "crs": "EPSG:1"}, "EPSG:1"),
        ({"type": "Point", "coordinates": [1, 2]}, "Point"),
        ({"type": "FeatureCollection", "features": []}, "no geometries"),
        ("Flanders", "Flanders"),
    ],
)
def test_what_is_no_extent(value, told):
    with pytest.raises(OpenEOError) as failure:
        parse_area(value)
    assert failure.value.code == "ProcessParameterInvalid"
    assert told in failure.value.message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2023-04-01", "2023-04-01T00:00:00"),
        ("2023-04", "2023-04-01T00:00:00"),
        ("2023", "2023-01-01T00:00:00"),
        ("2023-04-01T10:00:00Z", "2023-04-01T10:00:00"),
        ("2023-04-01T10:00:00.5+02:00", "2023-04-01T08:00:00.5"),
    ],
)
def test_times(text, expected):
    assert parse_time(text) == np.datetime64(expected, "ns")


@pytest.mark.parametrize("text", ["now", "10:00", "2023-13-01", "2023-02-30", 2023.5, ""])
def test_what_is_no_time(text):
    with pytest.raises(OpenEOError) as failure:
        parse_time(text)
    assert failure.value.code == "ProcessParameterInvalid"


def test_intervals_are_half_open():
    interval = parse_interval(["2023-04-01", "2023-04-03"])
    days = np.array(["2023-03-31", "2023-04-01", "2023-04-02", "2023-04-03"], dtype="datetime64[ns]")
    assert interval.contains(days).tolist() == [False, True, True, False]
    assert parse_interval([None, "2023-04-03"]).contains(days).tolist() == [True, True, True, False]
    assert parse_interval(["2023-04-01", None]).contains(days).tolist() == [False, True, True, True]
    assert parse_interval(None) == Interval()


@pytest.mark.parametrize(
    ("extent", "code"),
    [
        (["2023-04-02", "2023-04-01"], "TemporalExtentEmpty"),
        (["2023-04-02", "2023-04-02"], "TemporalExtentEmpty"),
        ([None, None], "ProcessParameterInvalid"),
        (["2023-04-02"], "ProcessParameterInvalid"),
        ("2023-04-02", "ProcessParameterInvalid"),
    ],
)
def test_what_is_no_interval(extent, code):
    with pytest.raises(OpenEOError) as failure:
        parse_interval(extent)
    assert failure.value.code == code
