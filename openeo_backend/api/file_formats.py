"""`/file_formats`."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from openeo_backend.api.access import backend, public
from openeo_backend.api.documents import document
from openeo_backend.formats.asset import Format

blueprint = Blueprint("file_formats", __name__)


@blueprint.get("/file_formats")
@public
def file_formats() -> Response:
    """The formats that can be written and read."""
    formats = sorted(backend().formats.values(), key=lambda format: format.name.lower())
    return document(
        {
            "input": {format.name: _described(format) for format in formats if format.read},
            "output": {format.name: _described(format) for format in formats if format.write},
        }
    )


def _described(format: Format) -> dict[str, Any]:
    return {
        "title": format.title,
        "description": format.description,
        "gis_data_types": list(format.gis_data_types),
        "parameters": dict(format.parameters),
    }
