"""`/validation`: what is wrong with a process, all at once, without running it."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify

from openeo_backend.api.access import backend, optional_user, public
from openeo_backend.api.body import json_body
from openeo_backend.api.definition import problems_of_definition
from openeo_backend.api.submission import check_process
from openeo_backend.auth.user import User
from openeo_backend.errors import OpenEOError

blueprint = Blueprint("validation", __name__)


@blueprint.post("/validation")
@public
def validate() -> Response:
    """200 with the list of problems, however wrong the process is."""
    user = optional_user()
    problems = _problems(json_body(), user)
    return jsonify({"errors": [problem.json() for problem in problems]})


def _problems(process: dict[str, Any], user: User | None) -> list[OpenEOError]:
    problems = problems_of_definition(process, backend().settings.limits)
    try:
        check_process(process)
    except OpenEOError as problem:
        return [*problems, problem]
    return problems + backend().validate(process, user)
