"""Reports of usage on their way to the accounting service.

A report is written in the transaction that ends what it tells of, so there is one for each run, whatever dies when.
It leaves by its key, which the service knows again should it come twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from openeo_backend.store.database import Database
from openeo_backend.store.jobs import write_log
from openeo_backend.store.schema import jobs, usage_reports
from openeo_backend.store.types import now


@dataclass(frozen=True)
class Report:
    """What one run used. Times are UTC."""

    key: str
    """The idempotency key."""
    report: dict[str, Any]
    """What is told to the service."""
    job_id: str | None = None
    """The batch job whose costs are those that the service answers."""
    attempt: int | None = None
    """The run of that job."""
    created: datetime | None = None
    tries: int = 0
    sent: datetime | None = None
    problem: str | None = None
    """Why it could not be delivered the last time."""


_COLUMNS = [usage_reports.c[name] for name in Report.__dataclass_fields__]


def add(connection: Connection, report: Report) -> None:
    """Keep a report until it is delivered, as part of a transaction."""
    values = {"key": report.key, "report": report.report, "job_id": report.job_id, "attempt": report.attempt}
    connection.execute(insert(usage_reports).values(**values, created=now(), tries=0, next_try=now()))


class Reports:
    """The outbox."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, seconds: float) -> Report | None:
        """The report that is due for the longest time, and nobody else's for `seconds`; None if none is due."""
        due = select(*_COLUMNS).where(usage_reports.c.next_try <= now()).order_by(usage_reports.c.next_try).limit(1)
        with self._database.read() as connection:
            if connection.execute(due).one_or_none() is None:  # looking takes no lock
                return None
        with self._database.write() as connection:
            row = connection.execute(due.with_for_update(skip_locked=True)).mappings().one_or_none()
            if row is None:
                return None
            values = {"tries": usage_reports.c.tries + 1, "next_try": now() + seconds}
            connection.execute(update(usage_reports).where(usage_reports.c.key == row["key"]).values(**values))
            return _report(row)

    def delivered(self, report: Report, costs: float | None = None) -> None:
        """The service has the report.

        :param costs: what it charged, which become those of the job unless that was started again; None where it
            does not tell.
        """
        with self._database.write() as connection:
            mine = usage_reports.c.key == report.key
            connection.execute(update(usage_reports).where(mine).values(sent=now(), next_try=None, problem=None))
            if costs is not None and report.job_id is not None:
                run = (jobs.c.id == report.job_id) & (jobs.c.attempt == report.attempt)
                ended = jobs.c.status.in_(("finished", "error", "canceled"))
                differs = func.coalesce(jobs.c.costs, -1) != costs
                if connection.execute(update(jobs).where(run, ended, differs).values(costs=costs)).rowcount:
                    entry = {"level": "info", "message": f"The accounting service charges {costs:,.6g} for this run."}
                    write_log(connection, run, [entry])

    def keep(self, report: Report, seconds: float, problem: str) -> None:
        """The service does not have the report, as far as we know: it is due again after `seconds`."""
        with self._database.write() as connection:
            waiting = (usage_reports.c.key == report.key) & usage_reports.c.next_try.is_not(None)
            connection.execute(update(usage_reports).where(waiting).values(next_try=now() + seconds, problem=problem))

    def list(self) -> tuple[Report, ...]:
        """All reports, also the delivered ones, the oldest first."""
        query = select(*_COLUMNS).order_by(usage_reports.c.created, usage_reports.c.key)
        with self._database.read() as connection:
            return tuple(_report(row) for row in connection.execute(query).mappings())

    def waiting(self) -> int:
        """How many reports are not delivered yet."""
        query = select(func.count()).where(usage_reports.c.next_try.is_not(None))
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one())

    def expire(self, days: float) -> None:
        """Forget reports that were delivered more than `days` ago; others are never forgotten."""
        with self._database.write() as connection:
            connection.execute(delete(usage_reports).where(usage_reports.c.sent < now() - days * 86_400))


def _report(row: Mapping[Any, Any]) -> Report:
    return Report(**{str(name): value for name, value in row.items()})
