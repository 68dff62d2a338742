"""Whole back-ends in this process: store, worker, children and HTTP."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert
from werkzeug.serving import make_server

from openeo_backend import settings as settings_module
from openeo_backend.api.app import create_app
from openeo_backend.backend import Backend
from openeo_backend.jobs.input import OwnResults
from openeo_backend.jobs.worker import Worker
from openeo_backend.run.engine import Engine
from openeo_backend.run.execute import execute
from openeo_backend.run.request import Event, Outcome, RunRequest
from openeo_backend.store.schema import users


@dataclass
class Site:
    """A back-end that serves HTTP on this machine, with the users ada and bob."""

    backend: Backend
    url: str

    def run(self, request: RunRequest, on_event: Callable[[Event], None], cancelled: Callable[[], bool]) -> Outcome:
        """A runner that evaluates here, as a child of the server does."""
        return execute(request, Engine.open(self.backend.settings, OwnResults(self.backend.settings)), on_event)

    def job(self, nodes: Mapping[str, Any], user: str = "ada", runner: Any = None) -> str:
        """The id of a job that has ended."""
        job = self.backend.store.jobs.create(user, {"process_graph": dict(nodes)}, title="round trip")
        self.backend.store.jobs.queue(user, job.id)
        assert Worker(self.backend.store, self.backend.objects, runner or self.run, self.backend.settings).run_once()
        return job.id

    def headers(self, user: str = "ada") -> dict[str, str]:
        return {"Authorization": f"Bearer basic//{self.backend.store.tokens.issue(user, timedelta(hours=1))}"}


@contextmanager
def open_sites(folder: Path) -> Iterator[Callable[..., Site]]:
    """Makes back-ends by name over catalogs, with more sections of settings; they end with the context."""
    stops = []

    def make(name: str, *catalogs: str, **sections: Any) -> Site:
        overrides = {
            "data_dir": str(folder / name),
            "catalog": {"sources": list(catalogs)},
            "auth": {"basic": True},
            "net": {"allow": ["127.0.0.1"]},
            **sections,
        }
        backend = Backend.open(settings_module.read(overrides=overrides))
        with backend.store.database.write() as connection:  # nobody logs in with a password here
            rows = [{"id": user, "password": "", "roles": [], "created": 0.0} for user in ("ada", "bob")]
            connection.execute(insert(users), rows)
        server = make_server("127.0.0.1", 0, create_app(backend), threaded=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()

        def stop() -> None:
            server.shutdown()
            thread.join()
            server.server_close()
            backend.close()

        stops.append(stop)
        return Site(backend, f"http://127.0.0.1:{server.server_port}/openeo/1.2")

    try:
        yield make
    finally:
        for stop in stops:
            stop()
