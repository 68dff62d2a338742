"""Running processes of OGC API - Processes servers (Part 1: Core)."""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from typing import Any
from urllib.parse import quote

from openeo_backend.errors import OpenEOError
from openeo_backend.net.door import Door, Reply
from openeo_backend.net.policy import join, shown
from openeo_backend.settings import OgcApiSettings

_RELATION = "http://www.opengis.net/def/rel/ogc/1.0/"

#: States of a job that do not change any more.
_ENDED = ("successful", "failed", "dismissed")


@dataclass(frozen=True)
class Description:
    """What a server says about a process."""

    id: str
    inputs: Mapping[str, Mapping[str, Any]]
    outputs: Mapping[str, Mapping[str, Any]]
    is_async: bool
    """The server runs it as a job."""
    address: str
    """Where to post executions."""


@dataclass(frozen=True)
class Output:
    """One output of a process: a JSON value, or bytes of a media type."""

    value: Any
    media_type: str
    """In lower case without parameters; `application/json` for JSON values that are nothing more special."""


class Server:
    """An OGC API - Processes server.

    :param url: its landing page.
    """

    def __init__(self, door: Door, url: str, settings: OgcApiSettings) -> None:
        self.url = url
        self.most_mb = door.settings.max_file_mb
        self._door = door
        self._settings = settings

    def describe(self, id: str) -> Description | None:
        """The process with an identifier; None where the server has none.

        :raises OpenEOError: what keeps the server from being asked; InvalidOgcApiProcess where it is no such server.
        """
        processes = self._processes()
        reply = self._door.request("GET", f"{processes}/{quote(id, safe='')}", headers={"Accept": "application/json"})
        if reply.status == 404:
            return None
        document = self._json(reply)
        if not isinstance(document, dict) or "id" not in document:
            raise self._no_server(f"'{shown(reply.url)}' is no description of a process")
        return Description(
            id=str(document["id"]),
            inputs=_named(document.get("inputs")),
            outputs=_named(document.get("outputs")),
            is_async="async-execute" in (document.get("jobControlOptions") or ()),
            address=_link(document, reply.url, "execute") or f"{processes}/{quote(id, safe='')}/execution",
        )

    def run(self, process: Description, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, Output]:
        """Run a process and wait for its outputs.

        :param inputs: as the standard encodes them in an execute request.
        :param outputs: the formats wanted, by output; others come as the server likes.
        :raises OpenEOError: OgcApiProcessFailed with what the server says; RequestTimeout.
        """
        body: dict[str, Any] = {"inputs": dict(inputs), "response": "document"}
        if outputs:
            body["outputs"] = {name: outputs.get(name, {}) for name in process.outputs}
        headers = {"Content-Type": "application/json", "Accept": "application/json, */*;q=0.5"}
        if process.is_async:
            headers["Prefer"] = "respond-async"
        deadline = time.monotonic() + self._settings.seconds
        reply = self._send("POST", process.address, json.dumps(body).encode(), headers, self._settings.seconds)
        if reply.status in (201, 202) or (process.is_async and "location" in reply.headers):
            reply = self._wait(process, self._job(reply), deadline)
        return dict(self._outputs(process, reply))

    # -- talking ----------------------------------------------------------------------------------------

    def _processes(self) -> str:
        """The address of the list of processes."""
        landing = self._json(self._door.request("GET", self.url, headers={"Accept": "application/json"}))
        if not isinstance(landing, dict) or not isinstance(landing.get("links"), list):
            raise self._no_server("it has no landing page with links")
        found = _link(landing, self.url, "processes") or f"{self.url.rstrip('/')}/processes"
        return found.partition("?")[0].rstrip("/")

    def _send(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], seconds: float) -> Reply:
        reply = self._door.request(method, url, body, headers=headers, limit_mb=self.most_mb, seconds=seconds)
        if reply.status >= 400:
            raise _failure(reply)
        return reply

    def _json(self, reply: Reply) -> Any:
        if reply.status >= 400:
            raise OpenEOError("UrlNotReachable", f"'{shown(reply.url)}' answers with HTTP status {reply.status}.")
        try:
            return reply.json()
        except OpenEOError:
            raise self._no_server(f"'{shown(reply.url)}' is not a JSON document") from None

    def _no_server(self, reason: str) -> OpenEOError:
        return OpenEOError(
            "InvalidOgcApiProcess",
            f"'{shown(self.url)}' is not the landing page of an OGC API - Processes server: {reason}.",
        )

    # -- jobs -------------------------------------------------------------------------------------------

    def _job(self, reply: Reply) -> str:
        """The address of the job that a server made."""
        location = reply.headers.get("location")
        if location:
            return join(reply.url, location)
        status = reply.json()
        found = _link(status, reply.url, "status", "monitor", "self") if isinstance(status, dict) else None
        if found is None:
            raise OpenEOError("OgcApiProcessFailed", f"'{shown(reply.url)}' made a job but does not say where it is.")
        return found

    def _wait(self, process: Description, job: str, deadline: float) -> Reply:
        """The results of a job, when it has ended."""
        accept = {"Accept": "application/json"}
        while True:
            status = self._send("GET", job, None, accept, self._door.settings.timeout_seconds).json()
            state = str(status.get("status")) if isinstance(status, dict) else "unknown"
            if state in _ENDED:
                break
            if time.monotonic() > deadline:
                self._door.request("DELETE", job)
                raise OpenEOError(
                    "RequestTimeout",
                    f"The process '{process.id}' at '{shown(self.url)}' has not ended after "
                    f"{self._settings.seconds:g} seconds (it is {state}).",
                    hint="Use less data.",
                )
            time.sleep(min(self._settings.poll_seconds, max(0.0, deadline - time.monotonic()) + 0.01))
        if state != "successful":
            said = status.get("message") or "it gives no reason"
            raise OpenEOError(
                "OgcApiProcessFailed", f"The process '{process.id}' at '{shown(self.url)}' is {state}: {said}."
            )
        results = _link(status, job, "results") or f"{job.partition('?')[0].rstrip('/')}/results"
        return self._send("GET", results, None, accept, self._settings.seconds)

    # -- results ----------------------------------------------------------------------------------------

    def _outputs(self, process: Description, reply: Reply) -> Iterator[tuple[str, Output]]:
        only = next(iter(process.outputs), "result")
        if reply.media_type == "multipart/related":
            yield from _parts(reply, only)
        elif not _is_json(reply.media_type):
            yield only, Output(_text(reply.content, reply.media_type), reply.media_type)
        else:
            document = reply.json()
            if reply.media_type != "application/json":
                yield only, Output(document, reply.media_type)
            elif isinstance(document, dict) and document and set(document) <= set(process.outputs):
                for name, value in document.items():
                    yield name, self._output(value, process.outputs[name].get("schema") or {}, reply.url)
            else:
                yield only, Output(document, "application/json")

    def _output(self, value: Any, schema: Mapping[str, Any], base: str) -> Output:
        """An output in a results document: by value, with its format, or by reference."""
        if isinstance(value, dict) and "href" in value:
            reply = self._send("GET", join(base, str(value["href"])), None, {}, self._settings.seconds)
            media_type = _base_type(value.get("type")) or reply.media_type
            if _is_json(media_type):
                return Output(reply.json(), media_type)
            return Output(_text(reply.content, media_type), media_type)
        media_type, encoding = _base_type(schema.get("contentMediaType")), schema.get("contentEncoding")
        if isinstance(value, dict) and "value" in value and set(value) <= {"value", "mediaType", "encoding", "schema"}:
            media_type = _base_type(value.get("mediaType")) or media_type
            encoding, value = value.get("encoding", encoding), value["value"]
        if isinstance(value, str) and (encoding == "base64" or (media_type and not _is_textual(media_type))):
            return Output(_decoded(value), media_type)
        if isinstance(value, str) and _is_json(media_type):
            value = json.loads(value)
        return Output(value, media_type or "application/json")


def _named(entries: Any) -> dict[str, Mapping[str, Any]]:
    """Inputs or outputs by name; a list of them (drafts of the standard) is one by `id`."""
    if isinstance(entries, list):
        entries = {str(entry["id"]): entry for entry in entries if isinstance(entry, dict) and "id" in entry}
    return {str(k): v for k, v in entries.items() if isinstance(v, dict)} if isinstance(entries, dict) else {}


def _link(document: Mapping[str, Any], base: str, *relations: str) -> str | None:
    """The address of the first link with one of the relations, in the long or the short form."""
    wanted = {name for relation in relations for name in (relation, _RELATION + relation)}
    for link in document.get("links") or ():
        if not isinstance(link, dict) or link.get("rel") not in wanted or not link.get("href"):
            continue
        if link.get("type") in (None, "application/json"):
            return join(base, str(link["href"]))
    return None


def _failure(reply: Reply) -> OpenEOError:
    """What a server says about a failed request (RFC 7807)."""
    try:
        said = json.loads(reply.content)
    except ValueError:
        said = {}
    said = said if isinstance(said, dict) else {}
    reason = said.get("detail") or said.get("description") or said.get("title") or f"HTTP status {reply.status}"
    if str(said.get("type", "")).endswith("no-such-process"):
        return OpenEOError("InvalidOgcApiProcess", f"'{shown(reply.url)}': {reason}.")
    return OpenEOError("OgcApiProcessFailed", f"'{shown(reply.url)}' refuses: {str(reason).rstrip('.')}.")


def _parts(reply: Reply, only: str) -> Iterator[tuple[str, Output]]:
    head = f"Content-Type: {reply.headers['content-type']}\r\n\r\n".encode()
    message: Message = BytesParser().parsebytes(head + reply.content)
    for part in message.get_payload() if message.is_multipart() else ():
        assert isinstance(part, Message)
        name = (part.get("Content-ID") or only).strip("<>")
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        media_type = part.get_content_type()
        yield name, Output(json.loads(content) if _is_json(media_type) else _text(content, media_type), media_type)


def _base_type(media_type: Any) -> str:
    return str(media_type or "").partition(";")[0].strip().lower()


def _is_json(media_type: str) -> bool:
    return media_type == "application/json" or media_type.endswith("+json")


def _is_textual(media_type: str) -> bool:
    return _is_json(media_type) or media_type.startswith("text/")


def _text(content: bytes, media_type: str) -> bytes | str:
    return content.decode("utf-8", "replace") if media_type.startswith("text/") else content


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise OpenEOError("OgcApiProcessFailed", "An output of the process is not the base64 text it says.") from None
