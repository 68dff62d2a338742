"""An end for what a server may drag out by sending something now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from openeo_backend.net.alarm import alarms


class Deadline(threading.local):
    """When the request that this thread makes must be over.

    Time limits of sockets start again with each byte; this one does not.
    """

    def __init__(self) -> None:
        self._end = float("inf")

    def set(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def is_over(self) -> bool:
        return time.monotonic() >= self._end

    @contextmanager
    def cutting(self, cut: Callable[[], object]) -> Iterator[None]:
        """Call `cut`, in another thread, at the deadline if the block is not left before."""

        def end() -> None:
            with suppress(OSError, ValueError, RuntimeError):  # closed already
                cut()

        alarm = alarms().set(self._end - time.monotonic(), end)
        try:
            yield
        finally:
            alarm.cancel()
