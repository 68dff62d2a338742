"""How long a client may take to send its request: one that drips would keep a thread from the others."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

#: Bytes per second that are expected of large bodies.
RATE = 20_000

#: Seconds without progress after which a client that does not read its answer is given up.
SEND_SECONDS = 60


class Patience:
    """Ends the reading of a request that takes too long."""

    def __init__(self, client: socket.socket) -> None:
        self._client = client
        self._timer: threading.Timer | None = None
        with suppress(OSError):
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SEND_SECONDS, 0))

    def begin(self, seconds: float) -> None:
        self.end()
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self._timer.start()

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _cut(self) -> None:
        with suppress(OSError):
            self._client.shutdown(socket.SHUT_RD)


class TimedBody:
    """A request's body that ends the patience once it is read.

    :param length: its bytes; None where they are not told.
    """

    def __init__(self, body: Any, length: int | None, patience: Patience) -> None:
        self._body, self._left, self._patience = body, length, patience

    def _count(self, data: bytes) -> bytes:
        if self._left is not None:
            self._left -= len(data)
        if not data or (self._left is not None and self._left <= 0):
            self._patience.end()
        return data

    def read(self, size: int | None = None) -> bytes:
        return self._count(self._body.read(size))

    def readline(self, size: int | None = None) -> bytes:
        return self._count(self._body.readline(size))

    def readlines(self, size: int | None = None) -> list[bytes]:
        return list(self)

    def __iter__(self) -> Iterator[bytes]:
        while line := self.readline():
            yield line

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)
