"""The computing process is killed at each stage of its run: the job is tried again and ends finished, once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from stages import NAMES, STAGES

from openeo_backend.files.objects import StoredObjects
from openeo_backend.jobs.sweep import sweep
from openeo_backend.jobs.worker import Worker
from openeo_backend.run import runner
from openeo_backend.run.runner import ChildRunner
from openeo_backend.sandbox.child import run_child
from openeo_backend.settings import Settings
from openeo_backend.store.schema import trash
from openeo_backend.store.store import Store

PROCESS: dict[str, Any] = {"process_graph": {"a": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}}


def log(store: Store, id: str) -> list[str]:
    return [entry["message"] for entry in store.jobs.logs("ada", id, None, "debug")[1].entries]


@pytest.fixture(autouse=True)
def _staged(monkeypatch: pytest.MonkeyPatch) -> None:
    def staged(target: str, *arguments: Any, **members: Any) -> Any:
        return run_child("stages:work", *arguments, **members)

    monkeypatch.setattr(runner, "run_child", staged)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


@pytest.mark.parametrize("stage", STAGES)
def test_a_job_survives_its_child(
    store: Store, objects: StoredObjects, settings: Settings, tmp_path: Path, stage: str
) -> None:
    options = {"stage": stage, "mark": str(tmp_path / "mark")}
    id = store.jobs.create("ada", PROCESS, options=options).id
    store.jobs.queue("ada", id)
    worker = Worker(store, objects, ChildRunner(settings), settings)
    assert worker.run_once()
    job = store.jobs.get("ada", id)
    assert (job.status, job.lost) == ("queued", 1)
    before = log(store, id)
    assert "killed by the system" in before[-1]
    assert worker.run_once()
    job = store.jobs.get("ada", id)
    assert (job.status, job.result_attempt, job.attempt) == ("finished", 2, 2)
    after = log(store, id)
    assert after[: len(before)] == before
    assert sum(message.startswith("The job finished") for message in after) == 1
    with store.database.write() as connection:
        connection.execute(update(trash).values(due=1.0))
    sweep(store, objects, settings.jobs)
    assert sorted(objects.list("jobs")) == [f"jobs/{id}/2/{name}" for name in NAMES]
    work = settings.data_dir / "work"
    assert os.listdir(work) == []
