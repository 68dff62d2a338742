"""load_geojson, load_url, vector_buffer, vector_reproject, filter_vector, against shapely and geopandas."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from vector_support import callback, environment, geojson, nothing_computed, place, raster

from openeo_backend.errors import OpenEOError

Call = Callable[..., Any]

SQUARES = [shapely.box(*place(x, y + 4), *place(x + 4, y)) for x, y in ((0, 0), (4, 0), (10, 10))]
ROWS = [{"name": "a", "size": 1, "share": 0.5}, {"name": "b", "size": 2}, {"name": "c", "size": 3, "share": 2.5}]


# -- load_geojson ------------------------------------------------------------------------------------------


def test_geometries_without_values(call: Call) -> None:
    cube = call("load_geojson", data=geojson(SQUARES, ROWS))
    assert cube.names == ("geometry",)
    assert cube.dimensions[0].type == "geometry"
    assert cube.crs.epsg == 32631
    assert shapely.equals(cube.labels("geometry"), SQUARES).all()
    assert np.isnan(cube.data.values).all()
    assert cube.properties.name.tolist() == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("names", "dtype", "wanted"),
    [
        (["size"], "int64", [[1], [2], [3]]),
        (["share"], "float64", [[0.5], [np.nan], [2.5]]),
        (["size", "share"], "float64", [[1, 0.5], [2, np.nan], [3, 2.5]]),
        (["share", "size"], "float64", [[0.5, 1], [np.nan, 2], [2.5, 3]]),
        (["unknown"], "float64", [[np.nan]] * 3),
    ],
)
def test_properties_become_a_dimension(call: Call, names: list[str], dtype: str, wanted: Any) -> None:
    cube = call("load_geojson", data=geojson(SQUARES, ROWS), properties=names)
    assert cube.names == ("geometry", "properties")
    assert cube.dimension("properties").type == "other"
    assert list(cube.labels("properties")) == names
    assert cube.data.dtype == dtype
    np.testing.assert_array_equal(cube.data.values, wanted)
    assert list(cube.properties.columns) == ["name", "size", "share"]


def test_texts_and_truth_values(call: Call) -> None:
    rows: list[dict[str, Any]] = [{"name": "a", "wet": True}, {"name": None, "wet": None}, {"wet": False}]
    texts = call("load_geojson", data=geojson(SQUARES, rows), properties=["name"])
    assert texts.data.values.tolist() == [["a"], [None], [None]]
    truths = call("load_geojson", data=geojson(SQUARES, rows), properties=["wet"])
    assert truths.data.values.tolist() == [[1], [255], [0]]
    assert truths.nodata == 255
    assert truths.data.attrs == {"boolean": True}


def test_arrays_make_a_label_per_index(call: Call) -> None:
    rows: list[dict[str, Any]] = [{"series": [1, 2]}, {"series": [3, 4, 5]}, {"series": None}]
    cube = call("load_geojson", data=geojson(SQUARES, rows), properties=["series"])
    assert list(cube.labels("properties")) == [0, 1, 2]
    np.testing.assert_array_equal(cube.data.values, [[1, 2, np.nan], [3, 4, 5], [np.nan] * 3])
    with pytest.raises(OpenEOError) as caught:
        call("load_geojson", data=geojson(SQUARES, rows), properties=["series", "other"])
    assert caught.value.code == "ProcessParameterInvalid"


def test_properties_do_not_apply_to_geometries(call: Call) -> None:
    cube = call("load_geojson", data={"type": "Point", "coordinates": [3, 50]}, properties=["a"])
    assert cube.names == ("geometry",)
    assert cube.crs.epsg == 4326


def test_geojson_that_is_none(call: Call) -> None:
    collection = {"type": "GeometryCollection", "geometries": []}
    cases = [(collection, "FeatureUnsupported"), ({"type": "Box"}, "ProcessParameterInvalid")]
    for given, code in cases:
        with pytest.raises(OpenEOError) as caught:
            call("load_geojson", data=given)
        assert caught.value.code == code
    empty = call("load_geojson", data={"type": "FeatureCollection", "features": []}, properties=["a"])
    assert empty.data.shape == (0, 1)


# -- load_url ----------------------------------------------------------------------------------------------


def test_files_behind_urls(call: Call, tmp_path: Path) -> None:
    frame = gpd.GeoDataFrame({"name": ["a", "b", "c"], "size": [1, 2, 3]}, geometry=SQUARES, crs=32631)
    frame.to_parquet(tmp_path / "squares.parquet")
    pages = {
        "https://example.org/squares.json": json.dumps(geojson(SQUARES, ROWS)).encode(),
        "https://example.org/squares": (tmp_path / "squares.parquet").read_bytes(),
        "https://example.org/page": b"<html>",
    }
    env = environment(tmp_path, pages)
    for url, name in (("squares.json", "geojson"), ("squares", "PARQUET")):
        cube = call("load_url", url=f"https://example.org/{url}", format=name, env=env)
        assert cube.crs.epsg == 32631
        assert shapely.equals(cube.labels("geometry"), SQUARES).all()
        assert cube.properties.name.tolist() == ["a", "b", "c"]
        assert cube.data.sel(properties="size").values.tolist() == [1, 2, 3]
    for url, name in (("page", "GeoJSON"), ("page", "Parquet"), ("squares", "PNG"), ("squares", "Shape")):
        with pytest.raises(OpenEOError) as caught:
            call("load_url", url=f"https://example.org/{url}", format=name, env=env)
        assert caught.value.code == "FormatUnsuitable"


# -- vector_buffer -----------------------------------------------------------------------------------------


def test_buffers(call: Call) -> None:
    given = [*SQUARES, shapely.LineString([place(0, 0), place(9, 0)]), shapely.Point(*place(3, 3)), shapely.Polygon()]
    cube = call("load_geojson", data=geojson(given), properties=["number"])
    grown = call("vector_buffer", geometries=cube, distance=25)
    labels = grown.labels("geometry")
    areas = shapely.area(labels)
    np.testing.assert_allclose(areas[:3], 40 * 40 + 4 * 40 * 25 + np.pi * 625, rtol=1e-3)
    np.testing.assert_allclose(areas[3:5], [90 * 50 + np.pi * 625, np.pi * 625], rtol=2e-3)
    assert labels[5].is_empty
    assert {shape.geom_type for shape in labels} == {"Polygon"}
    np.testing.assert_array_equal(grown.data.values, cube.data.values)
    assert grown.properties.number.tolist() == list(range(6))
    shrunk = call("vector_buffer", geometries=cube, distance=-15)
    np.testing.assert_allclose(shapely.area(shrunk.labels("geometry")), [100, 100, 100, 0, 0, 0])


def test_buffers_need_metres(call: Call) -> None:
    for epsg in (4326, 2263):  # degrees, and feet
        with pytest.raises(OpenEOError) as caught:
            call("vector_buffer", geometries=call("load_geojson", data=geojson(SQUARES, epsg=epsg)), distance=5)
        assert caught.value.code == "UnitMismatch"
    with pytest.raises(OpenEOError) as caught:
        call("vector_buffer", geometries=call("load_geojson", data=geojson(SQUARES)), distance=0)
    assert caught.value.code == "ProcessParameterInvalid"


# -- vector_reproject --------------------------------------------------------------------------------------


def test_reprojection_is_that_of_geopandas(call: Call) -> None:
    given = [SQUARES[0], shapely.MultiPoint([place(1, 1), place(5, 6)]), shapely.Polygon(), None]
    cube = call("load_geojson", data=geojson(given), properties=["number"])
    wkt = gpd.GeoSeries([], crs=3035).crs.to_wkt("WKT2_2019")
    for projection, epsg in ((4326, 4326), (wkt, 3035), (32632, 32632)):
        found = call("vector_reproject", data=cube, projection=projection, dimension="geometry")
        wanted = gpd.GeoSeries(given[:2], crs=32631).to_crs(epsg)
        assert found.crs.epsg == epsg
        for own, other in zip(found.labels("geometry")[:2], wanted, strict=True):
            assert shapely.equals_exact(own, other, tolerance=1e-6)
        assert found.labels("geometry")[2].is_empty
        assert found.labels("geometry")[3] is None
        np.testing.assert_array_equal(found.data.values, cube.data.values)


def test_reprojection_refuses(call: Call) -> None:
    cube = call("load_geojson", data=geojson(SQUARES, ROWS), properties=["size"])
    cases: list[tuple[dict[str, Any], str]] = [
        ({"projection": 4326, "dimension": "t"}, "DimensionNotAvailable"),
        ({"projection": 4326, "dimension": "properties"}, "DimensionNotAvailable"),
        ({"projection": 999_999}, "ProcessParameterInvalid"),
        ({"projection": "not a system"}, "ProcessParameterInvalid"),
    ]
    for arguments, code in cases:
        with pytest.raises(OpenEOError) as caught:
            call("vector_reproject", data=cube, **arguments)
        assert caught.value.code == code
    pole = call("load_geojson", data={"type": "Point", "coordinates": [3, -90]})
    with pytest.raises(OpenEOError) as caught:
        call("vector_reproject", data=pole, projection=2154)
    assert caught.value.code == "ProcessParameterInvalid"


# -- filter_vector -----------------------------------------------------------------------------------------

CANDIDATES = {
    "inside": shapely.box(2, 2, 4, 4),
    "same": shapely.box(0, 0, 10, 10),
    "around": shapely.box(-5, -5, 20, 20),
    "partly": shapely.box(8, 8, 14, 14),
    "beside": shapely.box(10, 0, 14, 4),
    "away": shapely.box(30, 30, 40, 40),
    "through": shapely.LineString([(-5, 5), (15, 5)]),
    "empty": shapely.Polygon(),
}


@pytest.mark.parametrize(
    ("relation", "wanted"),
    [
        (None, ["inside", "same", "around", "partly", "beside", "through"]),
        ("disjoint", ["away"]),
        ("equals", ["same"]),
        ("touches", ["beside"]),
        ("crosses", ["through"]),
        ("overlaps", ["partly"]),
        ("contains", ["inside", "same"]),
        ("within", ["same", "around"]),
    ],
)
def test_relations_to_the_union_of_the_base(call: Call, relation: str | None, wanted: list[str]) -> None:
    names = [{"name": name, "number": index} for index, name in enumerate(CANDIDATES)]
    cube = call("load_geojson", data=geojson(list(CANDIDATES.values()), names, epsg=None), properties=["number"])
    base = call("load_geojson", data=geojson([shapely.box(0, 0, 6, 10), shapely.box(5, 0, 10, 10)], epsg=None))
    found = call("filter_vector", data=cube, geometries=base, **({"relation": relation} if relation else {}))
    assert found.properties.name.tolist() == wanted
    assert found.data.values[:, 0].tolist() == [list(CANDIDATES).index(name) for name in wanted]
    assert shapely.equals(found.labels("geometry"), [CANDIDATES[name] for name in wanted]).all()
    assert found.names == cube.names
    assert found.crs == cube.crs


def test_bases_in_another_reference_system(call: Call) -> None:
    cube = call("load_geojson", data=geojson(SQUARES, ROWS))
    base = call("vector_reproject", data=call("load_geojson", data=geojson(SQUARES[1:2])), projection=4326)
    found = call("filter_vector", data=cube, geometries=base, relation="overlaps")
    assert found.properties.name.tolist() in (["b"], ["a", "b"])
    assert call("filter_vector", data=cube, geometries=base).properties.name.tolist() == ["a", "b"]
    with pytest.raises(OpenEOError) as caught:
        call("filter_vector", data=cube, geometries=base, relation="near")
    assert caught.value.code == "ProcessParameterInvalid"


def test_filtering_lazy_values(call: Call) -> None:
    cube = call(
        "aggregate_spatial",
        data=raster(np.ones((2, 20, 20)), chunks=(1, 10, 10)),
        geometries=geojson(SQUARES, ROWS),
        reducer=callback("sum"),
    )
    with nothing_computed():
        found = call("filter_vector", data=cube, geometries=call("load_geojson", data=geojson(SQUARES[2:])))
    assert found.data.compute().values.tolist() == [[16.0, 16.0]]


def test_boxes_filter_vector_cubes(call: Call) -> None:
    cube = call("load_geojson", data=geojson(SQUARES, ROWS))
    west, south = place(0, 6)
    east, north = place(8, 0)
    box = {"west": west, "south": south, "east": east, "north": north, "crs": 32631}
    assert call("filter_bbox", data=cube, extent=box).properties.name.tolist() == ["a", "b"]


def test_vector_cubes_filter_and_mask_rasters(call: Call) -> None:
    zones = call("load_geojson", data=geojson(SQUARES[:2]))
    cube = raster(np.ones((20, 20), "float32"))
    assert call("filter_spatial", data=cube, geometries=zones).data.shape == (4, 8)
    assert np.nansum(call("mask_polygon", data=cube, mask=zones).data.values) == 32
