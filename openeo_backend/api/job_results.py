"""`/jobs/{job_id}/results` for the owner of a job, and `/results/...` for who holds a signed link."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from flask import Blueprint, Response, jsonify, request

from openeo_backend.api import download
from openeo_backend.api.access import backend, current_user, public, unlisted
from openeo_backend.api.job_estimate import estimate_of
from openeo_backend.api.jobs import limits, validate
from openeo_backend.api.urls import host_url, url
from openeo_backend.errors import OpenEOError
from openeo_backend.jobs import options
from openeo_backend.jobs.place import place
from openeo_backend.observe.clock import timestamp
from openeo_backend.run import results
from openeo_backend.store import trash
from openeo_backend.store.jobs import ACTIVE, Job

blueprint = Blueprint("job_results", __name__)

GEOJSON = "application/geo+json"


@blueprint.post("/jobs/<job_id>/results")
def start_job(job_id: str) -> Response:
    """Queue a job; nothing happens if it is queued or running already."""
    store, user, roles = backend().store, current_user().id, sorted(current_user().roles)
    job = store.jobs.get(user, job_id)
    if job.status not in ACTIVE:
        plan = backend().accounts.tariff.resolve(job.plan)
        remote = validate(job)
        allowed, settings = limits(), backend().settings.jobs
        options.check(job.options, allowed, settings)
        _check_storage(user, allowed.results_gb)
        # The roles of now hold for the run: tokens are not kept, so nothing tells those of then.
        resolved = {**options.resolve(job.options, allowed, settings), "roles": roles}
        _admit(job, plan)
        members = {"priority": allowed.priority, "per_user": allowed.per_user, "limits": resolved, "plan": plan}
        members["payer"] = backend().accounts.payer(current_user())
        members["remote"] = remote or None
        if store.jobs.queue(user, job_id, _ignored(job), **members):
            store.jobs.log(user, job_id, [place(*store.jobs.ahead(user, job_id), allowed.per_user)])
            backend().ring()
    return Response(status=202)


def _check_storage(user: str, most_gb: float | None) -> None:
    """:raises OpenEOError: StorageQuotaExceeded where the user's results fill what they may store."""
    if most_gb is None:
        return
    stored = backend().store.jobs.stored_bytes(user) / 1e9
    if stored >= most_gb:
        raise OpenEOError(
            "StorageQuotaExceeded",
            f"Your results take {stored:,.3g} GB of the {most_gb:,.3g} GB that you may store.",
            hint="Delete jobs whose results you do not need any more.",
        )


def _admit(job: Job, plan: str) -> None:
    """Look whether a job can be paid for; what is not known before is watched while it runs.

    :raises OpenEOError: PaymentRequired.
    """
    accounts, user, expected = backend().accounts, current_user(), None
    accounts.admit(user, plan, "job", job.budget)
    if job.budget is not None and accounts.tariff.is_paid(plan) and accounts.tariff.has_metered_prices:
        with suppress(OpenEOError):
            expected = estimate_of(job).get("costs")
        accounts.admit(user, plan, "job", job.budget, expected)


@blueprint.delete("/jobs/<job_id>/results")
def stop_job(job_id: str) -> Response:
    """Stop a job that is queued or running; what was published stays."""
    backend().store.jobs.cancel(current_user().id, job_id, backend().accounts.close)
    return Response(status=204)


@blueprint.get("/jobs/<job_id>/results")
def list_results(job_id: str) -> Response:
    """The results as STAC with freshly signed links."""
    job = backend().store.jobs.get(current_user().id, job_id)
    expires = backend().signer.now() + timedelta(days=backend().settings.store.signed_url_days)
    if job.status == "finished" and job.unpublished is not None:
        expires = min(expires, job.unpublished)
    own = [
        {"rel": "self", "href": url(f"/jobs/{job.id}/results"), "type": "application/json"},
        {"rel": "monitor", "href": url(f"/jobs/{job.id}/logs"), "type": "application/json", "title": "Log"},
    ]
    response = _document(job, _partial(), expires, own, job.costs)
    response.headers["OpenEO-Costs"] = "0"
    return response


@blueprint.get("/results/<job_id>")
@public
@unlisted
def signed_results(job_id: str) -> Response:
    """The results as STAC for who has the canonical link. Its links work as long as that one, not longer."""
    is_partial = _partial()
    expires = backend().signer.verify(_results_parts(job_id, is_partial), request.args)
    job = _shared(job_id)
    own = [{"rel": "self", "href": _signed_results(job, is_partial, expires), "type": "application/json"}]
    return _document(job, is_partial, expires, own)


@blueprint.get("/results/<job_id>/<attempt>/items/<item_id>")
@public
@unlisted
def signed_item(job_id: str, attempt: str, item_id: str) -> Response:
    """One STAC Item of the results."""
    expires = backend().signer.verify(("item", job_id, attempt, item_id), request.args)
    job = _shared(job_id, attempt)
    found = results.item(job, item_id, _links(job, False, expires))
    if found is None:
        raise OpenEOError("NotFound", f"The results have no item '{item_id[:80]}'.")
    return _json(found, GEOJSON)


@blueprint.get("/results/<job_id>/<attempt>/files/<name>")
@public
@unlisted
def signed_file(job_id: str, attempt: str, name: str) -> Response:
    """One file of the results."""
    backend().signer.verify(("file", job_id, attempt, name), request.args)
    job = _shared(job_id, attempt)
    file = next((file for file in (job.result or {}).get("files", []) if file["name"] == name), None)
    if file is None:
        raise OpenEOError("FileNotFound", f"The results have no file '{name[:80]}'.")
    key = trash.prefix(job_id, job.result_attempt) + name
    return download.send(backend().objects, key, file["size"], name, file["media_type"], file["checksum"])


def _document(
    job: Job, is_partial: bool, expires: datetime, own: list[dict[str, Any]], costs: float | None = None
) -> Response:
    """The results, or the openEO error that says why there are none.

    :param costs: of the job, for its owner only.
    :raises OpenEOError: JobNotFinished; ResultLinkExpired when they are not kept any more.
    """
    if job.status == "error" and not is_partial:
        return _failure(job)
    if job.status != "finished" and not is_partial:
        raise OpenEOError(
            "JobNotFinished",
            f"The job is {job.status}: there are no results yet.",
            hint="Start it and wait until its status is 'finished', or ask for partial results with '?partial=true'.",
        )
    if job.status == "finished" and job.result is None:
        ended = timestamp(job.unpublished) if job.unpublished else "some time ago"
        raise OpenEOError(
            "ResultLinkExpired", f"The results were deleted on {ended}.", hint="Start the job again to compute them."
        )
    links = _links(job, job.status != "finished", expires, own)
    paid = {} if costs is None else {"openeo:costs": costs}
    if request.accept_mimetypes.best_match(["application/json", GEOJSON]) == GEOJSON:
        feature = results.feature(job, links)
        return _json({**feature, "properties": {**feature["properties"], **paid}}, GEOJSON)
    return jsonify({**results.collection(job, links), **paid})


def _failure(job: Job) -> Response:
    """424 with the last error of the log, which is an openEO error as well."""
    entry = backend().store.jobs.last_error(job.user_id, job.id)
    if entry is None:
        raise RuntimeError(f"the job {job.id} failed without a log entry of level error")
    response = jsonify({"code": "Internal", "links": [], **entry})
    response.status_code = 424
    return response


def _links(job: Job, is_partial: bool, expires: datetime, own: list[dict[str, Any]] | None = None) -> results.Links:
    attempt = str(job.result_attempt)

    def file(name: str) -> str:
        return _signed(f"/results/{job.id}/{attempt}/files/{quote(name)}", ("file", job.id, attempt, name), expires)

    def item(id: str) -> str:
        return _signed(f"/results/{job.id}/{attempt}/items/{quote(id)}", ("item", job.id, attempt, id), expires)

    def input(path: str) -> str:
        return url(f"/{path}")

    provider = {"name": backend().settings.server.title, "url": host_url()}
    return results.Links(_signed_results(job, is_partial, expires), expires, file, item, own or [], provider, input)


def _signed_results(job: Job, is_partial: bool, expires: datetime) -> str:
    members = {"partial": "true"} if is_partial else {}
    return _signed(f"/results/{job.id}", _results_parts(job.id, is_partial), expires, members)


def _results_parts(job_id: str, is_partial: bool) -> tuple[str, ...]:
    return ("results", job_id, "partial" if is_partial else "")


def _signed(path: str, parts: tuple[str, ...], expires: datetime, members: dict[str, str] | None = None) -> str:
    return f"{url(path)}?{urlencode({**(members or {}), **backend().signer.sign(parts, expires)})}"


def _shared(job_id: str, attempt: str | None = None) -> Job:
    """The job that a verified link was made for.

    :raises OpenEOError: ResultLinkExpired when the job or this result of it is gone.
    """
    owner = backend().store.jobs.owner(job_id)
    job = backend().store.jobs.get(owner, job_id) if owner is not None else None
    if job is None or (attempt is not None and attempt != str(job.result_attempt)):
        raise OpenEOError("ResultLinkExpired", "What this link leads to was deleted or replaced by its owner.")
    return job


def _partial() -> bool:
    value = request.args.get("partial")
    if value is None or value.lower() in ("false", "0"):
        return False
    if value.lower() in ("", "true", "1"):
        return True
    raise OpenEOError("RequestInvalid", f"The parameter 'partial' is '{value[:40]}', not true or false.")


def _ignored(job: Job) -> list[dict[str, Any]]:
    names = options.unknown(job.options)
    if not names:
        return []
    return [{"level": "warning", "message": f"Unknown job options have no effect here: {', '.join(names)}."}]


def _json(document: dict[str, Any], media_type: str) -> Response:
    response = jsonify(document)
    response.content_type = media_type
    return response
