"""T16: what one user takes leaves enough for the others."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live_server import serving
from victims import GRAPH, ROOT, finish_job

from openeo_backend.api import access, gunicorn, patience
from openeo_backend.api.app import create_app
from openeo_backend.api.share import Shares
from openeo_backend.errors import OpenEOError
from openeo_backend.run.request import Outcome


def configure(node: Any, **sections: Any) -> None:
    settings = node.backend.settings
    for name, members in sections.items():
        section = getattr(settings, name)
        setattr(settings, name, section.model_copy(update=members) if hasattr(section, "model_copy") else members)
    node.app = create_app(node.backend)


def test_t16_stored_jobs(node: Any) -> None:
    configure(node, quotas={"jobs": 2})
    answers = [node.ask("POST", f"{ROOT}/jobs", "ada", json={"process": GRAPH}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 400]
    assert answers[2].json["code"] == "StorageQuotaExceeded"
    assert node.ask("POST", f"{ROOT}/jobs", "bob", json={"process": GRAPH}).status_code == 201
    node.ask("DELETE", f"{ROOT}/jobs/{answers[0].headers['OpenEO-Identifier']}", "ada")
    assert node.ask("POST", f"{ROOT}/jobs", "ada", json={"process": GRAPH}).status_code == 201


def test_t16_stored_processes(node: Any) -> None:
    configure(node, quotas={"processes": 1})
    codes = [node.ask("PUT", f"{ROOT}/process_graphs/p{n}", "ada", json=GRAPH).status_code for n in range(2)]
    assert codes == [200, 400]
    assert node.ask("PUT", f"{ROOT}/process_graphs/p0", "ada", json=GRAPH).status_code == 200


def test_t16_stored_results(node: Any) -> None:
    configure(node, quotas={"results_gb": 1e-12})
    finish_job(node, "ada")
    job = node.ask("POST", f"{ROOT}/jobs", "ada", json={"process": GRAPH}).headers["OpenEO-Identifier"]
    answer = node.ask("POST", f"{ROOT}/jobs/{job}/results", "ada")
    assert (answer.status_code, answer.json["code"]) == (400, "StorageQuotaExceeded")
    assert "GB" in answer.json["message"]


@pytest.fixture
def gate(node: Any) -> Iterator[threading.Event]:
    """Synchronous requests run until it is set."""
    event = threading.Event()

    def wait(*_: Any) -> Outcome:
        assert event.wait(20)
        return Outcome(value=8, has_value=True)

    object.__setattr__(node.backend, "runner", wait)
    configure(node, limits={"sync_slots": 3})
    yield event
    event.set()


def test_t16_one_user_cannot_take_all_slots(node: Any, gate: threading.Event) -> None:
    """Of three slots ada gets two; the third is there for bob at once."""
    answers: dict[str, list[Any]] = {"ada": [], "bob": []}

    def compute(user: str) -> None:
        answers[user].append(node.ask("POST", f"{ROOT}/result", user, json={"process": GRAPH}))

    flood = [threading.Thread(target=compute, args=("ada",)) for _ in range(6)]
    for thread in flood:
        thread.start()
    _until(lambda: len(answers["ada"]) == 4)
    assert {answer.status_code for answer in answers["ada"]} == {429}
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers["ada"])
    bob = threading.Thread(target=compute, args=("bob",))
    bob.start()
    time.sleep(0.2)
    gate.set()
    for thread in (*flood, bob):
        thread.join()
    assert [answer.status_code for answer in answers["bob"]] == [200]
    assert sorted(answer.status_code for answer in answers["ada"]) == [200, 200, 429, 429, 429, 429]


def _until(condition: Any) -> None:
    end = time.monotonic() + 10
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)


def test_t16_roles_may_have_more_slots() -> None:
    shares = Shares("slots", 4, 1, "")
    shares.take("ada", 2)
    shares.take("ada", 2)
    with pytest.raises(OpenEOError):
        shares.take("ada", 2)
    shares.give_back("ada")
    shares.take("ada", 2)


def test_t16_one_user_cannot_hold_all_threads(node: Any) -> None:
    """Requests of one user beyond the threads left for others are answered with 429, and those after them are not."""
    configure(node, quotas={"requests": 2})
    flights = node.app.extensions[access.FLIGHTS]
    flights.take("ada")
    assert node.ask("GET", f"{ROOT}/me", "ada").status_code == 200
    flights.take("ada")
    refused = node.ask("GET", f"{ROOT}/me", "ada")
    assert refused.status_code == 429
    assert refused.headers["Retry-After"]
    assert node.ask("GET", f"{ROOT}/me", "bob").status_code == 200
    flights.give_back("ada")
    assert [node.ask("GET", f"{ROOT}/me", "ada").status_code for _ in range(5)] == [200] * 5


class Request:
    def __init__(self, *headers: tuple[str, str]) -> None:
        self.headers = headers


def test_t16_bodies_get_time_by_their_length() -> None:
    assert gunicorn._declared(Request(("Content-Length", "70"))) == 70  # type: ignore[arg-type]
    assert gunicorn._declared(Request(("Transfer-Encoding", "chunked"))) is None
    assert gunicorn._declared(Request()) == 0
    one, other = socket.socketpair()
    with one, other:
        waiting = patience.Patience(one, threading.Semaphore(1))
        waiting.begin(0.05)
        assert one.recv(1) == b""  # cut, not waited for


def test_t16_few_clients_may_be_slow_with_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are cut off after a moment; whoever ends lets another one be slow."""
    monkeypatch.setattr(patience, "QUICK_SECONDS", 0.05)
    slow = threading.Semaphore(1)
    with contextlib.ExitStack() as stack:
        pairs = [[stack.enter_context(end) for end in socket.socketpair()] for _ in range(3)]
        first, second, third = (patience.Patience(pair[0], slow) for pair in pairs)
        first.begin_head(30)
        time.sleep(0.3)
        second.begin_head(30)
        pairs[1][0].settimeout(10)
        assert pairs[1][0].recv(1) == b""
        first.end()
        third.begin_head(30)
        time.sleep(0.3)
        for number in (0, 2):
            pairs[number][1].sendall(b"x")
            assert pairs[number][0].recv(1) == b"x"
        third.end()
        assert slow.acquire(blocking=False)


def test_t16_bodies_have_to_come_at_a_fair_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever length was told: what drips is cut, what comes in time is not."""
    monkeypatch.setattr(patience, "RATE", 1000)
    for piece, pause, whole in ((b"x" * 200, 0.1, True), (b"x", 0.1, False)):
        ours, theirs = socket.socketpair()
        with ours, theirs, ours.makefile("rb", buffering=0) as body:
            timed = patience.TimedBody(body, 10**9, patience.Patience(ours, threading.Semaphore(1)), 0.5)
            ended = time.monotonic() + 1.5

            sender = threading.Thread(target=_send, args=(theirs, piece, pause, ended))
            begun = time.monotonic()
            sender.start()
            while timed.read(200):
                pass
            took = time.monotonic() - begun
            sender.join()
        assert (took >= 1.4) == whole


def _send(to: socket.socket, piece: bytes, pause: float, until: float) -> None:
    with contextlib.suppress(OSError):
        while time.monotonic() < until:
            to.sendall(piece)
            time.sleep(pause)
        to.shutdown(socket.SHUT_WR)


def test_t16_strangers_leave_threads_to_users(node: Any) -> None:
    """Only requests with bodies count, and only of those who have not logged in."""
    configure(node, quotas={"requests": 1})
    flights = node.app.extensions[access.FLIGHTS]
    body = {"json": {"process_graph": {}}}
    assert node.ask("POST", f"{ROOT}/validation", **body).status_code == 200
    flights.take(access.STRANGERS)
    assert node.ask("POST", f"{ROOT}/validation", **body).status_code == 429
    assert node.ask("GET", f"{ROOT}/processes").status_code == 200
    assert node.ask("POST", f"{ROOT}/validation", "ada", **body).status_code == 200
    flights.give_back(access.STRANGERS)
    assert [node.ask("POST", f"{ROOT}/validation", **body).status_code for _ in range(3)] == [200] * 3


def test_t16_clients_that_drip_do_not_keep_others_out(tmp_path: Path) -> None:
    """More than all threads: silent connections, heads that drip, bodies that drip."""
    stop, few = threading.Event(), {"SERVER__REQUEST_SECONDS": "2"}
    with (
        serving(tmp_path / "server", None, "ada", "ada-secret-1", settings=few) as server,
        contextlib.ExitStack() as stack,
    ):
        host, _, port = server.url.removeprefix("http://").rpartition(":")
        clients = []
        for kind in ("silent", "head", "body") * 8:
            client = stack.enter_context(socket.create_connection((host, int(port))))
            if kind == "head":
                client.sendall(b"GET /openeo/1.2/ HTTP/1.1\r\nHost: x\r\nX-A: ")
            if kind == "body":
                client.sendall(b"POST /openeo/1.2/validation HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                               b"Content-Length: 100000\r\n\r\n")  # fmt: skip
            if kind != "silent":
                clients.append(client)

        def drip() -> None:
            while not stop.wait(0.3):
                for client in clients:
                    with contextlib.suppress(OSError):
                        client.send(b" ")

        dripping = threading.Thread(target=drip, daemon=True)
        dripping.start()
        begun = time.monotonic()
        with urllib.request.urlopen(f"{server.root}/", timeout=60) as answer:
            assert answer.status == 200
        waited = time.monotonic() - begun
        stop.set()
        dripping.join()
    assert waited < 30  # rounds of the patience with heads and bodies; for ever without it


def test_t16_sockets_give_up_who_does_not_read() -> None:
    one, other = socket.socketpair()
    with one, other:
        patience.Patience(one, threading.Semaphore(1))
        seconds, _ = struct.unpack("ll", one.getsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, 16))
    assert seconds == patience.SEND_SECONDS
