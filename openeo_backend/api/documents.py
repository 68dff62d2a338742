"""JSON documents: how they are encoded, compressed and kept by caches."""

from __future__ import annotations

import gzip
import json
import logging
import math
from datetime import date, datetime
from typing import Any

from flask import Response, request
from flask.json.provider import JSONProvider

log = logging.getLogger(__name__)

#: Smaller bodies are not worth compressing.
GZIP_FROM = 2_000


class Json(JSONProvider):
    """Compact JSON in the order of the members, dates as ISO 8601, and never a token that JSON does not know."""

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        return encode(obj)

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        return json.loads(s)

    def response(self, *args: Any, **kwargs: Any) -> Response:
        text = self.dumps(self._prepare_response_obj(args, kwargs))
        return Response(text, mimetype="application/json")


def encode(value: Any) -> str:
    """The JSON text of a document."""
    try:
        return _dumps(value)
    except ValueError:
        log.warning("a document holds NaN or an infinity; sent as text")
        return _dumps(_finite(value))


def document(body: Any, media_type: str = "application/json") -> Response:
    """A public document of this back-end that caches may keep: with an ETag, 304 where it is unchanged."""
    response = Response(encode(body), mimetype=media_type)
    response.add_etag()
    response.headers["Cache-Control"] = "public, max-age=60"
    return response


def compress(response: Response) -> Response:
    """Gzip a large JSON document for clients that take it; files and other media types are left alone.

    Queryables have a media type of their own and stay as they are: federations copy them with all headers.
    """
    if response.mimetype != "application/json" or response.is_streamed or response.status_code == 304:
        return response
    response.vary.add("Accept-Encoding")
    if request.accept_encodings["gzip"] <= 0 or (response.content_length or 0) < GZIP_FROM:
        return response
    etag, _ = response.get_etag()
    response.set_data(gzip.compress(response.get_data(), compresslevel=5, mtime=0))
    response.headers["Content-Encoding"] = "gzip"
    if etag:
        response.set_etag(etag, weak=True)
    return response


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_text)


def _text(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if hasattr(value, "items"):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _finite(value: Any) -> Any:
    """STAC writes numbers that JSON lacks as text: "nan", "inf", "-inf"."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _finite(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(member) for member in value]
    return value
