"""Files to clients: whole or in ranges, streamed from the objects."""

from __future__ import annotations

import re

from flask import Response, request
from werkzeug.http import dump_options_header

from openeo_backend.api.errors import answer
from openeo_backend.errors import OpenEOError
from openeo_backend.files.objects import Objects

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


def send(objects: Objects, key: str, size: int, name: str, media_type: str, checksum: str) -> Response:
    """An object as a download: HEAD, one Range (206), 416 beyond the end. Never rendered by a browser.

    :raises OpenEOError: FileNotFound before anything is sent.
    """
    if objects.size(key) != size:
        raise OpenEOError("FileNotFound", f"The file '{name}' is not in the storage any more.")
    etag = f'"{checksum}"'
    span = _span(size) if request.headers.get("If-Range", etag) == etag else None
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Disposition": dump_options_header("attachment", {"filename": name}),
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, max-age=3600",
        "ETag": etag,
    }
    start, end = span or (0, size)
    if start >= end and span is not None:
        return _beyond(size)
    if span is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    body = objects.stream(key, start, end - start) if request.method != "HEAD" else b""
    response = Response(body, status=200 if span is None else 206, headers=headers, content_type=media_type)
    response.content_length = end - start
    return response


def _span(size: int) -> tuple[int, int] | None:
    """Start and end (exclusive) of the range asked for; None for the whole; empty for one beyond the end.

    Several ranges at once, and units that are not bytes, are answered with the whole, as HTTP allows.
    """
    found = _RANGE.fullmatch(request.headers.get("Range", "").replace(" ", ""))
    if found is None or not any(found.groups()):
        return None
    first, last = found.groups()
    if not first:
        return max(0, size - int(last)), size if int(last) else 0
    if last and int(last) < int(first):
        return None
    return int(first), min(size, int(last) + 1) if last else size


def _beyond(size: int) -> Response:
    error = OpenEOError(
        "RequestInvalid", f"The range begins beyond the end of the file, which has {size} bytes.", status=416
    )
    response = answer(error)
    response.headers["Content-Range"] = f"bytes */{size}"
    response.headers["Accept-Ranges"] = "bytes"
    return response
