"""Things to do at a time, in one thread: a thread for each would cost small requests more than what it watches."""

from __future__ import annotations

import heapq
import logging
import threading
import time
from collections.abc import Callable
from itertools import count
from typing import Any

from openeo_backend.observe.process import one_per_process

log = logging.getLogger(__name__)

#: Alarms that were cancelled before their time and are remembered nevertheless.
_MOST_CANCELLED = 1000


class Alarm:
    """Something to do, unless it is cancelled before."""

    def __init__(self, alarms: Alarms, action: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        self._alarms = alarms
        self.call: tuple[Callable[..., object], tuple[Any, ...]] | None = (action, arguments)

    def cancel(self) -> None:
        """Not to do it. What has begun is not stopped."""
        self._alarms.cancel(self)


class Alarms:
    """Calls functions at their time, one after the other: none of them may wait for anything."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[tuple[float, int, Alarm]] = []
        self._numbers = count()
        self._cancelled = 0
        self._wakes = float("inf")
        self._runs = False

    def set(self, seconds: float, action: Callable[..., object], *arguments: Any) -> Alarm:
        """Call `action(*arguments)` in so many seconds."""
        alarm, when = Alarm(self, action, arguments), time.monotonic() + max(0.0, seconds)
        with self._changed:
            heapq.heappush(self._waiting, (when, next(self._numbers), alarm))
            if not self._runs:
                self._runs = True
                threading.Thread(target=self._run, name="alarms", daemon=True).start()
            elif when < self._wakes:
                self._changed.notify()
        return alarm

    def cancel(self, alarm: Alarm) -> None:
        """See :meth:`Alarm.cancel`."""
        with self._changed:
            if alarm.call is None:
                return
            alarm.call = None
            self._cancelled += 1
            if self._cancelled > max(_MOST_CANCELLED, len(self._waiting) // 2):
                self._waiting = [entry for entry in self._waiting if entry[2].call is not None]
                heapq.heapify(self._waiting)
                self._cancelled = 0

    def _run(self) -> None:
        while True:
            action, arguments = self._next()
            try:
                action(*arguments)
            except Exception:  # noqa: BLE001 - the others have their turn whatever happens to one
                log.exception("something to be done at a time failed")
            del action, arguments

    def _next(self) -> tuple[Callable[..., object], tuple[Any, ...]]:
        """Wait for the next call that is due."""
        with self._changed:
            while True:
                while self._waiting and self._waiting[0][2].call is None:
                    heapq.heappop(self._waiting)
                    self._cancelled -= 1
                self._wakes = self._waiting[0][0] if self._waiting else float("inf")
                left = self._wakes - time.monotonic()
                if left > 0:
                    self._changed.wait(min(left, threading.TIMEOUT_MAX))
                    continue
                alarm = heapq.heappop(self._waiting)[2]
                call, alarm.call = alarm.call, None
                assert call is not None
                return call


alarms = one_per_process(Alarms)
"""Those of this process."""
