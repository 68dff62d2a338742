"""Stored (user-defined) processes."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, delete, insert, select, update
from sqlalchemy.engine import Row

from openeo_backend.errors import OpenEOError
from openeo_backend.store.database import Database
from openeo_backend.store.schema import processes
from openeo_backend.store.types import now

#: Most processes that a user may store.
MOST = 1_000


@dataclass(frozen=True)
class StoredProcess:
    """A process of a user."""

    id: str
    process: Mapping[str, Any]
    """The process as sent, under its id."""
    public: str | None
    """The unguessable name under which everybody may read it, if its owner wants that."""
    created: datetime
    updated: datetime


class Processes:
    """Processes by user and id; only their user sees them, but for public ones by their public name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(
        self, user: str, id: str, process: Mapping[str, Any], *, public: bool = False, most: int = MOST
    ) -> StoredProcess:
        """Store a process, in the place of one of the same id. A public name stays as long as the process is public.

        :param most: processes that the user may store.

        :raises OpenEOError: StorageQuotaExceeded.
        """
        mine = and_(processes.c.user_id == user, processes.c.id == id)
        content = {**process, "id": id}
        with self._database.write() as connection:
            old = connection.execute(select(processes).where(mine)).one_or_none()
            name = (old.public if old is not None and old.public else secrets.token_urlsafe(18)) if public else None
            if old is not None:
                connection.execute(update(processes).where(mine).values(process=content, public=name, updated=now()))
            else:
                if len(connection.execute(select(processes.c.id).where(processes.c.user_id == user)).all()) >= most:
                    raise OpenEOError(
                        "StorageQuotaExceeded", f"You have {most} stored processes.", hint="Delete some of them first."
                    )
                values = {"user_id": user, "id": id, "process": content, "public": name}
                connection.execute(insert(processes).values(**values, created=now(), updated=now()))
            return _stored(connection.execute(select(processes).where(mine)).one())

    def get(self, user: str, id: str) -> StoredProcess:
        """A process.

        :raises OpenEOError: ProcessGraphNotFound.
        """
        with self._database.read() as connection:
            row = connection.execute(
                select(processes).where(processes.c.user_id == user, processes.c.id == id)
            ).one_or_none()
        if row is None:
            raise _not_found(id)
        return _stored(row)

    def list(self, user: str) -> tuple[StoredProcess, ...]:
        """All processes of a user, by id."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(processes).where(processes.c.user_id == user).order_by(processes.c.id)
            ).all()
        return tuple(_stored(row) for row in rows)

    def delete(self, user: str, id: str) -> None:
        """Remove a process.

        :raises OpenEOError: ProcessGraphNotFound.
        """
        with self._database.write() as connection:
            mine = and_(processes.c.user_id == user, processes.c.id == id)
            if not connection.execute(delete(processes).where(mine)).rowcount:
                raise _not_found(id)

    def published(self, name: str) -> StoredProcess:
        """The process with a public name, whoever it belongs to.

        :raises OpenEOError: ProcessGraphNotFound.
        """
        with self._database.read() as connection:
            row = connection.execute(select(processes).where(processes.c.public == name)).one_or_none()
        if row is None:
            raise _not_found(name)
        return _stored(row)


def _not_found(id: str) -> OpenEOError:
    return OpenEOError("ProcessGraphNotFound", f"There is no stored process '{id[:80]}'.")


def _stored(row: Row[Any]) -> StoredProcess:
    return StoredProcess(row.id, row.process, row.public, row.created, row.updated)
