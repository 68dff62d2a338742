"""The service that keeps the users' accounts."""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections.abc import Mapping
from typing import Any, Protocol, TypeGuard
from urllib.parse import quote, urlencode

from openeo_backend.errors import OpenEOError
from openeo_backend.net.door import Door, Reply
from openeo_backend.observe.logs import conceal
from openeo_backend.sections.billing import AccountingSettings
from openeo_backend.settings import Settings

log = logging.getLogger(__name__)

#: Seconds before its end at which an access token is not used any more.
TOKEN_MARGIN = 30.0
#: How long an access token is used that does not tell when it ends.
TOKEN_SECONDS = 300.0
#: Most of an answer, in MB and, in messages, in characters.
REPLY_MB, SHOWN = 1.0, 200


class AccountingError(Exception):
    """The service did not do what it was asked for.

    :param is_away: whether that holds for all requests now, not only for this one.
    """

    def __init__(self, message: str, *, is_away: bool = False) -> None:
        super().__init__(message)
        self.is_away = is_away


class Accounting(Protocol):
    """What is asked of a service, whatever it is."""

    def balance(self, payer: str) -> float | None:
        """What a user has left; None where nobody limits it.

        :raises AccountingError: when it cannot be learnt.
        """

    def report(self, report: Mapping[str, Any]) -> float | None:
        """Deliver what a run used; the same report may come again, with the same `idempotencyKey`.

        :returns: what it costs; None where the service does not tell.
        :raises AccountingError: when it is not sure that the service has the report.
        """


class NoAccounting:
    """There is no service: nobody is limited, and nothing needs to be told."""

    def balance(self, payer: str) -> float | None:
        return None

    def report(self, report: Mapping[str, Any]) -> float | None:
        return None


class HttpAccounting:
    """A service over HTTP, of the shape that docs/credits.md tells."""

    def __init__(self, settings: AccountingSettings, door: Door) -> None:
        self._settings = settings
        self._door = door
        self._lock = threading.Lock()
        self._token: tuple[str, float] | None = None

    def balance(self, payer: str) -> float | None:
        settings = self._settings
        if settings.balance_path is None:
            return None
        path = settings.balance_path.replace("{user}", quote(payer, safe=""))
        found = self._call("GET", path, None, settings.balance_seconds)
        for name in settings.balance_member.split("."):
            found = found.get(name) if isinstance(found, Mapping) else None
        if not _is_number(found):
            raise AccountingError(f"the answer to the question for a balance has no number {settings.balance_member}")
        return float(found)

    def report(self, report: Mapping[str, Any]) -> float | None:
        settings = self._settings
        answer = self._call("POST", settings.resources_path, report, settings.timeout_seconds)
        if isinstance(answer, list):
            costs = [entry.get("cost") if isinstance(entry, Mapping) else None for entry in answer]
            known = [float(cost) for cost in costs if _is_number(cost)]
            if len(known) == len(costs):
                return sum(known)
        raise AccountingError(f"the answer to a report is not a list of costs: {conceal(json.dumps(answer)[:SHOWN])}")

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None, seconds: float) -> Any:
        """The JSON answer of the service; an access token that it refuses is replaced once."""
        reply = self._send(method, path, body, seconds)
        if reply.status == 401 and self._settings.token_url:
            with self._lock:
                self._token = None
            reply = self._send(method, path, body, seconds)
        return _content(reply, f"{method} {path.partition('?')[0]}")

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None, seconds: float) -> Reply:
        url = f"{(self._settings.url or '').rstrip('/')}/{path.lstrip('/')}"
        headers = {"Accept": "application/json"}
        if token := self._bearer(seconds):
            headers["Authorization"] = f"Bearer {token}"
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(body).encode()
        return self._request(method, url, content, headers, seconds)

    def _bearer(self, seconds: float) -> str | None:
        """The token for the service: the fixed one, or one from the token endpoint, kept until it ends."""
        settings = self._settings
        if settings.token is not None:
            return settings.token.get_secret_value()
        if settings.token_url is None or settings.client_secret is None:
            return None
        with self._lock:
            if self._token is None or time.monotonic() > self._token[1]:
                form = {"grant_type": "client_credentials", "client_id": settings.client_id or ""}
                form["client_secret"] = settings.client_secret.get_secret_value()
                form |= {"scope": settings.scope} if settings.scope else {}
                headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
                reply = self._request("POST", settings.token_url, urlencode(form).encode(), headers, seconds)
                self._token = _token(reply)
            return self._token[0]

    def _request(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], seconds: float) -> Reply:
        try:
            return self._door.request(
                method,
                url,
                body,
                headers=headers,
                limit_mb=REPLY_MB,
                seconds=seconds,
                again=False,
                within=seconds,
            )
        except OpenEOError as error:
            raise AccountingError(error.message, is_away=True) from error


def open_accounting(settings: Settings) -> Accounting:
    """The service that the settings name."""
    chosen = settings.billing.accounting
    if chosen.url is None:
        return NoAccounting()
    named = tuple(url for url in (chosen.url, chosen.token_url) if url)
    # connecting, too, takes no longer than those may wait who want to start something
    net = settings.net.model_copy(update={"timeout_seconds": min(settings.net.timeout_seconds, chosen.balance_seconds)})
    return HttpAccounting(chosen, Door(net, named))


def _content(reply: Reply, what: str) -> Any:
    if reply.status >= 400:
        is_away = reply.status >= 500 or reply.status in (401, 403, 408, 429)
        raise AccountingError(f"{what} was answered with HTTP status {reply.status}{_said(reply)}", is_away=is_away)
    try:
        return reply.json()
    except OpenEOError:
        raise AccountingError(f"the answer to {what} is not JSON{_said(reply)}") from None


def _token(reply: Reply) -> tuple[str, float]:
    """An access token and until when it is used."""
    try:
        answer = reply.json() if reply.status < 400 else None
    except OpenEOError:
        answer = None
    token = answer.get("access_token") if isinstance(answer, Mapping) else None
    if not isinstance(answer, Mapping) or not isinstance(token, str) or not token:
        raise AccountingError(f"the token endpoint gave no token (HTTP status {reply.status})", is_away=True)
    lifetime = answer.get("expires_in")
    seconds = float(lifetime) if _is_number(lifetime) else TOKEN_SECONDS
    return token, time.monotonic() + max(seconds - TOKEN_MARGIN, seconds / 2)


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _said(reply: Reply) -> str:
    text = " ".join(reply.content.decode("utf-8", "replace").split())
    return f": {conceal(text[:SHOWN])}" if text else ""
