"""The official API document against the application: no server error, no answer that is not documented.

`make test` asks in this process, `make fuzz` a live server.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from explore import SECONDS, explore
from live_server import serving
from official_operations import GRAPH, Campaign, World, offered, read_document

from openeo_backend.jobs.worker import Worker
from openeo_backend.store.store import Store

#: Part of the time of one property that each of the many operations gets in `make fuzz`.
SHARE = 0.1


@pytest.fixture(scope="session")
def document(shared: Path) -> dict[str, Any]:
    return read_document(shared / "spec" / "openeo-api-1.2.0" / "openapi.yaml")


@pytest.fixture(scope="session")
def campaign(request: pytest.FixtureRequest, document: dict[str, Any]) -> Campaign:
    """Requests to the application in this process or to a server."""
    made: Campaign = request.getfixturevalue("live_campaign" if SECONDS else "near_campaign")
    return made


@pytest.fixture(scope="session")
def near_campaign(document: dict[str, Any], node: Any) -> Campaign:
    id = node.ask("POST", "/jobs", json={"process": GRAPH}).headers["OpenEO-Identifier"]
    node.ask("POST", f"/jobs/{id}/results")
    backend = node.backend
    assert Worker(backend.store, backend.objects, backend.runner, backend.settings).run_once()
    world = World(backend.store, "ada", id, "SENTINEL2_L2A")
    return Campaign(document, world, node.headers, app=node.app)


@pytest.fixture(scope="session")
def live_campaign(
    document: dict[str, Any], archive: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Campaign]:
    folder = tmp_path_factory.mktemp("fuzz-server") / "server"
    with serving(folder, archive, "ada", "lovelace") as server:
        store = Store.open(f"sqlite:///{folder / 'data' / 'openeo.sqlite'}")
        headers = {"Authorization": f"Bearer basic//{store.tokens.issue('ada', timedelta(days=1))}"}
        created = requests.post(f"{server.root}/jobs", json={"process": GRAPH}, headers=headers, timeout=60)
        id = created.headers["OpenEO-Identifier"]
        requests.post(f"{server.root}/jobs/{id}/results", headers=headers, timeout=60)
        while store.jobs.get("ada", id).status in ("queued", "running"):
            time.sleep(0.5)
        yield Campaign(document, World(store, "ada", id, "SENTINEL2_L2A"), headers, url=server.root)
        store.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if {"path", "method"} <= set(metafunc.fixturenames):
        metafunc.parametrize(("path", "method"), OFFERED, ids=lambda value: value.replace("/", "-"))


#: What the capabilities list under the settings of these tests; the first test compares.
OFFERED = [
    ("/", "get"),
    ("/.well-known/openeo", "get"),
    ("/file_formats", "get"),
    ("/conformance", "get"),
    ("/collections", "get"),
    ("/collections/{collection_id}", "get"),
    ("/collections/{collection_id}/queryables", "get"),
    ("/processes", "get"),
    ("/credentials/basic", "get"),
    ("/validation", "post"),
    ("/result", "post"),
    ("/process_graphs", "get"),
    ("/process_graphs/{process_graph_id}", "get"),
    ("/process_graphs/{process_graph_id}", "put"),
    ("/process_graphs/{process_graph_id}", "delete"),
    ("/service_types", "get"),
    ("/jobs", "get"),
    ("/jobs", "post"),
    ("/jobs/{job_id}", "get"),
    ("/jobs/{job_id}", "patch"),
    ("/jobs/{job_id}", "delete"),
    ("/jobs/{job_id}/estimate", "get"),
    ("/jobs/{job_id}/logs", "get"),
    ("/jobs/{job_id}/results", "get"),
    ("/jobs/{job_id}/results", "post"),
    ("/jobs/{job_id}/results", "delete"),
    ("/me", "get"),
]


def test_all_documented_operations_that_are_offered_are_tried(document: dict[str, Any], node: Any) -> None:
    assert set(offered(document, node.ask("GET", "/").json["endpoints"])) == set(OFFERED)


def test_operations(campaign: Campaign, path: str, method: str) -> None:
    try:
        explore(campaign.check, campaign.inputs(path, method), examples=4, share=SHARE)
    finally:
        campaign.world.clear()
