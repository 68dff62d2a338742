"""A back-end that computes in its own process, and its user."""

from __future__ import annotations

from sqlalchemy import insert

from openeo_backend.backend import Backend
from openeo_backend.run.execute import execute
from openeo_backend.run.runner import Runner
from openeo_backend.store.schema import users
from openeo_backend.store.store import Store


def in_this_process(backend: Backend) -> Runner:
    """A runner without children: as many runs as tests like."""
    return lambda request, on_event, is_cancelled: execute(request, backend.engine, on_event)


def add_user(store: Store) -> None:
    """The user ada; hashing a password takes its time, and nobody logs in with one here."""
    with store.database.write() as connection:
        connection.execute(insert(users), [{"id": "ada", "password": "", "roles": [], "created": 0.0}])
