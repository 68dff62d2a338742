"""A whole back-end with every process that takes a URL switched on, and two users with something of everything."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import insert

from openeo_backend import settings as settings_module
from openeo_backend.api.app import create_app
from openeo_backend.backend import Backend
from openeo_backend.store.schema import users


@dataclass
class Node:
    """A back-end, its application, and headers of its users."""

    backend: Backend
    app: Flask
    headers: dict[str, dict[str, str]]

    def ask(self, method: str, path: str, user: str | None = None, **members: Any) -> Any:
        return self.app.test_client().open(path, method=method, headers=self.headers.get(user or "", {}), **members)


@pytest.fixture
def node(tmp_path: Path, migrated_sqlite: Path) -> Iterator[Node]:
    data = tmp_path / "data"
    data.mkdir()
    shutil.copy(migrated_sqlite, data / "store.sqlite")
    settings = settings_module.read(
        overrides={
            "data_dir": str(data),
            "store": {"url": f"sqlite:///{data / 'store.sqlite'}"},
            "auth": {"basic": True},
            "udf": {"externally": True},
            "ogcapi": {"externally": True},
            "files": {"enabled": True},
        }
    )
    backend = Backend.open(settings)
    with backend.store.database.write() as connection:
        rows: list[dict[str, Any]] = [
            {"id": name, "password": "", "roles": [], "created": 0.0} for name in ("ada", "bob")
        ]
        connection.execute(insert(users), rows)
    tokens = {name: backend.store.tokens.issue(name, timedelta(hours=1)) for name in ("ada", "bob")}
    headers = {name: {"Authorization": f"Bearer basic//{token}"} for name, token in tokens.items()}
    yield Node(backend, create_app(backend), headers)
    backend.close()


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Every address that this process tries to connect to; names of hosts are answered with a private address."""
    tried: list[object] = []
    lookup, real = socket.getaddrinfo, socket.socket.connect

    def connect(self: socket.socket, address: object) -> None:
        if self.family == socket.AF_UNIX:
            return real(self, address)  # type: ignore[arg-type]
        tried.append(address)
        raise OSError("recorded")

    def look_up(host: Any, port: Any, *args: Any, **members: Any) -> Any:
        try:
            return lookup(host, port, flags=socket.AI_NUMERICHOST, type=socket.SOCK_STREAM)
        except (OSError, RuntimeError):
            return lookup("10.1.2.3", port, type=socket.SOCK_STREAM)

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket.socket, "connect_ex", connect)
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return tried
