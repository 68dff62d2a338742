"""`/processing_parameters`: what may be sent with processes beside them (an extension of the API)."""

from __future__ import annotations

from flask import Blueprint, Response

from openeo_backend.api.access import backend, public
from openeo_backend.api.documents import document
from openeo_backend.auth.policy import limits_of
from openeo_backend.jobs import options

blueprint = Blueprint("processing_parameters", __name__)


@blueprint.get("/processing_parameters")
@public
def processing_parameters() -> Response:
    """The options of batch jobs with their maxima; synchronous requests have none."""
    settings = backend().settings
    return document(
        {
            "create_job_parameters": options.describe(limits_of(settings), settings.jobs),
            "create_synchronous_parameters": [],
            "create_service_parameters": [],
        }
    )
