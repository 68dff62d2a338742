"""The guarded way out."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest

from openeo_backend.errors import OpenEOError
from openeo_backend.net.door import Door
from openeo_backend.net.policy import is_public
from openeo_backend.settings import NetSettings


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = self.path
        if path.startswith("/to?"):
            self.send_response(302)
            self.send_header("Location", path[4:])
            self.end_headers()
            return
        if path == "/drip":
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):  # the other side may leave
                for _ in range(30):
                    self.wfile.write(b" ")
                    time.sleep(0.1)
            return
        if path == "/later":
            self.send_response(503)
            self.send_header("Retry-After", "3600")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = {
            "/big": b"x" * 3_000_000,
            "/text": b"no json",
            "/auth": str(self.headers["Authorization"]).encode(),
        }.get(path, b'{"a": 1}')
        self.send_response(404 if path == "/missing" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        return


@pytest.fixture
def server() -> Iterator[str]:
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    httpd.server_close()
    thread.join()


def test_nothing_waits_for_confirmations(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither what is sent for that of what was sent before, nor what the server sends for ours: 40 ms each."""
    options: list[tuple[int, ...]] = []
    set_option = socket.socket.setsockopt
    monkeypatch.setattr(
        socket.socket, "setsockopt", lambda own, *given: options.append(given) or set_option(own, *given)
    )
    Door(NetSettings(), (server,)).post_json(f"{server}/", {"b": 1})
    assert {(socket.IPPROTO_TCP, name, 1) for name in (socket.TCP_NODELAY, socket.TCP_QUICKACK)} <= set(options)


def test_named_hosts_are_reached(server: str) -> None:
    door = Door(NetSettings(), (server,))
    assert door.json(f"{server}/") == {"a": 1}
    assert door.post_json(f"{server}/", {"b": [1]}) == {"b": [1]}
    assert door.json(f"{server}/to?/x") == {"a": 1}


def test_what_comes_in_is_counted(server: str) -> None:
    door = Door(NetSettings(), (server,))
    door.get(f"{server}/big")
    assert door.traffic.received == 3_000_000
    proxy = urlsplit(door.tunnel())
    with socket.create_connection(("127.0.0.1", proxy.port or 0), 5) as client, client.makefile("rb") as answers:
        name, password = (proxy.username or "").encode(), (proxy.password or "").encode()
        client.sendall(b"\x05\x01\x02" + b"\x01" + bytes([len(name)]) + name + bytes([len(password)]) + password)
        assert answers.read(4) == b"\x05\x02\x01\x00"
        port = urlsplit(server).port or 0
        client.sendall(b"\x05\x01\x00\x03\x09127.0.0.1" + port.to_bytes(2, "big"))
        assert answers.read(10)[1] == 0
        client.sendall(b"GET /big HTTP/1.0\r\n\r\n")
        answer = answers.read()
    assert answer.endswith(b"x" * 3_000_000)
    assert door.traffic.received == 3_000_000 + len(answer)


def test_the_same_host_is_refused_when_nobody_named_it(server: str) -> None:
    with pytest.raises(OpenEOError, match="not a public address") as raised:
        Door(NetSettings()).get(f"{server}/")
    assert raised.value.code == "UrlNotAllowed"


def test_another_port_of_a_named_host_is_refused(server: str) -> None:
    host, port = server.removeprefix("http://").split(":")
    with pytest.raises(OpenEOError, match="not a public address"):
        Door(NetSettings(allow=[f"{host}:1"])).get(f"{server}/")
    assert Door(NetSettings(allow=[host])).get(f"{server}/") == b'{"a": 1}'
    assert Door(NetSettings(allow=[f"{host}:{port}"])).get(f"{server}/") == b'{"a": 1}'


def test_redirects_are_checked_again(server: str) -> None:
    door = Door(NetSettings(), (server,))
    for target in ("http://127.0.0.1:9/", "file:///etc/passwd", "http://[::1]/", "gopher://127.0.0.1/"):
        with pytest.raises(OpenEOError) as raised:
            door.get(f"{server}/to?{target}")
        assert raised.value.code == "UrlNotAllowed"
    with pytest.raises(OpenEOError, match="redirects more than"):
        door.get(f"{server}/to?" * 7 + f"{server}/")


def test_a_token_is_not_sent_on_to_a_redirect(server: str) -> None:
    door = Door(NetSettings(), (server,))
    assert door.get(f"{server}/auth", headers={"Authorization": "Bearer s"}) == b"Bearer s"
    assert door.get(f"{server}/to?/auth", headers={"Authorization": "Bearer s"}) == b"None"


def test_limits_and_failures_are_openeo_errors(server: str) -> None:
    door = Door(NetSettings(), (server,))
    with pytest.raises(OpenEOError) as raised:
        door.get(f"{server}/big", limit_mb=1)
    assert raised.value.code == "FileSizeExceeded"
    with pytest.raises(OpenEOError, match="404"):
        door.get(f"{server}/missing")
    with pytest.raises(OpenEOError, match="not a JSON"):
        door.json(f"{server}/text")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/",
        "file:///etc/passwd",
        "/etc/passwd",
        "http://",
        "http://user:pass@127.0.0.1/",
        "http://127.0.0.1/ x",
        "http://127.0.0.1\\@example.org/",
        "http://localhost/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://0.0.0.0/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://10.0.0.1/",
        "http://172.16.0.1/",
        "http://192.168.1.1/",
        "http://169.254.169.254/latest/meta-data",
        "http://[fd00::1]/",
        "http://[fe80::1]/",
        "http://127.0.0.1:99999/",
    ],
)
def test_hostile_urls_are_refused_without_a_connection(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_connection(*args: Any, **kwargs: Any) -> None:
        raise AssertionError(f"connected for {url}")

    monkeypatch.setattr(socket, "create_connection", no_connection)
    for use in (Door(NetSettings()).check, Door(NetSettings()).get):
        with pytest.raises(OpenEOError) as raised:
            use(url)
        assert raised.value.code in ("UrlNotAllowed", "UrlNotReachable")


def test_an_address_of_version_6_is_told_as_it_was_written() -> None:
    with pytest.raises(OpenEOError, match=r"'http://\[fd00::1\]:80/'"):
        Door(NetSettings()).get("http://[fd00::1]/")


def test_rebinding_is_defeated_because_the_checked_address_is_the_one_connected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = iter(["93.184.216.34", "127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.1"])
    connected: list[str] = []

    def flip(host: str, port: int, **kwargs: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    def record(address: tuple[str, int], *args: Any, **kwargs: Any) -> None:
        connected.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", flip)
    monkeypatch.setattr(socket, "create_connection", record)
    with pytest.raises(OpenEOError):
        Door(NetSettings(timeout_seconds=1)).get("http://rebind.example/")
    assert "127.0.0.1" not in connected


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
    ],
)
def test_public_addresses(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public


def test_an_answer_that_comes_in_drips_is_given_up(server: str) -> None:
    """Each byte comes in time, the whole would not."""
    door = Door(NetSettings(allow=["127.0.0.1"]))
    began = time.monotonic()
    with pytest.raises(OpenEOError, match="whole answer in time"):
        door.request("GET", f"{server}/drip", seconds=1, within=0.5)
    assert time.monotonic() - began < 2


def test_servers_cannot_ask_for_hours_of_patience(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("urllib3.util.retry.time.sleep", slept.append)
    with pytest.raises(OpenEOError, match="UrlNotReachable"):
        Door(NetSettings(allow=["127.0.0.1"])).get(f"{server}/later")
    assert slept
    assert max(slept) <= 10


def test_a_request_is_sent_once_where_it_is_asked_for(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urllib3.util.retry.time.sleep", lambda seconds: pytest.fail("it waits to try again"))
    assert Door(NetSettings(allow=["127.0.0.1"])).request("GET", f"{server}/later", again=False).status == 503
