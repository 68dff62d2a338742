"""How long a client may take to send its request: one that drips would keep a thread from the others."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from openeo_backend.net.alarm import Alarm, alarms
from openeo_backend.observe.aside import aside

#: Bytes per second that are expected of bodies.
RATE = 20_000

#: Seconds without progress after which a client that does not read its answer is given up.
SEND_SECONDS = 60


#: Seconds after which the head of a request counts as slow.
QUICK_SECONDS = 1.0


class Patience:
    """Ends the reading of a request that takes too long.

    :param slow: how many clients may be slow at a time with the heads of their requests; others are cut off sooner, so
        that there are threads for those who are not.
    """

    def __init__(self, client: socket.socket, slow: threading.Semaphore) -> None:
        self._client, self._slow = client, slow
        self._alarm: Alarm | None = None
        self._lock, self._holds, self._turn = threading.Lock(), False, 0
        with suppress(OSError):
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SEND_SECONDS, 0))

    def begin_head(self, seconds: float) -> None:
        """Wait for a head: a moment, or so many seconds where not too many are waited for already."""
        self.end()
        quick = min(QUICK_SECONDS, seconds)
        self._start(quick, self._doubt, seconds - quick)

    def begin(self, seconds: float) -> None:
        """Wait so many seconds from now on."""
        self.end()
        self._start(seconds, self._cut)

    def end(self) -> None:
        with self._lock:
            self._turn += 1
            if self._alarm is not None:
                self._alarm.cancel()
                self._alarm = None
            if self._holds:
                self._slow.release()
                self._holds = False

    def _start(self, seconds: float, action: Callable[..., None], *more: float) -> None:
        with self._lock:
            self._alarm = alarms().set(seconds, action, self._turn, *more)

    def _doubt(self, turn: int, left: float) -> None:
        with self._lock:
            if turn != self._turn:
                return
            self._holds = self._slow.acquire(blocking=False)
        if self._holds:
            self._start(left, self._cut)
        else:
            self._cut(turn)

    def _cut(self, turn: int) -> None:
        if turn == self._turn:
            with suppress(OSError):
                self._client.shutdown(socket.SHUT_RD)


class TimedBody:
    """A request's body that ends the patience once it is read, and prolongs it while it comes in at a fair rate.

    :param length: its bytes; None where they are not told.
    :param seconds: how long the client may take beside what `RATE` allows for the bytes that came.
    """

    def __init__(self, body: Any, length: int | None, patience: Patience, seconds: float) -> None:
        self._body, self._left, self._patience = body, length, patience
        self._end = time.monotonic() + seconds
        patience.begin(seconds)

    def discard(self, most: int) -> None:
        """Read what is left, up to so many bytes: clients that are still sending do not look at the answer before."""
        while most > 0 and (data := self.read(65_536)):
            most -= len(data)

    def _count(self, data: bytes) -> bytes:
        if self._left is not None:
            self._left -= len(data)
        if not data or (self._left is not None and self._left <= 0):
            self._patience.end()
        else:
            self._end += len(data) / RATE
            self._patience.begin(max(0.0, self._end - time.monotonic()))
        return data

    def read(self, size: int | None = None) -> bytes:
        with aside():
            data = self._body.read(size)
        return self._count(data)

    def readline(self, size: int | None = None) -> bytes:
        with aside():
            line = self._body.readline(size)
        return self._count(line)

    def readlines(self, size: int | None = None) -> list[bytes]:
        return list(self)

    def __iter__(self) -> Iterator[bytes]:
        while line := self.readline():
            yield line

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)
