"""A tiny archive and an engine on it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from openeo_backend.catalog.demo import Scenario, write_archive
from openeo_backend.run.engine import Engine
from openeo_backend.settings import Settings

TINY = Scenario(
    width=96,
    height=96,
    start=datetime(2025, 5, 1, 10, 10, 31, tzinfo=UTC),
    days=(0, 10, 40),
    radar_days=(1,),
    cloud_cover=(0.2, 0.0, 0.1),
    neighbour=None,
)


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the archive."""
    folder = tmp_path_factory.mktemp("run-archive")
    write_archive(folder, lambda done, planned: None, TINY)
    return folder


@pytest.fixture
def settings(archive: Path) -> Settings:
    return Settings.model_validate({"catalog": {"sources": [str(archive / "catalog.json")]}})


@pytest.fixture
def engine(settings: Settings) -> Engine:
    return Engine.open(settings)
