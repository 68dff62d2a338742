"""Peers that do not keep to what they say: each ends a waiting job clearly, and none holds others up."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from scenes import write_scenes
from sites import Site, open_sites

from openeo_backend.jobs.worker import Worker

#: Seconds that jobs wait here at most.
MOST = 1.5

COLLECTION: dict[str, Any] = {
    "type": "Collection",
    "stac_version": "1.0.0",
    "id": "j-1",
    "description": "Results of a job.",
    "license": "CC0-1.0",
    "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
    "links": [],
    "assets": {},
}


@dataclass
class Peer:
    """A server that answers as the test says: with each entry of `answers` once, then with the last one again."""

    url: str = ""
    answers: list[Any] = field(default_factory=list)
    asked: int = 0

    def next(self) -> Any:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        return answer


def state(status: Any) -> dict[str, Any]:
    return {**COLLECTION, "openeo:status": status}


@pytest.fixture
def peer() -> Iterator[Peer]:
    found = Peer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = found.next()
            if callable(answer):
                with suppress(OSError):
                    answer(self)
                return
            status, headers, body = answer if isinstance(answer, tuple) else (200, {}, json.dumps(answer).encode())
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_port}/results/j-1?partial=true&signature=secret"
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    with open_sites(tmp_path) as make:
        yield make


@dataclass(frozen=True)
class Node:
    """A node with a worker that runs all the time."""

    site: Site

    def start(self, url: str) -> str:
        load = {"load": {"process_id": "load_stac", "arguments": {"url": url}, "result": True}}
        id = self.site.backend.store.jobs.create("ada", {"process_graph": load}).id
        self.site.backend.store.jobs.queue("ada", id)
        return id

    def end(self, id: str, seconds: float = 60) -> tuple[str, str]:
        """Status and last message of a job that has ended."""
        latest = time.monotonic() + seconds
        jobs = self.site.backend.store.jobs
        while jobs.get("ada", id).status in ("queued", "running"):
            assert time.monotonic() < latest, self.log(id)
            time.sleep(0.05)
        return jobs.get("ada", id).status, self.log(id)[-1]

    def log(self, id: str) -> list[str]:
        page = self.site.backend.store.jobs.logs("ada", id, None, "debug")[1]
        return [entry["message"] for entry in page.entries]


@pytest.fixture
def node(sites: Callable[..., Site]) -> Iterator[Node]:
    """It may reach 127.0.0.1 and no other address that is not public."""
    site = sites(
        "node",
        net={"allow": ["127.0.0.1"], "timeout_seconds": 1, "max_document_mb": 1},
        jobs={"wait_seconds": MOST, "wait_poll_seconds": 0.05, "poll_seconds": 0.05, "workers": 1},
    )
    stop = threading.Event()
    worker = Worker(site.backend.store, site.backend.objects, site.run, site.backend.settings)
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    yield Node(site)
    stop.set()
    thread.join()


def hang(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(3)


def drip(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(600):
        handler.wfile.write(b" ")
        time.sleep(0.1)


HUGE = (200, {"Content-Type": "application/json"}, b'{"openeo:status": "running", "x": "' + b"x" * 20_000_000 + b'"}')
PRIVATE = (302, {"Location": "http://10.1.2.3/results"}, b"")
HERE = (302, {"Location": "http://127.0.0.2:1/results"}, b"")
PAGE = (200, {"Content-Type": "text/html"}, b"<h1>Bad Gateway</h1>")


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([state("running")], "It is not finished yet."),
        ([state("created")], "It is not finished yet."),
        ([state("something else")], "It is not finished yet."),
        ([state("running"), (503, {"Retry-After": "3600"}, b"")], "HTTP status 503"),
        ([state("running"), (404, {}, b"")], "HTTP status 404"),
        ([state("running"), PAGE], "is not a JSON document"),
        ([state("running"), hang], "does not answer"),
        ([(500, {}, b"")], "HTTP status 500"),
        # It says finished to who looks, and running to who loads, in turn.
        ([state("running"), *[state(s) for _ in range(400) for s in ("finished", "running")]], "not finished yet"),
    ],
    ids=["running", "created", "unknown", "unavailable", "missing", "html", "silent", "failing", "flapping"],
)
def test_waiting_ends_after_the_configured_time(node: Node, peer: Peer, answers: list[Any], told: str) -> None:
    peer.answers = answers
    began = time.monotonic()
    status, message = node.end(node.start(peer.url))
    assert status == "error"
    assert told in message
    assert time.monotonic() - began >= MOST
    assert "secret" not in message


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([state("running"), state("error")], "its state is 'error'"),
        ([state("running"), state("CANCELED")], "its state is 'canceled'"),
        ([state("error")], "a job that is 'error'"),
        ([state("running"), PRIVATE], "10.1.2.3' is not a public address"),
        ([PRIVATE], "10.1.2.3' is not a public address"),
        ([state("running"), HERE], "127.0.0.2' is not a public address"),
        ([state("running"), HUGE], "is larger than"),
        ([HUGE], "is larger than"),
        ([state("running"), (410, {}, b"{}")], "HTTP status 410"),
        ([state("finished")], "no files to load"),
        ([state("running"), state("finished")], "no files to load"),
        ([["not", "an", "object"]], "is not a JSON object"),
        ([{"openeo:status": "finished"}], "is not STAC"),
        ([state(7)], "is not the STAC it should be"),
    ],
    ids=[
        "error",
        "canceled",
        "error-at-once",
        "private",
        "private-at-once",
        "loopback",
        "huge",
        "huge-at-once",
        "gone",
        "empty-at-once",
        "empty",
        "list",
        "no-stac",
        "number",
    ],
)
def test_what_will_not_become_better_ends_the_job_at_once(
    node: Node, peer: Peer, answers: list[Any], told: str
) -> None:
    peer.answers = answers
    status, message = node.end(node.start(peer.url))
    assert status == "error"
    assert told in message
    assert "waited" not in message
    assert "secret" not in message


def test_a_peer_that_fails_for_a_while_does_not_matter(
    node: Node, peer: Peer, sites: Callable[..., Site], tmp_path: Path
) -> None:
    """It fails before and while the job waits; then it sends it where the results are."""
    catalog = write_scenes(tmp_path / "scenes", {"B04": np.full((3, 4, 5), 700, "uint16")})
    other = sites("other", str(catalog))
    load = {"id": "SCENES", "spatial_extent": None, "temporal_extent": None}
    save = {"data": {"from_node": "load"}, "format": "GTiff"}
    done = other.job(
        {
            "load": {"process_id": "load_collection", "arguments": load},
            "save": {"process_id": "save_result", "arguments": save, "result": True},
        }
    )
    document = requests.get(f"{other.url}/jobs/{done}/results", headers=other.headers(), timeout=30).json()
    link = next(link["href"] for link in document["links"] if link["rel"] == "canonical")
    failures = [(status, {}, b"") for status in (500, 502, 502, 502, 502, 503, 404)]
    peer.answers = [*failures, state("running"), *failures[:1], (302, {"Location": link}, b"")]
    id = node.start(peer.url)
    assert node.end(id)[0] == "finished", node.log(id)
    (kept,) = [f for f in node.site.backend.store.jobs.get("ada", id).result["files"] if f["name"].endswith(".nc")]
    assert kept["size"] > 0


def test_a_silent_peer_holds_up_nobody_else(node: Node, peer: Peer, sites: Callable[..., Site]) -> None:
    """While a peer lets everybody wait, jobs that need nothing of it run on the same worker."""
    peer.answers = [state("running"), hang]
    waiting = [node.start(f"{peer.url}&number={number}") for number in range(3)]
    jobs = node.site.backend.store.jobs
    add = {"add": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}
    id = jobs.create("ada", {"process_graph": add}).id
    jobs.queue("ada", id)
    assert node.end(id)[0] == "finished"
    for each in waiting:
        assert node.end(each)[0] == "error"


def test_an_answer_in_drips_does_not_hold_up_the_looking(
    node: Node, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openeo_backend.jobs.waiting.LOOK_SECONDS", 0.5)
    peer.answers = [state("running"), drip]
    status, message = node.end(node.start(peer.url), 30)
    assert status == "error"
    assert "did not send its whole answer in time" in message
