"""Query parameters."""

from __future__ import annotations

from flask import request

from openeo_backend.errors import OpenEOError


def limit() -> int | None:
    """The `limit` of a paged list.

    :raises OpenEOError: RequestInvalid for anything but a positive number.
    """
    value = request.args.get("limit", "")
    if not value:
        return None
    if not value.isascii() or not value.isdigit() or len(value) > 9 or int(value) < 1:
        raise OpenEOError(
            "RequestInvalid", f"The limit '{value[:40]}' is not a positive number.", hint="Leave it out for everything."
        )
    return int(value)
