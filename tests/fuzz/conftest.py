"""A back-end with a tiny archive and something of everything that has an id."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from single_process import add_user, in_this_process

from openeo_backend import settings as settings_module
from openeo_backend.api.app import create_app
from openeo_backend.backend import Backend
from openeo_backend.catalog.demo import Scenario, write_archive

TINY = Scenario(
    width=48,
    height=48,
    start=datetime(2025, 5, 1, 10, 10, 31, tzinfo=UTC),
    days=(0, 10),
    radar_days=(1,),
    cloud_cover=(0.2, 0.0),
    neighbour=None,
)


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The catalog of a tiny archive."""
    folder = tmp_path_factory.mktemp("fuzz-archive")
    write_archive(folder, lambda done, planned: None, TINY)
    return folder / "catalog.json"


@pytest.fixture(scope="session")
def node(archive: Path, migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The application and the back-end it serves, with headers of the user ada."""
    data = tmp_path_factory.mktemp("fuzz-data")
    shutil.copy(migrated_sqlite, data / "store.sqlite")
    overrides = {
        "data_dir": str(data),
        "store": {"url": f"sqlite:///{data / 'store.sqlite'}"},
        "auth": {"basic": True},
        "catalog": {"sources": [str(archive)]},
    }
    backend = Backend.open(settings_module.read(overrides=overrides))
    object.__setattr__(backend, "runner", in_this_process(backend))
    add_user(backend.store)
    headers = {"Authorization": f"Bearer basic//{backend.store.tokens.issue('ada', timedelta(days=1))}"}
    yield Node(backend, create_app(backend), headers)
    backend.close()


class Node:
    def __init__(self, backend: Backend, app: Any, headers: dict[str, str]) -> None:
        self.backend, self.app, self.headers = backend, app, headers

    def ask(self, method: str, path: str, **members: Any) -> Any:
        members["headers"] = {**self.headers, **members.get("headers", {})}
        return self.app.test_client().open(f"/openeo/1.2{path}", method=method, **members)
