"""Filters over raster and vector cubes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import shapely
import xarray as xr
from odc.geo.crs import CRS
from pyproj import Transformer
from spatial_cubes import UTM, WGS84, both, environment, raster

from openeo_backend.cube import Band, Cube, Dimension
from openeo_backend.errors import OpenEOError
from openeo_backend.processes.filters import (
    filter_bands,
    filter_bbox,
    filter_labels,
    filter_spatial,
    filter_temporal,
)

GRID = np.arange(30, dtype="int16").reshape(5, 6)


def box(west, south, east, north, crs=32631, **more):
    return {"west": west, "south": south, "east": east, "north": north, "crs": crs, **more}


@pytest.mark.parametrize("dy", [-10.0, 10.0])
def test_a_box_keeps_the_pixels_with_centres_on_or_in_it(dy):
    y0 = 5_700_000.0 if dy < 0 else 5_699_950.0
    cube = raster(GRID if dy < 0 else GRID[::-1], dy=dy, y0=y0)
    # centres of columns: 5, 15, 25 ...; the box ends exactly on the centres of columns 1 and 3
    result = both(cube, lambda c: filter_bbox(c, box(500_015, 5_699_960, 500_035, 5_699_990)), 2)
    assert result.labels("x").tolist() == [500_015, 500_025, 500_035]
    found = result.data.values if dy < 0 else result.data.values[::-1]
    np.testing.assert_array_equal(found, GRID[1:4, 1:4])
    assert result.geobox is not None
    assert result.geobox.affine.e == dy


@pytest.mark.parametrize(
    "crs",
    ["EPSG:32631", "32631", UTM.to_wkt(version="WKT2_2019"), "+proj=utm +zone=31 +datum=WGS84 +units=m +no_defs"],
)
def test_the_system_of_a_box_may_be_text(crs):
    result = filter_bbox(raster(GRID), box(500_000, 5_699_950, 500_030, 5_700_000, crs))
    assert result.data.shape == (5, 3)


def test_a_box_in_degrees_is_projected_with_its_edges():
    """The envelope of the projected edges, not only of the corners: parallels bend."""
    wide = raster(np.zeros((400, 400), "uint8"), x0=300_000, y0=5_800_000, dx=1000, dy=-1000)
    extent = {"west": 1.0, "south": 50.0, "east": 5.0, "north": 51.0}
    edge = np.linspace(0, 1, 2001)
    lon = np.concatenate([1 + 4 * edge, 1 + 4 * edge, 1 + 0 * edge, 5 + 0 * edge])
    lat = np.concatenate([50 + 0 * edge, 51 + 0 * edge, 50 + edge, 50 + edge])
    x, y = Transformer.from_crs(4326, 32631, always_xy=True).transform(lon, lat)
    xs, ys = wide.labels("x"), wide.labels("y")
    result = filter_bbox(wide, extent)
    assert result.labels("x").tolist() == xs[(xs >= x.min()) & (xs <= x.max())].tolist()
    assert result.labels("y").tolist() == ys[(ys >= y.min()) & (ys <= y.max())].tolist()


def test_a_box_across_the_antimeridian_keeps_both_sides():
    cube = raster(np.arange(36)[None, :].repeat(2, 0), x0=-180, y0=10, dx=10, dy=-10, crs=WGS84)
    result = filter_bbox(cube, {"west": 160, "south": -10, "east": -160, "north": 10})
    assert result.labels("x").tolist() == [-175, -165, 165, 175]


def test_longitudes_up_to_360_are_found():
    cube = raster(np.arange(36)[None, :].repeat(2, 0), x0=0, y0=10, dx=10, dy=-10, crs=WGS84)
    result = filter_bbox(cube, {"west": -20, "south": -10, "east": 10, "north": 10})
    assert result.labels("x").tolist() == [5, 345, 355]


def test_a_box_across_the_antimeridian_in_utm():
    cube = raster(np.arange(40)[None, :].repeat(2, 0), x0=600_000, y0=1_000, dx=10_000, dy=-1000, crs=CRS("EPSG:32660"))
    x, _ = Transformer.from_crs(4326, 32660, always_xy=True).transform([179.0, 181.0], [0, 0])
    result = filter_bbox(cube, {"west": 179, "south": -0.01, "east": -179, "north": 0.01})
    xs = cube.labels("x")
    assert result.labels("x").tolist() == xs[(xs >= x[0]) & (xs <= x[1])].tolist()
    assert len(result.labels("x")) > 10


def test_nothing_in_a_box_gives_empty_axes():
    result = both(raster(GRID), lambda c: filter_bbox(c, box(0, 0, 10, 10)), 2)
    assert result.data.shape == (0, 0)


def test_one_pixel_keeps_its_size():
    once = filter_bbox(raster(GRID, dx=20.0), box(500_000, 5_699_990, 500_020, 5_700_000))
    assert once.data.values.tolist() == [[0]]
    assert once.geobox is not None
    assert (once.geobox.affine.a, once.geobox.affine.e) == (20, -10)
    assert filter_bbox(once, box(500_000, 5_699_990, 500_020, 5_700_000)).data.values.tolist() == [[0]]


def test_base_and_height_limit_the_vertical_axis():
    data = xr.DataArray(
        np.arange(4).reshape(4, 1, 1),
        dims=("z", "y", "x"),
        coords={"z": [0.0, 10.0, 20.0, 30.0], "y": [5.0], "x": [5.0]},
    )
    dimensions = (
        Dimension("z", "spatial", "z", 10.0),
        Dimension("y", "spatial", "y", -10.0),
        Dimension("x", "spatial", "x", 10.0),
    )
    cube = Cube(data, dimensions, UTM)
    assert filter_bbox(cube, box(0, 0, 10, 10, base=10, height=20)).labels("z").tolist() == [10, 20]
    assert filter_bbox(cube, box(0, 0, 10, 10, base=15)).labels("z").tolist() == [20, 30]
    assert filter_bbox(cube, box(0, 0, 10, 10, base=None, height=None)).labels("z").tolist() == [0, 10, 20, 30]


@pytest.mark.parametrize(
    "extent", [{"west": 1, "south": 2, "east": 3}, box(2, 0, 1, 1), box(0, 2, 1, 1), box(0, 0, 1, 1, "nonsense")]
)
def test_wrong_boxes_are_refused(extent):
    with pytest.raises(OpenEOError, match="ProcessParameterInvalid"):
        filter_bbox(raster(GRID), extent)


def vectors(geometries, crs=WGS84):
    labels = np.empty(len(geometries), dtype=object)
    labels[:] = geometries
    data = xr.DataArray(np.arange(len(geometries), dtype="float32"), dims=("geometry",), coords={"geometry": labels})
    table = pd.DataFrame({"name": [f"g{i}" for i in range(len(geometries))]})
    return Cube(data, (Dimension("geometry", "geometry"),), crs, properties=table)


def test_a_box_keeps_geometries_fully_within_it_with_their_properties():
    cube = vectors(
        [
            shapely.box(1, 1, 2, 2),
            shapely.box(1, 1, 20, 2),
            shapely.Point(),
            shapely.Point(5, 5),
            shapely.Point(40, 5),
        ]
    )
    result = filter_bbox(cube, {"west": 0, "south": 0, "east": 10, "north": 10})
    assert result.data.values.tolist() == [0, 3]
    assert result.properties is not None
    assert result.properties["name"].tolist() == ["g0", "g3"]


# -- filter_spatial -------------------------------------------------------------------------------------


def polygon(*rings):
    return {"type": "Polygon", "coordinates": [[list(p) for p in ring] for ring in rings]}


def in_utm(geometry):
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32631"}}
    return {"type": "FeatureCollection", "crs": crs, "features": [{"type": "Feature", "geometry": geometry}]}


@pytest.mark.parametrize("chunks", [2, 9], ids=["blocks", "one block"])
def test_polygons_crop_and_clear_what_they_do_not_hold(chunks):
    triangle = [(500_005, 5_699_995), (500_045, 5_699_995), (500_005, 5_699_955), (500_005, 5_699_995)]
    result = both(raster(GRID), lambda c: filter_spatial(c, in_utm(polygon(triangle))), chunks)
    shape = shapely.Polygon(triangle)
    xs, ys = np.meshgrid(result.labels("x"), result.labels("y"))
    expected = np.where(shapely.intersects_xy(shape, xs, ys), GRID[:5, :5], -32768)
    np.testing.assert_array_equal(result.data.values, expected)
    assert result.nodata == -32768
    assert result.data.dtype == "int16"
    # the hypotenuse runs through centres: they count
    assert result.data.values[0].tolist() == [0, 1, 2, 3, 4]
    assert result.data.values[4].tolist() == [24, -32768, -32768, -32768, -32768]


def test_points_choose_the_nearest_centre_and_lines_all_they_touch():
    cube = raster(GRID.astype("float32"))
    at = filter_spatial(cube, in_utm({"type": "Point", "coordinates": [500_023, 5_699_972]}))
    assert at.data.values.tolist() == [[14.0]]
    line = {"type": "LineString", "coordinates": [[500_012, 5_699_995], [500_038, 5_699_975]]}
    along = both(cube, lambda c: filter_spatial(c, in_utm(line)), 2)
    # from (1.2, 0.5) to (3.8, 2.5) in pixels: crosses y=1 at x=1.85, x=2 at y=1.115, y=2 at x=3.15, x=3 at y=1.885
    expected = [[1, np.nan, np.nan], [7, 8, 9], [np.nan, np.nan, 15]]
    np.testing.assert_array_equal(along.data.values, np.array(expected, "float32"))


def test_geometries_elsewhere_leave_nothing():
    ring = [(1, 1), (2, 1), (2, 2), (1, 1)]
    assert filter_spatial(raster(GRID), polygon(ring)).data.shape == (0, 0)
    assert filter_spatial(raster(GRID), {"type": "FeatureCollection", "features": []}).data.shape == (0, 0)


def test_geometry_collections_are_refused():
    with pytest.raises(OpenEOError, match="FeatureUnsupported"):
        filter_spatial(raster(GRID), {"type": "GeometryCollection", "geometries": []})


def test_a_polygon_over_the_antimeridian_in_each_notation():
    cube = raster(np.arange(36, dtype="float32")[None, :].repeat(3, 0), x0=-180, y0=15, dx=10, dy=-10, crs=WGS84)
    jumping = polygon([(170, -12), (-170, -12), (-170, 12), (170, 12), (170, -12)])
    beyond = polygon([(170, -12), (190, -12), (190, 12), (170, 12), (170, -12)])
    for geometry in (jumping, beyond):
        values = filter_spatial(cube, geometry).data.sel(y=0)
        assert values.where(values.notnull(), drop=True).x.values.tolist() == [-175, 175]


# -- bands ----------------------------------------------------------------------------------------------

KNOWN = {
    "B02": Band("blue", 0.490),
    "B03": Band("green", 0.560),
    "B04": Band("red", 0.665),
    "B08": Band("nir", 0.842),
    "B8A": Band("nir", 0.865),
    "red": Band(None, None),
}


def sentinel():
    values = np.arange(6)[:, None, None] * np.ones((6, 2, 2))
    return raster(values.astype("uint8"), bands=list(KNOWN), known=KNOWN, nodata=9)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"bands": ["B08", "B02"]}, ["B08", "B02"]),
        ({"bands": ["nir", "green"]}, ["B08", "B8A", "B03"]),
        ({"bands": ["red"]}, ["red"]),  # the unique name goes before the common name
        ({"wavelengths": [[0.6, 0.9], [0.49, 0.5]]}, ["B04", "B08", "B8A", "B02"]),
        ({"bands": ["B8A"], "wavelengths": [[0.8, 0.9]]}, ["B8A", "B08"]),
        ({"bands": ["foo"]}, []),
        ({"bands": ["B02", "B02", "blue"]}, ["B02"]),
    ],
)
def test_bands_by_name_common_name_and_wavelength_in_the_order_asked(arguments, expected):
    result = both(sentinel(), lambda c: filter_bands(c, **arguments, env=environment()), 1)
    assert result.labels("bands").tolist() == expected
    assert result.data.dtype == "uint8"
    assert result.nodata == 9
    assert list(result.bands) == [name for name in KNOWN if name in expected]
    order = [list(KNOWN).index(name) for name in expected]
    np.testing.assert_array_equal(result.data.values, sentinel().data.values[order])


def test_unknown_bands_are_told_to_the_user():
    env = environment()
    filter_bands(sentinel(), ["B99", "B02"], env=env)
    assert [level for level, _ in env.log.entries] == ["warning"]
    assert "B99" in env.log.entries[0][1]


# -- time -----------------------------------------------------------------------------------------------

DATES = ["2023-05-01", "2023-05-02T12:00", "2023-05-03", "2023-06-01"]


def series():
    return raster(np.arange(4)[:, None, None] * np.ones((4, 1, 1), "int16"), dims=("t", "y", "x"), dates=DATES)


@pytest.mark.parametrize(
    ("extent", "expected"),
    [
        (["2023-05-01", "2023-05-03"], [0, 1]),  # half-open
        (["2023-05-01T00:00:01Z", "2023-05-03T00:00:00Z"], [1]),
        (["2023-05-02T14:00:00+02:00", None], [1, 2, 3]),  # exactly noon in UTC
        ([None, "2023-06-01"], [0, 1, 2]),
        (["2024-01-01", None], []),
    ],
)
def test_intervals_are_half_open(extent, expected):
    result = both(series(), lambda c: filter_temporal(c, extent), 1)
    assert result.data.values.ravel().tolist() == expected


def test_one_or_all_temporal_dimensions():
    values = xr.DataArray(
        np.arange(4).reshape(2, 2),
        dims=("t", "ref"),
        coords={
            "t": np.array(["2020-01-01", "2021-01-01"], "datetime64[ns]"),
            "ref": np.array(["2020-06-01", "2021-06-01"], dtype=object),  # dates as text
        },
    )
    cube = Cube(values, (Dimension("t", "temporal"), Dimension("ref", "temporal")))
    assert filter_temporal(cube, ["2021-01-01", None]).data.values.tolist() == [[3]]
    assert filter_temporal(cube, ["2021-01-01", None], "ref").data.values.tolist() == [[1], [3]]
    with pytest.raises(OpenEOError, match="DimensionNotAvailable"):
        filter_temporal(cube, ["2021-01-01", None], "nothing")


def test_labels_that_are_no_dates_are_refused():
    values = xr.DataArray([1, 2], dims=("t",), coords={"t": np.array(["spring", "summer"], dtype=object)})
    with pytest.raises(OpenEOError, match="spring"):
        filter_temporal(Cube(values, (Dimension("t", "temporal"),)), ["2021-01-01", None])


@pytest.mark.parametrize("extent", [["2023-05-01", "2023-05-01"], ["2023-05-02", "2023-05-01"]])
def test_empty_intervals_are_refused(extent):
    with pytest.raises(OpenEOError, match="TemporalExtentEmpty"):
        filter_temporal(series(), extent)


# -- labels ---------------------------------------------------------------------------------------------


def test_every_label_that_meets_the_condition_is_kept():
    seen = []

    def condition(value, context):
        seen.append((value, context))
        return value.startswith("B0")

    result = both(sentinel(), lambda c: filter_labels(c, condition, "bands", "mine"), 1)
    assert result.labels("bands").tolist() == ["B02", "B03", "B04", "B08"]
    assert seen[:2] == [("B02", "mine"), ("B03", "mine")]


def test_dates_are_given_as_text_and_null_is_not_true():
    answers = {"2023-05-01T00:00:00Z": True, "2023-05-02T12:00:00Z": None, "2023-05-03T00:00:00Z": np.True_}
    result = filter_labels(series(), lambda value, context: answers.get(value, False), "t")
    assert result.data.values.ravel().tolist() == [0, 2]
    with pytest.raises(OpenEOError, match="DimensionNotAvailable"):
        filter_labels(series(), lambda value, context: True, "bands")
