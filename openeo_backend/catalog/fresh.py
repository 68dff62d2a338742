"""What another server tells and is kept for a while, so that neither its changes nor its mistakes last."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from threading import Lock
from typing import Generic, TypeVar

from openeo_backend.errors import OpenEOError

#: Seconds after which it is read again.
KEPT = 600.0
#: The same where nothing was found or reading failed.
PAUSE = 10.0

Value = TypeVar("Value", bound=Collection[object])


class Fresh(Generic[Value]):
    """A value that is read when it is needed first, and again from time to time.

    :param read: reads it. When that fails later on, what was read before stays.
    """

    def __init__(self, read: Callable[[], Value], clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._clock = clock
        self._value: Value | None = None
        self._until = -float("inf")
        self._reading = Lock()

    def get(self) -> Value:
        """The value; the one before while another thread reads it again.

        :raises OpenEOError: where it was never read and cannot be.
        """
        if self._value is not None and self._clock() < self._until:
            return self._value
        if not self._reading.acquire(blocking=self._value is None):
            assert self._value is not None
            return self._value
        try:
            if self._value is None or self._clock() >= self._until:
                self._value = self._read()
                self._until = self._clock() + (KEPT if self._value else PAUSE)
        except OpenEOError:
            if self._value is None:
                raise
            self._until = self._clock() + PAUSE
        finally:
            self._reading.release()
        return self._value
