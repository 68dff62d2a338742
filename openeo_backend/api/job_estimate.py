"""`/jobs/{job_id}/estimate`: what a job will take, found out without running it."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterable
from typing import Any

from flask import Blueprint, Response, current_app, jsonify

from openeo_backend.api.access import backend, current_user
from openeo_backend.api.jobs import validate
from openeo_backend.api.share import Shares
from openeo_backend.api.sync import FOLDER, SLOTS
from openeo_backend.auth.policy import limits_of
from openeo_backend.errors import OpenEOError
from openeo_backend.jobs.estimate import estimate
from openeo_backend.observe import clock
from openeo_backend.run.request import Outcome, RunRequest
from openeo_backend.store.jobs import Job

blueprint = Blueprint("job_estimate", __name__)


@blueprint.get("/jobs/<job_id>/estimate")
def estimate_job(job_id: str) -> Response:
    """Costs, duration and size. A process that cannot run has no estimate but its problems."""
    job = backend().store.jobs.get(current_user().id, job_id)
    validate(job)
    return jsonify(estimate_of(job))


def estimate_of(job: Job) -> dict[str, Any]:
    """The estimate of a job of this user whose process was validated.

    :raises OpenEOError: EstimateComplexity where there is none; TooManyRequests where nobody has time for it.
    """
    slots: Shares = current_app.extensions[SLOTS]
    user = current_user()
    with slots.hold(user.id, limits_of(backend().settings, user.roles).sync_slots):
        outcome = _measure(job, current_user().roles)
    if outcome.error is not None:
        raise _told(outcome)
    usages, tariff = backend().store.jobs.recent_usage(), backend().accounts.tariff
    return estimate(outcome.value, usages, clock.now(), tariff, tariff.resolve(job.plan))


def _measure(job: Job, roles: Iterable[str]) -> Outcome:
    """The size of the job's plan, found out in a child: graphs and catalogs may be large, and not ours."""
    settings, id = backend().settings, f"e-{uuid.uuid4().hex}"
    folder = settings.data_dir / FOLDER / id
    folder.mkdir(parents=True)
    request = RunRequest(
        id=id,
        process=job.process,
        folder=folder,
        user=job.user_id,
        roles=sorted(roles),
        processes=backend().stored(job.user_id),
        remote=job.remote or (),
        options=job.options,
        limit_samples=settings.limits.job_samples,
        seconds=settings.jobs.estimate_seconds,
        memory_mb=settings.jobs.memory_mb,
        mode="estimate",
    )
    try:
        return backend().runner(request, lambda event: None, lambda: False)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _told(outcome: Outcome) -> OpenEOError:
    error = outcome.error or {}
    if error["code"] in ("RequestTimeout", "OutOfMemory"):
        return OpenEOError("EstimateComplexity", "Estimating the job takes too long: its process is too complex.")
    if outcome.waiting_for is not None:
        return OpenEOError("EstimateComplexity", f"The job cannot be estimated yet. {error['message']}")
    return OpenEOError(error["code"], error["message"], status=error.get("status"))
