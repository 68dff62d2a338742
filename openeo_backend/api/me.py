"""`/me`: who the user is."""

from __future__ import annotations

import re
from typing import Any

from flask import Blueprint, Response, jsonify

from openeo_backend.api.access import current_user
from openeo_backend.api.billing import DEFAULT_PLAN
from openeo_backend.auth.user import User

blueprint = Blueprint("me", __name__)

_ID = re.compile(r"[\w\-.~]+", re.ASCII)


@blueprint.get("/me")
def me() -> Response:
    """The user. Budget and storage are left out: neither is limited, and clients take null for an error."""
    user = current_user()
    document: dict[str, Any] = {"user_id": _shown_id(user), "name": user.name, "roles": sorted(user.roles)}
    document |= {"default_plan": DEFAULT_PLAN, "links": []}
    if user.external_id is not None:
        document |= {"sub": user.external_id, "iss": user.issuer}
    return jsonify(document)


def _shown_id(user: User) -> str:
    """What the user's provider calls them, unless it has letters that the API does not allow in ids of users."""
    return user.subject if _ID.fullmatch(user.subject) else user.id
