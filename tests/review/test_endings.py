"""Connections that servers close without a word, and reviews that are ended."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from click.testing import CliRunner
from fault import Fault, edited
from live_server import Server
from tape import TAG, Player, Tape
from trial_checks import TRIAL_CHECKS

from openeo_backend.cli import main
from openeo_backend.errors import OpenEOError
from openeo_backend.federation.review.node import Node
from openeo_backend.net.door import Reply


class Taciturn(BaseHTTPRequestHandler):
    """Closes connections as it is asked to, and does not say so."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = json.dumps({"api_version": "1.2.0", "endpoints": []}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        return


@pytest.fixture
def taciturn() -> Iterator[str]:
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Taciturn)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    httpd.server_close()
    thread.join()


def test_a_connection_that_was_closed_silently_is_not_used_again(taciturn: str) -> None:
    node = Node.open(taciturn)
    assert [node.request("GET", f"/{number}").status for number in range(20)] == [200] * 20


def test_a_silent_back_end_is_not_asked_on_and_on(tape: Tape) -> None:
    node = tape.play(Fault("", r"/openeo/1\.2/.+", lambda answer: answer.is_(0)))
    for number in range(30):
        with pytest.raises(OpenEOError):
            node.request("GET", f"/collections/{number}")
    assert isinstance(node.door, Player)
    assert node.door.count == 8
    node.close()
    with pytest.raises(OpenEOError, match="does not answer"):
        node.request("GET", "/collections")


def test_an_empty_log_says_nothing_about_entries(tape: Tape) -> None:
    node = tape.play(Fault("", r"/openeo/1\.2/jobs/[^/]+/logs.*", edited(lambda body: body["logs"].clear())))
    checks = [check for check in TRIAL_CHECKS if check.id in ("API-806", "API-807", "API-808")]
    found = {id: verdict.status for id, verdict in tape.judge(checks, node).items()}
    assert found == {"API-806": "not-applicable", "API-807": "not-applicable", "API-808": "fail"}


def test_jobs_whose_ids_were_not_told_are_deleted(tape: Tape, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = Fault(
        "", r"/openeo/1\.2/jobs", lambda answer: answer.has(openeo_identifier=None, location=None), method="POST"
    )
    node = tape.play(silent)
    assert node.trial.drafts["created"].status == 201
    asked: list[tuple[str, str]] = []
    jobs = [{"id": "j-1", "title": f"{TAG} draft"}, {"id": "j-2", "title": "A user's"}, {"id": "j-3"}]

    def answered(method: str, path: str, *_: Any, **__: Any) -> Reply:
        asked.append((method, path))
        return Reply(path, 200 if method == "GET" else 204, {}, json.dumps({"jobs": jobs}).encode())

    monkeypatch.setattr(node, "request", answered)
    assert node.close() == []
    assert asked == [("GET", "/jobs"), ("DELETE", "/jobs/j-1")]


def test_a_review_that_is_terminated_deletes_what_it_made(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[Node] = []

    def close(node: Node) -> list[str]:
        closed.append(node)
        return []

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(Node, "close", close)
    monkeypatch.setattr("openeo_backend.cli.reviewing.review", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    assert CliRunner().invoke(main, ["review", server.url]).exit_code == 130
    assert len(closed) == 1
    assert signal.getsignal(signal.SIGTERM) == before
