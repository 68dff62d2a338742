"""An accounting service of the published shape on this machine, with moods."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs


@dataclass
class Service:
    """What the service knows, and what it does next."""

    address: str = ""
    cost: float = 7.5
    balances: dict[str, Any] = field(default_factory=dict)
    moods: list[str] = field(default_factory=list)
    """What happens with the next reports, one each: a status, `malformed`, `odd`, `slow` or `kill`."""
    posts: list[dict[str, Any]] = field(default_factory=list)
    """Every report as it came."""
    charged: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The reports by idempotency key: what users really pay for."""
    logins: list[dict[str, list[str]]] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    lifetime: float = 300
    pid: int | None = None
    """The process that the mood `kill` kills."""


class _Handler(BaseHTTPRequestHandler):
    service: Service

    def log_message(self, *args: Any) -> None:
        """Tests are quiet."""

    def do_GET(self) -> None:
        user = self.path.split("/")[2]
        if not self._is_known():
            self._answer(401, {})
        elif user not in self.service.balances:
            self._answer(404, {"error": "no such user"})
        else:
            self._answer(200, {"wallet": {"credits": self.service.balances[user]}})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/token":
            self._login(parse_qs(body.decode()))
        elif not self._is_known():
            self._answer(401, {})
        else:
            self._report(json.loads(body))

    def _login(self, form: dict[str, list[str]]) -> None:
        self.service.logins.append(form)
        if form.get("client_secret") != ["s3cret&=ü"]:
            self._answer(401, {"error": "invalid_client"})
            return
        token = f"token-{len(self.service.logins)}"
        self.service.tokens.add(token)
        self._answer(200, {"access_token": token, "expires_in": self.service.lifetime, "token_type": "Bearer"})

    def _report(self, report: dict[str, Any]) -> None:
        service = self.service
        service.posts.append(report)
        mood = service.moods.pop(0) if service.moods else ""
        if mood.isdigit():
            self._answer(int(mood), {"error": "not now"})
            return
        service.charged.setdefault(report["idempotencyKey"], report)
        if mood == "kill" and service.pid:
            os.kill(service.pid, signal.SIGKILL)
        elif mood == "slow":
            time.sleep(1.5)
        if mood == "malformed":
            self._send(200, b"<html>Thank you</html>")
        elif mood == "odd":
            self._answer(200, [{"cost": "a lot"}])
        else:
            self._answer(201, [{"cost": service.cost}, {"cost": 0.5}])

    def _is_known(self) -> bool:
        return self.headers.get("Authorization", "").removeprefix("Bearer ") in self.service.tokens

    def _answer(self, status: int, document: Any) -> None:
        self._send(status, json.dumps(document).encode())

    def _send(self, status: int, body: bytes) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            self.close_connection = True  # the client did not wait


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


@contextmanager
def running(port: int = 0) -> Iterator[Service]:
    """A service on a free port of this machine, or on the given one."""
    service = Service(tokens={"fixed"})
    handler = type("Handler", (_Handler,), {"service": service})
    server = _Server(("127.0.0.1", port), handler)
    service.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
