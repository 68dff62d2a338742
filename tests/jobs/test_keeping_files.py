"""Files of results in a storage that is away or forgetful for a moment; the end of a job is told when it is one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from openeo_backend import settings as settings_module
from openeo_backend.errors import OpenEOError
from openeo_backend.files.objects import StoredObjects, open_objects
from openeo_backend.jobs import attempt
from openeo_backend.jobs.queue import Queue
from openeo_backend.jobs.sweep import sweep
from openeo_backend.jobs.worker import Worker
from openeo_backend.run.request import Event, Outcome, RunRequest
from openeo_backend.settings import Settings
from openeo_backend.store import trash
from openeo_backend.store.store import Store

PROCESS: dict[str, Any] = {"process_graph": {"a": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}}


@pytest.fixture
def store(migrated_sqlite: Path, tmp_path: Path) -> Iterator[Store]:
    store = Store.open(f"sqlite:///{shutil.copy(migrated_sqlite, tmp_path / 'store.sqlite')}")
    yield store
    store.close()


@pytest.fixture
def objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StoredObjects:
    monkeypatch.setattr(StoredObjects, "is_remote", property(lambda self: True))
    monkeypatch.setattr(attempt, "RETRY_SECONDS", (0.01,))
    return open_objects(str(tmp_path / "objects"))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_module.read(overrides={"data_dir": str(tmp_path / "data"), "jobs": {"lease_seconds": 1}})


@pytest.fixture
def id(store: Store) -> str:
    id = store.jobs.create("ada", PROCESS).id
    store.jobs.queue("ada", id)
    return id


def one_file(request: RunRequest, hear: Callable[[Event], None], is_cancelled: Callable[[], bool]) -> Outcome:
    (request.folder / "a.tif").write_bytes(b"content")
    return Outcome(files=({"name": "a.tif", "media_type": "image/tiff"},))


def said(store: Store, id: str) -> list[str]:
    return [entry["message"] for entry in store.jobs.logs("ada", id, None, "debug")[1].entries]


@pytest.mark.parametrize("trouble", ["away", "says stored, stores nothing", "half of it"])
def test_a_storage_elsewhere_gets_files_until_it_has_them(
    store: Store, objects: StoredObjects, settings: Settings, id: str, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    put, tries = objects.put, []

    def troubled(key: str, file: Path) -> int:
        tries.append(key)
        if len(tries) < 4:
            if trouble == "away":
                raise OpenEOError("StorageFailure", "The server could not store 'a.tif' in its storage.")
            if trouble == "half of it":
                half = file.with_name("half")
                half.write_bytes(file.read_bytes()[:3])
                put(key, half)
            return file.stat().st_size
        return put(key, file)

    monkeypatch.setattr(objects, "put", troubled)
    Worker(store, objects, one_file, settings).run_once()
    assert store.jobs.get("ada", id).status == "finished"
    assert len(tries) == 4
    assert b"".join(objects.stream(f"jobs/{id}/1/a.tif")) == b"content"


def test_a_storage_that_stays_away_is_the_cause_in_the_end(
    store: Store, objects: StoredObjects, settings: Settings, id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "STORE_SECONDS", 0.2)
    monkeypatch.setattr(objects, "put", lambda key, file: file.stat().st_size)
    Worker(store, objects, one_file, settings).run_once()
    entry = store.jobs.last_error("ada", id)
    assert entry is not None
    assert (entry["code"], "does not have the file 'a.tif'" in entry["message"]) == ("StorageFailure", True)


def test_the_log_does_not_tell_an_end_that_was_not_reached(
    store: Store, objects: StoredObjects, settings: Settings, id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish, told = Queue.publish, []

    def failing(queue: Queue, lease: Any, *arguments: Any) -> bool:
        told.append([message for message in said(store, id) if message.startswith("The job finished")])
        if len(told) == 1:
            raise OperationalError("", {}, Exception("away"))
        return publish(queue, lease, *arguments)

    monkeypatch.setattr(Queue, "publish", failing)
    monkeypatch.setattr(attempt, "RETRY_SECONDS", (1.0,))  # signs of life go on meanwhile
    Worker(store, objects, one_file, settings).run_once()
    assert told == [[], []]
    assert sum(message.startswith("The job finished") for message in said(store, id)) == 1


def test_a_storage_elsewhere_is_asked_again_whether_files_are_gone(
    store: Store, objects: StoredObjects, settings: Settings, id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Worker(store, objects, one_file, settings).run_once()
    with store.database.write() as connection:
        trash.discard(connection, f"jobs/{id}/1/", 0)
    emptied: set[str] = set()
    with monkeypatch.context() as lying:
        lying.setattr(objects, "list", lambda prefix: [])
        lying.setattr(objects, "delete", lambda prefix: 0)
        sweep(store, objects, settings.jobs, emptied)
    assert objects.list("jobs") == [f"jobs/{id}/1/a.tif"]
    for left in ([f"jobs/{id}/1/"], [f"jobs/{id}/1/"], []):
        sweep(store, objects, settings.jobs, emptied)
        assert objects.list("jobs") == []
        assert store.trash.due() == left
    assert emptied == set()


def test_a_database_that_is_away_when_a_run_begins_is_no_failure(
    store: Store, objects: StoredObjects, settings: Settings, id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def stored(user: str) -> dict[str, Any]:
        asked.append(user)
        if len(asked) < 3:
            raise OperationalError("", {}, Exception("away"))
        return {}

    Worker(store, objects, one_file, settings, stored).run_once()
    assert asked == ["ada"] * 3
    assert store.jobs.get("ada", id).status == "finished"
