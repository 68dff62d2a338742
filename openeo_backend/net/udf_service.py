"""Calling UDF services: one POST of data as JSON, answered by data as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from openeo_backend.errors import OpenEOError
from openeo_backend.net.door import Door, Reply
from openeo_backend.net.policy import shown


class UdfServices:
    """The UDF services that users may name.

    :param seconds: longest wait for an answer.
    """

    def __init__(self, door: Door, seconds: float) -> None:
        self._door = door
        self._seconds = seconds
        self.most_mb = door.settings.max_file_mb

    def call(self, url: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """What the UDF at `url` makes of UDF data, as UDF data.

        :raises OpenEOError: UdfServiceFailed with what the service says; UrlNotAllowed, UrlNotReachable.
        """
        body = json.dumps({"data": dict(data)}, allow_nan=False).encode()
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        reply = self._door.request("POST", url, body, headers=headers, limit_mb=self.most_mb, seconds=self._seconds)
        if reply.status >= 400:
            raise OpenEOError("UdfServiceFailed", f"The UDF service '{shown(url)}' says: {_reason(reply)}.")
        answer = reply.json()
        if not isinstance(answer, dict):
            raise OpenEOError("UdfServiceFailed", f"The UDF service '{shown(url)}' answers with no UDF data.")
        return answer


def _reason(reply: Reply) -> str:
    try:
        said = json.loads(reply.content)
    except ValueError:
        said = None
    while isinstance(said, dict):
        said = said.get("message") or said.get("detail")
    return str(said).rstrip(".") if said else f"HTTP status {reply.status}"
