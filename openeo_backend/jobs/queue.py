"""The queue: leases on rows of the jobs table.

A worker owns a job by its attempt number (the fencing token) until its lease ends. Everything it writes is guarded
by that number, so a worker that was thought dead can neither publish nor log into a later attempt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, func, insert, select, update

from openeo_backend.settings import JobsSettings
from openeo_backend.store import trash
from openeo_backend.store.database import QUEUE_LOCK, Database
from openeo_backend.store.jobs import COLUMNS, GRACE, Close, Job, job_of, no_accounts, write_log
from openeo_backend.store.logs import Entry
from openeo_backend.store.schema import jobs, turns
from openeo_backend.store.types import now

#: Jobs that a worker may take: queued, and not waiting for the results of another.
_READY = and_(jobs.c.status == "queued", jobs.c.waiting_for.is_(None))


@dataclass(frozen=True)
class Lease:
    """A job that a worker owns."""

    job: Job
    worker: str

    @property
    def attempt(self) -> int:
        return self.job.attempt


class Queue:
    """What workers do with jobs.

    :param close: called when a run ends.
    """

    def __init__(self, database: Database, settings: JobsSettings, close: Close = no_accounts) -> None:
        self._database = database
        self._settings = settings
        self._close = close

    def claim(self, worker: str) -> Lease | None:
        """The next job for a worker; None if there is nothing it may do.

        Jobs of lost workers come first. Else it is the turn of the user who was served longest ago among those
        who have a job of the highest priority queued and fewer than `jobs.per_user` running; of theirs, the oldest.
        Claims happen one at a time, so the limit holds for any number of workers.
        """
        with self._database.write(QUEUE_LOCK) as connection:
            id = self._reclaim(connection) or self._next(connection)
            if id is None:
                return None
            before = connection.execute(select(*COLUMNS).where(jobs.c.id == id)).mappings().one()
            is_lost = before["status"] == "running"
            values: dict[str, Any] = {
                "status": "running",
                "worker": worker,
                "attempt": jobs.c.attempt + 1,
                "lost": jobs.c.lost + (1 if is_lost else 0),
                "lease_until": now() + self._settings.lease_seconds,
                "updated": now(),
                "usage": None,
            }
            if not is_lost:
                values |= {"started": now(), "result": None, "result_attempt": None, "unpublished": None}
            connection.execute(update(jobs).where(jobs.c.id == id).values(**values))
            for stale in {before["result_attempt"], before["attempt"]} - {None, 0}:
                trash.discard(connection, trash.prefix(id, stale), GRACE)
            if is_lost:
                write_log(connection, jobs.c.id == id, [_told_lost(before["lost"] + 1, self._settings.attempts)])
            job = job_of(connection.execute(select(*COLUMNS).where(jobs.c.id == id)).mappings().one())
            _serve(connection, job.user_id)
            return Lease(job, worker)

    def beat(
        self,
        lease: Lease,
        entries: Iterable[Entry] = (),
        progress: float | None = None,
        usage: Mapping[str, Any] | None = None,
    ) -> bool:
        """A sign of life with news; False if the job is not the worker's any more (stopped, deleted, given away)."""
        values: dict[str, Any] = {"lease_until": now() + self._settings.lease_seconds}
        if progress is not None:
            # An attempt that is tried again catches up first: what was told once is not taken back.
            values["progress"] = case((jobs.c.progress > progress, jobs.c.progress), else_=progress)
        if usage is not None:
            values["usage"] = dict(usage)
        with self._database.write() as connection:
            if not connection.execute(update(jobs).where(_owned(lease)).values(**values)).rowcount:
                return False
            entries = list(entries)
            return not entries or write_log(connection, _owned(lease), entries)

    def publish(
        self, lease: Lease, result: Mapping[str, Any], usage: Mapping[str, Any], entries: Iterable[Entry] = ()
    ) -> bool:
        """Make the files of this attempt the result of the job; False if it is not the worker's any more."""
        values = {
            "status": "finished",
            "progress": 100,
            "result": dict(result),
            "result_attempt": lease.attempt,
            "unpublished": now() + self._settings.results_days * 86_400,
        }
        return self._end(lease, values, usage, entries)

    def fail(self, lease: Lease, usage: Mapping[str, Any], entries: Iterable[Entry], charged: bool = True) -> bool:
        """End the job as error, with at least one entry that says why; False if it is not the worker's any more.

        :param charged: False for failures that are not the user's.
        """
        return self._end(lease, {"status": "error"}, usage, entries, charged)

    def retry(self, lease: Lease, usage: Mapping[str, Any], entries: Iterable[Entry], reason: Entry) -> bool:
        """The child was lost: have the job tried again or, after `jobs.attempts` lost ones, end it as error.

        :param reason: the error entry for the end.
        """
        lost = lease.job.lost + 1
        if lost >= self._settings.attempts:
            return self.fail(lease, usage, [*entries, reason], charged=False)
        told = {**reason, "level": "warning", "message": f"{reason['message']} It is tried again ({lost} lost)."}
        return self._requeue(lease, lost, [*entries, told])

    def release(self, lease: Lease, entries: Iterable[Entry] = ()) -> bool:
        """Give the job back unharmed, because the worker stops; it keeps its place in the queue."""
        entry = {"level": "info", "message": "The worker was stopped by its operator; another one takes over."}
        return self._requeue(lease, lease.job.lost, [*entries, entry])

    def wait(self, lease: Lease, results: str, entries: Iterable[Entry]) -> bool:
        """Give the job back until results are there that it loads: the id of a job, or a URL."""
        waiting = {
            "waiting_for": results,
            "waiting_since": func.coalesce(jobs.c.waiting_since, now()),
            "next_look": now() + self._settings.wait_poll_seconds,
        }
        return self._requeue(lease, lease.job.lost, entries, waiting)

    def look(self) -> Job | None:
        """A waiting job whose results are to be looked for now, by whoever asked; None if there is none."""
        waiting = and_(jobs.c.status == "queued", jobs.c.waiting_for.is_not(None))
        due = select(*COLUMNS).where(waiting, jobs.c.next_look <= now()).order_by(jobs.c.next_look).limit(1)
        with self._database.write(QUEUE_LOCK) as connection:
            row = connection.execute(due.with_for_update(skip_locked=True)).mappings().one_or_none()
            if row is None:
                return None
            later = now() + self._settings.wait_poll_seconds
            connection.execute(update(jobs).where(jobs.c.id == row["id"]).values(next_look=later))
            return job_of(row)

    def go_on(self, job: Job) -> None:
        """The results are there that a job waits for: it may run."""
        with self._database.write() as connection:
            connection.execute(update(jobs).where(_waits(job)).values(waiting_for=None, next_look=None))

    def give_up(self, job: Job, entry: Entry) -> None:
        """The results will not come that a job waits for: it ends as error."""
        with self._database.write() as connection:
            if write_log(connection, _waits(job), [entry]):
                values = {"status": "error", "finished": now(), "updated": now(), "waiting_for": None}
                connection.execute(update(jobs).where(_waits(job)).values(**values))
                self._closed(connection, job.id, charged=False)

    def abandon(self, lease: Lease) -> None:
        """The worker knows that its attempt is in vain: its files are to be deleted, now that it writes no more.

        An attempt that was published nevertheless (the answer to `publish` got lost) keeps them.
        """
        published = select(jobs.c.id).where(jobs.c.id == lease.job.id, jobs.c.result_attempt == lease.attempt)
        with self._database.write() as connection:
            if connection.execute(published).one_or_none() is not None:
                return
            trash.discard(connection, trash.prefix(lease.job.id, lease.attempt), 0)

    def _end(
        self,
        lease: Lease,
        values: Mapping[str, Any],
        usage: Mapping[str, Any],
        entries: Iterable[Entry],
        charged: bool = True,
    ) -> bool:
        ended = {"finished": now(), "updated": now(), "usage": dict(usage), "worker": None, "lease_until": None}
        with self._database.write() as connection:
            if not write_log(connection, _owned(lease), entries):
                return False
            connection.execute(update(jobs).where(_owned(lease)).values(**values, **ended))
            if values["status"] == "error":
                trash.discard(connection, trash.prefix(lease.job.id, lease.attempt), 0)
            self._closed(connection, lease.job.id, charged)
            return True

    def _closed(self, connection: Connection, id: str, charged: bool) -> None:
        """A run has just ended."""
        row = connection.execute(select(*COLUMNS).where(jobs.c.id == id)).mappings().one()
        self._close(connection, job_of(row), charged)

    def _requeue(
        self, lease: Lease, lost: int, entries: Iterable[Entry], waiting: Mapping[str, Any] | None = None
    ) -> bool:
        values = {
            "status": "queued",
            "lost": lost,
            "updated": now(),
            "worker": None,
            "lease_until": None,
            **(waiting or {}),
        }
        with self._database.write() as connection:
            if not write_log(connection, _owned(lease), entries):
                return False
            connection.execute(update(jobs).where(_owned(lease)).values(**values))
            trash.discard(connection, trash.prefix(lease.job.id, lease.attempt), 0)
            return True

    def _reclaim(self, connection: Connection) -> str | None:
        """A job whose worker is lost; those lost too often end as error on the way."""
        overdue = and_(jobs.c.status == "running", jobs.c.lease_until < now())
        query = select(jobs.c.id, jobs.c.lost, jobs.c.attempt).where(overdue).order_by(jobs.c.lease_until)
        for row in connection.execute(query.with_for_update(skip_locked=True)).all():
            if row.lost + 1 < self._settings.attempts:
                return str(row.id)
            which = jobs.c.id == row.id
            write_log(connection, which, [_given_up(row.lost + 1)])
            values = {"status": "error", "lost": row.lost + 1, "worker": None, "lease_until": None}
            connection.execute(update(jobs).where(which).values(**values, finished=now(), updated=now()))
            trash.discard(connection, trash.prefix(row.id, row.attempt), GRACE)
            self._closed(connection, row.id, charged=False)
        return None

    def _next(self, connection: Connection) -> str | None:
        running = (
            select(jobs.c.user_id, func.count().label("number"))
            .where(jobs.c.status == "running")
            .group_by(jobs.c.user_id)
            .subquery()
        )
        waiting = (
            select(
                jobs.c.user_id,
                func.max(jobs.c.priority).label("priority"),
                func.max(jobs.c.per_user).label("per_user"),
            )
            .where(_READY)
            .group_by(jobs.c.user_id)
            .subquery()
        )
        users = (
            select(waiting.c.user_id)
            .outerjoin(running, running.c.user_id == waiting.c.user_id)
            .outerjoin(turns, turns.c.user_id == waiting.c.user_id)
            .where(func.coalesce(running.c.number, 0) < func.coalesce(waiting.c.per_user, self._settings.per_user))
            .order_by(waiting.c.priority.desc(), func.coalesce(turns.c.served, 0.0), waiting.c.user_id)
        )
        for user in connection.execute(users).scalars().all():
            query = (
                select(jobs.c.id)
                .where(_READY, jobs.c.user_id == user)
                .order_by(jobs.c.priority.desc(), jobs.c.queued, jobs.c.id)
                .limit(1)
                .with_for_update(skip_locked=True)
            )
            id = connection.execute(query).scalar_one_or_none()
            if id is not None:
                return str(id)
        return None


def _owned(lease: Lease) -> ColumnElement[bool]:
    return and_(
        jobs.c.id == lease.job.id,
        jobs.c.status == "running",
        jobs.c.attempt == lease.attempt,
        jobs.c.worker == lease.worker,
    )


def _waits(job: Job) -> ColumnElement[bool]:
    return and_(jobs.c.id == job.id, jobs.c.status == "queued", jobs.c.waiting_for == job.waiting_for)


def _serve(connection: Connection, user: str) -> None:
    served = update(turns).where(turns.c.user_id == user).values(served=now())
    if not connection.execute(served).rowcount:
        connection.execute(insert(turns).values(user_id=user, served=now()))


def _told_lost(lost: int, attempts: int) -> dict[str, Any]:
    return {
        "level": "warning",
        "code": "WorkerLost",
        "message": "The machine or process that computed the job disappeared; the job starts again "
        f"(lost {lost} of {attempts} times at most).",
    }


def _given_up(lost: int) -> dict[str, Any]:
    return {
        "level": "error",
        "code": "WorkerLost",
        "path": [],
        "message": f"The machine or process that computed the job disappeared {lost} times, so it was given up. "
        "Probably it needs more memory than there is: use a smaller extent, fewer bands or a coarser resolution. "
        "If that does not help, tell the operator.",
    }
