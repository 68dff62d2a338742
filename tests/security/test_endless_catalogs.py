"""T12, T13: what reads too much is refused before anything is asked; catalogs without end are given up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hostile_server import HostileServer, Request
from victims import ROOT

from openeo_backend import settings as settings_module
from openeo_backend.api.app import create_app
from openeo_backend.catalog.address import open_address, open_source
from openeo_backend.catalog.catalog import Catalog
from openeo_backend.catalog.documents import Documents
from openeo_backend.catalog.request import LoadRequest
from openeo_backend.catalog.sources import ItemQuery
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.effects import LoadHints
from openeo_backend.net.door import Door
from openeo_backend.run.engine import Engine
from openeo_backend.run.execute import execute
from openeo_backend.run.request import RunRequest
from openeo_backend.settings import CatalogSettings, NetSettings

WORLD = {"west": -180, "south": -85, "east": 180, "north": 85}
SMALL = {"west": 5.0, "south": 50.0, "east": 5.02, "north": 50.02}
YEARS = ["1985-01-01", "2025-01-01"]


def item(number: int, **members: Any) -> dict[str, Any]:
    """A Sentinel-2 tile with two bands of 10980 x 10980 pixels."""
    band = {"type": "image/tiff", "roles": ["data"], "proj:epsg": 32631, "proj:shape": [10980, 10980]}
    band |= {"proj:transform": [10, 0, 600000, 0, -10, 5600040]}
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": f"i{number}", "collection": "S2", "links": [],
        "bbox": [4.4, 49.5, 6.0, 50.6], "geometry": None,
        "properties": {"datetime": "2024-05-01T10:00:00Z"},
        "assets": {name: {**band, "href": f"https://example.com/{number}/{name}.tif"} for name in ("red", "nir")},
        **members,
    }  # fmt: skip


def landing(url: str) -> dict[str, Any]:
    links = [{"rel": "search", "href": f"{url}/search", "method": "POST"}, {"rel": "data", "href": f"{url}/list"}]
    return {"type": "Catalog", "id": "api", "description": "", "links": links, "conformsTo": []}


def collection(**members: Any) -> dict[str, Any]:
    extent = {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["2015-06-27T00:00:00Z", None]]}}
    return {"type": "Collection", "id": "S2", "description": "", "license": "other", "extent": extent,
            "links": [], **members}  # fmt: skip


def an_api(search: Any) -> Any:
    """Answers as a STAC API with one collection whose searches `search(request)` answers."""

    def answer(request: Request) -> None:
        url = f"http://{request.headers['Host']}"
        path = request.path.split("?")[0]
        if path == "/":
            request.send(landing(url))
        elif path == "/list":
            request.send({"collections": [collection()], "links": []})
        else:
            search(request)

    return answer


def ten(request: Request) -> None:
    request.send({"type": "FeatureCollection", "features": [item(number) for number in range(10)], "links": []})


@pytest.fixture
def api() -> Iterator[HostileServer]:
    with HostileServer(an_api(ten)) as server:
        yield server


def load(spatial: Any, temporal: Any, bands: Any = None, **others: Any) -> dict[str, Any]:
    arguments = {"id": "S2", "spatial_extent": spatial, "temporal_extent": temporal, "bands": bands}
    return {"load": {"process_id": "load_collection", "arguments": arguments, "result": not others}, **others}


HUGE = {
    "the world": load(WORLD, YEARS),
    "no extent at all": load(None, None),
    "filtered later, but hardly": load(
        None, None,
        box={"process_id": "filter_bbox", "arguments": {"data": {"from_node": "load"}, "extent": WORLD},
             "result": True},
    ),
}  # fmt: skip


@pytest.mark.parametrize("graph", HUGE.values(), ids=HUGE)
def test_t12_what_reads_too_much_is_refused_without_a_request(api: HostileServer, node: Any, graph: Any) -> None:
    settings = settings_module.read(
        overrides={**node.backend.settings.model_dump(exclude={"catalog"}), "catalog": {"sources": [f"{api.url}/"]}}
    )
    engine = Engine.open(settings)
    object.__setattr__(node.backend, "engine", engine)
    object.__setattr__(node.backend, "settings", settings)
    app = create_app(node.backend)
    client, headers = app.test_client(), node.headers["ada"]
    assert client.get(f"{ROOT}/collections/S2").status_code == 200
    job = client.post(f"{ROOT}/jobs", json={"process": {"process_graph": graph}}, headers=headers)
    api.asked.clear()
    answers = [
        client.post(f"{ROOT}/result", json={"process": {"process_graph": graph}}, headers=headers),
        client.post(f"{job.headers['Location']}/results", headers=headers),
    ]
    for answer in answers:
        assert answer.status_code == 400
        assert answer.json["code"] == "ProcessGraphComplexity"
        assert "million pixels x 2 bands" in answer.json["message"]
    problems = client.post(f"{ROOT}/validation", json={"process_graph": graph}).json["errors"]
    assert [problem["code"] for problem in problems] == ["ProcessGraphComplexity"]
    assert api.asked == []


def test_t12_extents_of_later_filters_and_bands_count(api: HostileServer) -> None:
    catalog = Catalog([f"{api.url}/"], CatalogSettings(), Door(NetSettings(), (api.url,)))
    whole = catalog.least("S2", LoadRequest(spatial_extent=SMALL), LoadHints())
    one = catalog.least("S2", LoadRequest(spatial_extent=SMALL, bands=("red",)), LoadHints())
    filtered = catalog.least("S2", LoadRequest(spatial_extent=WORLD), LoadHints(spatial=(SMALL,), bands=("red",)))
    assert whole is not None
    assert one is not None
    assert filtered is not None
    # 0.02 degrees are 2224 m, and 1430 m at 50 degrees north: 222.4 x 143 pixels; half of them are sure
    assert one.pixels == pytest.approx(222.4 * 143 / 2, rel=0.01)
    assert whole.samples == 2 * one.samples
    assert one.samples < filtered.samples < 10 * one.samples  # a filter needs a margin


def test_t12_dates_count_once_they_are_known_but_nothing_is_opened(tmp_path: Path) -> None:
    """30 dates of 222 x 143 pixels: the search tells them, and no file is opened."""

    def thirty(request: Request) -> None:
        dates = [{"datetime": f"2024-04-{day:02}T10:00:00Z"} for day in range(1, 31)]
        features = [item(number, properties=date) for number, date in enumerate(dates)]
        request.send({"type": "FeatureCollection", "features": features, "links": []})

    with HostileServer(an_api(thirty)) as server:
        engine = Engine.open(settings_module.read(overrides={"catalog": {"sources": [f"{server.url}/"]}}))
        engine.door.policy = type(engine.door.policy)(engine.door.policy.allow | {"example.com"})
        object.__setattr__(engine.catalog, "_door", Checked(engine.door))
        process = {"process_graph": load(SMALL, YEARS)}
        request = RunRequest("r", process, tmp_path, limit_samples=1_500_000)
        outcome = execute(request, engine, lambda event: None)
    assert outcome.error is not None
    assert outcome.error["code"] == "ProcessGraphComplexity", outcome.error
    assert "30 t x 2 bands" in outcome.error["message"]


class Checked:
    """A door that lets all addresses of assets pass; none of them is there."""

    def __init__(self, door: Door) -> None:
        self.door = door

    def __getattr__(self, name: str) -> Any:
        return getattr(self.door, name)

    def check(self, url: str) -> None:
        assert url.startswith("https://example.com/")


def pages_of_nothing_new(request: Request) -> None:
    """The same item on each page, and each page has another one after it."""
    number = int(request.body.get("token", 0)) + 1
    following = {"rel": "next", "href": f"http://{request.headers['Host']}/search", "method": "POST",
                 "body": {"token": number}, "merge": True}  # fmt: skip
    request.send({"type": "FeatureCollection", "features": [item(0)], "links": [following]})


def items_without_end(request: Request) -> None:
    number = int(request.body.get("token", 0)) + 250
    following = {"rel": "next", "href": f"http://{request.headers['Host']}/search", "method": "POST",
                 "body": {"token": number}, "merge": True}  # fmt: skip
    features = [item(number + i) for i in range(250)]
    request.send({"type": "FeatureCollection", "features": features, "links": [following]})


def itself(request: Request) -> None:
    following = {"rel": "next", "href": f"http://{request.headers['Host']}/search", "method": "POST"}
    request.send({"type": "FeatureCollection", "features": [item(0)], "links": [following]})


def nothing(request: Request) -> None:
    following = {"rel": "next", "href": f"http://{request.headers['Host']}/search?x={time.time()}", "method": "GET"}
    request.send({"type": "FeatureCollection", "features": [], "links": [following]})


def slow_pages(request: Request) -> None:
    time.sleep(0.2)
    pages_of_nothing_new(request)


ENDLESS = {
    "items": (items_without_end, "ProcessGraphComplexity", "More than 1,000 items", 7),
    "the same item": (pages_of_nothing_new, "ProcessGraphComplexity", "more than 100 documents", 110),
    "a page that follows itself": (itself, "FileContentInvalid", "lead back to each other", 2),
    "slow pages": (slow_pages, "ProcessGraphComplexity", "longer than 2 s", 14),
}


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """100 documents instead of 10,000."""
    monkeypatch.setattr("openeo_backend.catalog.documents.Documents.budget.__defaults__", (100,))


@pytest.mark.parametrize("kind", ENDLESS)
@pytest.mark.usefixtures("few")
def test_t13_searches_without_end_are_given_up(kind: str) -> None:
    search, code, words, most = ENDLESS[kind]
    with HostileServer(an_api(search)) as server:
        source = open_source(f"{server.url}/", Door(NetSettings(), (server.url,)), 1000, 2.0 if "slow" in kind else 60)
        source.ids()
        server.asked.clear()
        begun = time.monotonic()
        with pytest.raises(OpenEOError) as failure:
            source.items("S2", ItemQuery(most=1000))
    assert failure.value.code == code
    assert words in failure.value.message
    assert len(server.asked) <= most
    assert time.monotonic() - begun < 15


def test_t13_pages_without_items_end() -> None:
    with HostileServer(an_api(nothing)) as server:
        source = open_source(f"{server.url}/", Door(NetSettings(), (server.url,)), 1000)
        assert source.items("S2", ItemQuery()) == []
        assert len(server.asked) == 2  # the landing page, and one of nothing


def head_drips(request: Request) -> None:
    request.drip(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-A: ", b"a", 0.05, 8)


def body_drips(request: Request) -> None:
    request.drip(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b" ", 0.05, 8)


def unmeasured_body_drips(request: Request) -> None:
    request.drip(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b" ", 0.05, 8)


def chunks_drip(request: Request) -> None:
    request.drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", 0.05, 8)


def come_tomorrow(request: Request) -> None:
    request.send({}, 429, Retry_After="86400")


@pytest.mark.parametrize("answer", [head_drips, body_drips, unmeasured_body_drips, chunks_drip])
def test_t13_servers_that_drip_are_cut_off(answer: Any) -> None:
    with HostileServer(answer) as server:
        door = Door(NetSettings(timeout_seconds=2, document_seconds=1), (server.url,))
        begun = time.monotonic()
        with pytest.raises(OpenEOError) as failure:
            door.json(f"{server.url}/")
    assert failure.value.code == "UrlNotReachable"
    assert "in time" in failure.value.message
    assert time.monotonic() - begun < 4


def test_t13_nobody_makes_us_wait_until_tomorrow(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("urllib3.util.retry.time.sleep", waits.append)
    with HostileServer(come_tomorrow) as server, pytest.raises(OpenEOError):
        Door(NetSettings(), (server.url,)).json(f"{server.url}/")
    assert max(waits, default=0) <= 30


def tree(request: Request) -> None:
    """Each catalog has another one below it."""
    number = int(request.path.strip("/") or 0)
    children = [{"rel": "child", "href": f"http://{request.headers['Host']}/{number + 1}"}]
    request.send({"type": "Catalog", "id": f"c{number}", "description": "", "links": children})


def bush(request: Request) -> None:
    """Each catalog has a thousand below it."""
    root = f"http://{request.headers['Host']}{request.path.rstrip('/')}"
    children = [{"rel": "child", "href": f"{root}/{number}"} for number in range(1000)]
    request.send({"type": "Catalog", "id": "c", "description": "", "links": children})


def circle(request: Request) -> None:
    root = f"http://{request.headers['Host']}"
    children = [{"rel": "child", "href": f"{root}/{name}"} for name in ("", "a", "b")]
    request.send({"type": "Catalog", "id": "c", "description": "", "links": children})


def slow_tree(request: Request) -> None:
    time.sleep(0.2)
    bush(request)


def lists_of_lists(request: Request) -> None:
    """A list of items whose collection is a list of items."""
    link = {"rel": "collection", "href": f"http://{request.headers['Host']}{request.path}/x/items"}
    request.send({"type": "FeatureCollection", "features": [], "links": [link]})


def parents(request: Request) -> None:
    """A search result whose items each have a collection of their own."""
    if request.path.startswith("/c"):
        time.sleep(0.1)
        request.send(collection())
        return
    root = f"http://{request.headers['Host']}"
    found = [item(n, links=[{"rel": "collection", "href": f"{root}/c{n}"}]) for n in range(900)]
    request.send({"type": "FeatureCollection", "features": found, "links": []})


TREES = {
    "deep": (tree, "", 60, "below 50"),
    "wide": (bush, "", 110, "more than 100 documents"),
    "round": (circle, "", 4, "0 collections"),
    "slow": (slow_tree, "", 12, "longer than 1.5 s"),
    "lists": (lists_of_lists, "/items", 3, "is not a STAC Collection"),
    "parents": (parents, "/found", 20, "longer than 1.5 s"),
}


@pytest.mark.parametrize("kind", TREES)
@pytest.mark.usefixtures("few")
def test_t13_trees_without_end_are_given_up(kind: str) -> None:
    answer, path, most, words = TREES[kind]
    with HostileServer(answer) as server:
        documents = Documents(Door(NetSettings(), (server.url,)), seconds=1.5 if kind in ("slow", "parents") else 60)
        with pytest.raises(OpenEOError) as failure:
            open_address(f"{server.url}{path or '/'}", documents, 1000)
    assert words in failure.value.message
    assert len(server.asked) <= most
