"""Batch jobs as their users see them. The queue's side of the same rows is in openeo_backend.jobs.queue."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, or_, select, update

from openeo_backend.errors import OpenEOError
from openeo_backend.store import logs, trash
from openeo_backend.store.database import Database
from openeo_backend.store.logs import Entry, LogPage
from openeo_backend.store.schema import job_logs, jobs
from openeo_backend.store.types import now

#: States in which a job is the queue's and cannot be changed.
ACTIVE = ("queued", "running")

#: States in which a job may still get results; `data.waiting_for` of an error asks for waiting for them.
COMING = ("created", *ACTIVE)

#: Columns of jobs that wait for the results of others.
WAITING = ("waiting_for", "waiting_since", "next_look")

#: Seconds until files of a dropped attempt are deleted for good (see trash.discard).
GRACE = 600.0


@dataclass(frozen=True)
class Job:
    """A batch job. Times are UTC."""

    id: str
    user_id: str
    title: str | None
    description: str | None
    process: dict[str, Any]
    plan: str | None
    budget: float | None
    log_level: str
    options: dict[str, Any]
    status: str
    progress: float
    usage: dict[str, Any] | None
    costs: float | None
    created: datetime
    updated: datetime
    queued: datetime | None
    started: datetime | None
    finished: datetime | None
    unpublished: datetime | None
    priority: int
    attempt: int
    lost: int
    limits: dict[str, Any] | None
    payer: str | None
    waiting_for: str | None
    waiting_since: datetime | None
    result_attempt: int | None
    result: dict[str, Any] | None
    remote: list[dict[str, Any]] | None


Close = Callable[[Connection, Job, bool], None]
"""What is done in the transaction that ends a run: told the job as it is then, and whether the run is charged."""


def no_accounts(connection: Connection, job: Job, charged: bool) -> None:
    """Nobody keeps accounts."""


@dataclass(frozen=True)
class JobPage:
    """Jobs, newest first, without process, options and result (empty), and the token of the next page."""

    jobs: tuple[Job, ...]
    next: str | None


COLUMNS = [jobs.c[field.name] for field in fields(Job)]
_SHORT = [
    column
    for column in COLUMNS
    if column.name not in ("process", "options", "result", "usage", "description", "limits", "remote")
]


class Jobs:
    """Jobs by user. Other users' jobs do not exist: JobNotFound."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, user: str, process: Mapping[str, Any], *, priority: int = 0, **members: Any) -> Job:
        """A new job in state created.

        :param members: title, description, plan, budget, log_level, options.
        """
        id = f"j-{uuid.uuid4().hex}"
        row = dict.fromkeys(("title", "description", "plan", "budget")) | {"log_level": "info", "options": {}} | members
        row |= {"id": id, "user_id": user, "process": dict(process), "priority": priority, "status": "created"}
        row |= {"progress": 0, "created": now(), "updated": now(), "attempt": 0, "lost": 0, "log_count": 0}
        with self._database.write() as connection:
            connection.execute(insert(jobs).values(**row))
            return _get(connection, user, id)

    def count(self, user: str) -> int:
        """Jobs of a user, whatever their state."""
        with self._database.read() as connection:
            return connection.execute(select(func.count()).where(jobs.c.user_id == user)).scalar_one()

    def stored_bytes(self, user: str) -> int:
        """Bytes of the published results of a user."""
        query = select(jobs.c.result).where(jobs.c.user_id == user, jobs.c.result.is_not(None))
        with self._database.read() as connection:
            results = connection.execute(query).scalars().all()
        return sum(int(file.get("size") or 0) for result in results for file in (result or {}).get("files", ()))

    def get(self, user: str, id: str) -> Job:
        """:raises OpenEOError: JobNotFound."""
        with self._database.read() as connection:
            return _get(connection, user, id)

    def owner(self, id: str) -> str | None:
        """Whose job it is: for bearers of a link that was signed for it."""
        with self._database.read() as connection:
            return connection.execute(select(jobs.c.user_id).where(jobs.c.id == id)).scalar_one_or_none()

    def list(self, user: str, limit: int | None = None, start: str | None = None) -> JobPage:
        """The jobs of a user, newest first.

        :param start: the token of a page, from `JobPage.next`.
        :raises OpenEOError: RequestInvalid for a token that is none.
        """
        query = select(*_SHORT).where(jobs.c.user_id == user).order_by(jobs.c.created.desc(), jobs.c.id.desc())
        if start:
            query = query.where(_after(start))
        if limit is not None:
            query = query.limit(limit + 1)
        with self._database.read() as connection:
            rows = connection.execute(query).mappings().all()
        found = [job_of({"process": {}, "options": {}, **row}) for row in rows[:limit]]
        more = limit is not None and len(rows) > limit
        return JobPage(tuple(found), f"{found[-1].created.timestamp()!r}~{found[-1].id}" if more else None)

    def update(self, user: str, id: str, changes: Mapping[str, Any]) -> None:
        """Change title, description, process, plan, budget, log_level or options.

        :raises OpenEOError: JobNotFound; JobLocked while the job is queued or running.
        """
        unlocked = and_(_mine(user, id), jobs.c.status.not_in(ACTIVE))
        with self._database.write() as connection:
            values = {**changes, "updated": now()} if changes else {"updated": jobs.c.updated}
            if not connection.execute(update(jobs).where(unlocked).values(**values)).rowcount:
                status = _get(connection, user, id).status
                raise OpenEOError(
                    "JobLocked",
                    f"The job is {status} and cannot be changed now.",
                    hint="Stop it first (DELETE /jobs/{job_id}/results), or wait until it has ended.",
                )

    def delete(self, user: str, id: str, close: Close = no_accounts) -> None:
        """Remove a job with its logs; its files go to the trash. A worker that has it notices.

        :param close: called where it was running.
        :raises OpenEOError: JobNotFound.
        """
        running = and_(_mine(user, id), jobs.c.status == "running")
        with self._database.write() as connection:
            if connection.execute(update(jobs).where(running).values(status="canceled", finished=now())).rowcount:
                close(connection, _get(connection, user, id), True)
            if not connection.execute(delete(jobs).where(_mine(user, id))).rowcount:
                raise not_found(id)
            trash.discard(connection, trash.prefix(id), GRACE)

    def queue(self, user: str, id: str, entries: Iterable[Entry] = (), **members: Any) -> bool:
        """Have a job run. Its earlier log is discarded; an earlier result stays until the new run begins.

        :param entries: what the log of the run begins with.
        :param members: what its user's roles allow: priority, per_user, limits.
        :returns: False if it is queued or running already: then nothing happens.
        :raises OpenEOError: JobNotFound.
        """
        waiting = and_(_mine(user, id), jobs.c.status.not_in(ACTIVE))
        values = {"status": "queued", "queued": now(), "updated": now(), "progress": 0, "lost": 0}
        gone = dict.fromkeys(("started", "finished", "usage", "costs", "worker", "lease_until"))
        gone |= dict.fromkeys(WAITING)
        with self._database.write() as connection:
            if not connection.execute(update(jobs).where(waiting).values(**values, **gone, **members)).rowcount:
                _get(connection, user, id)
                return False
            connection.execute(delete(job_logs).where(job_logs.c.job_id == id))
            write_log(connection, _mine(user, id), entries)
        return True

    def cancel(self, user: str, id: str, close: Close = no_accounts) -> bool:
        """Stop a job: a queued one is created again, a running one canceled; its worker notices at its next beat.

        :param close: called where it was running.
        :returns: False if it was neither: then nothing happens.
        :raises OpenEOError: JobNotFound.
        """
        with self._database.write() as connection:
            for status, after in (("queued", "created"), ("running", "canceled")):
                stopped = and_(_mine(user, id), jobs.c.status == status)
                values = {"status": after, "updated": now(), "worker": None, "lease_until": None}
                values |= dict.fromkeys(WAITING)
                if status == "running":
                    values["finished"] = now()
                if connection.execute(update(jobs).where(stopped).values(**values)).rowcount:
                    entry = {"level": "info", "message": f"The job was stopped by its user while it was {status}."}
                    write_log(connection, _mine(user, id), [entry])
                    job = _get(connection, user, id)
                    if status == "running":
                        trash.discard(connection, trash.prefix(id, job.attempt), GRACE)
                        close(connection, job, True)
                    return True
            _get(connection, user, id)
        return False

    def log(self, user: str, id: str, entries: Iterable[Entry]) -> None:
        """Add log entries; those below the job's level are dropped, errors never.

        :raises OpenEOError: JobNotFound.
        """
        with self._database.write() as connection:
            if not write_log(connection, _mine(user, id), entries):
                raise not_found(id)

    def logs(self, user: str, id: str, offset: str | None, level: str, limit: int | None = None) -> tuple[str, LogPage]:
        """The level that the job logs at, and a page of its log.

        :raises OpenEOError: JobNotFound.
        """
        with self._database.read() as connection:
            own = _get(connection, user, id).log_level
            return own, logs.page(connection, job_logs, id, offset, level, limit)

    def last_error(self, user: str, id: str) -> dict[str, Any] | None:
        """The last log entry of level error.

        :raises OpenEOError: JobNotFound.
        """
        query = (
            select(job_logs.c.number, job_logs.c.entry)
            .join(jobs)
            .where(_mine(user, id), job_logs.c.level >= logs.LEVELS["error"])
            .order_by(job_logs.c.number.desc())
            .limit(1)
        )
        with self._database.read() as connection:
            _get(connection, user, id)
            row = connection.execute(query).one_or_none()
        return None if row is None else {"id": logs.id_of(row.number), **row.entry}

    def recent_usage(self, count: int = 50) -> tuple[dict[str, Any], ...]:
        """What the jobs used that finished last, of all users: for estimating how long others will take."""
        query = select(jobs.c.usage).where(jobs.c.status == "finished").order_by(jobs.c.updated.desc()).limit(count)
        with self._database.read() as connection:
            return tuple(usage for usage in connection.execute(query).scalars() if usage)

    def ahead(self, user: str, id: str) -> tuple[int, int]:
        """How many queued jobs may go before this one, and how many jobs of its user run."""
        with self._database.read() as connection:
            job = _get(connection, user, id)
            before = or_(
                jobs.c.priority > job.priority, and_(jobs.c.priority == job.priority, jobs.c.queued <= job.queued)
            )
            earlier = select(func.count()).where(jobs.c.status == "queued", jobs.c.id != id, before)
            running = select(func.count()).where(jobs.c.status == "running", jobs.c.user_id == user)
            return connection.execute(earlier).scalar_one(), connection.execute(running).scalar_one()


def write_log(connection: Connection, which: ColumnElement[bool], entries: Iterable[Entry]) -> bool:
    """Add entries to the log of the job that `which` names; False if there is none.

    Counting them locks the job's row: entries become visible in the order of their numbers, so that a reader
    who goes on after the last number misses none.
    """
    row = connection.execute(select(jobs.c.id, jobs.c.log_level).where(which)).one_or_none()
    if row is None:
        return False
    kept = logs.keep(entries, row.log_level)
    count = connection.execute(
        update(jobs).where(which).values(log_count=jobs.c.log_count + len(kept)).returning(jobs.c.log_count)
    ).scalar_one_or_none()
    if count is None:
        return False
    logs.append(connection, job_logs, row.id, count, kept)
    return True


def not_found(id: str) -> OpenEOError:
    return OpenEOError("JobNotFound", f"There is no job '{id[:80]}' of yours.", hint="GET /jobs lists all your jobs.")


def _get(connection: Connection, user: str, id: str) -> Job:
    row = connection.execute(select(*COLUMNS).where(_mine(user, id))).mappings().one_or_none()
    if row is None:
        raise not_found(id)
    return job_of(row)


def _mine(user: str, id: str) -> ColumnElement[bool]:
    return and_(jobs.c.id == id, jobs.c.user_id == user)


def _after(start: str) -> ColumnElement[bool]:
    created, _, id = start.partition("~")
    try:
        time = float(created)
        if not math.isfinite(time):
            raise ValueError(created)
    except ValueError:
        raise OpenEOError(
            "RequestInvalid", "The page token is not one of ours.", hint="Follow the 'next' link."
        ) from None
    return or_(jobs.c.created < time, and_(jobs.c.created == time, jobs.c.id < id))


def job_of(row: Mapping[Any, Any]) -> Job:
    """The job in a row with the columns of `COLUMNS`."""
    values: dict[str, Any] = {field.name: row.get(field.name) for field in fields(Job)}
    return Job(**values)
