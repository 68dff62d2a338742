"""Processes by URL: jobs run what they were made with, whatever the server behind the URL does later."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from sites import Site, open_sites

from openeo_backend.jobs.worker import Worker
from openeo_backend.run import remote


def plus(amount: float, id: str = "plus") -> dict[str, Any]:
    """A process that adds a number to its parameter x."""
    add = {"process_id": "add", "arguments": {"x": {"from_parameter": "x"}, "y": amount}, "result": True}
    parameter = {"name": "x", "description": "A number.", "schema": {"type": "number"}}
    return {"id": id, "parameters": [parameter], "process_graph": {"add": add}}


@dataclass
class Server:
    """A server with process definitions by path; without one it answers 404."""

    url: str = ""
    documents: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append(self.path)
            document = found.documents.get(self.path)
            body = json.dumps(document).encode()
            self.send_response(404 if document is None else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            return

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    found.url = f"http://127.0.0.1:{httpd.server_port}"
    yield found
    httpd.shutdown()
    httpd.server_close()
    thread.join()


@dataclass(frozen=True)
class Client:
    site: Site

    def call(self, method: str, path: str, status: int, **more: Any) -> requests.Response:
        reply = requests.request(method, f"{self.site.url}{path}", headers=self.site.headers(), timeout=200, **more)
        assert reply.status_code == status, reply.text
        return reply

    def create(self, process: dict[str, Any]) -> str:
        return self.call("POST", "/jobs", 201, json={"process": process}).headers["OpenEO-Identifier"]

    def start(self, id: str) -> None:
        self.call("POST", f"/jobs/{id}/results", 202)

    def work(self) -> None:
        backend = self.site.backend
        stored = backend.stored
        assert Worker(backend.store, backend.objects, self.site.run, backend.settings, stored).run_once()

    def value(self, id: str) -> Any:
        (asset,) = self.call("GET", f"/jobs/{id}/results", 200).json()["assets"].values()
        return requests.get(asset["href"], timeout=30).json()


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setattr(remote, "FRESH", 0.0)  # changes of documents are seen at once
    with open_sites(tmp_path) as make:
        yield Client(make("node"))


def call(url: str, x: float = 1, id: str = "plus") -> dict[str, Any]:
    node = {"process_id": id, "namespace": url, "arguments": {"x": x}, "result": True}
    return {"process_graph": {"call": node}}


def sha256(process: dict[str, Any]) -> str:
    text = json.dumps(process, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def test_a_job_runs_the_definition_it_was_made_with(client: Client, server: Server) -> None:
    url = f"{server.url}/plus"
    server.documents["/plus"] = plus(10)
    id = client.create(call(url))
    server.documents["/plus"] = plus(500)  # between making and starting
    client.start(id)
    del server.documents["/plus"]  # between starting and running
    client.work()
    assert client.value(id) == 11
    (told,) = client.call("GET", f"/jobs/{id}", 200).json()["remote_processes"]
    assert told["namespace"] == url
    assert told["id"] == "plus"
    assert told["digest"] == sha256(plus(10))
    assert "process" not in told
    document = client.call("GET", f"/jobs/{id}/results", 200).json()
    assert document["processing:expression"]["remote_processes"] == [told]
    assert document["processing:expression"]["expression"]["process_graph"] == call(url)["process_graph"]
    client.start(id)  # the same again, with the server still away
    client.work()
    assert client.value(id) == 11


def test_a_new_process_is_pinned_anew(client: Client, server: Server) -> None:
    url = f"{server.url}/plus"
    server.documents["/plus"] = plus(10)
    id = client.create(call(url))
    server.documents["/plus"] = plus(20)
    client.call("PATCH", f"/jobs/{id}", 204, json={"title": "renamed"})
    assert client.call("GET", f"/jobs/{id}", 200).json()["remote_processes"][0]["digest"] == sha256(plus(10))
    client.call("PATCH", f"/jobs/{id}", 204, json={"process": call(url, 2)})
    assert client.call("GET", f"/jobs/{id}", 200).json()["remote_processes"][0]["digest"] == sha256(plus(20))
    client.start(id)
    client.work()
    assert client.value(id) == 22


def test_a_server_that_is_away_when_the_job_is_made_is_asked_when_it_starts(client: Client, server: Server) -> None:
    url = f"{server.url}/plus"
    id = client.create(call(url))
    assert "remote_processes" not in client.call("GET", f"/jobs/{id}", 200).json()
    refused = client.call("POST", f"/jobs/{id}/results", 400).json()
    assert refused["code"] == "UrlNotReachable"
    assert "'call' (plus)" in refused["message"]
    server.documents["/plus"] = plus(30)
    client.start(id)
    server.documents["/plus"] = plus(40)
    client.work()
    assert client.value(id) == 31


def test_definitions_behind_definitions_and_stored_processes_are_pinned(client: Client, server: Server) -> None:
    inner, outer = f"{server.url}/inner", f"{server.url}/list"
    server.documents["/inner"] = plus(1, "inner")
    node = {"process_id": "inner", "namespace": inner, "arguments": {"x": {"from_parameter": "x"}}, "result": True}
    process = {**plus(0, "outer"), "process_graph": {"call": node}}
    server.documents["/list"] = {"processes": [plus(7, "other"), process], "links": []}
    stored = {"process_id": "outer", "namespace": outer, "arguments": {"x": {"from_parameter": "x"}}, "result": True}
    mine = {"parameters": plus(0)["parameters"], "process_graph": {"call": stored}}
    client.call("PUT", "/process_graphs/mine", 200, json=mine)
    id = client.create({"process_graph": {"a": {"process_id": "mine", "arguments": {"x": 5}, "result": True}}})
    server.documents.clear()
    client.start(id)
    client.work()
    assert client.value(id) == 6
    told = client.call("GET", f"/jobs/{id}", 200).json()["remote_processes"]
    assert {(pin["namespace"], pin["id"]) for pin in told} == {(outer, "outer"), (inner, "inner")}


def test_synchronous_requests_fetch_each_definition_once(client: Client, server: Server) -> None:
    server.documents["/plus"] = plus(10)
    graph = call(f"{server.url}/plus")
    graph["process_graph"]["again"] = {**graph["process_graph"]["call"], "arguments": {"x": {"from_node": "call"}}}
    del graph["process_graph"]["call"]["result"]
    assert client.call("POST", "/result", 200, json={"process": graph}).json() == 21
    assert server.asked == ["/plus"]


def test_definitions_are_fetched_again_after_a_while_only(
    client: Client, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "FRESH", 3600.0)
    server.documents["/plus"] = plus(10)
    for _ in range(3):
        client.create(call(f"{server.url}/plus"))
    assert server.asked == ["/plus"]


def test_a_server_that_does_not_answer_is_asked_once(client: Client, server: Server) -> None:
    nodes = {f"n{i}": call(f"{server.url}/p{i}")["process_graph"]["call"] | {"result": i == 0} for i in range(5)}
    client.create({"process_graph": nodes})
    assert len(server.asked) == 1


def test_a_graph_uses_a_limited_number_of_definitions(client: Client, server: Server) -> None:
    most = remote.MOST_PINS
    server.documents.update({f"/p{i}": plus(1) for i in range(most + 1)})
    nodes = {f"n{i}": call(f"{server.url}/p{i}")["process_graph"]["call"] for i in range(most + 1)}
    nodes = {id: {**node, "result": id == "n0"} for id, node in nodes.items()}
    id = client.create({"process_graph": nodes})
    refused = client.call("POST", f"/jobs/{id}/results", 400).json()
    assert refused["code"] == "ProcessGraphComplexity"
    assert str(most) in refused["message"]


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (plus(1, "other"), "ProcessNamespaceInvalid"),
        ({"id": "plus", "parameters": []}, "ProcessNamespaceInvalid"),
        (["plus"], "ProcessNamespaceInvalid"),
        ({"processes": []}, "ProcessNamespaceInvalid"),
        ({"id": "plus", "process_graph": {"a": {"process_id": "nothing_like_it", "arguments": {}}}}, None),
    ],
)
def test_what_is_no_definition_is_told(client: Client, server: Server, document: Any, code: str | None) -> None:
    server.documents["/plus"] = document
    id = client.create(call(f"{server.url}/plus"))
    refused = client.call("POST", f"/jobs/{id}/results", 400).json()
    assert code is None or refused["code"] == code
    assert "plus" in refused["message"]


def test_definitions_that_call_themselves_are_refused(client: Client, server: Server) -> None:
    url = f"{server.url}/plus"
    node = {"process_id": "plus", "namespace": url, "arguments": {"x": {"from_parameter": "x"}}, "result": True}
    server.documents["/plus"] = {**plus(1), "process_graph": {"again": node}}
    id = client.create(call(url))
    refused = client.call("POST", f"/jobs/{id}/results", 400).json()
    assert "call each other too deeply" in refused["message"]
