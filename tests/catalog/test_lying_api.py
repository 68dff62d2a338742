"""A STAC API that is wrong for a moment: what it said is not kept for long, and what contradicts itself is told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from stac_server import Server

from openeo_backend.catalog import fresh
from openeo_backend.catalog.catalog import Catalog
from openeo_backend.catalog.fresh import KEPT, PAUSE, Fresh
from openeo_backend.catalog.request import LoadRequest
from openeo_backend.errors import OpenEOError
from openeo_backend.net.door import Door
from openeo_backend.settings import CatalogSettings, NetSettings


class Liar(Server):
    """Changes search results and lists of collections by `lie`."""

    lie: Any = staticmethod(lambda document: document)

    def search(self, body: dict[str, Any], method: str) -> dict[str, Any]:
        found = super().search(body, method)
        return self.lie({**found, "numberMatched": 8, "numberReturned": len(found["features"])})

    def get(self, path: str, query: dict[str, str]) -> Any:
        found = super().get(path, query)
        return self.lie(found) if path == "/api/collections" else found


@pytest.fixture
def server(scenes) -> Iterator[Liar]:
    made = Liar(scenes.folder)
    yield made
    made.http.shutdown()
    made.http.server_close()


@pytest.fixture
def catalog(server: Liar) -> Catalog:
    return Catalog([f"{server.url}/api/"], CatalogSettings(), Door(NetSettings(), (server.url,)))


def nothing(document: dict[str, Any]) -> dict[str, Any]:
    return {**document, **({"collections": []} if "collections" in document else {"features": []}), "links": []}


def test_collections_that_were_denied_for_a_moment_are_found_again(
    server: Liar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fresh, "PAUSE", 0.2)
    server.lie = nothing
    catalog = Catalog([f"{server.url}/api/"], CatalogSettings(), Door(NetSettings(), (server.url,)))
    assert catalog.ids() == []
    with pytest.raises(OpenEOError, match="CollectionNotFound"):
        catalog.collection("TEST")
    server.lie = lambda document: document
    time.sleep(0.25)
    assert catalog.ids() == ["TEST"]
    assert catalog.collection("TEST")["id"] == "TEST"


def test_a_collection_that_has_just_gone_is_not_found(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    source = catalog._source("TEST")
    monkeypatch.setattr(source.source, "ids", list)
    with pytest.raises(OpenEOError, match="CollectionNotFound"):
        source.collection("TEST")


def test_what_was_read_stays_while_it_cannot_be_read_again() -> None:
    now, answers = [0.0], [["a"], OpenEOError("UrlNotReachable", "It is away."), ["b"]]

    def read() -> list[str]:
        answer = answers.pop(0)
        if isinstance(answer, OpenEOError):
            raise answer
        return answer

    value = Fresh(read, lambda: now[0])
    assert value.get() == ["a"]
    now[0] = KEPT + 1
    assert value.get() == ["a"]
    assert value.get() == ["a"]
    assert len(answers) == 1
    now[0] += PAUSE
    assert value.get() == ["b"]


def test_what_cannot_be_read_at_first_is_an_error_and_tried_again() -> None:
    answers: list[Any] = [OpenEOError("UrlNotReachable", "It is away."), ["a"]]

    def read() -> list[str]:
        answer = answers.pop(0)
        if isinstance(answer, OpenEOError):
            raise answer
        return answer

    value = Fresh(read)
    with pytest.raises(OpenEOError, match="UrlNotReachable"):
        value.get()
    assert value.get() == ["a"]


def test_items_that_are_held_back_are_an_error(server: Liar, catalog: Catalog, env) -> None:
    server.lie = lambda document: (
        {**document, "features": document["features"][:1]} if "features" in document else document
    )
    with pytest.raises(OpenEOError, match="says that it returns 3 items, and returns 1"):
        catalog.load("TEST", LoadRequest(), env)


def test_pages_that_are_held_back_are_told(server: Liar, catalog: Catalog, env) -> None:
    server.lie = lambda document: {**document, "links": []}
    cube = catalog.load("TEST", LoadRequest(), env)
    assert cube.data.shape[0] == 3
    assert [message for level, message in env.entries if level == "warning"] == [
        "TEST: 8 items match according to the STAC API, and it gave 3 of them."
    ]
    server.lie = lambda document: document
    env.entries.clear()
    assert catalog.load("TEST", LoadRequest(), env).data.shape[0] == 8
    assert [message for level, message in env.entries if level == "warning"] == []
