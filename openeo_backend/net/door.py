"""Fetching documents from other servers."""

from __future__ import annotations

import json
import math
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, NewConnectionError

from openeo_backend.errors import OpenEOError
from openeo_backend.net.deadline import Deadline
from openeo_backend.net.policy import Policy, join, refuse, shown
from openeo_backend.net.traffic import Traffic
from openeo_backend.net.tunnel import Tunnel
from openeo_backend.settings import NetSettings

REDIRECTS = (301, 302, 303, 307, 308)
MOST_REDIRECTS = 5

#: Connections to a server that are kept for further requests.
_CONNECTIONS = 32

#: Longest wait in seconds before a request is sent again; servers may ask for hours.
MOST_RETRY_AFTER = 10


@dataclass(frozen=True)
class Reply:
    """What a server answered, whatever its status."""

    url: str
    """Where the answer came from, redirects followed."""
    status: int
    headers: Mapping[str, str]
    """By lower-case name."""
    content: bytes

    @property
    def media_type(self) -> str:
        """The media type without parameters, in lower case; empty where the server gives none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def json(self) -> Any:
        """The content as JSON.

        :raises OpenEOError: FileContentInvalid.
        """
        return _decode(self.url, self.content)


class Door:
    """Outbound HTTP: each connection goes to an address that the policy allowed, each redirect is checked again.

    :param settings: time and size limits, and the hosts allowed by name.
    :param named: URLs that the operator named in settings or on the command line; their hosts are allowed.
    """

    def __init__(self, settings: NetSettings, named: tuple[str, ...] = ()) -> None:
        self.policy = Policy.of(settings.allow, named)
        self.settings = settings
        self._named = named
        self._deadline = Deadline()
        self._pool = _pool(self.policy, settings.timeout_seconds, self._deadline)
        self._tunnel: Tunnel | None = None
        self._storage: Door | None = None
        self.traffic = Traffic()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[Door], tuple[NetSettings, tuple[str, ...]]]:
        return Door, (self.settings, self._named)

    def tunnel(self) -> str:
        """The address of a SOCKS proxy that holds libraries with connections of their own to the policy.

        They may also reach the S3 storage that the environment names, which is the operator's.
        """
        with self._lock:
            if self._tunnel is None:
                policy = Policy(self.policy.allow | _s3_hosts())
                self._tunnel = Tunnel(policy, self.settings.timeout_seconds, self.traffic)
            return self._tunnel.url

    def to_storage(self) -> Door:
        """This door with the S3 storage open, too, that the environment names, which is the operator's."""
        with self._lock:
            if self._storage is None:
                self._storage = Door(self.settings, self._named)
                self._storage.policy = Policy(self.policy.allow | _s3_hosts())
                self._storage.traffic = self.traffic
                self._storage._pool = _pool(
                    self._storage.policy, self.settings.timeout_seconds, self._storage._deadline
                )
            return self._storage

    def check(self, url: str) -> None:
        """Refuse a URL that may not be reached, before anything is opened.

        :raises OpenEOError: UrlNotAllowed, UrlNotReachable.
        """
        host, port = self.policy.target(url)
        self.policy.addresses(url, host, port)

    def get(self, url: str, *, limit_mb: float | None = None, headers: Mapping[str, str] | None = None) -> bytes:
        """The body behind a URL.

        :raises OpenEOError: UrlNotAllowed, UrlNotReachable, FileSizeExceeded.
        """
        return self._fetch("GET", url, None, limit_mb, headers)

    def json(self, url: str, *, headers: Mapping[str, str] | None = None) -> Any:
        """The JSON document behind a URL.

        :raises OpenEOError: as :meth:`get`, and FileContentInvalid.
        """
        return _decode(url, self.get(url, headers={"Accept": "application/json", **(headers or {})}))

    def post_json(self, url: str, body: Any, *, headers: Mapping[str, str] | None = None) -> Any:
        """The JSON answer to a JSON body.

        :raises OpenEOError: as :meth:`json`.
        """
        sent = {"Accept": "application/json", "Content-Type": "application/json", **(headers or {})}
        return _decode(url, self._fetch("POST", url, json.dumps(body).encode(), None, sent))

    def request(
        self,
        method: str,
        url: str,
        body: bytes | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        limit_mb: float | None = None,
        seconds: float | None = None,
        again: bool = True,
        within: float = math.inf,
    ) -> Reply:
        """The answer to a request, also where its status tells a failure.

        :param seconds: longest wait for the answer to begin or go on, instead of that of the settings.
        :param again: ask again where the server is out of service for the moment.
        :param within: seconds after which an answer that has not come whole is given up.
        :raises OpenEOError: as :meth:`get`, but not for the status.
        """
        total = min(self.settings.file_seconds + (seconds or 0), within)
        with self._open(method, url, body, headers, total, seconds, again) as (where, response):
            found = {name.lower(): value for name, value in response.headers.items()}
            return Reply(where, response.status, found, b"".join(self._read(url, response, limit_mb)))

    def download(self, url: str, file: Path, *, limit_mb: float | None = None) -> None:
        """Write the body behind a URL into a file, in pieces.

        :raises OpenEOError: as :meth:`get`.
        """
        total = self.settings.file_seconds
        with self._open("GET", url, None, None, total) as (_, response), file.open("wb") as out:
            _refuse_failure(url, response)
            for part in self._read(url, response, limit_mb):
                out.write(part)

    def hang_up(self) -> None:
        """Close the connections that are kept for later requests."""
        self._pool.clear()

    def _fetch(
        self, method: str, url: str, body: bytes | None, limit_mb: float | None, headers: Mapping[str, str] | None
    ) -> bytes:
        with self._open(method, url, body, headers, self.settings.document_seconds) as (_, response):
            _refuse_failure(url, response)
            return b"".join(self._read(url, response, limit_mb))

    def _read(self, url: str, response: urllib3.BaseHTTPResponse, limit_mb: float | None) -> Iterator[bytes]:
        limit = int((limit_mb if limit_mb is not None else self.settings.max_document_mb) * 1_000_000)
        for part in _read(url, response, limit, self._deadline):
            self.traffic.add(len(part))
            yield part

    @contextmanager
    def _open(
        self,
        method: str,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str] | None,
        total: float,
        seconds: float | None = None,
        again: bool = True,
    ) -> Iterator[tuple[str, urllib3.BaseHTTPResponse]]:
        """The unread answer and where it comes from, after redirects.

        :param total: seconds for all of it, reading included, however steadily the server drips.
        """
        first = url
        self._deadline.set(total)
        for _ in range(MOST_REDIRECTS + 1):
            self.policy.target(url)
            response = self._request(method, url, body, headers, seconds, again)
            try:
                if response.status not in REDIRECTS:
                    yield url, response
                    return
                url = join(url, response.headers.get("Location", ""))
                headers = (
                    None if headers is None else {k: v for k, v in headers.items() if k.lower() != "authorization"}
                )
                if response.status == 303:
                    method, body = "GET", None
            finally:
                response.close()
        raise refuse(first, f"it redirects more than {MOST_REDIRECTS} times")

    def _request(
        self,
        method: str,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str] | None,
        seconds: float | None,
        again: bool,
    ) -> urllib3.BaseHTTPResponse:
        timeout = urllib3.Timeout(connect=self.settings.timeout_seconds, read=seconds or self.settings.timeout_seconds)
        try:
            return self._pool.request(
                method,
                url,
                body=body,
                headers=dict(headers or {}),
                redirect=False,
                retries=None if again else urllib3.Retry(total=0, redirect=0),
                preload_content=False,
                timeout=timeout,
            )
        except (HTTPError, OSError) as error:
            cause = _cause(error)
            if cause is not None:
                raise cause from None
            if self._deadline.is_over():
                raise _late(url) from None
            raise OpenEOError(
                "UrlNotReachable", f"The server of '{shown(url)}' does not answer ({type(error).__name__})."
            ) from error


def _s3_hosts() -> frozenset[str]:
    names = ("AWS_S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    ends = [os.environ[name] for name in names if os.environ.get(name)]
    return Policy.of([end for end in ends if "://" not in end], ends).allow


def _cause(error: BaseException | None) -> OpenEOError | None:
    seen: set[int] = set()  # errors may come to be their own context
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, OpenEOError):
            return error
        error = error.__cause__ or error.__context__
    return None


def _refuse_failure(url: str, response: urllib3.BaseHTTPResponse) -> None:
    if response.status >= 400:
        raise OpenEOError("UrlNotReachable", f"'{shown(url)}' answers with HTTP status {response.status}.")


def _read(url: str, response: urllib3.BaseHTTPResponse, limit: int, deadline: Deadline) -> Iterator[bytes]:
    """The body in pieces as they come, up to `limit` bytes and until the deadline."""
    size = 0
    try:
        with deadline.cutting(response.shutdown):
            while part := response.read1(65_536):
                size += len(part)
                if size > limit:
                    raise OpenEOError("FileSizeExceeded", f"'{shown(url)}' is larger than {limit / 1e6:g} MB.")
                yield part
    except (HTTPError, ValueError) as error:
        if not deadline.is_over():
            raise OpenEOError("UrlNotReachable", f"Reading '{shown(url)}' broke off.") from error
    if deadline.is_over():  # where the length is not told, a connection that was cut looks like the end
        raise _late(url)


def _late(url: str) -> OpenEOError:
    return OpenEOError("UrlNotReachable", f"'{shown(url)}' did not send its whole answer in time.")


def _decode(url: str, content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise OpenEOError("FileContentInvalid", f"'{shown(url)}' is not a JSON document.") from None


def _pool(policy: Policy, timeout: float, deadline: Deadline) -> urllib3.PoolManager:
    def connect(self: HTTPConnection) -> socket.socket:
        host = f"[{self.host}]" if ":" in self.host else self.host
        url = f"http://{host}:{self.port}/"
        problem: OSError | None = None
        for address in policy.addresses(url, self.host, self.port or 80):
            try:
                connection = socket.create_connection((address, self.port), timeout)
            except OSError as error:
                problem = error
                continue
            # bodies follow heads at once: waiting until these are confirmed takes 40 ms
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
        raise NewConnectionError(self, f"cannot connect: {problem}")

    class Connection(HTTPConnection):
        _new_conn = connect

        def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]
            _confirm_at_once(self)
            with deadline.cutting(_closing(self)):
                return super().getresponse()

    class SecureConnection(HTTPSConnection):
        _new_conn = connect

        def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]
            _confirm_at_once(self)
            with deadline.cutting(_closing(self)):
                return super().getresponse()

    class Pool(HTTPConnectionPool):
        ConnectionCls = Connection

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = SecureConnection

    retries = urllib3.Retry(
        total=3,
        redirect=0,
        backoff_factor=0.3,
        status_forcelist=(429, 502, 503, 504),
        retry_after_max=MOST_RETRY_AFTER,
    )
    manager = urllib3.PoolManager(
        maxsize=_CONNECTIONS,
        timeout=urllib3.Timeout(timeout),
        retries=retries,
        headers={"User-Agent": "openeo-backend"},
    )
    manager.pool_classes_by_scheme = {"http": Pool, "https": SecurePool}
    return manager


def _confirm_at_once(connection: HTTPConnection) -> None:
    """Some servers send the head of an answer, and its body once that is confirmed, which takes 40 ms by itself."""
    if connection.sock is not None and hasattr(socket, "TCP_QUICKACK"):
        with suppress(OSError):
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def _closing(connection: HTTPConnection) -> Callable[[], None]:
    def close() -> None:
        if connection.sock is not None:
            connection.sock.shutdown(socket.SHUT_RDWR)

    return close
