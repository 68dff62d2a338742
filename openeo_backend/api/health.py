"""`/health`: whether this back-end can serve, asked often and by anyone."""

from __future__ import annotations

import logging

from flask import Blueprint, Response, jsonify
from sqlalchemy.exc import SQLAlchemyError

from openeo_backend.api.access import backend, public

blueprint = Blueprint("health", __name__)
log = logging.getLogger(__name__)


@blueprint.get("/health")
@public
def health() -> Response:
    """200 while the store answers, else 503; collections are not looked at, so that it stays cheap."""
    try:
        backend().store.ping()
    except SQLAlchemyError as error:
        log.error("the store does not answer: %s", error)
        response = jsonify({"status": "failed", "store": "failed"})
        response.status_code = 503
        return response
    return jsonify({"status": "ok", "store": "ok"})
