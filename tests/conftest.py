"""Fixtures for all tests: no network beyond this machine, and the shared data where it is present."""

from __future__ import annotations

import ipaddress
import logging
import os
import shutil
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import PostgreSQL

from openeo_backend.sandbox.gdal import gdal_environment

# as the server's processes do, before anything loads GDAL
for _name, _value in gdal_environment().items():
    os.environ.setdefault(_name, _value)

# GDAL warns of each driver to leave out that is not there any more
logging.getLogger("rasterio._env").setLevel(logging.ERROR)

ROOT = Path(__file__).resolve().parent.parent


class NetworkBlocked(RuntimeError):
    """A test tried to leave this machine."""


def _is_local(address: object) -> bool:
    if not isinstance(address, tuple):
        return True  # a unix socket
    host = str(address[0])
    if host in ("localhost", ""):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@pytest.fixture(autouse=True)
def _block_network(monkeypatch: pytest.MonkeyPatch) -> None:
    connect, lookup = socket.socket.connect, socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: object) -> None:
        if not _is_local(address):
            raise NetworkBlocked(f"tests do not reach the network: {address}")
        connect(self, address)  # type: ignore[arg-type]

    def guarded_lookup(host: object, *args: object, **kwargs: object) -> object:
        if host is not None and not _is_local((host.decode() if isinstance(host, bytes) else host,)):
            try:  # numeric addresses are not looked up anywhere; connecting to them is what is blocked
                lookup(host, None, flags=socket.AI_NUMERICHOST)  # type: ignore[arg-type]
            except OSError:
                raise NetworkBlocked(f"tests do not look up hosts: {host!r}") from None
        return lookup(host, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_lookup)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared test data; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("OPENEO_SHARED_DIR", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"shared test data not found at {folder} (set OPENEO_SHARED_DIR)")
    return folder


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgreSQL]:
    """A PostgreSQL server of this machine, started for the tests; skipped where there is none."""
    server = PostgreSQL()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def postgresql(postgresql_server: PostgreSQL) -> str:
    """URL of that server."""
    return postgresql_server.url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database, on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.sqlite'}"
    return _create_database(request.getfixturevalue("postgresql"))


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the schema, to copy."""
    from openeo_backend.store.store import upgrade

    file = tmp_path_factory.mktemp("sqlite") / "store.sqlite"
    upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql: str) -> str:
    """Name of a PostgreSQL database with the schema, to copy."""
    from openeo_backend.store.store import upgrade

    url = _create_database(postgresql)
    upgrade(url)
    return url.rsplit("/", 1)[1]


@pytest.fixture(params=["sqlite", "postgresql"])
def migrated_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a database with the schema and no rows, on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        file = shutil.copy(request.getfixturevalue("migrated_sqlite"), tmp_path / "store.sqlite")
        return f"sqlite:///{file}"
    return _create_database(request.getfixturevalue("postgresql"), request.getfixturevalue("migrated_postgresql"))


def _create_database(server: str, template: str = "template0") -> str:
    import psycopg

    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    return f"{server}/{name}"
