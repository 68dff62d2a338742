"""A store on each kind of database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from openeo_backend.store.store import Store


@pytest.fixture
def store(migrated_url: str) -> Iterator[Store]:
    store = Store.open(migrated_url)
    yield store
    store.close()
