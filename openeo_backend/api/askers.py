"""Who asks, before a request is read: users as far as they proved it, and all others by their address."""

from __future__ import annotations

import hashlib
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address
from typing import Any

#: Key of the Askers in `app.extensions`.
ASKERS = "openeo_backend.askers"

#: Credentials that are remembered.
MOST_KNOWN = 10_000

_AUTHORIZATION = re.compile(rb"(?im)^authorization:[ \t]*(\S.*?)[ \t\r]*$")
_FORWARDED = re.compile(rb"(?im)^x-forwarded-for:[ \t]*(.*?)[ \t\r]*$")


class Askers:
    """Tells apart for whom threads and time are shared. Tokens of one user count as that user.

    What nobody has proved yet counts as nothing: who makes up tokens is one stranger at one address.

    :param proxies: how many reverse proxies in front tell the addresses of clients (X-Forwarded-For).
    """

    def __init__(self, proxies: int = 0) -> None:
        self._proxies = proxies
        self._known: OrderedDict[bytes, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def learn(self, authorization: str, user: str) -> None:
        """These credentials proved to be a user's."""
        known = _digest(authorization.strip().encode("latin-1", "replace"))
        with self._lock:
            self._known[known] = b"user " + _digest(user.encode())
            self._known.move_to_end(known)
            while len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)

    def key(self, authorization: bytes, forwarded: bytes, address: str) -> bytes:
        """Of a user, or of all strangers at an address, from the values of two headers (empty where absent)."""
        if authorization:
            with self._lock:
                user = self._known.get(_digest(authorization.strip()))
            if user is not None:
                return user
        if self._proxies:
            told = [part.strip() for part in forwarded.decode("latin-1").split(",")]
            address = told[-self._proxies] if len(told) >= self._proxies else address
        return b"stranger " + _network(address)

    def of_environ(self, environ: Mapping[str, Any]) -> bytes:
        """The key of a request that was read."""
        authorization = environ.get("HTTP_AUTHORIZATION", "").encode("latin-1")
        forwarded = environ.get("HTTP_X_FORWARDED_FOR", "").encode("latin-1")
        return self.key(authorization, forwarded, environ.get("REMOTE_ADDR", ""))

    def of_head(self, head: bytes, address: str) -> bytes:
        """The key of a request that begins with these bytes."""
        lines = head.partition(b"\r\n\r\n")[0]
        authorization, forwarded = _AUTHORIZATION.search(lines), _FORWARDED.search(lines)
        return self.key(authorization[1] if authorization else b"", forwarded[1] if forwarded else b"", address)


def _digest(value: bytes) -> bytes:
    return hashlib.blake2b(value, digest_size=16).digest()


def _network(address: str) -> bytes:
    """An address without what one client can choose at will."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return b""
    if isinstance(parsed, IPv6Address):
        return parsed.packed[:8] if parsed.ipv4_mapped is None else parsed.ipv4_mapped.packed
    return parsed.packed
