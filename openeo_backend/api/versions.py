"""Which API versions are served, and where."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from openeo_backend.api.access import backend, public, unlisted
from openeo_backend.api.documents import document
from openeo_backend.api.urls import VERSIONS, root_url

#: Relative to the API roots.
blueprint = Blueprint("versions", __name__)


@blueprint.get("/.well-known/openeo")
@public
@unlisted
def well_known() -> Response:
    """The API versions, here too for clients that take an API root for the host."""
    return document(versions())


def versions() -> dict[str, Any]:
    """The content of `/.well-known/openeo`."""
    return {
        "versions": [
            {"url": f"{root_url(short)}/", "api_version": full, "production": is_production(short)}
            for short, full in VERSIONS.items()
        ]
    }


def is_production(short: str) -> bool:
    """Whether clients should prefer an API version."""
    return short != "1.3" or backend().settings.server.production_1_3
