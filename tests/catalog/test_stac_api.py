"""STAC over HTTP: an API with bbox, datetime, CQL2 and paging, static documents and assets, all on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from stac_server import Server

from openeo_backend.catalog.catalog import Catalog
from openeo_backend.catalog.request import LoadRequest
from openeo_backend.cube.features import bare_cube
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.effects import LoadHints
from openeo_backend.net.door import Door
from openeo_backend.settings import CatalogSettings, NetSettings, SettingsError


@pytest.fixture(params=["POST", "GET"])
def server(request, scenes) -> Iterator[Server]:
    made = Server(scenes.folder, posts=request.param == "POST", filters=request.param == "POST")
    yield made
    made.http.shutdown()
    made.http.server_close()


def door(server: Server) -> Door:
    return Door(NetSettings(), (server.url,))


def open_api(server: Server, **settings: Any) -> Catalog:
    return Catalog([f"{server.url}/api/"], CatalogSettings(**settings), door(server))


def low(condition, limit: int):
    call = {"process_id": "lte", "arguments": {"x": {"from_parameter": "value"}, "y": limit}, "result": True}
    return condition({"low": call})


def test_all_pages_are_read_and_values_come_over_http(server, env):
    catalog = open_api(server)
    assert catalog.ids() == ["TEST"]
    cube = catalog.load("TEST", LoadRequest(), env)
    assert cube.data.values[:, 0, 0, 0].tolist() == list(range(1, 9))
    assert cube.provenance.items[0] == f"{server.url}/api/collections/TEST/items/S0"


def test_the_end_of_an_interval_is_excluded_though_the_api_includes_it(server, env):
    request = LoadRequest(temporal_extent=["2023-04-04T10:50:00Z", "2023-04-10T10:50:00Z"])
    assert open_api(server).load("TEST", request, env).data.values[:, 0, 0, 0].tolist() == [2, 3]


def test_extents_are_sent_to_the_api(server, env):
    far = {"west": 14, "south": 51, "east": 15, "north": 52}
    with pytest.raises(OpenEOError) as failure:
        open_api(server).load("TEST", LoadRequest(spatial_extent=far), env)
    assert failure.value.code == "NoDataAvailable"
    near = {"west": 600_000, "south": 5_699_950, "east": 600_050, "north": 5_700_000, "crs": 32631}
    cube = open_api(server).load("TEST", LoadRequest(spatial_extent=near), env)
    assert cube.data.shape == (8, 1, 5, 5)


def test_conditions_are_sent_as_cql2_and_give_the_same_without(server, env, condition):
    cube = open_api(server).load("TEST", LoadRequest(properties={"eo:cloud_cover": low(condition, 30)}), env)
    assert cube.data.values[:, 0, 0, 0].tolist() == [1, 2, 3, 4]
    if server.posts:
        expected = {"op": "<=", "args": [{"property": "eo:cloud_cover"}, 30]}
        sent = [body for body in server.bodies if "filter" in body]
        assert sent[0]["filter"] == expected
        assert sent[0]["filter-lang"] == "cql2-json"


def test_more_items_than_allowed(server, env):
    with pytest.raises(OpenEOError) as failure:
        open_api(server, max_items=5).load("TEST", LoadRequest(), env)
    assert failure.value.code == "ProcessGraphComplexity"
    assert "More than 5 items" in failure.value.message


@pytest.mark.parametrize(
    ("path", "dates"),
    [
        ("/api/", 8),
        ("/api/collections/TEST", 8),
        ("/api/collections/TEST/items/S3", 1),
        ("/files/collection.json", 8),
        ("/files/S3/item.json", 1),
        ("/api/search?collections=TEST&limit=10", 8),
    ],
)
def test_load_url_takes_every_kind_of_address(server, env, path, dates):
    catalog = Catalog([], CatalogSettings(), door(server))
    cube = catalog.load_url(f"{server.url}{path}", LoadRequest(bands=("B04",)), env)
    assert cube.data.sizes["t"] == dates
    assert (cube.data.values[-1] == (4 if dates == 1 else 8)).all()


def test_load_url_filters(server, env, condition):
    catalog = Catalog([], CatalogSettings(), door(server))
    request = LoadRequest(properties={"eo:cloud_cover": low(condition, 20)}, temporal_extent=["2023-04-02", None])
    for path in ("/files/collection.json", "/api/collections/TEST"):
        cube = catalog.load_url(f"{server.url}{path}", request, env)
        assert cube.data.values[:, 0, 0, 0].tolist() == [2, 3]


@pytest.mark.parametrize(
    ("extent", "numbers"),
    [
        (["2023-04-04", "2023-04-13"], [2, 3, 4]),
        (["2023-04-04T10:50:00Z", "2023-04-10T10:50:00Z"], [2, 3]),
        (["2023-04-04T12:50:00+02:00", "2023-04-10T12:50:01+02:00"], [2, 3, 4]),
        ([None, "2023-04-07T10:50:01Z"], [1, 2, 3]),
        (["2023-04-19", None], [7, 8]),
        (["2023", "2024"], [1, 2, 3, 4, 5, 6, 7, 8]),
        (["2023-04", "2023-05"], [1, 2, 3, 4, 5, 6, 7, 8]),
    ],
)
@pytest.mark.parametrize("path", ["/files/collection.json", "/api/collections/TEST"])
def test_temporal_extents_in_all_forms(server, env, path, extent, numbers):
    catalog = Catalog([], CatalogSettings(), door(server))
    cube = catalog.load_url(f"{server.url}{path}", LoadRequest(temporal_extent=extent), env)
    assert cube.data.values[:, 0, 0, 0].tolist() == numbers


def test_spatial_extents_in_all_forms(server, env):
    """The left two columns of pixels, as box, as GeoJSON and as vector cube; a triangle leaves its corner out."""
    catalog = Catalog([], CatalogSettings(), door(server))
    url = f"{server.url}/files/S0/item.json"
    box = {"west": 600_000, "south": 5_699_920, "east": 600_020, "north": 5_700_000, "crs": 32631}
    sides = shapely.box(600_000, 5_699_920, 600_020, 5_700_000)
    cube = bare_cube(gpd.GeoSeries([sides], crs=32631))
    geojson = {**shapely.geometry.mapping(sides), "crs": {"type": "name", "properties": {"name": "EPSG:32631"}}}
    for extent in (box, cube, geojson):
        found = catalog.load_url(url, LoadRequest(spatial_extent=extent), env)
        assert found.data.values.tolist() == [[[[1, 1]] * 8]]
    env.hint = LoadHints(spatial=(box,))
    assert catalog.load_url(url, LoadRequest(), env).data.shape[2:] >= (8, 2)
    env.hint = LoadHints()
    triangle = shapely.Polygon([(600_000, 5_700_000), (600_080, 5_700_000), (600_000, 5_699_920)])
    found = catalog.load_url(url, LoadRequest(spatial_extent=bare_cube(gpd.GeoSeries([triangle], crs=32631))), env)
    rows, cols = np.indices((8, 8))
    inside = rows + cols + 1 < 8
    np.testing.assert_array_equal((found.data.values[0, 0] == 1)[inside], True)
    np.testing.assert_array_equal((found.data.values[0, 0] == 1)[rows + cols + 1 > 8], False)


def test_conditions_on_any_property(server, env, condition):
    catalog = Catalog([], CatalogSettings(), door(server))

    def call(process: str, **arguments: Any) -> Any:
        value = {"from_parameter": "value"}
        node = {"process_id": process, "arguments": {**arguments, "x": value}, "result": True}
        return condition({"call": node})

    for path in ("/files/collection.json", "/api/collections/TEST"):
        for name, test, numbers in (
            ("id", call("eq", y="S3"), [4]),
            ("eo:cloud_cover", call("between", min=10, max=30), [2, 3, 4]),
            ("not:there", call("is_nodata"), [1, 2, 3, 4, 5, 6, 7, 8]),
        ):
            cube = catalog.load_url(f"{server.url}{path}", LoadRequest(properties={name: test}), env)
            assert cube.data.values[:, 0, 0, 0].tolist() == numbers, name


def test_a_condition_that_the_api_refuses_is_evaluated_here(scenes, env, condition):
    picky = Server(scenes.folder, refuses=("eo:cloud_cover",))
    try:
        cube = open_api(picky).load("TEST", LoadRequest(properties={"eo:cloud_cover": low(condition, 20)}), env)
        assert cube.data.values[:, 0, 0, 0].tolist() == [1, 2, 3]
    finally:
        picky.http.shutdown()
        picky.http.server_close()
    assert ["filter" in body for body in picky.bodies[:2]] == [True, False]


def test_a_catalog_of_several_collections_names_them(server, scenes, env):
    other = {**json.loads((scenes.folder / "collection.json").read_text()), "id": "OTHER", "links": []}
    (scenes.folder / "other.json").write_text(json.dumps(other))
    children = [{"rel": "child", "href": href} for href in ("./collection.json", "./other.json")]
    document = {"type": "Catalog", "id": "both", "description": "", "stac_version": "1.0.0", "links": children}
    (scenes.folder / "catalog.json").write_text(json.dumps(document))
    catalog = Catalog([], CatalogSettings(), door(server))
    with pytest.raises(OpenEOError, match=r"has 2 collections.*TEST, OTHER"):
        catalog.load_url(f"{server.url}/files/catalog.json", LoadRequest(), env)


def test_all_items_of_a_collection_are_searched_not_listed(server, env):
    catalog = Catalog([], CatalogSettings(), door(server))
    url = f"{server.url}/api/collections/TEST/items?limit=3"
    cube = catalog.load_url(url, LoadRequest(temporal_extent=["2023-04-04", "2023-04-10"]), env)
    assert cube.data.values[:, 0, 0, 0].tolist() == [2, 3]
    assert server.listed == 1


def test_load_url_refuses_what_is_not_stac_or_not_allowed(server, scenes, env):
    (scenes.folder / "other.json").write_text('{"type": "Point"}')
    catalog = Catalog([], CatalogSettings(), door(server))
    with pytest.raises(OpenEOError) as failure:
        catalog.load_url(f"{server.url}/files/other.json", LoadRequest(), env)
    assert failure.value.code == "FileContentInvalid"
    closed = Catalog([], CatalogSettings(), Door(NetSettings()))
    with pytest.raises(OpenEOError) as failure:
        closed.load_url(f"{server.url}/files/collection.json", LoadRequest(), env)
    assert failure.value.code == "UrlNotAllowed"


@pytest.mark.parametrize(
    ("href", "code"),
    [
        ("file:///etc/passwd", "PermissionsInsufficient"),
        ("/vsicurl/http://127.0.0.1/x.tif", "PermissionsInsufficient"),
        ("s3://bucket/x.tif", "PermissionsInsufficient"),
        ("/etc/passwd", "AssetUnreadable"),  # a path on the server that the item comes from
    ],
)
def test_remote_items_cannot_name_local_files(server, scenes, env, href, code):
    document = json.loads((scenes.folder / "S0" / "item.json").read_text())
    document["assets"]["B04"]["href"] = href
    (scenes.folder / "S0" / "evil.json").write_text(json.dumps(document))
    catalog = Catalog([], CatalogSettings(), door(server))
    with pytest.raises(OpenEOError) as failure:
        catalog.load_url(f"{server.url}/files/S0/evil.json", LoadRequest(), env).data.compute()
    assert failure.value.code == code


def test_stac_11_bands(server, scenes, env):
    document = json.loads((scenes.folder / "S4" / "item.json").read_text())
    asset = document["assets"]["B04"]
    del asset["eo:bands"], asset["raster:bands"]
    asset |= {
        "data_type": "uint16",
        "nodata": 0,
        "raster:scale": 0.5,
        "bands": [{"name": "R", "eo:common_name": "red"}],
    }
    document["stac_version"] = "1.1.0"
    del document["properties"]["proj:epsg"]
    asset["proj:code"] = "EPSG:32631"
    (scenes.folder / "S4" / "v11.json").write_text(json.dumps(document))
    catalog = Catalog([], CatalogSettings(), door(server))
    cube = catalog.load_url(f"{server.url}/files/S4/v11.json", LoadRequest(bands=("red",)), env)
    assert list(cube.labels("bands")) == ["R"]
    assert cube.bands["R"].scale == 0.5
    assert (cube.data.values == 5).all()


def test_items_without_any_band_metadata_use_asset_keys(server, scenes, env):
    document = json.loads((scenes.folder / "S4" / "item.json").read_text())
    asset = document["assets"]["B04"]
    document["assets"] = {"data": {"href": asset["href"]}, "about": {"href": "./about.html", "type": "text/html"}}
    document["properties"] = {"datetime": document["properties"]["datetime"]}
    (scenes.folder / "S4" / "bare.json").write_text(json.dumps(document))
    catalog = Catalog([], CatalogSettings(), door(server))
    cube = catalog.load_url(f"{server.url}/files/S4/bare.json", LoadRequest(), env)
    assert list(cube.labels("bands")) == ["data"]
    assert (cube.data.values == 5).all()
    assert cube.nodata == 0


@pytest.mark.parametrize("path", ["nowhere/catalog.json", "item.json"])
def test_a_wrong_catalog_path_is_one_line_at_the_start(tmp_path, path):
    (tmp_path / "item.json").write_text('{"type": "Feature", "id": "x"}')
    with pytest.raises(SettingsError) as failure:
        Catalog([str(tmp_path / path)], CatalogSettings(), Door(NetSettings()))
    assert path.split("/")[0] in str(failure.value)
    assert "\n" not in str(failure.value)
