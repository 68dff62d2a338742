"""Jobs that load the results of other jobs wait for them in the queue, not in a worker."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from openeo_backend.errors import OpenEOError
from openeo_backend.jobs.queue import Queue
from openeo_backend.net.door import Door
from openeo_backend.net.policy import shown, split
from openeo_backend.observe import clock
from openeo_backend.store.jobs import COMING, Job
from openeo_backend.store.store import Store

log = logging.getLogger(__name__)

#: States, of our jobs and of results elsewhere (`openeo:status`), in which results will not come.
FAILED = ("error", "canceled")

#: What keeps us from learning the state and will not go away by itself.
LASTING = ("UrlNotAllowed", "FileSizeExceeded", "PermissionsInsufficient")

ASKED = {"Accept": "application/json"}

#: Seconds that an answer about a state may take; servers that are slower are asked again later.
LOOK_SECONDS = 10.0

#: Megabytes of such an answer: a whole result with all of its assets.
LOOK_MB = 16.0


def look(store: Store, queue: Queue, door: Door, most_seconds: float) -> None:
    """Look once for everything that jobs wait for and that is due.

    A server that does not answer is asked once, however many jobs wait for results of it: the others' turn comes.

    :param most_seconds: how long jobs wait at most.
    """
    silent: dict[str, OpenEOError] = {}
    while job := queue.look():
        try:
            state, problem = _state(store, door, job, silent), ""
        except OpenEOError as error:
            log.info("job %s waits for %s: %s", job.id, shown(str(job.waiting_for)), error)
            if error.code in LASTING:
                queue.give_up(job, _entry(f"The results of {_name(job)} cannot be loaded: {error.message}", error.hint))
                continue
            state, problem = "running", error.message
        if state in COMING:
            seconds = waited(job)
            if seconds > most_seconds:
                queue.give_up(job, overdue(job, str(job.waiting_for), seconds, problem))
        elif state in FAILED:
            queue.give_up(job, _failed(job, state))
        else:
            queue.go_on(job)


def waited(job: Job) -> float:
    """Seconds since a job began to wait for results of others."""
    return (clock.now() - job.waiting_since).total_seconds() if job.waiting_since else 0.0


def _state(store: Store, door: Door, job: Job, silent: dict[str, OpenEOError]) -> str:
    """The state of what a job waits for; finished where nothing tells one.

    :param silent: why servers did not answer, by host and port.
    :raises OpenEOError: for what keeps us from learning it.
    """
    results = str(job.waiting_for)
    if results.startswith("j-"):
        owner = store.jobs.owner(results)
        return store.jobs.get(owner, results).status if owner else "finished"
    host = split(results).netloc
    if host in silent:
        raise silent[host]
    try:
        reply = door.request(
            "GET", results, headers=ASKED, limit_mb=LOOK_MB, seconds=LOOK_SECONDS, again=False, within=LOOK_SECONDS
        )
    except OpenEOError as error:
        if error.code == "UrlNotReachable":
            silent[host] = error
        raise
    if reply.status >= 400:
        code = "PermissionsInsufficient" if reply.status in (401, 403, 410) else "UrlNotReachable"
        raise OpenEOError(code, f"'{shown(results)}' answers with HTTP status {reply.status}.")
    document = reply.json()
    state = document.get("openeo:status") if isinstance(document, Mapping) else None
    return str(state or "finished").lower()


def _failed(job: Job, state: str) -> dict[str, Any]:
    return _entry(f"The results of {_name(job)} will not come: its state is '{state}'.", "See its log; start it again.")


def overdue(job: Job, results: str, seconds: float, problem: str) -> dict[str, Any]:
    """The log entry of a job that waited for too long.

    :param problem: what went wrong with the last look; empty where the results are not there yet.
    """
    last = f" The last look failed: {problem}" if problem else " It is not finished yet."
    message = f"The job waited {seconds:,.0f} seconds for the results of {name(results)}.{last}"
    return _entry(message, "Start it again later.")


def name(results: str) -> str:
    """What a job waits for, as messages call it: a job of ours by its id, others by their URL without signature."""
    return f"job '{results}'" if results.startswith("j-") else f"'{shown(results)}'"


def _name(job: Job) -> str:
    return name(str(job.waiting_for))


def _entry(message: str, hint: str | None) -> dict[str, Any]:
    time = clock.moment()
    told = f"{message} {hint}" if hint else message
    return {"level": "error", "time": time, "code": "JobNotFinished", "message": told, "path": []}
