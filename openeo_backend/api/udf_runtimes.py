"""`/udf_runtimes`: none yet, which it says, and which is why the capabilities do not list it."""

from __future__ import annotations

from flask import Blueprint, Response

from openeo_backend.api.access import public, unlisted
from openeo_backend.api.documents import document

blueprint = Blueprint("udf_runtimes", __name__)


@blueprint.get("/udf_runtimes")
@public
@unlisted
def udf_runtimes() -> Response:
    """The runtimes for user-defined functions."""
    return document({})
