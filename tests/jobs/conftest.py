"""A store on each kind of database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from openeo_backend.store.store import Store, upgrade


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    upgrade(database_url)
    store = Store.open(database_url)
    yield store
    store.close()
