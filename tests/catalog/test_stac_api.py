"""STAC over HTTP: an API with bbox, datetime, CQL2 and paging, static documents and assets, all on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from stac_server import Server

from openeo_backend.catalog.catalog import Catalog
from openeo_backend.catalog.request import LoadRequest
from openeo_backend.errors import OpenEOError
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
