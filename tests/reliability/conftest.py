"""A store, objects and settings for what breaks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from openeo_backend import settings as settings_module
from openeo_backend.files.objects import StoredObjects, open_objects
from openeo_backend.settings import Settings
from openeo_backend.store.store import Store


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    jobs = {"lease_seconds": 2.0, "poll_seconds": 0.05, "drain_seconds": 0.1}
    return settings_module.read(overrides={"data_dir": str(tmp_path / "data"), "jobs": jobs})


@pytest.fixture
def store(migrated_url: str) -> Iterator[Store]:
    store = Store.open(migrated_url)
    yield store
    store.close()


@pytest.fixture
def objects(tmp_path: Path) -> StoredObjects:
    return open_objects(str(tmp_path / "objects"))
