"""`/jobs/{job_id}/logs`: what a job said."""

from __future__ import annotations

from urllib.parse import urlencode

from flask import Blueprint, Response, jsonify, request

from openeo_backend.api import query
from openeo_backend.api.access import backend, current_user
from openeo_backend.api.submission import LOG_LEVELS
from openeo_backend.api.urls import url
from openeo_backend.errors import OpenEOError

blueprint = Blueprint("job_logs", __name__)


@blueprint.get("/jobs/<job_id>/logs")
def job_logs(job_id: str) -> Response:
    """The log of a job after the entry `offset`, from a level on."""
    level, limit = _level(), query.limit()
    offset = request.args.get("offset") or None
    own, page = backend().store.jobs.logs(current_user().id, job_id, offset, level, limit)
    links = []
    if page.more:
        members = {"offset": page.entries[-1]["id"], "level": level, "limit": limit}
        href = url(f"/jobs/{job_id}/logs?{urlencode(members)}")
        links.append({"rel": "next", "href": href, "type": "application/json"})
    lowest = max(level, own, key=LOG_LEVELS.index)
    return jsonify({"level": lowest, "logs": page.entries, "links": links})


def _level() -> str:
    level = request.args.get("level") or "debug"
    if level not in LOG_LEVELS:
        raise OpenEOError("RequestInvalid", f"The level '{level[:40]}' is none of {', '.join(LOG_LEVELS)}.")
    return level
