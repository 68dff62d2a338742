"""`/jobs` and `/jobs/{job_id}`: batch jobs and their metadata."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any

from flask import Blueprint, Response, jsonify, request

from openeo_backend.api import query
from openeo_backend.api.access import backend, current_user
from openeo_backend.api.billing import budget_of, plan_of
from openeo_backend.api.body import json_body, text_member
from openeo_backend.api.errors import combine
from openeo_backend.api.submission import check_process, log_level_of, process_of
from openeo_backend.api.urls import url
from openeo_backend.auth.policy import Limits, limits_of
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.parse import read
from openeo_backend.jobs import options
from openeo_backend.observe.clock import timestamp
from openeo_backend.run import results
from openeo_backend.run.remote import told
from openeo_backend.store import trash
from openeo_backend.store.jobs import Job

blueprint = Blueprint("jobs", __name__)

#: What requests may set; the other members of a job are the back-end's.
EDITABLE = frozenset({"title", "description", "process", "plan", "budget", "log_level", "job_options"})


@blueprint.post("/jobs")
def create_job() -> Response:
    """Store a job. Its process must be well-formed; whether it can run is found out when it is started."""
    body = json_body()
    process = process_of(body)
    _parse(process)
    chosen = options.collect(body)
    allowed = limits()
    options.check(chosen, allowed, backend().settings.jobs)
    if backend().store.jobs.count(current_user().id) >= allowed.stored_jobs:
        raise OpenEOError(
            "StorageQuotaExceeded", f"You have {allowed.stored_jobs:,} jobs.", hint="Delete some of them first."
        )
    job = backend().store.jobs.create(
        current_user().id,
        process,
        title=text_member(body, "title"),
        description=text_member(body, "description"),
        plan=plan_of(body),
        budget=budget_of(body),
        log_level=options.log_level(chosen) or log_level_of(body),
        options=chosen,
        remote=_pins(process),
    )
    response = Response(status=201)
    response.headers["Location"] = url(f"/jobs/{job.id}")
    response.headers["OpenEO-Identifier"] = job.id
    return response


@blueprint.get("/jobs")
def list_jobs() -> Response:
    """The user's jobs, newest first: all of them, or page by page with `limit`."""
    limit = query.limit()
    page = backend().store.jobs.list(current_user().id, limit, request.args.get("start"))
    links = []
    if page.next:
        links.append({"rel": "next", "href": url(f"/jobs?limit={limit}&start={page.next}"), "type": "application/json"})
    return jsonify({"jobs": [_short(job) for job in page.jobs], "links": links})


@blueprint.get("/jobs/<job_id>")
def describe_job(job_id: str) -> Response:
    """All about one job."""
    job = backend().store.jobs.get(current_user().id, job_id)
    return jsonify(_full(job))


@blueprint.patch("/jobs/<job_id>")
def update_job(job_id: str) -> Response:
    """Change what the user once sent; nothing is changed if anything is wrong."""
    body = json_body()
    fixed = sorted(options.MEMBERS - EDITABLE & body.keys())
    if fixed:
        raise OpenEOError(
            "PropertyNotEditable",
            f"The member{'s' if len(fixed) > 1 else ''} {', '.join(fixed)} of a job cannot be changed.",
            hint=f"Changeable: {', '.join(sorted(EDITABLE))}.",
        )
    store, user = backend().store, current_user().id
    store.jobs.update(user, job_id, _changes(body, store.jobs.get(user, job_id)))
    return Response(status=204)


@blueprint.delete("/jobs/<job_id>")
def delete_job(job_id: str) -> Response:
    """Remove a job with everything it made; a running one is stopped."""
    backend().store.jobs.delete(current_user().id, job_id, backend().accounts.close)
    with suppress(OpenEOError):  # the worker's sweep deletes what is left
        backend().objects.delete(trash.prefix(job_id))
    return Response(status=204)


def limits() -> Limits:
    """What the user's roles allow."""
    return limits_of(backend().settings, current_user().roles)


def validate(job: Job) -> list[dict[str, Any]]:
    """Look whether the process of a job can run.

    :returns: the processes by URL that it uses: those it was made with, others as they are now.
    :raises OpenEOError: with all of its problems.
    """
    remote = backend().engine.pinned(job.remote or ())
    problems = backend().validate(job.process, current_user(), remote=remote)
    if problems:
        raise combine(problems)
    return remote.pins()


def _pins(process: dict[str, Any]) -> list[dict[str, Any]] | None:
    return backend().engine.pins(process, backend().stored(current_user().id)) or None


def _parse(process: dict[str, Any]) -> None:
    limits = backend().settings.limits
    _, problems = read(process["process_graph"], max_nodes=limits.graph_nodes, max_depth=limits.graph_depth)
    if problems:
        raise combine(problems)


def _changes(body: dict[str, Any], job: Job) -> dict[str, Any]:
    """The columns that a PATCH changes. Null empties what may be empty and leaves the rest alone."""
    changes: dict[str, Any] = {name: text_member(body, name) for name in ("title", "description") if name in body}
    if "budget" in body:
        changes["budget"] = budget_of(body)
    if body.get("plan") is not None:
        changes["plan"] = plan_of(body)
    if body.get("log_level") is not None:
        changes["log_level"] = log_level_of(body)
    if body.get("process") is not None:
        process = process_of(body)
        check_process(process)
        _parse(process)
        changes |= {"process": process, "remote": _pins(process)}
    chosen = options.collect(body)
    if chosen or "job_options" in body:
        changes["options"] = chosen if "job_options" in body else {**job.options, **chosen}
        options.check(changes["options"], limits(), backend().settings.jobs)
        if level := options.log_level(chosen):
            changes["log_level"] = level
    return changes


def _short(job: Job) -> dict[str, Any]:
    """A job in lists: scalars only."""
    document: dict[str, Any] = {
        "id": job.id,
        "title": job.title,
        "status": job.status,
        "progress": _progress(job),
        "created": timestamp(job.created),
        "updated": timestamp(job.updated),
        "plan": job.plan,
        "budget": job.budget,
        "costs": job.costs,
        "log_level": job.log_level,
    }
    for name in ("queued", "started", "finished", "unpublished"):
        instant = getattr(job, name)
        document[name] = timestamp(instant) if instant else None
    return _without_nulls(document)


def _full(job: Job) -> dict[str, Any]:
    links = [{"rel": "monitor", "href": url(f"/jobs/{job.id}/logs"), "type": "application/json", "title": "Log"}]
    if job.result_attempt is not None:
        link = {"rel": "result", "href": url(f"/jobs/{job.id}/results"), "type": "application/json"}
        links.append(link | {"title": "Results"})
    kept = timedelta(days=backend().settings.jobs.metadata_days)
    document = _short(job) | {
        "description": job.description,
        "process": job.process,
        "remote_processes": told(job.remote) or None,
        "usage": job.usage,
        "job_options": job.options or None,
        "expires": timestamp(job.updated + kept),
        "links": links,
        **results.extras(job),
    }
    return _without_nulls(document)


def _progress(job: Job) -> float:
    return int(job.progress) if float(job.progress).is_integer() else job.progress


def _without_nulls(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if value is not None}
