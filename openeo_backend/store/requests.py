"""Logs of synchronous requests, kept for some days."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sqlalchemy import Connection, delete, insert, select, update

from openeo_backend.errors import OpenEOError
from openeo_backend.store import logs
from openeo_backend.store.database import Database
from openeo_backend.store.logs import Entry, LogPage
from openeo_backend.store.schema import request_logs, requests
from openeo_backend.store.types import now


class Requests:
    """Synchronous requests by id; only their user sees them."""

    def __init__(self, database: Database) -> None:
        self._database = database

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
        kept = logs.keep(entries, log_level)
        with self._database.write() as connection:
            connection.execute(
                insert(requests).values(id=id, user_id=user, log_level=log_level, log_count=len(kept), created=now())
            )
            logs.append(connection, request_logs, id, len(kept), kept)
            close(connection)

    def log(self, user: str, id: str, entries: Iterable[Entry]) -> None:
        """Add log entries; those below the level of the request are dropped."""
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
