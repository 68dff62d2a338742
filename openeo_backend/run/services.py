"""What the operator configured for processes that need more than data and formats, as `Env.services`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from openeo_backend.catalog.catalog import Catalog
from openeo_backend.files.user_files import UserFiles
from openeo_backend.net import ogcapi
from openeo_backend.net.door import Door
from openeo_backend.net.udf_service import UdfServices
from openeo_backend.run.exports import OwnCollections, Workspaces
from openeo_backend.settings import Settings


def open_services(settings: Settings, catalog: Catalog) -> dict[str, Any]:
    """The services that the settings name, by the setting that a process of theirs requires.

    Servers that the operator named may be anywhere; those that users name must be where the address policy allows.
    """
    door = Door(settings.net)
    services: dict[str, Any] = {
        "ogcapi.servers": _servers(settings),
        "ogcapi.externally": partial(_server, door, settings) if settings.ogcapi.externally else None,
        "files.enabled": UserFiles.open(settings) if settings.files.enabled else None,
        "workspaces": Workspaces(settings.workspaces) if settings.workspaces else None,
        "catalog.exports": OwnCollections(settings.catalog, catalog.is_taken) if settings.catalog.exports else None,
        "udf.externally": UdfServices(door, settings.udf.seconds) if settings.udf.externally else None,
    }
    return {name: service for name, service in services.items() if service}


def _servers(settings: Settings) -> Mapping[str, ogcapi.Server]:
    named = settings.ogcapi.servers
    door = Door(settings.net, tuple(named.values()))
    return {name: _server(door, settings, url) for name, url in named.items()}


def _server(door: Door, settings: Settings, url: str) -> ogcapi.Server:
    return ogcapi.Server(door, url, settings.ogcapi)
