"""`/service_types`: no kind of secondary web service is offered yet."""

from __future__ import annotations

from flask import Blueprint, Response

from openeo_backend.api.access import public
from openeo_backend.api.documents import document

blueprint = Blueprint("services", __name__)


@blueprint.get("/service_types")
@public
def service_types() -> Response:
    """The kinds of secondary web services."""
    return document({})
