"""Logs of synchronous requests, kept for some days."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import OperationalError

from openeo_backend.errors import OpenEOError
from openeo_backend.observe.later import later
from openeo_backend.store import logs
from openeo_backend.store.database import Database
from openeo_backend.store.logs import Entry, LogPage
from openeo_backend.store.schema import request_logs, requests
from openeo_backend.store.types import now

#: Building it each time would take as long as writing a row.
_ADDED = insert(requests).values(created=now())

#: Requests that wait for a database that is away; of more, the latest.
_MOST_WAITING = 1000


class Requests:
    """Synchronous requests by id; only their user sees them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._waiting: list[tuple[dict[str, Any], list[Entry]]] = []
        self._is_due = False

    def add_soon(self, user: str, id: str, log_level: str, entries: Iterable[Entry] = ()) -> None:
        """Remember a request as :meth:`add` does, but a moment later, together with others.

        Whoever asks this object meanwhile is told of it. On PostgreSQL, where others may ask elsewhere, it is at once.
        """
        if not self._database.is_sqlite:
            self.add(user, id, log_level, entries)
            return
        values, kept = _values(user, id, log_level, entries)
        with self._lock:
            self._waiting.append((values, kept))
            was_due, self._is_due = self._is_due, True
        if not was_due:
            later().do(self.flush)

    def flush(self) -> None:
        """Write what waits to be written. Where the database is away it goes on waiting, for the next request."""
        with self._writing:
            with self._lock:
                waiting, self._waiting, self._is_due = self._waiting, [], False
            if not waiting:
                return
            try:
                with self._database.write() as connection:
                    connection.execute(_ADDED, [values for values, _ in waiting])
                    for values, kept in waiting:
                        logs.append(connection, request_logs, values["id"], len(kept), kept)
            except OperationalError:
                with self._lock:
                    self._waiting = [*waiting, *self._waiting][-_MOST_WAITING:]
                raise

    def add(
        self,
        user: str,
        id: str,
        log_level: str,
        entries: Iterable[Entry] = (),
        close: Callable[[Connection], None] = lambda connection: None,
    ) -> None:
        """Remember a request with what it has logged.

        :param close: called in the same transaction.
        """
        values, kept = _values(user, id, log_level, entries)
        with self._database.write() as connection:
            connection.execute(_ADDED, values)
            logs.append(connection, request_logs, id, len(kept), kept)
            close(connection)

    def log(self, user: str, id: str, entries: Iterable[Entry]) -> None:
        """Add log entries; those below the level of the request are dropped."""
        self.flush()
        wanted = list(entries)
        mine = (requests.c.id == id) & (requests.c.user_id == user)
        with self._database.write() as connection:
            level = connection.execute(select(requests.c.log_level).where(mine)).scalar_one()
            kept = logs.keep(wanted, level)
            count = connection.execute(
                update(requests)
                .where(mine)
                .values(log_count=requests.c.log_count + len(kept))
                .returning(requests.c.log_count)
            ).scalar_one()
            logs.append(connection, request_logs, id, count, kept)

    def logs(self, user: str, id: str, offset: str | None, level: str, limit: int | None) -> tuple[str, LogPage]:
        """The level that the request logs at, and a page of its log.

        :raises OpenEOError: NotFound.
        """
        self.flush()
        mine = (requests.c.id == id) & (requests.c.user_id == user)
        with self._database.read() as connection:
            own = connection.execute(select(requests.c.log_level).where(mine)).scalar_one_or_none()
            if own is None:
                raise OpenEOError(
                    "NotFound", f"There is no log of a request '{id[:80]}' of yours; it may have expired."
                )
            return own, logs.page(connection, request_logs, id, offset, level, limit)

    def expire(self, days: float) -> None:
        """Forget requests older than `days`."""
        with self._database.write() as connection:
            connection.execute(delete(requests).where(requests.c.created < now() - days * 86_400))


def _values(user: str, id: str, log_level: str, entries: Iterable[Entry]) -> tuple[dict[str, Any], list[Entry]]:
    """The row of a request, and the log entries that are kept."""
    kept = logs.keep(entries, log_level)
    return {"id": id, "user_id": user, "log_level": log_level, "log_count": len(kept)}, kept
