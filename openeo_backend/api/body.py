"""Request bodies: strict about JSON, lenient about members."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge

from openeo_backend.errors import OpenEOError

#: Arrays and objects that a body may hold: each takes a hundred bytes of memory and two of the body.
MOST_CONTAINERS = 1_500_000

#: The escape of NUL; after a pair of backslashes it is text that looks like it.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def json_body() -> dict[str, Any]:
    """The JSON object in the request's body. Unknown members stay; whoever reads it takes what it knows.

    :raises OpenEOError: RequestInvalid for anything that is not one JSON object; ContentTypeInvalid for another
        media type; RequestTooLarge for a body above the limit, or one of too many parts.
    """
    media_type = request.mimetype
    if media_type and media_type != "application/json" and not media_type.endswith("+json"):
        raise OpenEOError(
            "ContentTypeInvalid",
            f"The request body has the media type '{media_type}', not 'application/json'.",
            hint="Send JSON with the header 'Content-Type: application/json'.",
        )
    raw = request.get_data()
    if raw.count(b"[") + raw.count(b"{") > MOST_CONTAINERS:
        raise OpenEOError(
            "RequestTooLarge",
            f"The request body holds more than {MOST_CONTAINERS:,} arrays and objects.",
            hint="Put large geometries into a file and load it by its URL.",
        )
    if request.content_length is None and len(raw) >= (request.max_content_length or math.inf):
        raise RequestEntityTooLarge()  # sent in chunks, and cut off at the limit
    if not raw.strip():
        raise _invalid("The request has no body.")
    body = _parse(raw)
    if not isinstance(body, dict):
        raise _invalid(f"The request body is {_kind(body)}, not a JSON object.")
    return body


def text_member(body: dict[str, Any], name: str) -> str | None:
    """An optional text of a body; null counts as absent.

    :raises OpenEOError: RequestInvalid for another type.
    """
    value = body.get(name)
    if value is None or isinstance(value, str):
        return value
    raise _invalid(f"'{name}' is {_kind(value)}, not a string.")


def object_member(body: dict[str, Any], name: str) -> dict[str, Any] | None:
    """An optional object of a body; null counts as absent.

    :raises OpenEOError: RequestInvalid for another type.
    """
    value = body.get(name)
    if value is None or isinstance(value, dict):
        return value
    raise _invalid(f"'{name}' is {_kind(value)}, not an object.")


def _parse(raw: bytes) -> Any:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _invalid(f"The request body is not UTF-8 text (byte {error.start}).") from None
    try:
        body = json.loads(
            text, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_whole, object_pairs_hook=_once
        )
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise _invalid(f"The request body is not JSON: {error.msg} at {where}.") from None
    except RecursionError:
        raise _invalid("The request body is nested too deeply.") from None
    except ValueError as error:
        raise _invalid(f"The request body is not JSON: {error}.") from None
    if "\\u" in text and not _storable(body):
        raise _invalid("The request body has an escaped character that is no text (NUL or half a surrogate pair).")
    return body


def _refuse_constant(token: str) -> Any:
    raise ValueError(f"it has the token {token}, which JSON does not know")


def _finite(token: str) -> float:
    value = float(token)
    if math.isinf(value):
        raise ValueError(f"the number {token[:40]} is too large")
    return value


def _whole(token: str) -> int:
    _finite(token)  # whoever compares it or divides by it makes a float of it
    return int(token)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"an object has the member '{twice[:80]}' twice")
    return members


def _storable(body: Any) -> bool:
    """Whether databases and files can hold all strings."""
    text = json.dumps(body, ensure_ascii=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return _NUL.search(text) is None


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "an array"}
    return names.get(type(value), "an object")


def _invalid(message: str) -> OpenEOError:
    return OpenEOError("RequestInvalid", message, hint="Send one JSON object, encoded as UTF-8.")
