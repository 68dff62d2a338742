"""Jobs that load the results of other jobs wait for them in the queue, not in a worker."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from openeo_backend.errors import OpenEOError
from openeo_backend.jobs.queue import Queue
from openeo_backend.net.door import Door
from openeo_backend.net.policy import shown
from openeo_backend.observe import clock
from openeo_backend.store.jobs import COMING, Job
from openeo_backend.store.store import Store

log = logging.getLogger(__name__)

#: States, of our jobs and of results elsewhere (`openeo:status`), in which results will not come.
FAILED = ("error", "canceled")


def look(store: Store, queue: Queue, door: Door, most_seconds: float) -> None:
    """Look once for everything that jobs wait for and that is due.

    :param most_seconds: how long jobs wait at most.
    """
    while job := queue.look():
        state, problem = _state(store, door, job)
        if state in COMING:
            waited = (clock.now() - job.waiting_since).total_seconds() if job.waiting_since else 0.0
            if waited > most_seconds:
                queue.give_up(job, _overdue(job, waited, problem))
        elif state in FAILED:
            queue.give_up(job, _failed(job, state))
        else:
            queue.go_on(job)


def _state(store: Store, door: Door, job: Job) -> tuple[str, str]:
    """The state of what a job waits for, and what keeps us from learning it; finished where nothing tells one."""
    results = str(job.waiting_for)
    if results.startswith("j-"):
        owner = store.jobs.owner(results)
        return (store.jobs.get(owner, results).status if owner else "finished"), ""
    try:
        document: Any = door.json(results)
    except OpenEOError as error:
        log.info("job %s waits for %s: %s", job.id, shown(results), error)
        return "running", error.message
    state = document.get("openeo:status") if isinstance(document, Mapping) else None
    return str(state or "finished").lower(), ""


def _failed(job: Job, state: str) -> dict[str, Any]:
    return _entry(f"The results of {_name(job)} will not come: its state is '{state}'.", "See its log; start it again.")


def _overdue(job: Job, waited: float, problem: str) -> dict[str, Any]:
    last = f" The last look failed: {problem}" if problem else " It is not finished yet."
    return _entry(
        f"The job waited {waited:,.0f} seconds for the results of {_name(job)}.{last}", "Start it again later."
    )


def _name(job: Job) -> str:
    results = str(job.waiting_for)
    return f"job '{results}'" if results.startswith("j-") else f"'{shown(results)}'"


def _entry(message: str, hint: str) -> dict[str, Any]:
    time = clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"level": "error", "time": time, "code": "JobNotFinished", "message": f"{message} {hint}", "path": []}
