"""Running a process while its user waits."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from openeo_backend.api.share import Shares
from openeo_backend.observe.clock import moment
from openeo_backend.run.request import Event, Outcome
from openeo_backend.settings import Settings

#: Key of the Slots in `app.extensions`.
SLOTS = "openeo_backend.slots"

#: Key of a function in `app.extensions` that tells whether the server stops; absent where nobody knows.
STOPPING = "openeo_backend.stopping"

#: Where running requests keep their files, in the data directory.
FOLDER = "sync"

#: Most log entries kept of one request.
MOST_ENTRIES = 10_000


def sweep(settings: Settings) -> None:
    """Delete the files of requests that a killed server left behind; what may still be running or sent stays."""
    oldest = time.time() - settings.limits.sync_seconds - 3600
    for folder in (settings.data_dir / FOLDER).glob("*"):
        with suppress(OSError):
            if folder.stat().st_mtime < oldest:
                shutil.rmtree(folder)


def slots_of(settings: Settings) -> Shares:
    """How many synchronous requests may compute at the same time."""
    slots = settings.limits.sync_slots
    what, hint = "slots for synchronous processing", "Try again in a few seconds, or use a batch job."
    return Shares(what, slots, max(1, slots - 1), hint)


@dataclass
class Journal:
    """The log of one request, as its events come in."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    dropped: int = 0
    usage: dict[str, Any] = field(default_factory=dict)
    """What was used so far."""

    def note(self, event: Event) -> None:
        """Keep what is for the log, and what was used."""
        if event.kind == "log":
            self.add(dict(event.data))
        elif event.kind == "usage":
            self.usage |= event.data

    def add(self, entry: dict[str, Any]) -> None:
        if len(self.entries) >= MOST_ENTRIES:
            self.dropped += 1
            return
        self.entries.append({"time": moment(), **entry})

    def close(self, outcome: Outcome) -> list[dict[str, Any]]:
        """All entries; the last one tells how it ended where it failed."""
        if self.dropped:
            message = f"{self.dropped} further log entries were dropped."
            self.entries.append({"level": "warning", "message": message, "time": moment()})
        error = outcome.error
        if error and not any(entry.get("level") == "error" for entry in self.entries[-3:]):
            entry = {"level": "error", "time": moment(), "code": error["code"], "message": error["message"]}
            if error.get("path"):
                entry["path"] = list(reversed(error["path"]))  # logs name the origin first
            self.entries.append(entry)
        return self.entries


class Watch:
    """Tells a run when nobody waits for it any more.

    :param connection: the client's socket, where the server hands it out; else only the time counts.
    :param seconds: how long the client is served; the run itself is asked to keep to it, and gets a little longer here.
    :param stopping: whether the server is being stopped.
    """

    GRACE = 5.0

    def __init__(
        self,
        connection: socket.socket | None,
        seconds: float,
        stopping: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.is_stopping = stopping
        self._connection = connection
        self._clock = clock
        self._end = clock() + seconds

    def is_over(self) -> bool:
        """Whether to stop: the client has gone, its time is up, or the server is being stopped."""
        return self.is_late(self.GRACE) or self.is_stopping() or self.is_gone()

    def is_late(self, grace: float = 0.0) -> bool:
        return self._clock() >= self._end + grace

    def is_gone(self) -> bool:
        """Whether the client closed the connection, found without taking a byte from it."""
        if self._connection is None:
            return False
        try:
            return self._connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except (OSError, ValueError):
            return True
