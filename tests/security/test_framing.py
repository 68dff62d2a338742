"""T10, T16: requests whose framing lies are refused as such, and who sends too much gets to see why."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from live_server import Server, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    few = {"SERVER__BODY_LIMIT_MB": "1", "SERVER__REQUEST_SECONDS": "3"}
    folder = tmp_path_factory.mktemp("framing") / "server"
    with serving(folder, None, "ada", "ada-secret-1", settings=few) as server:
        yield server


def send(server: Server, data: bytes) -> bytes:
    """All that comes back until the server closes the connection."""
    parts, found = urlsplit(server.url), b""
    with socket.create_connection((parts.hostname, parts.port), 60) as client:
        client.sendall(b"POST /openeo/1.2/validation HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + data)
        while part := client.recv(65_536):
            found += part
    return found


@pytest.mark.parametrize(
    "body",
    [
        b"ZZ\r\n{}\r\n0\r\n\r\n",
        b"-2\r\n{}\r\n0\r\n\r\n",
        b"2\r\n{}XX0\r\n\r\n",
        b"2;" + b"a" * 100_000 + b"\r\n{}\r\n0\r\n\r\n",
        b"2\r\n{}\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
    ids=["no number", "negative", "no end", "extension", "trailer"],
)
def test_chunks_that_are_none(server: Server, body: bytes) -> None:
    """One answer, which blames the client, and no second request is seen in what follows."""
    found = send(server, b"Transfer-Encoding: chunked\r\n\r\n" + body + b"GET /openeo/1.2/ HTTP/1.1\r\nHost: x\r\n\r\n")
    assert found.startswith(b"HTTP/1.1 400 "), found[:200]
    assert found.count(b"HTTP/1.1 ") == 1
    assert b'"RequestInvalid"' in found


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 2\r\nContent-Length: 4\r\n",
        b"Content-Length: -1\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Content-Length: 2\r\n X: folded\r\n",
    ],
)
def test_lengths_that_contradict_each_other(server: Server, head: bytes) -> None:
    found = send(server, head + b"\r\n{}")
    assert found.split()[1] in (b"400", b"501")
    assert found.count(b"HTTP/1.1 ") == 1


def test_a_length_beyond_all_numbers(server: Server) -> None:
    found = send(server, b"Content-Length: " + b"9" * 400 + b"\r\nConnection: close\r\n\r\n{}")
    assert found.startswith(b"HTTP/1.1 413 "), found[:200]


def test_who_sends_too_much_gets_to_see_why(server: Server) -> None:
    parts = urlsplit(server.url)
    client = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    client.request("POST", "/openeo/1.2/validation", bytes(30_000_000), {"Content-Type": "application/json"})
    answer = client.getresponse()
    assert answer.status == 413
    assert b"RequestTooLarge" in answer.read()
    client.request("GET", "/openeo/1.2/health")
    assert client.getresponse().status == 200
    client.close()
