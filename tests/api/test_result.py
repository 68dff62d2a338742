"""Synchronous processing."""

from __future__ import annotations

import io
import json
import math
import os
import socket
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from openeo_backend.api.sync import MOST_ENTRIES, Journal, Watch
from openeo_backend.errors import NodeRef, OpenEOError
from openeo_backend.run.request import Event, Outcome, RunRequest

ROOT = "/openeo/1.2"
TIFF = "image/tiff; application=geotiff; profile=cloud-optimized"


def post(client: FlaskClient, headers: dict[str, str], graph: dict[str, Any], **members: Any) -> Any:
    return client.post(f"{ROOT}/result", json={"process": graph, **members}, headers=headers)


def giving(outcome: Outcome) -> Callable[..., Outcome]:
    return lambda run, on_event, is_cancelled: outcome


def writing(**files: bytes) -> Callable[..., Outcome]:
    """A runner that writes files; `_` in names stands for the dot."""

    def run(request: RunRequest, on_event: Any, is_cancelled: Any) -> Outcome:
        described = []
        for name, content in files.items():
            (request.folder / name.replace("_", ".")).write_bytes(content)
            described.append({"name": name.replace("_", "."), "media_type": TIFF})
        return Outcome(files=tuple(described))

    return run


def test_a_value_comes_bare(client: FlaskClient, login: Any, graph: Any, backend: Any) -> None:
    response = post(client, login(), graph)
    assert (response.status_code, response.data, response.mimetype) == (200, b"8", "application/json")
    assert response.headers["OpenEO-Costs"] == "0"
    assert response.headers["OpenEO-Identifier"] in response.headers["Link"]
    assert list((backend.settings.data_dir / "sync").iterdir()) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        ("Löß", '"Löß"'),
        ([1, None, 2.5], "[1, null, 2.5]"),
        ({"a": []}, '{"a": []}'),
        (math.nan, "NaN"),
        (-math.inf, "-Infinity"),
    ],
)
def test_every_kind_of_value(client: FlaskClient, login: Any, graph: Any, backend: Any, value: Any, text: str) -> None:
    backend.runner = giving(Outcome(value=value, has_value=True))
    assert post(client, login(), graph).text == text


def test_one_file_comes_as_it_is(client: FlaskClient, login: Any, graph: Any, backend: Any) -> None:
    content = bytes(range(256)) * 10_000
    backend.runner = writing(map_tif=content)
    response = post(client, login(), graph)
    assert response.data == content
    assert response.headers["Content-Type"] == TIFF
    assert response.headers["Content-Length"] == str(len(content))
    assert response.headers["Content-Disposition"] == "attachment; filename=map.tif"
    assert "Content-Encoding" not in response.headers
    response.close()
    assert list((backend.settings.data_dir / "sync").iterdir()) == []


@pytest.mark.parametrize("size", [0, 1, 512, 513, 3_000_000])
def test_several_files_come_as_tar(client: FlaskClient, login: Any, graph: Any, backend: Any, size: int) -> None:
    backend.runner = writing(a_tif=b"a" * size, b_json=b"{}")
    response = post(client, login(), graph)
    assert response.mimetype == "application/x-tar"
    assert int(response.headers["Content-Length"]) == len(response.data)
    with tarfile.open(fileobj=io.BytesIO(response.data), mode="r:") as tar:
        assert tar.getnames() == ["a.tif", "b.json"]
        file = tar.extractfile("a.tif")
        assert file is not None
        assert file.read() == b"a" * size


def test_files_outside_of_the_folder_are_never_sent(client: FlaskClient, login: Any, graph: Any, backend: Any) -> None:
    backend.runner = giving(Outcome(files=({"name": "../../store.sqlite", "media_type": TIFF},)))
    response = post(client, login(), graph)
    assert (response.status_code, response.json["code"]) == (500, "Internal")


def test_the_run_gets_what_was_asked_for(client: FlaskClient, login: Any, graph: Any, backend: Any) -> None:
    seen: list[RunRequest] = []

    def run(request: RunRequest, on_event: Any, is_cancelled: Any) -> Outcome:
        seen.append(request)
        assert request.folder.is_dir()
        assert not is_cancelled()
        return Outcome(value=1, has_value=True)

    backend.runner = run
    post(client, login(), graph, title="Mine", log_level="debug", job_options={"tile": 1})
    limits = backend.settings.limits
    assert seen[0].process == graph
    assert (seen[0].user, seen[0].title, seen[0].log_level) == ("ada", "Mine", "debug")
    assert seen[0].options == {"tile": 1}
    assert (seen[0].limit_samples, seen[0].seconds) == (limits.sync_samples, 300)
    assert limits.sync_samples >= 1e9
    assert seen[0].memory_mb == limits.sync_memory_mb == 4096
    assert seen[0].is_checked
    # What the defaults of parameters make of a graph shows when it runs.
    post(client, login(), {**graph, "parameters": [{"name": "x", "schema": {}, "default": "y", "optional": True}]})
    assert not seen[1].is_checked


def test_the_run_knows_the_stored_processes_of_its_user_where_it_calls_one(
    client: FlaskClient, login: Any, graph: Any, backend: Any
) -> None:
    backend.store.processes.put("ada", "mine", graph)
    backend.store.processes.put("bob", "his", graph)
    seen: list[RunRequest] = []

    def run(request: RunRequest, on_event: Any, is_cancelled: Any) -> Outcome:
        seen.append(request)
        return Outcome(value=1, has_value=True)

    backend.runner = run
    post(client, login("ada"), graph)
    assert list(seen[0].processes) == []
    plan = backend.plan
    backend.plan = lambda *given: plan(*given) if "mine" in given[4] else None  # as for a graph that calls one
    post(client, login("ada"), graph)
    assert list(seen[1].processes) == ["mine"]


def test_unknown_and_null_members_do_no_harm(client: FlaskClient, login: Any, graph: Any) -> None:
    nulls = {"title": None, "description": None, "plan": None, "budget": None, "log_level": None, "job_options": None}
    assert post(client, login(), graph, isTrusted=True, **nulls).data == b"8"
    assert post(client, login(), {**graph, "id": None, "summary": None, "parameters": None}).data == b"8"
    assert post(client, login(), graph, plan="FREE", budget=100).data == b"8"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"process": None}, "ProcessGraphMissing"),
        ({"process": {}}, "ProcessGraphMissing"),
        ({"process": []}, "RequestInvalid"),
        ({"process": {"process_graph": []}}, "ProcessGraphInvalid"),
        ({"plan": "gold"}, "BillingPlanInvalid"),
        ({"budget": -1}, "BudgetInvalid"),
        ({"budget": True}, "BudgetInvalid"),
        ({"log_level": "loud"}, "RequestInvalid"),
        ({"job_options": 3}, "RequestInvalid"),
    ],
)
def test_wrong_members(client: FlaskClient, login: Any, graph: Any, body: dict[str, Any], code: str) -> None:
    response = client.post(f"{ROOT}/result", json={"process": graph, **body}, headers=login())
    assert (response.status_code, response.json["code"]) == (400, code)


def test_an_empty_request_has_no_process(client: FlaskClient, login: Any) -> None:
    response = client.post(f"{ROOT}/result", json={}, headers=login())
    assert (response.status_code, response.json["code"]) == (400, "ProcessGraphMissing")


def test_problems_are_told_together_before_anything_runs(
    client: FlaskClient, login: Any, graph: Any, backend: Any
) -> None:
    backend.runner = lambda *args: pytest.fail("it ran")
    nodes = {name: {"process_id": f"{name}_it", "arguments": {}} for name in ("spin", "turn")}
    response = post(client, login(), {"process_graph": nodes})
    assert (response.status_code, response.json["code"]) == (400, "ProcessUnsupported")
    assert "Node 'spin' (spin_it)" in response.json["message"]
    assert "Node 'turn' (turn_it)" in response.json["message"]


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("CollectionNotFound", 404, 400),
        ("NoDataAvailable", 400, 400),
        ("FeatureUnsupported", 501, 400),
        ("OutOfMemory", 500, 500),
        ("PaymentRequired", 402, 402),
        ("RequestTimeout", 408, 408),
        ("InfrastructureBusy", 503, 503),
    ],
)
def test_failures_have_the_statuses_that_clients_show(
    client: FlaskClient, login: Any, graph: Any, backend: Any, code: str, status: int, expected: int
) -> None:
    backend.runner = giving(Outcome(error={"code": code, "message": "It failed.", "status": status}))
    headers = login()
    response = post(client, headers, graph)
    assert (response.status_code, response.json["code"]) == (expected, code)
    [link] = response.json["links"]
    assert link["rel"] == "monitor"
    [entry] = client.get(link["href"], headers=headers).json["logs"]
    assert (entry["level"], entry["code"]) == ("error", code)


def test_the_log_belongs_to_its_user(client: FlaskClient, login: Any, graph: Any) -> None:
    ada, bob = login("ada"), login("bob")
    link = post(client, ada, graph).headers["Link"]
    url, rel = link.split("; ")
    assert rel == 'rel="monitor"'
    log = client.get(url.strip("<>"), headers=ada).json
    assert log["level"] == "info"
    assert [(entry["level"], entry["message"]) for entry in log["logs"]] == [("info", "Adding.")]
    assert log["logs"][0]["id"]
    assert log["logs"][0]["time"].endswith("Z")
    assert client.get(url.strip("<>"), headers=bob).status_code == 404
    assert client.get(url.strip("<>")).status_code == 401


def test_entries_below_the_level_are_not_kept(client: FlaskClient, login: Any, graph: Any) -> None:
    headers = login()
    link = post(client, headers, graph, log_level="warning").headers["Link"]
    log = client.get(link.split(">")[0].strip("<"), headers=headers).json
    assert (log["level"], log["logs"]) == ("warning", [])


def test_slots_are_limited_and_given_back(client: FlaskClient, login: Any, graph: Any, backend: Any, app: Any) -> None:
    started, go = threading.Semaphore(0), threading.Event()

    def wait(request: RunRequest, on_event: Any, is_cancelled: Any) -> Outcome:
        started.release()
        assert go.wait(20)
        return Outcome(value=1, has_value=True)

    backend.runner, headers, statuses = wait, login(), []
    slots = backend.settings.limits.sync_slots
    backend.settings.quotas.sync_slots = slots  # one user may take them all
    threads = [
        threading.Thread(target=lambda: statuses.append(post(app.test_client(), headers, graph).status_code))
        for _ in range(slots)
    ]
    for thread in threads:
        thread.start()
    for _ in range(slots):
        assert started.acquire(timeout=20)
    refused = post(client, headers, graph)
    assert (refused.status_code, refused.json["code"]) == (429, "TooManyRequests")
    assert int(refused.headers["Retry-After"]) > 0
    assert client.get(f"{ROOT}/processes").status_code == 200
    go.set()
    for thread in threads:
        thread.join()
    assert statuses == [200] * slots
    assert post(client, headers, graph).status_code == 200


def test_a_crash_of_the_runner_gives_the_slot_back(client: FlaskClient, login: Any, graph: Any, backend: Any) -> None:
    def crash(*args: Any) -> Outcome:
        raise RuntimeError("bug")

    backend.runner, headers = crash, login()
    for _ in range(backend.settings.limits.sync_slots + 1):
        assert post(client, headers, graph).json["code"] == "Internal"
    assert list((backend.settings.data_dir / "sync").iterdir()) == []


def test_time_is_limited(client: FlaskClient, login: Any, graph: Any, backend: Any) -> None:
    backend.settings.limits.sync_seconds = 0.2
    Watch.GRACE, before = 0.1, Watch.GRACE

    def forever(request: RunRequest, on_event: Any, is_cancelled: Any) -> Outcome:
        while not is_cancelled():
            time.sleep(0.01)
        return Outcome(cancelled=True)

    backend.runner = forever
    try:
        response = post(client, login(), graph)
    finally:
        Watch.GRACE = before
    assert (response.status_code, response.json["code"]) == (408, "RequestTimeout")
    assert "0.2 s" in response.json["message"]


def test_it_stops_when_the_client_goes_away(live: str, login: Any, graph: Any, backend: Any) -> None:
    started, stopped = threading.Event(), threading.Event()

    def forever(request: RunRequest, on_event: Any, is_cancelled: Any) -> Outcome:
        started.set()
        while not is_cancelled():
            time.sleep(0.01)
        stopped.set()
        return Outcome(cancelled=True)

    backend.runner = forever
    body = json.dumps({"process": graph}).encode()
    host, port = live.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        lines = [
            f"POST {ROOT}/result HTTP/1.1",
            f"Host: {host}:{port}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            f"Authorization: {login()['Authorization']}",
        ]
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        assert started.wait(10)
        time.sleep(0.2)
        assert not stopped.is_set()
    assert stopped.wait(10)


def test_a_watch_takes_no_bytes_from_the_client() -> None:
    ours, theirs = socket.socketpair()
    watch = Watch(ours, 10)
    assert not watch.is_gone()
    theirs.send(b"next request")
    assert not watch.is_gone()
    assert ours.recv(100) == b"next request"
    theirs.close()
    assert watch.is_gone()
    ours.close()


def test_a_watch_without_a_connection_counts_time() -> None:
    now = [0.0]
    watch = Watch(None, 10, clock=lambda: now[0])
    assert not watch.is_over()
    now[0] = 10.0
    assert watch.is_late()
    assert not watch.is_over()
    now[0] = 10 + Watch.GRACE
    assert watch.is_over()


def test_a_flood_of_log_entries_is_cut_and_says_so() -> None:
    journal = Journal()
    for number in range(MOST_ENTRIES + 5):
        journal.note(Event("log", {"level": "info", "message": str(number)}))
    journal.note(Event("progress", {"done": 1, "planned": 2}))
    path = [{"node_id": "outer", "process_id": "apply"}, {"node_id": "inner", "process_id": "add"}]
    entries = journal.close(Outcome(error={"code": "Internal", "message": "It failed.", "path": path}))
    assert len(entries) == MOST_ENTRIES + 2
    assert entries[-2]["message"].startswith("5 further")
    assert (entries[-1]["level"], entries[-1]["message"]) == ("error", "It failed.")
    assert [node["node_id"] for node in entries[-1]["path"]] == ["inner", "outer"]


def test_validation_lists_all_problems(client: FlaskClient, graph: Any) -> None:
    assert client.post(f"{ROOT}/validation", json=graph).json == {"errors": []}
    nodes = {name: {"process_id": f"{name}_it", "arguments": {}} for name in ("spin", "turn")}
    response = client.post(f"{ROOT}/validation", json={"process_graph": nodes})
    assert response.status_code == 200
    assert [error["code"] for error in response.json["errors"]] == ["ProcessUnsupported"] * 2
    assert "spin" in response.json["errors"][0]["message"]


@pytest.mark.parametrize(("body", "code"), [({}, "ProcessGraphMissing"), ({"process_graph": 1}, "ProcessGraphInvalid")])
def test_validation_of_no_process_at_all(client: FlaskClient, body: dict[str, Any], code: str) -> None:
    response = client.post(f"{ROOT}/validation", json=body)
    assert (response.status_code, response.json["errors"][0]["code"]) == (200, code)


def test_several_kinds_of_problems_are_an_invalid_graph() -> None:
    from openeo_backend.api.errors import combine

    errors = [
        OpenEOError("ProcessUnsupported", "No such process.", path=[NodeRef("a", "x")]),
        OpenEOError("ProcessParameterRequired", "Something is missing.", path=[NodeRef("b", "y", "z")]),
    ]
    both = combine(errors)
    assert (both.code, both.status) == ("ProcessGraphInvalid", 400)
    assert "Node 'b' (y), argument 'z': Something is missing." in both.describe()
    assert combine(errors[:1]) is errors[0]
    many = combine(errors[:1] * 50)
    assert many.describe().count("No such process.") == 10
    assert "other 40" in many.describe()
    assert len(many.data) == 50


def test_folders_left_by_a_killed_server_are_swept_once_old(tmp_path: Path, backend: Any) -> None:
    from openeo_backend.api.app import create_app

    old, new = tmp_path / "sync" / "s-old", tmp_path / "sync" / "s-new"
    for folder in (old, new):
        folder.mkdir(parents=True)
        (folder / "map.tif").write_bytes(b"x")
    os.utime(old, (time.time() - 10_000,) * 2)
    create_app(backend)
    assert not old.exists()
    assert new.exists()
