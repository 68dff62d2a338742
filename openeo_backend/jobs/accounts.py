"""Who pays what for which run: costs when it ends, reports for the accounting service, refusals before it starts."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, update

from openeo_backend.auth.user import User
from openeo_backend.errors import STATUS, OpenEOError
from openeo_backend.jobs.accounting import Accounting, AccountingError, NoAccounting, open_accounting
from openeo_backend.jobs.tariff import Kind, Tariff, amount
from openeo_backend.observe import clock
from openeo_backend.sections.billing import AccountingSettings, BillingSettings
from openeo_backend.settings import Settings
from openeo_backend.store import reports
from openeo_backend.store.jobs import Job, write_log
from openeo_backend.store.reports import Report
from openeo_backend.store.schema import jobs

log = logging.getLogger(__name__)

#: `state` and `status` of a report by the status of a job.
_STATES = {
    "finished": ("FINISHED", "SUCCEEDED"),
    "error": ("FAILED", "FAILED"),
    "canceled": ("KILLED", "KILLED"),
}


@dataclass(frozen=True)
class Run:
    """A run that has ended, of a job or a synchronous request, as it is charged and reported."""

    id: str
    """Of the job or request."""
    key: str
    """Of the run: the same run has it for ever, and no other has it."""
    title: str | None
    kind: Kind
    plan: str | None
    budget: float | None
    payer: str | None
    status: str
    started: datetime
    finished: datetime
    usage: Mapping[str, Any]
    charged: bool = True


class Accounts:
    """Charges runs by the tariff and writes the reports of them."""

    def __init__(self, settings: BillingSettings, service: Accounting | None = None) -> None:
        self.tariff = Tariff(settings)
        self.service: Accounting = service or NoAccounting()
        self._settings: AccountingSettings = settings.accounting

    @classmethod
    def open(cls, settings: Settings) -> Accounts:
        """The accounts that the settings tell of, and the service that keeps them."""
        return cls(settings.billing, open_accounting(settings))

    def payer(self, user: User) -> str | None:
        """What the accounting service calls a user; None for who has no account there."""
        settings = self._settings
        if settings.url is None or (settings.issuers is not None and user.issuer not in settings.issuers):
            return None
        return user.subject

    def balance(self, user: User) -> float | None:
        """What a user has left, where that is known now."""
        payer = self.payer(user)
        try:
            return None if payer is None else self.service.balance(payer)
        except AccountingError as error:
            log.warning("the balance of a user is not known: %s", error)
            return None

    def admit(
        self, user: User, plan: str, kind: Kind, budget: float | None = None, estimate: float | None = None
    ) -> None:
        """Look whether a run that is about to start can be paid for.

        :param estimate: what it costs as far as one can tell before.
        :raises OpenEOError: PaymentRequired with the numbers; InfrastructureBusy where the balance cannot be learnt
            and the settings then refuse.
        """
        if not self.tariff.is_paid(plan):
            return
        fixed = self.tariff.fixed(plan, kind)
        expected = max(fixed, estimate or 0.0)
        if budget is not None and expected > budget:
            what = "costs at least" if expected == fixed else "is estimated to cost"
            raise self._required(
                f"Processing {what} {self._money(expected)}, which is more than the budget of {budget:,g}.",
                "Raise the budget, or process less.",
                {"estimate": expected, "budget": budget},
            )
        payer = self.payer(user)
        balance = None if payer is None else self._balance_at_start(payer)
        if balance is None:
            return
        available = balance - self._settings.least_balance
        if available <= 0 or available < expected:
            needed = f"at least {expected:,g} are needed" if available < expected else "more are needed"
            hint = "Get credits, or choose a free plan." if self._is_free_offered() else "Get credits first."
            data = {"balance": balance, "estimate": expected}
            raise self._required(f"You have {self._money(balance)} left; {needed} to start.", hint, data)

    def overrun(self, plan: str | None, kind: Kind, budget: float | None, usage: Mapping[str, Any]) -> str | None:
        """What to tell the user of a run whose costs so far exceed its budget; None where they do not."""
        if budget is None:
            return None
        costs = self.tariff.costs(plan, kind, usage)
        if costs <= budget:
            return None
        return (
            f"The computation was stopped because it reached its budget: it would have cost {self._money(costs)} by "
            f"then, the budget is {budget:,g}."
        )

    def costs(self, run: Run) -> float | None:
        """What a run costs; None where only the accounting service can tell."""
        if not run.charged or not self.tariff.is_paid(run.plan):
            return 0.0
        if not self.tariff.has_prices:
            return None
        return self.tariff.costs(run.plan, run.kind, run.usage, run.budget)

    def close(self, connection: Connection, job: Job, charged: bool) -> None:
        """Charge a run of a job and have it reported, in the transaction that ends it.

        :param charged: False for a run that was lost through no fault of its user.
        """
        ended = job.finished or clock.now()
        usage = job.usage or _duration(job.started, ended)
        run = Run(
            id=job.id,
            key=f"{job.id}-{job.attempt}",
            title=job.title,
            kind="job",
            plan=job.plan,
            budget=job.budget,
            payer=job.payer,
            status=job.status,
            started=job.started or ended,
            finished=ended,
            usage=usage,
            charged=charged,
        )
        connection.execute(update(jobs).where(jobs.c.id == job.id).values(costs=self.costs(run), usage=usage or None))
        if entry := self.entry(run):
            write_log(connection, jobs.c.id == job.id, [entry])
        self.file(connection, run, job)

    def file(self, connection: Connection, run: Run, job: Job | None = None) -> None:
        """Have a run reported, if its user has an account at the service."""
        if run.payer is None:
            return
        attempt = None if job is None else job.attempt
        reports.add(connection, Report(run.key, self._report(run), run.id if job else None, attempt))

    def entry(self, run: Run) -> dict[str, Any] | None:
        """The log entry that explains the costs of a run; None where there is nothing to explain."""
        if not (self.tariff.has_prices and self.tariff.is_paid(run.plan)):
            return None
        costs, parts = self.costs(run) or 0.0, self.tariff.parts(run.plan, run.kind, run.usage)
        if not run.charged:
            message = "Nothing is charged: the run was lost through no fault of yours."
        else:
            told = ", ".join(f"{part:,.6g} for {what}" for part, what in parts)
            message = f"Costs: {self._money(costs)}{f' ({told})' if told else ''}."
            if run.budget is not None and sum(part for part, _ in parts) > run.budget:
                message += f" No more than the budget of {run.budget:,g} is charged."
        return {"level": "info", "message": message, "data": {"costs": costs}}

    def _report(self, run: Run) -> dict[str, Any]:
        state, status = _STATES.get(run.status, ("UNDEFINED", "UNDEFINED"))
        return {
            "jobId": run.id,
            "jobName": run.title or run.id,
            "executionId": run.key,
            "userId": run.payer,
            "sourceId": self._settings.source_id,
            "orchestrator": "openeo",
            "jobStart": _milliseconds(run.started),
            "jobFinish": _milliseconds(run.finished),
            "idempotencyKey": run.key,
            "state": state,
            "status": status,
            "metrics": self._metrics(run),
        }

    def _metrics(self, run: Run) -> dict[str, Any]:
        """What the service may charge for: of work that costs nothing, the credits only, which are 0."""
        costs = self.costs(run)
        metrics: dict[str, Any] = {}
        if run.charged and self.tariff.is_paid(run.plan):
            metrics["cpu"] = {"value": amount(run.usage, "cpu"), "unit": "cpu-seconds"}
            metrics["memory"] = {"value": amount(run.usage, "memory"), "unit": "mb-seconds"}
            metrics["time"] = {"value": round(amount(run.usage, "duration") * 1000), "unit": "milliseconds"}
        if costs is not None:
            metrics["processing"] = {"value": costs, "unit": "credits"}
        return metrics

    def _balance_at_start(self, payer: str) -> float | None:
        try:
            return self.service.balance(payer)
        except AccountingError as error:
            if self._settings.unreachable == "allow":
                log.warning("started although the balance is not known: %s", error)
                return None
            log.error("not started because the balance is not known: %s", error)
            raise OpenEOError(
                "InfrastructureBusy",
                "Whether you have enough credits cannot be found out now, and nothing is started without that.",
                hint="Try again in some minutes.",
                data={"retry_after": 60},
            ) from None

    def _required(self, message: str, hint: str, data: Mapping[str, float]) -> OpenEOError:
        return OpenEOError("PaymentRequired", message, hint=hint, data=dict(data))

    def _is_free_offered(self) -> bool:
        return any(not plan["paid"] for plan in self.tariff.plans())

    def _money(self, value: float) -> str:
        return f"{value:,.6g} {self.tariff.currency}"


def is_charged(error: Mapping[str, Any] | None) -> bool:
    """Whether a run is charged that ended with an openEO error: one that is the user's to mend, not ours.

    What is refused for its size has not been computed, wherever that is found.
    """
    if error is None:
        return True
    code = str(error.get("code"))
    return code != "ProcessGraphComplexity" and int(error.get("status") or STATUS.get(code, 400)) < 500


def _duration(started: datetime | None, ended: datetime) -> dict[str, Any]:
    """The usage of a run that ended before it told any; empty for one that never began."""
    if started is None:
        return {}
    return {"duration": {"value": round(max((ended - started).total_seconds(), 0), 3), "unit": "seconds"}}


def _milliseconds(instant: datetime) -> int:
    return round(instant.timestamp() * 1000)
