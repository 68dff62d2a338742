"""`/processes`."""

from __future__ import annotations

from flask import Blueprint, Response

from openeo_backend.api.access import backend, public
from openeo_backend.api.documents import document
from openeo_backend.api.query import limit
from openeo_backend.api.urls import url

blueprint = Blueprint("processes", __name__)

#: The release of the openEO processes that ids and signatures follow.
PROCESSES_VERSION = "2.0.0-rc.2"


@blueprint.get("/processes")
@public
def processes() -> Response:
    """All processes on one page, whatever the limit: clients read no second page, and would miss the rest."""
    limit()
    return document(
        {
            "version": PROCESSES_VERSION,
            "processes": backend().processes.listed(),
            "links": [{"rel": "self", "href": url("/processes"), "type": "application/json"}],
        }
    )
