"""Absolute URLs that people can follow from where they are."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from urllib.parse import quote

from flask import g, request

from openeo_backend.api.access import backend

#: API versions served, oldest first, by the last part of their path; one code.
VERSIONS: dict[str, str] = {"1.2": "1.2.0", "1.3": "1.3.0"}


def host_url() -> str:
    """The URL of this server without a slash at the end.

    The setting `server.public_url` decides. Without it a request's Host header is believed only if it names this
    machine's loopback; else the address is taken that the request came in by, so that nobody can make us
    hand out links to elsewhere.
    """
    settings = backend().settings.server
    if settings.public_url:
        return settings.public_url.rstrip("/")
    if _is_loopback(request.host):
        return f"{request.scheme}://{request.host}"
    connection = request.environ.get("gunicorn.socket")
    host, port = connection.getsockname()[:2] if connection is not None else (settings.host, settings.port)
    return f"http://[{host}]:{port}" if ":" in str(host) else f"http://{host}:{port}"


def root_url(version: str | None = None) -> str:
    """The URL of an API root without a slash at the end; by default the root that is being called."""
    return f"{host_url()}/openeo/{version or short_version()}"


def url(path: str) -> str:
    """The absolute URL of a path below the API root that is being called: `url("/jobs/j-1")`."""
    return root_url() + quote(path, safe="/:?=&%,~")


def short_version() -> str:
    """The version of the API root that is being called, as in its path; 1.2 outside of all roots."""
    version: str = g.get("version", "1.2")
    return version


@lru_cache(maxsize=256)
def _is_loopback(host: str) -> bool:
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    name = name.strip("[]")
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
