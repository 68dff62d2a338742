"""Processes by URL: the openEO extension "remote process definition"."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from openeo_backend.errors import OpenEOError
from openeo_backend.net.door import Door
from openeo_backend.net.policy import shown

#: Seconds for which a fetched document is used again.
FRESH = 60.0
#: Most documents kept.
MOST = 200


class RemoteProcesses:
    """Fetches process definitions through the guarded door, and keeps them for a short time."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._kept: dict[str, tuple[float, Any]] = {}
        self._lock = threading.Lock()

    def __call__(self, url: str, id: str) -> Mapping[str, Any]:
        """The process `id` that `url` defines: the document itself, or one of its list `processes`.

        :raises OpenEOError: ProcessNamespaceInvalid, UrlNotAllowed, UrlNotReachable ...
        """
        document = self._document(url)
        listed = document.get("processes") if isinstance(document, dict) else None
        for process in listed if isinstance(listed, list) else [document]:
            if isinstance(process, dict) and process.get("id") == id and isinstance(process.get("process_graph"), dict):
                return process
        raise OpenEOError(
            "ProcessNamespaceInvalid",
            f"The document at '{shown(url)}' does not define a process '{id}' with a process graph.",
            hint="The namespace must be the URL of that process.",
        )

    def _document(self, url: str) -> Any:
        with self._lock:
            kept = self._kept.get(url)
        if kept is not None and time.monotonic() - kept[0] < FRESH:
            return kept[1]
        document = self._door.json(url)
        with self._lock:
            if len(self._kept) >= MOST:
                self._kept.clear()
            self._kept[url] = (time.monotonic(), document)
        return document
