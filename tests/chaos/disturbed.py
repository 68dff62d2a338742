"""Fronts of servers: each listens on a port of its own, passes on what comes, and disturbs it as it is told."""

from __future__ import annotations

import contextlib
import http.client
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: Closing a socket with this option resets the connection.
RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Answer:
    """What a server answers."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Asked:
    """What it was asked."""

    method: str
    path: str
    headers: Mapping[str, str]
    pass_on: Callable[[], Answer]
    """The answer of the server, which is not asked before."""


Lie = Callable[[Asked, random.Random], Answer]


class HttpFront:
    """A front of an HTTP server. `fault` is the name of a kind of disturbance, of `lies` too, or None.

    :param share: of requests that are disturbed while there is a fault that can be.
    """

    def __init__(self, target: tuple[str, int], lies: Mapping[str, Lie], seed: int, share: float = 0.8) -> None:
        self.target = target
        self.lies = lies
        self.fault: str | None = None
        self.disturbed = 0
        self._share = share
        self._random = random.Random(seed)
        self._server: ThreadingHTTPServer | None = None
        self.port = 0
        self.open()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def begin(self, fault: str) -> None:
        if fault == "stopped":
            self.close()
        self.fault = fault

    def end(self) -> None:
        self.fault = None
        if self._server is None:
            self.open()

    def open(self) -> None:
        front = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def any(self) -> None:
                front.handle(self)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = any

            def log_message(self, format: str, *arguments: Any) -> None:
                """Be quiet."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Who went away is not of interest."""

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        asked = Asked(handler.command, handler.path, dict(handler.headers), lambda: self._pass_on(handler, body))
        fault = self.fault if self._random.random() < self._share else None
        if self.fault == "stopped":  # on a connection from before
            _reset(handler.connection)
            handler.close_connection = True
            return
        if fault is not None:
            self.disturbed += 1
        if fault == "hanging":
            self._hang()
        if fault == "slow":
            time.sleep(self._random.uniform(0.3, 2.0))
        if fault in self.lies:
            answer = self.lies[fault or ""](asked, self._random)
        elif fault in ("500", "503"):
            answer = Answer(int(fault or 0), {"Content-Type": "text/plain"}, b"out of order")
        else:
            answer = asked.pass_on()
        self._send(handler, answer, fault)

    def _hang(self) -> None:
        end = time.monotonic() + 25
        while self.fault == "hanging" and time.monotonic() < end:
            time.sleep(0.1)

    def _pass_on(self, handler: BaseHTTPRequestHandler, body: bytes) -> Answer:
        connection = http.client.HTTPConnection(*self.target, timeout=60)
        try:
            connection.request(handler.command, handler.path, body, dict(handler.headers))
            answer = connection.getresponse()
            content = answer.read()
        except OSError:
            return Answer(502, {}, b"")
        finally:
            connection.close()
        hidden = ("transfer-encoding", "content-length", "connection", "date", "server")
        headers = {name: value for name, value in answer.getheaders() if name.lower() not in hidden}
        length = answer.getheader("Content-Length") if handler.command == "HEAD" else None
        return Answer(answer.status, headers | ({"Content-Length": length} if length else {}), content)

    def _send(self, handler: BaseHTTPRequestHandler, answer: Answer, fault: str | None) -> None:
        body, length = answer.body, answer.headers.get("Content-Length") or str(len(answer.body))
        if fault == "shortened":  # and the length says so, too
            body = body[: len(body) // 2]
            length = str(len(body)) if handler.command != "HEAD" else length
        handler.send_response(answer.status)
        for name, value in answer.headers.items():
            if name.lower() != "content-length":
                handler.send_header(name, value)
        if answer.status != 204:
            handler.send_header("Content-Length", length)
        handler.end_headers()
        if handler.command == "HEAD":
            return
        if fault in ("broken off", "reset") and len(body) > 1:
            handler.wfile.write(body[: len(body) // 2])
            handler.wfile.flush()
            handler.close_connection = True
            if fault == "reset":
                _reset(handler.connection)
            return
        if fault == "dripping":
            step = max(1, len(body) // 7)
            for start in range(0, len(body), step):
                handler.wfile.write(body[start : start + step])
                handler.wfile.flush()
                time.sleep(0.2)
            return
        handler.wfile.write(body)


def _reset(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        connection.shutdown(socket.SHUT_RDWR)


@dataclass(eq=False)
class _Pair:
    """A client, the server's side, and what is wrong between them."""

    client: socket.socket
    server: socket.socket
    cuts_after: bool = False
    """The next answer is not passed on: what was asked is done, and the client does not learn it."""

    def cut(self) -> None:
        for side in (self.client, self.server):
            _reset(side)
            with contextlib.suppress(OSError):
                side.close()


#: An answer to a client that connects to PostgreSQL: FATAL 53300, too many connections.
_FIELDS = b"SFATAL\0VFATAL\0C53300\0Msorry, too many clients already\0\0"
FULL = b"E" + struct.pack("!i", len(_FIELDS) + 4) + _FIELDS


class DatabaseFront:
    """A front of PostgreSQL. Faults: stopped, hanging, slow, reset, full, garbage, and commits unanswered."""

    def __init__(self, target: tuple[str, int], seed: int) -> None:
        self.target = target
        self.fault: str | None = None
        self.disturbed = 0
        self._random = random.Random(seed)
        self._pairs: set[_Pair] = set()
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self.port = 0
        self.open()

    def begin(self, fault: str) -> None:
        self.fault = fault
        if fault == "stopped":
            self.close()
        if fault in ("full", "reset"):
            self._cut_all()
        if fault == "reset":
            threading.Thread(target=self._keep_cutting, daemon=True).start()

    def end(self) -> None:
        self.fault = None
        if self._listener is None:
            self.open()

    def open(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(128)
        self.port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def close(self) -> None:
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self._cut_all()

    def _cut_all(self) -> None:
        with self._lock:
            pairs = list(self._pairs)
        self.disturbed += len(pairs)
        for pair in pairs:
            pair.cut()

    def _keep_cutting(self) -> None:
        while self.fault == "reset":
            time.sleep(self._random.uniform(0.3, 1.5))
            self._cut_all()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            if self.fault == "full":
                threading.Thread(target=self._refuse, args=(client,), daemon=True).start()
                continue
            try:
                server = socket.create_connection(self.target, 10)
                server.settimeout(None)
            except OSError:
                _reset(client)
                client.close()
                continue
            pair = _Pair(client, server)
            with self._lock:
                self._pairs.add(pair)
            threading.Thread(target=self._pump, args=(pair, client, server), daemon=True).start()
            threading.Thread(target=self._pump, args=(pair, server, client), daemon=True).start()

    def _refuse(self, client: socket.socket) -> None:
        self.disturbed += 1
        with contextlib.suppress(OSError):
            client.settimeout(5)
            if client.recv(8)[4:] == b"\x04\xd2\x16\x2f":  # whether there is TLS
                client.sendall(b"N")
                client.recv(4096)
            client.sendall(FULL)
        client.close()

    def _pump(self, pair: _Pair, source: socket.socket, target: socket.socket) -> None:
        asks = source is pair.client
        try:
            while data := source.recv(65_536):
                if not self._disturb(pair, data, asks):
                    break
                target.sendall(data)
        except OSError:
            pass
        finally:
            with self._lock:
                self._pairs.discard(pair)
            pair.cut()

    def _disturb(self, pair: _Pair, data: bytes, asks: bool) -> bool:
        """Disturb what is on its way; False where the connection ends."""
        fault = self.fault
        if fault == "hanging":
            self.disturbed += 1
            while self.fault == "hanging":
                time.sleep(0.05)
        elif fault == "slow":
            self.disturbed += 1
            time.sleep(self._random.uniform(0.02, 0.2))
        elif fault == "commits unanswered" and asks and b"COMMIT" in data and self._random.random() < 0.5:
            self.disturbed += 1
            pair.cuts_after = True
        elif fault == "garbage" and not asks and self._random.random() < 0.2:
            self.disturbed += 1
            with contextlib.suppress(OSError):
                pair.client.sendall(b"\xff" + self._random.randbytes(len(data)))
            time.sleep(0.2)
            return False
        return asks or not pair.cuts_after


def instead(answer: Answer, body: bytes, **headers: str) -> Answer:
    """An answer with another body."""
    kept = {name: value for name, value in answer.headers.items() if name.lower() != "content-length"}
    return replace(answer, headers=kept | {name.replace("_", "-"): value for name, value in headers.items()}, body=body)
