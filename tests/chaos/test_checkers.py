"""The checkers of `make chaos` find what they are to find, and the fronts disturb."""

from __future__ import annotations

import socket
import struct
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from disturbed import Answer, DatabaseFront, HttpFront, instead
from users import Promise
from verdict import Fault, Row, judge_files, judge_jobs, recoveries

LINE = {"level": "info", "message": "Reading."}
END = {"level": "info", "message": "The job finished: 1 file(s)."}
FAILED = {"level": "error", "code": "UrlNotReachable", "message": "It does not answer."}
SOUND = Row("j", "u", "finished", 1, 1, {"a.tif": "s"}, 10.0, 20.0, {"00000001": LINE, "00000002": END})
PROMISE = Promise("j", "ada", "dates", 5.0, started=6.0, final="finished", logs={"00000001": "Reading."})
ERROR = replace(SOUND, status="error", result_attempt=None, files={}, logs={"00000001": LINE, "00000002": FAILED})


def problems(promise: Promise, row: Row | None, *faults: Fault) -> list[str]:
    return judge_jobs([promise], {} if row is None else {"j": row}, faults)


def test_what_is_as_promised_is_no_problem() -> None:
    assert problems(PROMISE, SOUND) == []
    assert problems(replace(PROMISE, deleted=30.0), None) == []
    canceled = replace(SOUND, status="canceled", result_attempt=None, logs={"00000001": LINE})
    assert problems(replace(PROMISE, final=None, canceled=8.0, after_cancel="canceled"), canceled) == []


@pytest.mark.parametrize(
    ("promise", "row", "words"),
    [
        ({}, None, "LOST"),
        ({"deleted": 30.0}, {}, "was deleted and is there"),
        ({"final": None}, {"status": "queued"}, "is queued, not one of"),
        ({"final": None}, {"status": "canceled", "logs": {"00000001": LINE}}, "is canceled, not one of"),
        ({}, {"logs": {"00000001": LINE, "00000002": END, "00000003": END}}, "TWICE"),
        ({}, {"logs": {"00000001": LINE}}, "TWICE"),
        ({}, {"attempt": 2}, "result of attempt 1"),
        ({}, {"logs": {"00000002": END}}, "has lost the line 00000001"),
        ({"final": "error"}, {}, "was told to be error, and is finished"),
        ({"canceled": 7.0, "after_cancel": "canceled", "final": None}, {}, "was canceled after"),
    ],
)
def test_broken_promises_are_found(promise: dict[str, Any], row: dict[str, Any] | None, words: str) -> None:
    found = problems(replace(PROMISE, **promise), None if row is None else replace(SOUND, **row))
    assert any(words in problem for problem in found), found


def test_errors_need_a_fault_that_explains_them() -> None:
    promise = replace(PROMISE, final="error")
    assert problems(promise, ERROR, Fault("stac", "500", 12.0, 15.0)) == []
    assert len(problems(promise, ERROR, Fault("s3", "500", 12.0, 15.0))) == 1
    assert len(problems(promise, ERROR, Fault("stac", "500", 25.0, 30.0))) == 1
    internal = replace(ERROR, logs={**ERROR.logs, "00000002": {**FAILED, "code": "Internal"}})
    assert len(problems(promise, internal, Fault("stac", "500", 12.0, 15.0))) == 1


def test_files_are_those_of_the_database() -> None:
    key = "jobs/j/1/a.tif"
    assert judge_files([SOUND], {key: "s"}, []) == []
    assert "LOST" in judge_files([SOUND], {}, [])[0]
    assert "WRONG PIXELS" in judge_files([SOUND], {key: "other"}, [])[0]
    assert "no job has it" in judge_files([SOUND], {key: "s", "jobs/j/2/a.tif": "s"}, [])[0]
    assert judge_files([SOUND], {key: "s", "jobs/j/2/a.tif": "s"}, ["jobs/j/2/"]) == []


def test_recoveries_are_counted_from_the_end_of_faults() -> None:
    faults = [Fault("s3", "500", 0.0, 10.0), Fault("s3", "503", 20.0, 30.0), Fault("api", "killed", 90.0, 99.0)]
    assert recoveries(faults, [31.5, 5.0, 12.0]) == {"s3": [2.0, 1.5]}


@pytest.fixture
def front() -> Iterator[HttpFront]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "6")
            self.end_headers()
            self.wfile.write(b"honest")

        def log_message(self, format: str, *arguments: Any) -> None:
            """Be quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    lies = {"lie": lambda asked, chance: instead(asked.pass_on(), b"lie")}
    front = HttpFront(("127.0.0.1", server.server_port), lies, 1, share=1.0)
    yield front
    front.close()
    server.shutdown()
    server.server_close()


def fetch(front: HttpFront) -> Any:
    try:
        with urllib.request.urlopen(f"{front.url}/a", timeout=5) as answer:
            return answer.read()
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError as error:
        return type(getattr(error, "reason", error)).__name__
    except Exception as error:
        return type(error).__name__


def test_a_front_disturbs_while_it_is_told_to(front: HttpFront) -> None:
    found = {}
    for fault in ("stopped", "503", "lie", "broken off", "shortened", "dripping"):
        assert fetch(front) == b"honest"
        front.begin(fault)
        found[fault] = fetch(front)
        front.end()
    assert found == {
        "stopped": "ConnectionRefusedError",
        "503": 503,
        "lie": b"lie",
        "broken off": "IncompleteRead",
        "shortened": b"hon",
        "dripping": b"honest",
    }
    assert fetch(front) == b"honest"
    assert instead(Answer(200, {"Content-Length": "6"}, b""), b"x").headers == {}


def test_a_commit_is_done_and_not_answered() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        front = DatabaseFront(("127.0.0.1", server.getsockname()[1]), 1)
        heard: list[bytes] = []

        def serve() -> None:
            with server.accept()[0] as connection:
                for _ in range(2):
                    heard.append(connection.recv(100))
                    connection.sendall(b"done")

        thread = threading.Thread(target=serve)
        thread.start()
        with socket.create_connection(("127.0.0.1", front.port)) as client:
            client.sendall(b"BEGIN")
            assert client.recv(100) == b"done"
            front._random.random = lambda: 0.0  # type: ignore[method-assign]
            front.begin("commits unanswered")
            client.sendall(b"COMMIT")
            try:
                answer = client.recv(100)
            except ConnectionResetError:
                answer = b""
            assert answer == b""
        thread.join(5)
        front.close()
        assert heard == [b"BEGIN", b"COMMIT"]


def test_a_database_that_is_full_says_so() -> None:
    front = DatabaseFront(("127.0.0.1", 9), 1)
    front.begin("full")
    with socket.create_connection(("127.0.0.1", front.port)) as client:
        client.sendall(struct.pack("!ii", 8, 80877103))
        assert client.recv(1) == b"N"
        client.sendall(b"startup")
        answer = client.recv(1000)
        assert answer[:1] == b"E"
        assert b"C53300\0" in answer
        assert struct.unpack("!i", answer[1:5])[0] == len(answer) - 1
    front.close()
