"""Delivering reports of usage to the accounting service, for as long as it takes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from openeo_backend.jobs.accounting import Accounting, AccountingError
from openeo_backend.sections.billing import AccountingSettings
from openeo_backend.store.reports import Report, Reports

log = logging.getLogger(__name__)

#: Longest wait before a report is tried again.
MOST_SECONDS = 3600.0
#: Tries after which the operator is told loudly.
LOUD = 5


class Outbox:
    """The reports that wait, and who takes them. Several processes may deliver at the same time."""

    def __init__(self, kept: Reports, service: Accounting, settings: AccountingSettings) -> None:
        self._reports = kept
        self._service = service
        self._settings = settings
        self._rests_until = float("-inf")

    def deliver(self, is_stopping: Callable[[], bool] = lambda: False) -> int:
        """Deliver what is due; returns how many reports were.

        A service that does not answer at all is left alone for a while. A report that it does not understand, or
        answers in a way that is not understood, waits alone.

        :raises SQLAlchemyError: when the database cannot be reached; what was sent then is sent again, by its key.
        """
        count = 0
        if self._settings.url is None or time.monotonic() < self._rests_until:
            return count
        while not is_stopping() and (report := self._reports.claim(self._lease())):
            try:
                costs = self._service.report(report.report)
            except AccountingError as error:
                self._keep(report, error)
                if error.is_away:
                    self._rests_until = time.monotonic() + self._settings.retry_seconds
                    break
            else:
                self._reports.delivered(report, costs)
                count += 1
        return count

    def _keep(self, report: Report, error: AccountingError) -> None:
        # 2**20 would do; a report may be tried much more often than that
        seconds = min(self._settings.retry_seconds * 2 ** min(report.tries, 20), MOST_SECONDS)
        self._reports.keep(report, seconds, str(error))
        level = logging.ERROR if report.tries + 1 >= LOUD else logging.WARNING
        log.log(
            level,
            "usage report %s is kept and sent again in %.0f s (tried %d times): %s",
            report.key,
            seconds,
            report.tries + 1,
            error,
        )

    def _lease(self) -> float:
        """Seconds that one delivery takes at most: two requests, each with a new token."""
        return 4 * self._settings.timeout_seconds + 30
