"""Collections for some users only, in the catalog itself: loading by id, by URL, and by links of one's own."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from stac_server import Server

from openeo_backend.catalog.catalog import Catalog
from openeo_backend.catalog.request import LoadRequest
from openeo_backend.catalog.sources import ItemQuery
from openeo_backend.catalog.viewer import OPERATOR, Viewer, place_of
from openeo_backend.errors import OpenEOError
from openeo_backend.net.door import Door
from openeo_backend.settings import CatalogSettings, NetSettings

MEMBER = Viewer(frozenset({"eo"}), is_known=True)
OTHER = Viewer(frozenset({"more"}), is_known=True)
STRANGER = Viewer()


@pytest.fixture
def server(scenes) -> Iterator[Server]:
    made = Server(scenes.folder)
    yield made
    made.http.shutdown()
    made.http.server_close()


def code_of(action: Any) -> tuple[str, str]:
    with pytest.raises(OpenEOError) as failure:
        action()
    return failure.value.code, failure.value.message


def test_who_has_no_role_finds_nothing(scenes, env):
    catalog = scenes.open(collections={"TEST": {"roles": ["eo", "staff"]}})
    for viewer in (STRANGER, OTHER):
        seen = catalog.seen_by(viewer)
        assert (seen.ids(), seen.collections()) == ([], [])
        told = {
            code_of(lambda ask=ask: ask("TEST")) for ask in (seen.collection, seen.queryables, seen.items_elsewhere)
        }
        told.add(code_of(lambda seen=seen: seen.items("TEST", ItemQuery())))
        assert told == {("CollectionNotFound", "Collection 'TEST' does not exist.")}
        assert code_of(lambda seen=seen: seen.collection("NONE"))[0] == "CollectionNotFound"
    for viewer in (MEMBER, OPERATOR):
        seen = catalog.seen_by(viewer)
        assert seen.ids() == ["TEST"]
        assert seen.collection("TEST")["id"] == "TEST"
        assert len(seen.items("TEST", ItemQuery())) == 8
        assert seen.load("TEST", LoadRequest(), env).data.shape[0] == 8


def test_a_catalog_shows_what_strangers_see_unless_told_otherwise(scenes):
    assert scenes.open(collections={"TEST": {"roles": ["eo"]}}).ids() == []


@pytest.mark.parametrize(
    ("viewer", "hidden", "expected"),
    [
        (STRANGER, False, "CollectionNotFound"),
        (STRANGER, True, "CollectionNotFound"),
        (OTHER, False, "PermissionsInsufficient"),
        (OTHER, True, "CollectionNotFound"),
    ],
)
def test_loading_tells_the_missing_role_to_users_only(scenes, env, viewer, hidden, expected):
    terms = "https://terms.example.org/"
    settings = {"roles": ["eo", "staff"], "hidden": hidden, "terms": terms}
    catalog = scenes.open(collections={"TEST": settings}).seen_by(viewer)
    code, message = code_of(lambda: catalog.load("TEST", LoadRequest(), env))
    assert (code, message) == code_of(lambda: catalog.require("TEST"))
    assert code == expected
    if expected == "CollectionNotFound":
        nothing = code_of(lambda: catalog.load("NONE", LoadRequest(), env))
        assert message == nothing[1].replace("NONE", "TEST")
    else:
        assert "'eo' or 'staff'" in message
        assert terms in message


def restricted(server: Server, viewer: Viewer, outside: Door | None = None) -> Catalog:
    settings = CatalogSettings(collections={"TEST": {"roles": ["eo"]}})
    door = Door(NetSettings(), (server.url,))
    return Catalog([f"{server.url}/api/"], settings, door, outside=outside or door).seen_by(viewer)


@pytest.mark.parametrize(
    "path", ["/api/collections/TEST", "/api/", "/api/collections/TEST/items", "/api/collections/TEST/items/S1"]
)
def test_addresses_of_the_source_lead_around_nothing(server, env, path):
    url = f"{server.url}{path}"
    assert restricted(server, MEMBER).load_url(url, LoadRequest(), env).data.shape[0] in (1, 8)
    for viewer, expected in ((STRANGER, "CollectionNotFound"), (OTHER, "PermissionsInsufficient")):
        catalog = restricted(server, viewer)
        assert code_of(lambda c=catalog: c.load_url(url, LoadRequest(), env))[0] == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://stac.example.org/a", "https://STAC.example.org.:443/b"),
        ("http://stac.example.org", "http://stac.example.org:80/x?y"),
    ],
)
def test_a_server_is_the_same_however_its_address_is_written(one, other):
    assert place_of(one) == place_of(other)
    assert place_of(one) != place_of("https://other.example.org/")
    assert place_of("/data/catalog.json") is None


def test_servers_of_the_catalog_are_not_open_to_users_where_not_all_may_load(server, env):
    """A document of one's own cannot refer to files that only the operator's catalog may refer to."""
    foreign = server.items()[0]
    foreign |= {"collection": "MINE", "links": []}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802
            content = json.dumps(foreign).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            pass

    own = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=own.serve_forever, args=(0.01,), daemon=True).start()
    url = f"http://127.0.0.1:{own.server_port}/item.json"
    try:
        open_door = Door(NetSettings(), (server.url, url))
        assert restricted(server, OTHER, open_door).load_url(url, LoadRequest(), env).data.shape[0] == 1
        told = code_of(lambda: restricted(server, OTHER, Door(NetSettings(), (url,))).load_url(url, LoadRequest(), env))
        assert told[0] == "UrlNotAllowed"
    finally:
        own.shutdown()
        own.server_close()


def test_buckets_of_the_operator_are_not_open_to_users_where_not_all_may_load(server, env):
    for item in server.folder.glob("*/item.json"):
        document = json.loads(item.read_text())
        for asset in document["assets"].values():
            asset["href"] = "s3://imagery/scene.tif"
        item.write_text(json.dumps(document))
    server.items = lambda: [json.loads(p.read_text()) for p in sorted(server.folder.glob("*/item.json"))]
    settings = CatalogSettings(buckets=["imagery"], collections={"TEST": {"roles": ["eo"]}})
    catalog = Catalog([f"{server.url}/api/"], settings, Door(NetSettings(), (server.url,))).seen_by(MEMBER)
    cube = catalog.load("TEST", LoadRequest(), env)
    assert cube.data.shape[0] == 8
    told = code_of(lambda: catalog.load_url(f"{server.url}/api/collections/TEST", LoadRequest(), env).data.compute())
    assert told[0] == "PermissionsInsufficient"
    assert "s3://imagery" in told[1]
