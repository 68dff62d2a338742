"""What the log of a queued job tells about its place in the queue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import and_, func, select

from openeo_backend.settings import JobsSettings
from openeo_backend.store.jobs import write_log
from openeo_backend.store.logs import Entry
from openeo_backend.store.schema import job_logs, jobs
from openeo_backend.store.store import Store

#: The first jobs of the queue, whose places are told again when they change.
FIRST = 200
#: How often at most a job is told that the reason of its waiting has changed.
REASONS = 20


def place(ahead: int, running: int, most: int, told: int = 1) -> Entry:
    """The log entry about a place.

    :param ahead: queued jobs that may go before it.
    :param running: running jobs of its user, of `most` allowed.
    :param told: how many such entries there are with this one.
    """
    message = f"The job is queued; {ahead} of all queued jobs may go before it."
    if running >= most:
        message += f" {running} jobs of yours are running, {most} may: it starts when one of them has ended."
    return {
        "level": "info",
        "message": message,
        "data": {"ahead": ahead, "running": running, "may": most, "told": told},
    }


def tell_places(store: Store, settings: JobsSettings) -> int:
    """Log the places of queued jobs that have changed much; returns how many were told.

    A place counts as changed when at most half as many jobs go before, so that a log gets few entries, however long
    the queue is; or when the limit on the user's running jobs has become or ceased to be what the job waits for.
    """
    query = (
        select(jobs.c.id, jobs.c.user_id, jobs.c.per_user, jobs.c.log_count, job_logs.c.entry)
        .outerjoin(job_logs, and_(job_logs.c.job_id == jobs.c.id, job_logs.c.number == jobs.c.log_count))
        .where(jobs.c.status == "queued", jobs.c.waiting_for.is_(None))
        .order_by(jobs.c.priority.desc(), jobs.c.queued, jobs.c.id)
        .limit(FIRST)
    )
    counts = select(jobs.c.user_id, func.count()).where(jobs.c.status == "running").group_by(jobs.c.user_id)
    with store.database.read() as connection:
        rows = connection.execute(query).all()
        running: dict[str, int] = {user: count for user, count in connection.execute(counts).all()}
    told = 0
    for ahead, row in enumerate(rows):
        most = settings.per_user if row.per_user is None else row.per_user
        entry = _changed(row.entry, ahead, running.get(row.user_id, 0), most)
        if entry is not None:
            # Guarded by the number of entries: another worker may tell the same.
            same = and_(jobs.c.id == row.id, jobs.c.status == "queued", jobs.c.log_count == row.log_count)
            with store.database.write() as connection:
                told += write_log(connection, same, [entry])
    return told


def _changed(last: Mapping[str, Any] | None, ahead: int, running: int, most: int) -> Entry | None:
    """The entry to be written after the last one, if that is about a place that has changed."""
    data = (last or {}).get("data")
    if not isinstance(data, Mapping) or not {"ahead", "running", "may", "told"} <= data.keys():
        return None
    told = int(data["told"])
    nearer = ahead < data["ahead"] and ahead <= data["ahead"] // 2
    other = (running >= most) != (data["running"] >= data["may"]) and told < REASONS
    return place(min(ahead, data["ahead"]), running, most, told + 1) if nearer or other else None
