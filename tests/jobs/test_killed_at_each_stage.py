"""A worker is killed at each stage of a job: the job ends finished, once, with nothing lost and nothing left over."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from openeo_backend import settings as settings_module
from openeo_backend.files.objects import StoredObjects, open_objects
from openeo_backend.jobs.queue import Queue
from openeo_backend.jobs.sweep import sweep
from openeo_backend.jobs.worker import Worker
from openeo_backend.run.request import Event, Outcome, RunRequest
from openeo_backend.store.schema import trash
from openeo_backend.store.store import Store

STAGES = ["claimed", "computing", "writing", "publishing", "published"]
PROCESS = {"process_graph": {"a": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}}


def overrides(folder: str) -> dict[str, Any]:
    return {"data_dir": f"{folder}/data", "jobs": {"lease_seconds": 0.8, "poll_seconds": 0.02}}


def two_files(request: RunRequest, hear: Any, is_cancelled: Any) -> Outcome:
    hear(Event("log", {"level": "info", "message": "Reading."}))
    for name in ("a.tif", "b.tif"):
        (request.folder / name).write_bytes(name.encode())
    return Outcome(files=tuple({"name": name, "media_type": "image/tiff"} for name in ("a.tif", "b.tif")))


def work_until(stage: str, url: str, folder: str) -> None:
    """A worker that halts at a stage, and says so, to be killed there."""

    def halt() -> None:
        Path(folder, "halted").touch()
        time.sleep(60)

    def halting(function: Any, before: bool, after: int = 0) -> Any:
        calls = iter(range(99))

        def wrapped(*arguments: Any, **members: Any) -> Any:
            is_due = next(calls) == after
            if before and is_due:
                halt()
            done = function(*arguments, **members)
            if not before and is_due:
                halt()
            return done

        return wrapped

    runner: Any = two_files
    if stage == "claimed":
        Queue.claim = halting(Queue.claim, before=False)  # type: ignore[method-assign]
    elif stage == "computing":
        runner = halting(two_files, before=False)
    elif stage == "writing":
        StoredObjects.put = halting(StoredObjects.put, before=True, after=1)  # type: ignore[method-assign]
    else:
        Queue.publish = halting(Queue.publish, before=stage == "publishing")  # type: ignore[method-assign]
    settings = settings_module.read(overrides=overrides(folder))
    Worker(Store.open(url), open_objects(f"{folder}/objects"), runner, settings).run_once()


@pytest.fixture(autouse=True)
def _no_children_left() -> Iterator[None]:
    yield
    for child in multiprocessing.active_children():
        child.kill()
        child.join()


@pytest.mark.parametrize("stage", STAGES)
def test_a_job_survives_its_worker(migrated_url: str, tmp_path: Path, stage: str) -> None:
    store, settings = Store.open(migrated_url), settings_module.read(overrides=overrides(str(tmp_path)))
    objects = open_objects(str(tmp_path / "objects"))
    id = store.jobs.create("ada", PROCESS).id
    store.jobs.queue("ada", id)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["openeo_backend.jobs.worker"])
    child = context.Process(target=work_until, args=(stage, migrated_url, str(tmp_path)))
    child.start()
    end = time.monotonic() + 30
    while not (tmp_path / "halted").exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    acknowledged = [entry["message"] for entry in store.jobs.logs("ada", id, None, "debug")[1].entries]
    child.kill()
    child.join()
    worker = Worker(store, objects, two_files, settings)
    while store.jobs.get("ada", id).status != "finished":
        assert time.monotonic() < end
        worker.run_once() or time.sleep(0.05)
    job = store.jobs.get("ada", id)
    assert job.attempt == (1 if stage == "published" else 2)
    assert job.result_attempt == job.attempt
    assert not worker.run_once()
    said = [entry["message"] for entry in store.jobs.logs("ada", id, None, "debug")[1].entries]
    assert said[: len(acknowledged)] == acknowledged
    assert sum(message.startswith("The job finished") for message in said) == 1
    assert sum("disappeared" in message for message in said) == job.attempt - 1
    with store.database.write() as connection:  # as if the lost worker's time were over
        connection.execute(update(trash).values(due=1.0))
    sweep(store, objects, settings.jobs)
    assert sorted(objects.list("jobs")) == [f"jobs/{id}/{job.attempt}/{name}" for name in ("a.tif", "b.tif")]
    assert b"".join(objects.stream(f"jobs/{id}/{job.attempt}/b.tif")) == b"b.tif"
    assert os.listdir(tmp_path / "data" / "work") == []
    store.close()


def sweep_until_killed(url: str, folder: str) -> None:
    """A worker that halts in the middle of deleting, to be killed there."""
    delete = StoredObjects.delete

    def halting(self: StoredObjects, prefix: str) -> int:
        deleted = delete(self, prefix)
        Path(folder, "halted").touch()
        time.sleep(60)
        return deleted

    StoredObjects.delete = halting  # type: ignore[method-assign]
    settings = settings_module.read(overrides=overrides(folder))
    sweep(Store.open(url), open_objects(f"{folder}/objects"), settings.jobs)


def test_deleting_goes_on_after_its_worker_was_killed(migrated_url: str, tmp_path: Path) -> None:
    store, settings = Store.open(migrated_url), settings_module.read(overrides=overrides(str(tmp_path)))
    objects = open_objects(str(tmp_path / "objects"))
    ids = []
    for _ in range(2):
        ids.append(store.jobs.create("ada", PROCESS).id)
        store.jobs.queue("ada", ids[-1])
        assert Worker(store, objects, two_files, settings).run_once()
        store.jobs.delete("ada", ids[-1])
    kept = store.jobs.create("ada", PROCESS).id
    store.jobs.queue("ada", kept)
    assert Worker(store, objects, two_files, settings).run_once()
    with store.database.write() as connection:
        connection.execute(update(trash).values(due=1.0))
    child = multiprocessing.get_context("forkserver").Process(
        target=sweep_until_killed, args=(migrated_url, str(tmp_path))
    )
    child.start()
    end = time.monotonic() + 30
    while not (tmp_path / "halted").exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    child.kill()
    child.join()
    assert len(objects.list("jobs")) == 4  # of one deleted job, and of the one that is kept
    sweep(store, objects, settings.jobs)
    assert sorted(objects.list("jobs")) == [f"jobs/{kept}/1/{name}" for name in ("a.tif", "b.tif")]
    assert store.trash.due() == []
    store.close()
