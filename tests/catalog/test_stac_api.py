"""STAC over HTTP: an API with bbox, datetime, CQL2 and paging, static documents and assets, all on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from openeo_backend.catalog.catalog import Catalog
from openeo_backend.catalog.request import LoadRequest
from openeo_backend.errors import OpenEOError
from openeo_backend.net.door import Door
from openeo_backend.settings import CatalogSettings, NetSettings, SettingsError

PAGE = 3


class Server:
    """Serves a folder under /files, and the items of its TEST collection as a STAC API under /api."""

    def __init__(self, folder: Path, *, posts: bool = True, filters: bool = True) -> None:
        self.folder, self.posts, self.filters = folder, posts, filters
        self.bodies: list[dict[str, Any]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # noqa: N802
                path, _, query = self.path.partition("?")
                if path.startswith("/files/"):
                    self.file(server.folder / path.removeprefix("/files/"))
                else:
                    self.answer(server.get(path, dict(part.split("=", 1) for part in query.split("&") if part)))

            do_HEAD = do_GET  # noqa: N815

            def do_POST(self) -> None:  # noqa: N802
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.bodies.append(body)
                self.answer(server.search(body, "POST") if server.posts else None)

            def file(self, path: Path) -> None:
                if not path.is_file():
                    self.answer(None)
                    return
                content = path.read_bytes()
                start, end, status = 0, len(content) - 1, 200
                if self.headers.get("Range"):
                    first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
                    start, end, status = int(first), min(int(last or end), end), 206
                self.send_response(status)
                self.send_header("Accept-Ranges", "bytes")
                if status == 206:
                    self.send_header("Content-Range", f"bytes {start}-{end}/{len(content)}")
                self.send_header("Content-Length", str(end - start + 1))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(content[start : end + 1])

            def answer(self, document: Any) -> None:
                content = json.dumps(document).encode()
                self.send_response(404 if document is None else 200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def items(self) -> list[dict[str, Any]]:
        found = []
        for path in sorted(self.folder.glob("*/item.json")):
            document = json.loads(path.read_text())
            for asset in document["assets"].values():
                asset["href"] = f"{self.url}/files/{path.parent.name}/{asset['href'].removeprefix('./')}"
            document["links"] = [{"rel": "self", "href": f"{self.url}/api/collections/TEST/items/{document['id']}"}]
            found.append(document)
        return found

    def collection(self) -> dict[str, Any]:
        document = json.loads((self.folder / "collection.json").read_text())
        root = f"{self.url}/api"
        document["links"] = [
            {"rel": "self", "href": f"{root}/collections/TEST"},
            {"rel": "root", "href": f"{root}/"},
            {"rel": "items", "href": f"{root}/collections/TEST/items"},
        ]
        return document

    def get(self, path: str, query: dict[str, str]) -> Any:
        root = f"{self.url}/api"
        if path == "/api/":
            methods = ["GET", "POST"] if self.posts else ["GET"]
            links = [{"rel": "search", "href": f"{root}/search", "method": method} for method in methods]
            links.append({"rel": "data", "href": f"{root}/collections"})
            conforms = ["https://api.stacspec.org/v1.0.0/item-search"]
            if self.filters:
                conforms += ["https://api.stacspec.org/v1.0.0/item-search#filter"]
                conforms += ["http://www.opengis.net/spec/cql2/1.0/conf/cql2-json"]
            return {"type": "Catalog", "id": "api", "description": "", "links": links, "conformsTo": conforms}
        if path == "/api/collections":
            return {"collections": [self.collection()], "links": []}
        if path == "/api/collections/TEST":
            return self.collection()
        if path == "/api/search":
            body: dict[str, Any] = {"collections": query["collections"].split(","), "limit": int(query["limit"])}
            if "bbox" in query:
                body["bbox"] = [float(side) for side in query["bbox"].replace("%2C", ",").split(",")]
            if "datetime" in query:
                body["datetime"] = query["datetime"].replace("%2F", "/").replace("%3A", ":")
            body["token"] = query.get("token", "0")
            return self.search(body, "GET")
        if path.startswith("/api/collections/TEST/items/"):
            return next((item for item in self.items() if item["id"] == path.rsplit("/", 1)[1]), None)
        return None

    def search(self, body: dict[str, Any], method: str) -> dict[str, Any]:
        found = [item for item in self.items() if item["collection"] in body["collections"]]
        area = shapely.geometry.shape(body["intersects"]) if "intersects" in body else None
        area = shapely.box(*body["bbox"]) if "bbox" in body else area
        if area is not None:
            found = [item for item in found if area.intersects(shapely.geometry.shape(item["geometry"]))]
        if "datetime" in body:  # closed at both ends, as the API specification says
            start, end = body["datetime"].split("/")
            times = [(item, item["properties"]["datetime"]) for item in found]
            found = [item for item, time in times if (start == ".." or time >= start) and (end == ".." or time <= end)]
        if "filter" in body:
            found = [item for item in found if self.holds(body["filter"], item["properties"])]
        first = int(body.get("token", 0))
        answer: dict[str, Any] = {"type": "FeatureCollection", "features": found[first : first + PAGE], "links": []}
        if first + PAGE < len(found):
            following: dict[str, Any] = {"rel": "next", "href": f"{self.url}/api/search", "method": method}
            if method == "POST":
                following |= {"body": {"token": str(first + PAGE)}, "merge": True}
            else:
                kept = {"collections": ",".join(body["collections"]), "limit": "10", "token": str(first + PAGE)}
                kept |= {"bbox": ",".join(map(str, body["bbox"]))} if "bbox" in body else {}
                kept |= {"datetime": body["datetime"]} if "datetime" in body else {}
                following["href"] += "?" + "&".join(f"{key}={value}" for key, value in kept.items())
            answer["links"].append(following)
        return answer

    def holds(self, expression: dict[str, Any], properties: dict[str, Any]) -> bool:
        import cql2

        return bool(cql2.Expr(expression).matches({"properties": properties, **properties}))


@pytest.fixture
def scenes(archive):
    """Eight dates with cloud covers 0, 10 ... 70."""
    for number in range(8):
        archive.add(
            f"S{number}",
            {"B04": np.full((8, 8), number + 1, dtype="uint16")},
            time=f"2023-04-{number * 3 + 1:02d}T10:50:00Z",
            properties={"eo:cloud_cover": number * 10},
        )
    archive.write()
    return archive


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
