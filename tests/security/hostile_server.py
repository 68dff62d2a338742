"""A server that does what it is told to a path, and counts who asks."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[["Request"], None]


class Request(BaseHTTPRequestHandler):
    """One request, with ways to answer it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:  # noqa: N802
        server: Any = self.server
        length = int(self.headers.get("Content-Length") or 0)
        self.body = json.loads(self.rfile.read(length)) if length else None
        server.asked.append((self.command, self.path, dict(self.headers), self.body))
        try:
            server.answer(self)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_POST = do_HEAD = do_PUT = do_GET  # noqa: N815

    def send(self, document: Any, status: int = 200, **headers: str) -> None:
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def drip(self, start: bytes, piece: bytes, pause: float, most: float) -> None:
        """Send a piece again and again."""
        self.close_connection = True
        self.wfile.write(start)
        end = time.monotonic() + most
        while time.monotonic() < end:
            self.wfile.write(piece)
            self.wfile.flush()
            time.sleep(pause)

    def log_message(self, *args: Any) -> None:
        pass


class HostileServer:
    """`answer(request)` answers; `asked` are method, path, headers and body of the requests that came."""

    def __init__(self, answer: Answer) -> None:
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Request)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        self.asked: list[tuple[str, str, dict[str, str], Any]] = []
        self.http.asked = self.asked  # type: ignore[attr-defined]
        self.http.answer = answer  # type: ignore[attr-defined]
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def __enter__(self) -> HostileServer:
        return self

    def __exit__(self, *args: object) -> None:
        self.http.shutdown()
        self.http.server_close()
