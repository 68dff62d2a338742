"""The worker with runs that tests control: what becomes of jobs, files and logs."""

from __future__ import annotations

import hashlib
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from openeo_backend import settings as settings_module
from openeo_backend.errors import OpenEOError
from openeo_backend.files.objects import StoredObjects, open_objects
from openeo_backend.jobs.queue import Queue
from openeo_backend.jobs.sweep import sweep
from openeo_backend.jobs.worker import Worker
from openeo_backend.run.request import Event, Outcome, RunRequest
from openeo_backend.run.runner import Runner
from openeo_backend.settings import Settings
from openeo_backend.store.schema import jobs
from openeo_backend.store.store import Store

PROCESS: dict[str, Any] = {"process_graph": {"a": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}}

Hear = Callable[[Event], None]
Asked = Callable[[], bool]


@pytest.fixture
def migrated_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    """SQLite is enough here: what differs between databases is the queue, which test_queue.py tests on both."""
    return f"sqlite:///{shutil.copy(migrated_sqlite, tmp_path / 'store.sqlite')}"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    jobs = {"lease_seconds": 0.8, "poll_seconds": 0.02, "drain_seconds": 0.1, "attempts": 2}
    return settings_module.read(overrides={"data_dir": str(tmp_path / "data"), "jobs": jobs})


@pytest.fixture
def objects(tmp_path: Path) -> StoredObjects:
    return open_objects(str(tmp_path / "objects"))


@pytest.fixture
def start(store: Store, objects: StoredObjects, settings: Settings) -> Iterator[Callable[[Runner], threading.Event]]:
    """Starts a worker; returns what stops it."""
    running = []

    def begin(runner: Runner) -> threading.Event:
        stop = threading.Event()
        thread = threading.Thread(target=Worker(store, objects, runner, settings).run, args=(stop,))
        thread.start()
        running.append((stop, thread))
        return stop

    yield begin
    for stop, thread in running:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()


def queued(store: Store, **members: Any) -> str:
    id = store.jobs.create("ada", PROCESS, **members).id
    store.jobs.queue("ada", id)
    return id


def log(store: Store, id: str) -> list[dict[str, Any]]:
    return list(store.jobs.logs("ada", id, None, "debug")[1].entries)


def wait(condition: Callable[[], bool], seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def two_files(request: RunRequest, hear: Hear, is_cancelled: Asked) -> Outcome:
    hear(Event("log", {"level": "info", "message": "Reading."}))
    hear(Event("log", {"level": "debug", "message": "Details."}))
    hear(Event("progress", {"percent": 100}))
    (request.folder / "a.tif").write_bytes(b"first")
    (request.folder / "b.json").write_bytes(b"{}")
    files = (
        {"name": "a.tif", "media_type": "image/tiff", "checksum": "a guess"},
        {"name": "b.json", "media_type": "application/json"},
    )
    # what the child took is less than what the job took
    return Outcome(
        files=files, usage={"cpu": {"value": 2, "unit": "cpu-seconds"}, "duration": {"value": 0, "unit": "seconds"}}
    )


def test_a_job_finishes_with_its_files(
    store: Store, objects: StoredObjects, settings: Settings, start: Callable[[Runner], Any]
) -> None:
    id = queued(store)
    seen: list[RunRequest] = []

    def runner(request: RunRequest, hear: Hear, is_cancelled: Asked) -> Outcome:
        seen.append(request)
        return two_files(request, hear, is_cancelled)

    start(runner)
    wait(lambda: store.jobs.get("ada", id).status == "finished")
    job = store.jobs.get("ada", id)
    assert job.result is not None
    assert job.unpublished is not None
    assert job.finished is not None
    assert abs((job.unpublished - job.finished).total_seconds() - 90 * 86_400) < 1
    assert [file["name"] for file in job.result["files"]] == ["a.tif", "b.json"]
    assert job.result["files"][0]["size"] == 5
    assert job.result["files"][0]["checksum"] == hashlib.sha256(b"first").hexdigest()
    assert b"".join(objects.stream(f"jobs/{id}/1/a.tif")) == b"first"
    assert job.usage is not None
    assert job.usage["cpu"] == {"value": 2, "unit": "cpu-seconds"}
    assert job.usage["storage"] == {"value": 7, "unit": "b"}
    assert job.usage["duration"]["unit"] == "seconds"
    assert job.usage["duration"]["value"] > 0
    said = [entry["message"] for entry in log(store, id)]
    assert said[:2] == ["The job started.", "Reading."]
    assert "Details." not in said
    (request,) = seen
    assert (request.id, request.user, dict(request.process)) == (id, "ada", PROCESS)
    assert request.seconds == 86_400
    wait(lambda: not request.folder.exists())


def test_a_bare_value_becomes_a_json_file(store: Store, objects: StoredObjects, settings: Settings) -> None:
    id = queued(store)
    assert Worker(store, objects, lambda *_: Outcome(value=[1, float("nan")], has_value=True), settings).run_once()
    job = store.jobs.get("ada", id)
    assert job.status == "finished"
    assert b"".join(objects.stream(f"jobs/{id}/1/result.json")) == b"[1, null]"


def test_a_job_that_writes_nothing_finishes_with_a_warning(
    store: Store, objects: StoredObjects, settings: Settings
) -> None:
    id = queued(store)
    Worker(store, objects, lambda *_: Outcome(), settings).run_once()
    assert store.jobs.get("ada", id).status == "finished"
    assert [entry["level"] for entry in log(store, id)] == ["info", "warning", "info"]


def test_an_error_of_the_graph_is_told_with_its_nodes(store: Store, objects: StoredObjects, settings: Settings) -> None:
    id = queued(store, log_level="error")
    outer, inner = {"node_id": "map", "process_id": "apply"}, {"node_id": "log1", "process_id": "ln"}
    error = {"code": "BandMissing", "message": "There is no band B99.", "path": [outer, inner], "status": 400}
    Worker(store, objects, lambda *_: Outcome(error=error), settings).run_once()
    assert store.jobs.get("ada", id).status == "error"
    (entry,) = log(store, id)
    assert (entry["level"], entry["code"], entry["message"]) == ("error", "BandMissing", "There is no band B99.")
    assert entry["path"] == [inner, outer]  # the API wants the node that failed first
    assert objects.list("jobs") == []


def test_a_failure_of_the_server_is_told_by_an_id_only(
    store: Store, objects: StoredObjects, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    id = queued(store)

    def runner(*_: Any) -> Outcome:
        raise ZeroDivisionError("a secret of the machine")

    Worker(store, objects, runner, settings).run_once()
    entry = log(store, id)[-1]
    assert (entry["level"], entry["code"]) == ("error", "Internal")
    assert "secret" not in str(entry)
    reference = entry["message"].split("report the id ")[1].split()[0]
    assert reference in caplog.text
    assert "a secret of the machine" in caplog.text


def test_a_file_that_was_not_written_is_no_result(store: Store, objects: StoredObjects, settings: Settings) -> None:
    for name in ("none.tif", "../other.tif", "link.tif"):
        id = queued(store)

        def runner(request: RunRequest, *_: Any, name: str = name) -> Outcome:
            (request.folder / "link.tif").symlink_to("/etc/hostname")
            (request.folder.parent / "other.tif").write_bytes(b"x")
            return Outcome(files=({"name": name, "media_type": "image/tiff"},))

        Worker(store, objects, runner, settings).run_once()
        assert store.jobs.get("ada", id).status == "error"
        assert objects.list("jobs") == []


def test_a_storage_that_fails_ends_the_job_with_that_reason(
    store: Store, objects: StoredObjects, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = queued(store)
    put, count = objects.put, iter(range(9))

    def failing(key: str, file: Path) -> int:
        if next(count) == 1:
            raise OpenEOError("StorageFailure", "The disk is full.")
        return put(key, file)

    monkeypatch.setattr(objects, "put", failing)
    Worker(store, objects, two_files, settings).run_once()
    assert store.jobs.get("ada", id).status == "error"
    assert log(store, id)[-1]["code"] == "StorageFailure"
    assert objects.list("jobs") == [f"jobs/{id}/1/a.tif"]
    sweep(store, objects, settings.jobs)
    assert objects.list("jobs") == []


def test_a_stopped_job_stops_its_run_and_leaves_nothing(
    store: Store, objects: StoredObjects, settings: Settings, start: Callable[[Runner], Any]
) -> None:
    id = queued(store)
    ended = threading.Event()

    def runner(request: RunRequest, hear: Hear, is_cancelled: Asked) -> Outcome:
        (request.folder / "a.tif").write_bytes(b"x")
        wait(is_cancelled)
        ended.set()
        return Outcome(cancelled=True)

    start(runner)
    wait(lambda: store.jobs.get("ada", id).status == "running")
    store.jobs.cancel("ada", id)
    assert ended.wait(5)
    wait(lambda: store.trash.due() == [f"jobs/{id}/1/"])
    assert store.jobs.get("ada", id).status == "canceled"
    assert objects.list("jobs") == []


def test_a_run_that_ends_after_the_job_was_deleted_publishes_nothing(
    store: Store, objects: StoredObjects, settings: Settings
) -> None:
    id = queued(store)

    def runner(request: RunRequest, hear: Hear, is_cancelled: Asked) -> Outcome:
        store.jobs.delete("ada", id)
        return two_files(request, hear, lambda: False)

    Worker(store, objects, runner, settings).run_once()
    assert store.jobs.list("ada").jobs == ()
    sweep(store, objects, settings.jobs)
    assert objects.list("jobs") == []


def test_progress_and_logs_come_while_the_job_runs(
    store: Store, settings: Settings, start: Callable[[Runner], Any]
) -> None:
    id = queued(store)
    go = threading.Event()

    def runner(request: RunRequest, hear: Hear, is_cancelled: Asked) -> Outcome:
        for percent in (10, 40, 30):
            hear(Event("progress", {"percent": percent}))
        hear(Event("log", {"level": "info", "message": "Half way."}))
        hear(Event("usage", {"memory": {"value": 3, "unit": "mb-seconds"}}))
        go.wait(10)
        return Outcome(value=1, has_value=True)

    start(runner)
    wait(lambda: store.jobs.get("ada", id).progress == 40)
    job = store.jobs.get("ada", id)
    assert job.status == "running"
    assert job.usage == {"memory": {"value": 3, "unit": "mb-seconds"}}
    assert [entry["message"] for entry in log(store, id)] == ["The job started.", "Half way."]
    go.set()
    wait(lambda: store.jobs.get("ada", id).progress == 100)
    said = [entry["message"] for entry in log(store, id)]
    assert said.count("Half way.") == 1


def test_a_worker_that_stops_gives_its_job_to_another(
    store: Store, objects: StoredObjects, settings: Settings, start: Callable[[Runner], threading.Event]
) -> None:
    id = queued(store)

    def endless(request: RunRequest, hear: Hear, is_cancelled: Asked) -> Outcome:
        wait(is_cancelled)
        return Outcome(cancelled=True)

    stop = start(endless)
    wait(lambda: store.jobs.get("ada", id).status == "running")
    stop.set()
    wait(lambda: store.jobs.get("ada", id).status == "queued")
    assert Worker(store, objects, two_files, settings).run_once()
    job = store.jobs.get("ada", id)
    assert (job.status, job.attempt, job.lost) == ("finished", 2, 0)
    assert [entry["message"] for entry in log(store, id)].count("The job started (attempt 2).") == 1


def test_a_worker_that_stops_lets_short_jobs_end(
    store: Store, settings: Settings, start: Callable[[Runner], threading.Event]
) -> None:
    id = queued(store)
    settings.jobs.drain_seconds = 10

    def short(request: RunRequest, hear: Hear, is_cancelled: Asked) -> Outcome:
        time.sleep(0.5)
        return Outcome(value=1, has_value=True)

    stop = start(short)
    wait(lambda: store.jobs.get("ada", id).status == "running")
    stop.set()
    wait(lambda: store.jobs.get("ada", id).status == "finished")


def test_a_child_that_dies_is_tried_again_then_given_up(
    store: Store, objects: StoredObjects, settings: Settings
) -> None:
    id = queued(store)
    error = {"code": "OutOfMemory", "message": "It needed 9 GB, 2 GB may be used."}
    worker = Worker(store, objects, lambda *_: Outcome(error=error, lost="killed"), settings)
    assert worker.run_once()
    assert store.jobs.get("ada", id).status == "queued"
    assert worker.run_once()
    assert store.jobs.get("ada", id).status == "error"
    assert not worker.run_once()
    assert [e["message"] for e in log(store, id) if e["level"] == "error"] == [error["message"]]


def test_publishing_waits_for_a_database_that_is_away(
    store: Store, objects: StoredObjects, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = queued(store)
    publish, count = Queue.publish, iter(range(9))

    def failing(self: Queue, *arguments: Any) -> bool:
        done = publish(self, *arguments) if next(count) != 0 else None
        if done is None:
            raise OperationalError("COMMIT", {}, Exception("the connection was closed"))
        return done

    monkeypatch.setattr(Queue, "publish", failing)
    Worker(store, objects, two_files, settings).run_once()
    assert store.jobs.get("ada", id).status == "finished"
    assert [entry["message"] for entry in log(store, id)].count("Reading.") == 1


def test_expired_results_and_jobs_are_cleared_away(store: Store, objects: StoredObjects, settings: Settings) -> None:
    id = queued(store)
    Worker(store, objects, two_files, settings).run_once()
    sweep(store, objects, settings.jobs)
    assert len(objects.list("jobs")) == 2

    def age(**columns: float) -> None:
        with store.database.write() as connection:
            connection.execute(update(jobs).where(jobs.c.id == id).values(**columns))

    age(unpublished=time.time() - 1)
    sweep(store, objects, settings.jobs)
    assert objects.list("jobs") == []
    job = store.jobs.get("ada", id)
    assert (job.status, job.result) == ("finished", None)
    age(updated=time.time() - 364 * 86_400)
    sweep(store, objects, settings.jobs)
    assert store.jobs.get("ada", id)
    age(updated=time.time() - 366 * 86_400)
    sweep(store, objects, settings.jobs)
    with pytest.raises(OpenEOError, match="JobNotFound"):
        store.jobs.get("ada", id)


def test_folders_of_dead_workers_are_removed(store: Store, objects: StoredObjects, settings: Settings) -> None:
    dead = settings.data_dir / "work" / "host-1-dead"
    (dead / "j-1-1").mkdir(parents=True)
    (dead / "lock").touch()
    Worker(store, objects, two_files, settings).run_once()
    assert list((settings.data_dir / "work").iterdir()) == []


def test_a_free_place_is_taken_at_once(
    store: Store, objects: StoredObjects, settings: Settings, start: Callable[[Runner], threading.Event]
) -> None:
    settings.jobs.poll_seconds = settings.jobs.lease_seconds = 30
    ids = [queued(store) for _ in range(5)]
    start(two_files)
    wait(lambda: all(store.jobs.get("ada", id).status == "finished" for id in ids))  # not 30 s each
