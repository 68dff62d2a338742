"""`/me`: who the user is."""

from __future__ import annotations

import re
from typing import Any

from flask import Blueprint, Response, jsonify

from openeo_backend.api.access import current_user
from openeo_backend.api.billing import account
from openeo_backend.auth.user import User

blueprint = Blueprint("me", __name__)

_ID = re.compile(r"[\w\-.~]+", re.ASCII)


@blueprint.get("/me")
def me() -> Response:
    """The user. What is not limited, such as storage, is left out: clients take null for an error."""
    user = current_user()
    document: dict[str, Any] = {"user_id": _shown_id(user), "name": user.name, "roles": sorted(user.roles)}
    document |= account()
    if user.external_id is not None:
        document |= {"sub": user.external_id, "iss": user.issuer}
    return jsonify(document)


def _shown_id(user: User) -> str:
    """What the user's provider calls them, unless it has letters that the API does not allow in ids of users."""
    return user.subject if _ID.fullmatch(user.subject) else user.id
