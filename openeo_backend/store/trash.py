"""Files that no job refers to any more, to be deleted: written down in the transaction that dropped them."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select

from openeo_backend.store.database import Database
from openeo_backend.store.schema import trash
from openeo_backend.store.types import now


def prefix(job_id: str, attempt: int | None = None) -> str:
    """Where the files of a job, or of one of its attempts, lie among the objects."""
    return f"jobs/{job_id}/" if attempt is None else f"jobs/{job_id}/{attempt}/"


def discard(connection: Connection, name: str, delay: float) -> None:
    """Have everything under a prefix deleted after `delay` seconds.

    The delay outlasts the lease of a worker that may still be writing there without knowing that it is in vain.
    """
    connection.execute(delete(trash).where(trash.c.prefix == name))
    connection.execute(insert(trash).values(prefix=name, due=now() + delay))


class Trash:
    def __init__(self, database: Database) -> None:
        self._database = database

    def due(self, limit: int = 100) -> list[str]:
        """Prefixes to delete now."""
        query = select(trash.c.prefix).where(trash.c.due <= now()).order_by(trash.c.due).limit(limit)
        with self._database.read() as connection:
            return list(connection.execute(query).scalars())

    def forget(self, name: str) -> None:
        """A prefix has been deleted."""
        with self._database.write() as connection:
            connection.execute(delete(trash).where(trash.c.prefix == name))
