"""Processes by URL: the openEO extension "remote process definition".

Within a plan each definition is fetched once. A job keeps what it got (its pins): whoever changes the document behind
the URL later does not change the job.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

from openeo_backend.errors import OpenEOError
from openeo_backend.net.door import Door
from openeo_backend.net.policy import shown, split
from openeo_backend.observe.clock import timestamp

#: Seconds for which a fetched document is used again.
FRESH = 60.0
#: Most documents kept.
MOST = 200
#: Most definitions that one graph may use.
MOST_PINS = 50


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


class PinnedProcesses:
    """Process definitions as they were when they were pinned; those that are not yet are fetched and pinned.

    A server that does not answer is asked once, however many definitions it has.
    """

    def __init__(self, remote: RemoteProcesses, pins: Iterable[Mapping[str, Any]] = ()) -> None:
        self._remote = remote
        self._pins = {(str(pin["namespace"]), str(pin["id"])): dict(pin) for pin in pins}
        self._silent: dict[str, OpenEOError] = {}

    def __call__(self, url: str, id: str) -> Mapping[str, Any]:
        """See :class:`RemoteProcesses`.

        :raises OpenEOError: as there; ProcessGraphComplexity for too many definitions.
        """
        pin = self._pins.get((url, id))
        if pin is None:
            process = self._fetch(url, id)
            pin = {"namespace": url, "id": id, "digest": digest(process), "fetched": timestamp(), "process": process}
            self._pins[url, id] = pin
        found: Mapping[str, Any] = pin["process"]
        return found

    def pins(self) -> list[dict[str, Any]]:
        """All definitions used so far: `namespace`, `id`, `digest`, `fetched` and the `process` itself."""
        return list(self._pins.values())

    def _fetch(self, url: str, id: str) -> Mapping[str, Any]:
        if len(self._pins) >= MOST_PINS:
            raise OpenEOError(
                "ProcessGraphComplexity", f"The graph uses more than {MOST_PINS} processes of other servers."
            )
        host = split(url).netloc
        if host in self._silent:
            raise OpenEOError("UrlNotReachable", self._silent[host].message)
        try:
            return self._remote(url, id)
        except OpenEOError as error:
            if error.code == "UrlNotReachable":
                self._silent[host] = error
            raise


def digest(process: Mapping[str, Any]) -> str:
    """What a definition is recognised by: the SHA-256 of its JSON with sorted names and without blanks."""
    text = json.dumps(process, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def told(pins: Iterable[Mapping[str, Any]] | None) -> list[dict[str, str]]:
    """Pins as metadata tell them: which definition, and its digest."""
    return [{name: str(pin[name]) for name in ("namespace", "id", "digest", "fetched")} for pin in pins or ()]
