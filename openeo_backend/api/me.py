"""`/me`: who the user is."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from openeo_backend.api.access import current_user
from openeo_backend.api.billing import DEFAULT_PLAN

blueprint = Blueprint("me", __name__)


@blueprint.get("/me")
def me() -> Response:
    """The user. Budget and storage are left out: neither is limited, and clients take null for an error."""
    user = current_user()
    return jsonify({"user_id": user.subject, "name": user.name, "default_plan": DEFAULT_PLAN, "links": []})
