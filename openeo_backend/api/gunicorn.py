"""Serving the application with gunicorn: one process, many request threads."""

from __future__ import annotations

import errno
import json
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.http.errors import ParseException
from gunicorn.workers.gthread import ThreadWorker
from werkzeug.exceptions import BadRequest, HTTPException

from openeo_backend.api.app import CORS, create_app
from openeo_backend.api.askers import ASKERS, Askers
from openeo_backend.api.pace import Pace
from openeo_backend.api.patience import Patience, TimedBody
from openeo_backend.api.sync import STOPPING
from openeo_backend.api.turns import FairPool
from openeo_backend.observe import logs
from openeo_backend.observe.later import later
from openeo_backend.settings import Settings, SettingsError

if TYPE_CHECKING:
    from openeo_backend.backend import Backend

#: Key in `app.extensions` of the seconds that a client may take for the head of a request.
PATIENCE = "openeo_backend.patience"

#: Key in `app.extensions` of a semaphore: how many clients may be slow with heads.
SLOW = "openeo_backend.slow"

#: Bytes of a body that are read after its request was answered without it, so that the client gets to see the answer.
MOST_DISCARDED = 256_000_000

#: Bytes that are read at a time from a connection that is closed, and how often at most.
CHUNK, MOST_CHUNKS = 1 << 16, 64

#: How long a thread goes on while others wait.
SWITCH_SECONDS = 0.0002

#: How long running requests may go on when the server is told to stop; after that, they are cut off.
GRACE_SECONDS = 5.0
STOP_SECONDS = 15


def bind(settings: Settings) -> socket.socket:
    """A listening socket at the address of the settings; port 0 takes any free port.

    :raises SettingsError: one line, where that is impossible.
    """
    host, port = settings.server.host, settings.server.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(256)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise SettingsError(f"port {port} on {host} is in use; choose another one (server.port)") from None
        raise SettingsError(f"cannot listen on {host} port {port}: {error.strerror or error}") from None
    except OverflowError:
        listener.close()
        raise SettingsError(f"server.port: {port} is no port number (0 to 65535)") from None
    return listener


def serve(backend_factory: Callable[[], Backend], settings: Settings, listener: socket.socket | None = None) -> None:
    """Serve until told to stop by SIGTERM or SIGINT; then SystemExit is raised.

    Running requests get some seconds to end. The process that answers requests ends with this one.

    :param backend_factory: called once, in the process that answers requests.
    :param listener: from :func:`bind`; by default one is made.
    :raises SettingsError: where the address cannot be listened on; nothing has been started then.
    """
    file = (listener or bind(settings)).detach()  # gunicorn closes it
    Server(backend_factory, settings, file).run()


class Server(BaseApplication):
    """Our settings in gunicorn's words."""

    def __init__(self, backend_factory: Callable[[], Backend], settings: Settings, file: int) -> None:
        self._backend_factory = backend_factory
        self._settings = settings
        self._file = file
        self.askers = Askers(settings.server.trusted_proxies)
        super().__init__()

    def load_config(self) -> None:
        server = self._settings.server
        values = {
            "bind": f"fd://{self._file}",
            "worker_class": Worker,
            "workers": 1,
            "threads": server.threads,
            "worker_connections": 1000,
            "keepalive": 15,
            # The answering process is replaced when its main thread hangs; long requests do not count.
            "timeout": 120,
            "graceful_timeout": STOP_SECONDS,
            "loglevel": "warning",
            "proc_name": "openeo-backend",
            "limit_request_line": 8190,
            # Headers of proxies are read by the application, as many as the settings trust.
            "forwarded_allow_ips": "",
            "post_worker_init": _announce_stop,
            "worker_exit": _finish,
            "control_socket_disable": True,
        }
        for name, value in values.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        logs.configure(self._settings.log)
        app = create_app(self._backend_factory())
        app.extensions[PATIENCE] = self._settings.server.request_seconds
        app.extensions[SLOW] = threading.Semaphore(max(1, self._settings.server.threads // 2))
        app.extensions[ASKERS] = self.askers
        app.wsgi_app = Pace().around(app.wsgi_app, self.askers.of_environ)  # type: ignore[method-assign, assignment]
        return app


class Worker(ThreadWorker):
    """Gives up clients that drip their requests, and answers what is not even HTTP as everything else: with an openEO
    error that browsers may read."""

    def get_thread_pool(self) -> FairPool:
        """The threads that answer; a short interval between them, so that a small request is not held up by large."""
        sys.setswitchinterval(SWITCH_SECONDS)
        return FairPool(self.cfg.threads, max(1, self.cfg.threads - 2), self.app.askers)

    def handle(self, conn: Any) -> Any:
        conn.close = partial(close, conn)
        conn.patience = Patience(conn.sock, self.wsgi.extensions[SLOW])
        conn.patience.begin_head(self.wsgi.extensions[PATIENCE])
        try:
            return super().handle(conn)
        finally:
            conn.patience.end()

    def handle_request(self, req: Any, conn: Any) -> Any:
        conn.patience.end()
        length, seconds = _declared(req), self.wsgi.extensions[PATIENCE]
        if length == 0:
            return super().handle_request(req, conn)
        req.body = CheckedBody(req.body, length, conn.patience, seconds)
        goes_on = super().handle_request(req, conn)
        if not req.body.failed:
            conn.patience.begin(seconds)
            with suppress(OSError, HTTPException):
                req.body.discard(MOST_DISCARDED)
        return goes_on

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:
        sink = Sink()
        super().handle_error(req, sink, addr, exc)
        with suppress(OSError):
            client.sendall(_as_openeo(sink.data))


def close(conn: Any, graceful: bool = False) -> None:
    """Close a connection without waiting for the client.

    gunicorn would wait two seconds, in the one thread that accepts connections, for clients that keep theirs open.
    """
    with suppress(OSError):
        conn.sock.setblocking(False)
        for _ in range(MOST_CHUNKS):  # what is left unread would take the answer back
            if not conn.sock.recv(CHUNK):
                break
    with suppress(OSError):
        conn.sock.shutdown(socket.SHUT_WR)
    conn.sock.close()


class CheckedBody(TimedBody):
    """A body whose framing may turn out to be wrong while it is read: that is the client's mistake, not ours."""

    def read(self, size: int | None = None) -> bytes:
        try:
            return super().read(size)
        except ParseException as error:
            raise BadRequest("The body is not framed as HTTP says.") from error


def _declared(req: Any) -> int | None:
    """Bytes of the body; None where it comes in chunks."""
    headers = {name.upper(): value for name, value in req.headers}
    if "TRANSFER-ENCODING" in headers:
        return None
    length = headers.get("CONTENT-LENGTH", "0")
    return int(length) if length.isdigit() else 0


class Sink:
    """Takes gunicorn's own answer in the place of the client."""

    def __init__(self) -> None:
        self.data = b""

    def gettimeout(self) -> float:
        return 0.0

    def sendall(self, data: bytes) -> None:
        self.data += data


def _as_openeo(answer: bytes) -> bytes:
    """An openEO error with the status of gunicorn's answer."""
    status = answer.partition(b"\r\n")[0].removeprefix(b"HTTP/1.1 ").decode("latin-1") or "400 Bad Request"
    code = "Internal" if status.startswith("500") else "RequestInvalid"
    message = f"The request was refused before it was read: {status}."
    body = {"id": f"r-{uuid.uuid4().hex}", "code": code, "message": message, "links": []}
    text = json.dumps(body).encode()
    headers = {"Content-Type": "application/json", "Content-Length": len(text), "Connection": "close", **CORS}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode("latin-1") + text


class Stop:
    """Tells long computations that the server is stopping, once they had their grace.

    :param alive: whether the server goes on.
    """

    def __init__(self, alive: Callable[[], bool], clock: Callable[[], float] = time.monotonic) -> None:
        self._alive = alive
        self._clock = clock
        self._since: float | None = None

    def __call__(self) -> bool:
        if self._alive():
            return False
        if self._since is None:
            self._since = self._clock()
        return self._clock() - self._since >= GRACE_SECONDS


def _announce_stop(worker: Any) -> None:
    worker.wsgi.extensions[STOPPING] = Stop(lambda: worker.alive)


def _finish(server: Any, worker: Any) -> None:
    """What nobody waited for is done before the process ends."""
    later().finish(GRACE_SECONDS)
