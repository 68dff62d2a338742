"""A brake on guessing passwords."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable

from openeo_backend.errors import OpenEOError


class Throttle:
    """Counts failures per key in a sliding window; too many refuse further tries until some have aged out.

    :param most: failures allowed within the window.
    :param seconds: length of the window.
    :param keys: most keys remembered; the oldest are forgotten first, so that memory stays bounded.
    """

    def __init__(
        self, most: int, seconds: float, *, keys: int = 10_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._seconds = seconds
        self._keys = keys
        self._clock = clock
        self._failures: dict[Hashable, deque[float]] = {}
        self._lock = threading.Lock()

    def check(self, key: Hashable) -> None:
        """Refuse where `key` failed too often.

        :raises OpenEOError: TooManyRequests with `retry_after` in its data.
        """
        with self._lock:
            failures = self._recent(key)
            if len(failures) < self._most:
                return
            wait = max(1, math.ceil(failures[0] + self._seconds - self._clock()))
        raise OpenEOError(
            "TooManyRequests",
            "Too many failed attempts to log in.",
            hint=f"Try again in {wait} s.",
            data={"retry_after": wait},
        )

    def fail(self, key: Hashable) -> None:
        """Note a failure."""
        with self._lock:
            failures = self._recent(key)
            failures.append(self._clock())
            self._failures.pop(key, None)
            self._failures[key] = failures
            while len(self._failures) > self._keys:
                self._failures.pop(next(iter(self._failures)))

    def succeed(self, key: Hashable) -> None:
        """Forget the failures of `key`."""
        with self._lock:
            self._failures.pop(key, None)

    def _recent(self, key: Hashable) -> deque[float]:
        failures = self._failures.get(key, deque(maxlen=self._most))
        while failures and failures[0] <= self._clock() - self._seconds:
            failures.popleft()
        return failures
