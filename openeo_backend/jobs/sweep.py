"""What is due from time to time: places in the queue, expired results and jobs, files that no job refers to."""

from __future__ import annotations

from sqlalchemy import delete, select, update

from openeo_backend.files.objects import Objects
from openeo_backend.jobs.place import tell_places
from openeo_backend.settings import JobsSettings
from openeo_backend.store import trash
from openeo_backend.store.jobs import ACTIVE, GRACE
from openeo_backend.store.schema import jobs
from openeo_backend.store.store import Store
from openeo_backend.store.types import now

#: How many rows one transaction handles: others want to write too.
BATCH = 200
#: Days the logs of synchronous requests are kept.
REQUEST_DAYS = 7.0


def sweep(store: Store, objects: Objects, settings: JobsSettings, emptied: set[str] | None = None) -> None:
    """Do all of it once. Several workers may do it at the same time.

    :param emptied: prefixes under which a storage elsewhere had nothing the last time; it is believed the second time,
        as it may be wrong for a moment.
    :raises OpenEOError: StorageFailure; what could not be deleted is tried again next time.
    """
    tell_places(store, settings)
    while expire_results(store) == BATCH:
        pass
    while expire_jobs(store, settings.metadata_days) == BATCH:
        pass
    store.requests.expire(REQUEST_DAYS)
    store.reports.expire(settings.metadata_days)
    emptied = set() if emptied is None else emptied
    for prefix in store.trash.due():
        number = objects.delete(prefix)
        if not objects.is_remote or (number == 0 and prefix in emptied):
            store.trash.forget(prefix)
            emptied.discard(prefix)
        elif number == 0:
            emptied.add(prefix)
        else:
            emptied.discard(prefix)


def expire_results(store: Store) -> int:
    """Unpublish results whose time has come; returns how many (BATCH at most). Their jobs stay finished."""
    old = (
        select(jobs.c.id, jobs.c.result_attempt)
        .where(jobs.c.unpublished < now(), jobs.c.result_attempt.is_not(None))
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    )
    with store.database.write() as connection:
        rows = connection.execute(old).all()
        for row in rows:
            connection.execute(update(jobs).where(jobs.c.id == row.id).values(result=None, result_attempt=None))
            trash.discard(connection, trash.prefix(row.id, row.result_attempt), 0)
    return len(rows)


def expire_jobs(store: Store, days: float) -> int:
    """Delete jobs that nothing has happened to for `days`; returns how many (BATCH at most)."""
    old = (
        select(jobs.c.id)
        .where(jobs.c.updated < now() - days * 86_400, jobs.c.status.not_in(ACTIVE))
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    )
    with store.database.write() as connection:
        ids = list(connection.execute(old).scalars())
        for id in ids:
            connection.execute(delete(jobs).where(jobs.c.id == id))
            trash.discard(connection, trash.prefix(id), GRACE)
    return len(ids)
