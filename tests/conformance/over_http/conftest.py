"""A real server with the collections that the official suite needs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import openeo
import pytest
from archives import suite_archive
from live_server import serving

USER, PASSWORD = "suite", "conformance"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its address."""
    folder: Path = tmp_path_factory.mktemp("suite")
    with serving(folder / "server", suite_archive(folder / "archive"), USER, PASSWORD) as server:
        yield server.url


@pytest.fixture(scope="session")
def connection(server: str) -> openeo.Connection:
    return openeo.connect(f"{server}/openeo/1.2/", auto_validate=False).authenticate_basic(USER, PASSWORD)
