"""Every failure leaves as an openEO error: `{id, code, message, links}`, whatever the route and method."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from flask import Flask, Response, g, jsonify, request
from sqlalchemy.exc import DatabaseError, DataError, IntegrityError, InterfaceError, ProgrammingError, TimeoutError
from werkzeug.exceptions import HTTPException

from openeo_backend.api.urls import VERSIONS
from openeo_backend.errors import OpenEOError

log = logging.getLogger(__name__)

#: The openEO code and words for the failures that Flask and Werkzeug find by themselves.
_HTTP: dict[int, tuple[str, str]] = {
    404: ("NotFound", "There is nothing at {path}."),
    405: ("MethodNotAllowed", "{method} is not possible at {path}."),
    408: ("RequestTimeout", "The request took too long."),
    413: ("RequestTooLarge", "The request is larger than this server accepts."),
    415: ("ContentTypeInvalid", "The media type '{media_type}' is not accepted here."),
    416: ("RequestInvalid", "The requested range is outside of the file."),
    429: ("TooManyRequests", "Too many requests."),
}


def register(app: Flask) -> None:
    """Answer every exception of `app` as an openEO error."""
    app.register_error_handler(OpenEOError, answer)
    app.register_error_handler(HTTPException, _answer_http)
    for kind in (DatabaseError, InterfaceError, TimeoutError):
        app.register_error_handler(kind, _answer_without_database)
    for mistake in (DataError, IntegrityError, ProgrammingError, Exception):  # our own
        app.register_error_handler(mistake, _answer_internal)


def answer(error: OpenEOError, links: Sequence[Mapping[str, str]] = ()) -> Response:
    """The response that tells an error to its user.

    A member `retry_after` in the error's data (seconds) becomes the header of that name.
    """
    body = {"id": _id(), **error.json(), "links": list(links)}
    level = logging.ERROR if error.status >= 500 else logging.INFO
    log.log(level, "%s %s -> %d %s", request.method, request.path, error.status, error)
    response = jsonify(body)
    response.status_code = error.status
    if error.status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="openEO"'
    if error.status in (429, 503):
        seconds = error.data.get("retry_after", 5) if isinstance(error.data, dict) else 5
        response.headers["Retry-After"] = str(math.ceil(seconds))
    return response


def combine(errors: Sequence[OpenEOError]) -> OpenEOError:
    """Several problems of one process as one error: the message names the first ten, the data all of them."""
    if len(errors) == 1:
        return errors[0]
    codes = {error.code for error in errors}
    code = codes.pop() if len(codes) == 1 else "ProcessGraphInvalid"
    listed = " ".join(f"({number}) {error.code}: {error.describe()}" for number, error in enumerate(errors[:10], 1))
    if len(errors) > 10:
        listed += f" The other {len(errors) - 10} are in the data of this error."
    data = [error.json() for error in errors]
    return OpenEOError(code, f"The process has {len(errors)} problems. {listed}", data=data)


def _answer_http(error: HTTPException) -> Response:
    if error.code is None or error.code < 400:
        return Response(b"", status=error.code, headers=error.get_headers(request.environ))
    code, words = _HTTP.get(error.code, ("RequestInvalid", "{description}") if error.code < 500 else ("Internal", ""))
    if code == "Internal":
        return _answer_internal(error)
    message = words.format(
        path=request.path, method=request.method, media_type=request.mimetype, description=error.description or error
    )
    response = answer(_version_error() or OpenEOError(code, message, hint=_hint(error), status=error.code))
    for name, value in error.get_headers(request.environ):
        if name in ("Allow", "Content-Range", "Retry-After"):
            response.headers[name] = value
    return response


def _answer_without_database(error: Exception) -> Response:
    """The database is away, does not accept connections or changes, or all connections are in use."""
    log.error("%s %s: the database failed: %s", request.method, request.path, str(error).splitlines()[0])
    busy = OpenEOError(
        "InfrastructureBusy",
        "The server cannot use its database at the moment.",
        hint="Try again in some seconds. What was asked for may have been done nevertheless.",
        data={"retry_after": 2},
    )
    return answer(busy)


def _answer_internal(error: Exception) -> Response:
    """Tell nothing but the id; the operator finds the rest under it in the log."""
    id = _id()
    log.error("%s %s failed", request.method, request.path, exc_info=error)
    message = f"The server failed for a reason that is not yours. Please report the id {id} to its operator."
    body: dict[str, Any] = {"id": id, "code": "Internal", "message": message, "links": []}
    response = jsonify(body)
    response.status_code = 500
    return response


def _id() -> str:
    id: str = g.get("request_id", "")
    return id


def _hint(error: HTTPException) -> str | None:
    if error.code == 405:
        allowed = sorted(getattr(error, "valid_methods", None) or ())
        return f"Possible: {', '.join(allowed)}." if allowed else None
    if error.code == 404:
        return "The capabilities at the API root list all endpoints."
    return None


def _version_error() -> OpenEOError | None:
    """For paths of API versions that are not served."""
    parts = request.path.split("/")
    if len(parts) < 3 or parts[1] != "openeo" or parts[2] in VERSIONS or not parts[2][:1].isdigit():
        return None
    return OpenEOError(
        "UnsupportedApiVersion",
        f"The API version '{parts[2]}' is not served here.",
        hint=f"Served: {', '.join(VERSIONS)}; see /.well-known/openeo.",
    )
