"""Requests of one user are computed one after the other while others ask, too: a flood is its own user's queue.

Threads share one interpreter, so that each further request in work slows down all others. Who asks for many things at
once gets them one by one, and with pauses as long as the work while somebody else is asking. Waits (for a child that
computes, a body that is still being sent, a client that reads its answer) hold nobody up.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from openeo_backend.observe import aside

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]

#: How long after a request others still count as asking, in seconds.
RECENT = 1.0

#: Pauses after a request, as a multiple of its work, and the longest one in seconds.
PAUSE, MOST_PAUSE = 3.0, 1.0

#: How often those who wait look whether the request before them works or only waits, in seconds.
LOOK = 0.2

#: Part of the time for which a request has the processor, below which it only waits.
IDLE = 0.005


@dataclass
class _Line:
    """The requests of one user."""

    free: threading.Condition
    holder: Turn | None = None
    waiting: int = 0
    pause_until: float = 0.0
    last: float = 0.0


class Pace:
    """Turns of users, who are told apart by any key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: dict[bytes, _Line] = {}

    def around(self, application: Application, key_of: Callable[[dict[str, Any]], bytes]) -> Application:
        """An application whose requests take turns until their answers are ready to be sent."""

        def paced(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            turn = Turn(self, key_of(environ))
            token = aside.current.set(turn)
            turn.take()
            try:
                return application(environ, start_response)
            finally:
                turn.leave()
                aside.current.reset(token)

        return paced

    def take(self, turn: Turn) -> None:
        """Wait until no other request of the same key is in work."""
        with self._lock:
            line = self._lines.setdefault(turn.key, _Line(threading.Condition(self._lock)))
            line.waiting += 1
            try:
                self._wait(line)
            finally:
                line.waiting -= 1
            line.holder, line.last = turn, time.monotonic()

    def leave(self, turn: Turn, worked: float) -> None:
        """Let the next request of the same key begin, after a pause where others are asking."""
        with self._lock:
            now = time.monotonic()
            line = self._lines[turn.key]
            line.last = now
            if line.holder is not turn:
                return  # it was overtaken while it waited
            line.holder = None
            if line.waiting:
                if self._disturbs(turn.key, now):
                    line.pause_until = now + min(worked * PAUSE, MOST_PAUSE)
                line.free.notify()
            elif len(self._lines) > 1000:
                self._forget(now)

    def _wait(self, line: _Line) -> None:
        seen: tuple[Turn, float] | None = None
        while True:
            holder, now = line.holder, time.monotonic()
            if holder is None:
                if now >= line.pause_until:
                    return
                line.free.wait(line.pause_until - now)
                continue
            used = holder.used()
            if seen is not None and seen[0] is holder and used - seen[1] < IDLE * LOOK:
                return
            seen = holder, used
            if line.free.wait(LOOK):
                seen = None

    def _disturbs(self, key: bytes, now: float) -> bool:
        """Whether others are asking who do not flood themselves."""
        lines = ((other, line) for other, line in self._lines.items() if other != key)
        return any(now - line.last < RECENT and not line.waiting for _, line in lines)

    def _forget(self, now: float) -> None:
        old = [key for key, line in self._lines.items() if line.holder is None and not line.waiting]
        for key in old:
            if now - self._lines[key].last > RECENT:
                del self._lines[key]


@dataclass(eq=False)
class Turn:
    """Of one request."""

    pace: Pace
    key: bytes
    _clock: int = field(default_factory=lambda: time.pthread_getcpuclockid(threading.get_ident()))
    _since: float | None = None

    def used(self) -> float:
        """Seconds for which this request's thread has had the processor."""
        return time.clock_gettime(self._clock)

    def take(self) -> None:
        self.pace.take(self)
        self._since = self.used()

    def leave(self) -> None:
        if self._since is not None:
            worked, self._since = self.used() - self._since, None
            self.pace.leave(self, worked)

    @property
    def is_held(self) -> bool:
        return self._since is not None
