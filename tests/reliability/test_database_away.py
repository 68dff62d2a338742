"""The real PostgreSQL crashes and comes back while a job is at a stage: nothing is lost, nothing is done twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from servers import PostgreSQL

from openeo_backend import settings as settings_module
from openeo_backend.files.objects import StoredObjects, open_objects
from openeo_backend.jobs.queue import Queue
from openeo_backend.jobs.worker import Worker
from openeo_backend.run.request import Event, Outcome, RunRequest
from openeo_backend.settings import Settings
from openeo_backend.store.store import Store, upgrade

pytestmark = pytest.mark.full

PROCESS: dict[str, Any] = {"process_graph": {"a": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}}
STAGES = ("claimed", "computing", "writing", "publishing", "published")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    server = PostgreSQL()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.mark.parametrize("stage", STAGES)
def test_a_job_survives_the_database(
    server: PostgreSQL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    with psycopg.connect(f"{server.url}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {stage}")  # type: ignore[arg-type]
    url = f"{server.url}/{stage}"
    upgrade(url)
    store, objects = Store.open(url), open_objects(str(tmp_path / "objects"))
    jobs = {"lease_seconds": 20, "poll_seconds": 0.05, "drain_seconds": 5}
    settings: Settings = settings_module.read(overrides={"data_dir": str(tmp_path / "data"), "jobs": jobs})
    done: list[str] = []

    def reach(here: str) -> None:
        """Crash the database once; it is back a second later."""
        if here == stage and not done:
            done.append(here)
            server.stop()
            threading.Timer(1.0, server.start).start()
            time.sleep(0.3)

    def run(request: RunRequest, hear: Any, is_cancelled: Any) -> Outcome:
        reach("claimed")
        hear(Event("log", {"level": "info", "message": "First."}))
        reach("computing")
        hear(Event("log", {"level": "info", "message": "Second."}))
        time.sleep(0.5)
        (request.folder / "a.tif").write_bytes(b"a")
        return Outcome(files=({"name": "a.tif", "media_type": "image/tiff"},))

    put, publish = StoredObjects.put, Queue.publish

    def putting(*arguments: Any) -> Any:
        reach("writing")
        return put(*arguments)

    def publishing(*arguments: Any) -> Any:
        reach("publishing")
        published = publish(*arguments)
        reach("published")
        return published

    monkeypatch.setattr(StoredObjects, "put", putting)
    monkeypatch.setattr(Queue, "publish", publishing)
    id = store.jobs.create("ada", PROCESS).id
    store.jobs.queue("ada", id)
    stop = threading.Event()
    worker = threading.Thread(target=Worker(store, objects, run, settings).run, args=(stop,))
    worker.start()
    try:
        end = time.monotonic() + 40
        while _status(store, id) != "finished":
            assert time.monotonic() < end
            time.sleep(0.1)
    finally:
        stop.set()
        worker.join(30)
    assert done == [stage]
    job = store.jobs.get("ada", id)
    assert (job.attempt, job.result_attempt, job.lost) == (1, 1, 0)
    said = [entry["message"] for entry in store.jobs.logs("ada", id, None, "debug")[1].entries]
    assert [said.count("First."), said.count("Second.")] == [1, 1]
    assert sum(message.startswith("The job finished") for message in said) == 1
    assert objects.list("jobs") == [f"jobs/{id}/1/a.tif"]
    store.close()


def _status(store: Store, id: str) -> str:
    from sqlalchemy.exc import OperationalError

    try:
        return store.jobs.get("ada", id).status
    except OperationalError:
        return "unknown"
