"""One OpenID Connect provider, as far as tokens have to be checked with it."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Generic, TypeVar

from openeo_backend.auth.jwt import PublishedKey, read_keys
from openeo_backend.errors import OpenEOError
from openeo_backend.net.door import Door, Reply

log = logging.getLogger(__name__)

#: Seconds after which published keys are looked at again.
KEYS_FRESH = 600

#: Seconds for which they count while the provider does not answer.
KEYS_KEPT = 3600

#: Seconds between two looks at the published keys, however many unknown keys come.
KEYS_PAUSE = 60

#: Seconds for which a provider that did not answer is left alone.
PAUSE = 10

#: Seconds within which a provider has to answer.
SECONDS = 10

#: Requests to a provider at the same time, and seconds that others wait for their turn: most of a server's threads
#: are for other work, also when a provider hangs.
MOST_REQUESTS = 3
TURN = 3

#: Largest answer in MB.
LIMIT_MB = 1

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """Values that are remembered for a while; of too many the oldest are forgotten."""

    def __init__(self, most: int, clock: Callable[[], float]) -> None:
        self._most = most
        self._clock = clock
        self._values: dict[Hashable, tuple[float, Value]] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Value | None:
        with self._lock:
            until, value = self._values.get(key, (0.0, None))
            return value if self._clock() < until else None

    def put(self, key: Hashable, value: Value, seconds: float) -> None:
        with self._lock:
            self._values.pop(key, None)
            self._values[key] = (self._clock() + seconds, value)
            while len(self._values) > self._most:
                del self._values[next(iter(self._values))]


class _UnreachableError(Exception):
    """Why a provider cannot be asked, in words that go on a sentence."""


class Issuer:
    """Where a provider's keys and the claims of opaque tokens come from. Nothing is asked before it is needed.

    :param id: the provider's id, for messages.
    :param url: the issuer's URL.
    """

    def __init__(self, id: str, url: str, door: Door, clock: Callable[[], float] = time.monotonic) -> None:
        self.id = id
        self.url = url
        self._door = door
        self._clock = clock
        self._free = threading.BoundedSemaphore(MOST_REQUESTS)
        self._refreshing = threading.Lock()
        self._endpoints: Recent[Mapping[str, str]] = Recent(1, clock)
        self._keys: list[PublishedKey] = []
        self._keys_since = -float("inf")
        self._next_look = -float("inf")
        self._away_until = -float("inf")
        self._problem = ""

    def keys(self, has_signer: Callable[[list[PublishedKey]], bool]) -> list[PublishedKey]:
        """The published keys; looked up again when they are old, or when none of them can be the signer.

        :raises OpenEOError: InfrastructureBusy when they have to be looked up and the provider does not answer.
        """
        age = self._clock() - self._keys_since
        if age < KEYS_FRESH and has_signer(self._keys):
            return self._keys
        must_wait = age >= KEYS_KEPT
        if not self._refreshing.acquire(blocking=must_wait, timeout=TURN if must_wait else -1):
            if must_wait:
                raise self._error("it takes too long to answer.")
            return self._keys
        try:
            if self._clock() >= self._next_look:
                self._look()
        finally:
            self._refreshing.release()
        if self._clock() - self._keys_since >= KEYS_KEPT:
            raise self._error(self._problem)
        return self._keys

    def userinfo(self, token: str) -> Mapping[str, Any] | None:
        """The claims about whom a token belongs to; None when the provider does not accept it.

        :raises OpenEOError: InfrastructureBusy when the provider does not answer.
        """
        try:
            return self._ask(token)
        except _UnreachableError as error:
            log.warning("the identity provider %s cannot be asked: %s", self.id, error)
            raise self._error(str(error)) from error

    def _ask(self, token: str) -> Mapping[str, Any] | None:
        url = self._discover().get("userinfo_endpoint")
        if url is None:
            raise _UnreachableError("it has no userinfo endpoint.")
        reply = self._get(url, token)
        if reply.status in (400, 401, 403):
            return None
        claims = _object(reply)
        subject = claims.get("sub")
        if not isinstance(subject, str) or not 0 < len(subject) <= 255:
            raise _UnreachableError("its answer about a user does not say who it is (sub).")
        return claims

    def _look(self) -> None:
        """Look up the published keys; what is known stays when that fails."""
        try:
            keys = read_keys(_object(self._get(self._discover()["jwks_uri"])))
        except _UnreachableError as error:
            self._problem = str(error)
        except ValueError as error:
            self._problem = f"what it publishes as its keys is of no use: {error}."
        else:
            self._keys, self._keys_since = keys, self._clock()
            self._next_look = self._clock() + KEYS_PAUSE
            return
        log.warning("the keys of the identity provider %s cannot be read: %s", self.id, self._problem)
        has_keys = self._clock() - self._keys_since < KEYS_KEPT
        self._next_look = self._clock() + (KEYS_PAUSE if has_keys else PAUSE)

    def _discover(self) -> Mapping[str, str]:
        known = self._endpoints.get("endpoints")
        if known is None:
            url = f"{self.url.rstrip('/')}/.well-known/openid-configuration"
            try:
                known = self._checked(_object(self._get(url)))
            except _UnreachableError as error:
                self._problem, self._away_until = str(error), self._clock() + PAUSE
                raise
            self._endpoints.put("endpoints", known, KEYS_FRESH)
        return known

    def _checked(self, document: Mapping[str, Any]) -> Mapping[str, str]:
        """The endpoints that a provider describes, if it is the one that was meant."""
        issuer = document.get("issuer")
        if not isinstance(issuer, str) or issuer.rstrip("/") != self.url.rstrip("/"):
            raise _UnreachableError(f"it describes another issuer ({str(issuer)[:100]}).")
        endpoints = {}
        for name in ("jwks_uri", "userinfo_endpoint"):
            url = document.get(name)
            if not isinstance(url, str):
                continue
            if self.url.startswith("https:") and not url.startswith("https:"):
                raise _UnreachableError(f"its {name} has no https.")
            endpoints[name] = url
        if "jwks_uri" not in endpoints:
            raise _UnreachableError("it does not say where its keys are.")
        return endpoints

    def _get(self, url: str, token: str | None = None) -> Reply:
        """Ask the provider, unless it did not answer a moment ago or too many are asking already."""
        if self._clock() < self._away_until:
            raise _UnreachableError(self._problem)
        headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        if not self._free.acquire(timeout=TURN):
            raise _UnreachableError("it takes too long to answer.")
        try:
            return self._door.request(
                "GET", url, headers=headers, limit_mb=LIMIT_MB, seconds=SECONDS, again=False, within=SECONDS
            )
        except OpenEOError as error:
            self._problem = error.message
            self._away_until = self._clock() + PAUSE
            raise _UnreachableError(self._problem) from error
        finally:
            self._free.release()

    def _error(self, why: str) -> OpenEOError:
        return OpenEOError(
            "InfrastructureBusy",
            f"The identity provider '{self.id}' ({self.url}) cannot be asked, so its tokens cannot be checked now: "
            f"{why}",
            hint="Try again in a minute. Tokens of other providers are not affected.",
            data={"retry_after": PAUSE, "provider": self.id},
        )


def _object(reply: Reply) -> Mapping[str, Any]:
    if reply.status != 200:
        raise _UnreachableError(f"it answers with HTTP status {reply.status}.")
    try:
        found = json.loads(reply.content)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, Mapping):
        raise _UnreachableError("its answer is no JSON object.")
    return found
