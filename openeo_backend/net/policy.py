"""Which addresses may be reached."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urljoin, urlsplit

from openeo_backend.errors import OpenEOError

SCHEMES = ("http", "https")
DEFAULT_PORTS = {"http": 80, "https": 443}

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def refuse(url: str, reason: str) -> OpenEOError:
    """The error for a URL that the policy refuses."""
    return OpenEOError(
        "UrlNotAllowed",
        f"The URL '{shown(url)}' cannot be used: {reason}.",
        hint="Only public http and https addresses, and those the operator allows, can be reached.",
    )


def shown(url: str) -> str:
    """A URL, or what was given for one, for messages: without credentials, query and excess length."""
    text = url.split("?", 1)[0]
    with suppress(ValueError):
        parts = urlsplit(url)
        netloc = parts.netloc.rpartition("@")[2]
        text = f"{parts.scheme}://{netloc}{parts.path}" if parts.scheme else text
    return text if len(text) <= 200 else f"{text[:197]}..."


def split(url: str) -> SplitResult:
    """The parts of a URL of a user or of another server.

    :raises OpenEOError: UrlNotAllowed for what is none.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise refuse(url, "it is not a valid URL") from None
    return parts


def join(base: str, href: str) -> str:
    """An address as seen from another one.

    :raises OpenEOError: UrlNotAllowed for what is none.
    """
    try:
        return urljoin(base, href)
    except ValueError:
        raise refuse(href, "it is not a valid URL") from None


@dataclass(frozen=True)
class Policy:
    """Public addresses are allowed; others only where the operator named the host."""

    allow: frozenset[str] = field(default_factory=frozenset)
    """Hosts, or host:port, in lower case."""

    @classmethod
    def of(cls, names: Iterable[str], urls: Iterable[str] = ()) -> Policy:
        """A policy that allows the named hosts and the hosts (with port) of URLs the operator named."""
        hosts = {name.lower() for name in names}
        for url in urls:
            parts = urlsplit(url)
            if parts.scheme in SCHEMES and parts.hostname:
                hosts.add(f"{parts.hostname}:{parts.port or DEFAULT_PORTS[parts.scheme]}")
        return cls(frozenset(hosts))

    def target(self, url: str) -> tuple[str, int]:
        """Host and port of a URL whose form is allowed.

        :raises OpenEOError: UrlNotAllowed.
        """
        if any(ord(letter) <= 32 or letter == "\\" for letter in url):
            raise refuse(url, "it contains spaces, control characters or backslashes")
        parts = split(url)
        if parts.scheme not in SCHEMES:
            raise refuse(url, f"the scheme '{parts.scheme}' is not http or https")
        if not parts.hostname:
            raise refuse(url, "it has no host")
        if parts.username or parts.password:
            raise refuse(url, "it contains credentials")
        return parts.hostname, parts.port or DEFAULT_PORTS[parts.scheme]

    def trusts(self, host: str, port: int) -> bool:
        """Whether the operator named the host."""
        return host.lower() in self.allow or f"{host.lower()}:{port}" in self.allow

    def addresses(self, url: str, host: str, port: int) -> list[str]:
        """The addresses of a host to which a connection may be made.

        :raises OpenEOError: UrlNotAllowed where one of its addresses is not public (and the host not trusted).
        """
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise OpenEOError("UrlNotReachable", f"The host '{host}' cannot be found.") from None
        addresses = [str(entry[4][0]) for entry in found]
        if not self.trusts(host, port):
            for address in addresses:
                if not is_public(ipaddress.ip_address(address.partition("%")[0])):
                    raise refuse(url, f"the host '{host}' is not a public address")
        return addresses


def is_public(address: Address) -> bool:
    """Whether an address is one of the open internet; forms that embed an IPv4 address count as that address."""
    if isinstance(address, ipaddress.IPv6Address):
        embedded = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if embedded is not None:
            return is_public(embedded)
        if address in ipaddress.ip_network("64:ff9b::/96"):
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)
