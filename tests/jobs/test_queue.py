"""The queue: turns, limits, leases and fencing."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from openeo_backend.jobs.queue import Lease, Queue
from openeo_backend.settings import JobsSettings
from openeo_backend.store.schema import jobs
from openeo_backend.store.store import Store

PROCESS: dict[str, Any] = {"process_graph": {"a": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}}


def queued(store: Store, user: str, count: int = 1, **members: Any) -> list[str]:
    ids = []
    for _ in range(count):
        ids.append(store.jobs.create(user, PROCESS, **members).id)
        store.jobs.queue(user, ids[-1])
    return ids


def expire(store: Store, lease: Lease) -> None:
    with store.database.write() as connection:
        connection.execute(update(jobs).where(jobs.c.id == lease.job.id).values(lease_until=1.0))


def messages(store: Store, lease: Lease) -> list[str]:
    return [entry["message"] for entry in store.jobs.logs(lease.job.user_id, lease.job.id, None, "debug")[1].entries]


def claimed(queue: Queue, worker: str = "w") -> Lease:
    lease = queue.claim(worker)
    assert lease is not None
    return lease


def test_an_empty_queue_gives_nothing(store: Store) -> None:
    store.jobs.create("ada", PROCESS)
    assert Queue(store.database, JobsSettings()).claim("w") is None


def test_a_claimed_job_runs_and_is_claimed_once(store: Store) -> None:
    queue = Queue(store.database, JobsSettings())
    (id,) = queued(store, "ada")
    lease = claimed(queue)
    assert (lease.job.id, lease.attempt, lease.job.status) == (id, 1, "running")
    assert store.jobs.get("ada", id).started is not None
    assert queue.claim("v") is None


def test_users_take_turns_whatever_they_queue(store: Store) -> None:
    queue = Queue(store.database, JobsSettings(per_user=99))
    many = queued(store, "ada", 4)
    few = queued(store, "bob", 2)
    order = [claimed(queue).job.id for _ in range(6)]
    assert order == [many[0], few[0], many[1], few[1], many[2], many[3]]


def test_running_jobs_per_user_are_limited(store: Store) -> None:
    queue = Queue(store.database, JobsSettings(per_user=2))
    queued(store, "ada", 3)
    first, _ = claimed(queue), claimed(queue)
    assert queue.claim("w") is None
    assert queue.publish(first, {}, {})
    assert queue.claim("w") is not None


def test_higher_priority_goes_first(store: Store) -> None:
    queue = Queue(store.database, JobsSettings())
    queued(store, "ada")
    (urgent,) = queued(store, "bob", priority=5)
    assert claimed(queue).job.id == urgent


def test_a_lost_workers_job_is_taken_over_and_the_lost_one_can_do_nothing(store: Store) -> None:
    queue = Queue(store.database, JobsSettings())
    queued(store, "ada")
    old = claimed(queue, "old")
    expire(store, old)
    new = claimed(queue, "new")
    assert (new.job.id, new.attempt) == (old.job.id, 2)
    assert not queue.beat(old, [{"level": "info", "message": "ghost"}], 50)
    assert not queue.publish(old, {"files": ["ghost"]}, {}, [{"level": "info", "message": "ghost"}])
    assert not queue.fail(old, {}, [{"level": "error", "message": "ghost"}])
    assert not queue.release(old)
    assert queue.beat(new, [{"level": "info", "message": "mine"}], 60, {"cpu": {"value": 1, "unit": "cpu-seconds"}})
    assert queue.publish(new, {"files": ["mine"]}, {})
    job = store.jobs.get("ada", new.job.id)
    assert (job.status, job.progress, job.result, job.result_attempt) == ("finished", 100, {"files": ["mine"]}, 2)
    said = messages(store, new)
    assert "mine" in said
    assert "ghost" not in said
    assert "disappeared" in said[0]


def test_a_job_lost_too_often_ends_with_a_reason(store: Store) -> None:
    queue = Queue(store.database, JobsSettings(attempts=3))
    queued(store, "ada")
    for _ in range(3):
        lease = claimed(queue)
        expire(store, lease)
    assert queue.claim("w") is None
    job = store.jobs.get("ada", lease.job.id)
    assert job.status == "error"
    error = store.jobs.last_error("ada", job.id)
    assert error is not None
    assert error["code"] == "WorkerLost"
    assert "3 times" in error["message"]
    assert error["path"] == []


def test_a_lost_child_is_tried_again_until_the_attempts_are_used_up(store: Store) -> None:
    queue = Queue(store.database, JobsSettings(attempts=2))
    queued(store, "ada")
    reason = {"level": "error", "code": "OutOfMemory", "message": "It was too much."}
    assert queue.retry(claimed(queue), {}, [], reason)
    assert queue.retry(claimed(queue), {}, [], reason)
    assert queue.claim("w") is None
    (job,) = store.jobs.list("ada").jobs
    assert job.status == "error"
    levels = [entry["level"] for entry in store.jobs.logs("ada", job.id, None, "debug")[1].entries]
    assert levels == ["warning", "error"]


def test_progress_never_goes_back_while_a_run_is_tried_again(store: Store) -> None:
    queue = Queue(store.database, JobsSettings(attempts=5))
    (id,) = queued(store, "ada")

    def progress() -> float:
        return store.jobs.get("ada", id).progress

    first = claimed(queue)
    assert queue.beat(first, progress=40)
    assert queue.beat(first, progress=30)
    assert progress() == 40
    expire(store, first)
    second = claimed(queue)
    assert progress() == 40
    assert queue.beat(second, progress=10)
    assert progress() == 40
    assert queue.retry(second, {}, [], {"level": "error", "message": "lost"})
    assert progress() == 40
    assert queue.beat(claimed(queue), progress=60)
    assert progress() == 60
    store.jobs.cancel("ada", id)
    store.jobs.queue("ada", id)
    assert progress() == 0


def test_a_beat_keeps_the_lease(store: Store) -> None:
    queue = Queue(store.database, JobsSettings(lease_seconds=0.4))
    queued(store, "ada")
    lease = claimed(queue)
    for _ in range(4):
        time.sleep(0.15)
        assert queue.beat(lease)
    assert queue.claim("other") is None
    time.sleep(0.5)
    assert queue.claim("other") is not None


def test_stopped_and_deleted_jobs_are_no_longer_the_workers(store: Store) -> None:
    queue = Queue(store.database, JobsSettings())
    stopped, deleted = queued(store, "ada", 2)
    leases = {lease.job.id: lease for lease in (claimed(queue), claimed(queue))}
    assert store.jobs.cancel("ada", stopped)
    store.jobs.delete("ada", deleted)
    for lease in leases.values():
        assert not queue.beat(lease)
        assert not queue.publish(lease, {"files": []}, {})
        queue.abandon(lease)
    assert store.jobs.get("ada", stopped).status == "canceled"
    assert set(store.trash.due()) == {f"jobs/{id}/1/" for id in (stopped, deleted)}


def test_what_was_published_is_kept_until_the_next_run_begins(store: Store) -> None:
    queue = Queue(store.database, JobsSettings())
    (id,) = queued(store, "ada")
    assert queue.publish(claimed(queue), {"files": [1]}, {})
    store.jobs.queue("ada", id)
    store.jobs.cancel("ada", id)
    assert store.jobs.get("ada", id).result == {"files": [1]}
    store.jobs.queue("ada", id)
    claimed(queue)
    assert store.jobs.get("ada", id).result is None
    with store.database.read() as connection:
        assert connection.exec_driver_sql("SELECT prefix FROM trash").scalars().all() == [f"jobs/{id}/1/"]


def test_an_attempt_whose_publishing_was_not_acknowledged_keeps_its_files(store: Store) -> None:
    queue = Queue(store.database, JobsSettings())
    queued(store, "ada")
    lease = claimed(queue)
    assert queue.publish(lease, {"files": []}, {})
    assert not queue.publish(lease, {"files": []}, {})  # tried again, since the answer got lost
    queue.abandon(lease)
    assert store.trash.due() == []


def test_a_released_job_is_queued_again_without_counting_as_lost(store: Store) -> None:
    queue = Queue(store.database, JobsSettings(attempts=1))
    queued(store, "ada")
    for attempt in (1, 2, 3):
        lease = claimed(queue)
        assert (lease.attempt, lease.job.lost) == (attempt, 0)
        assert queue.release(lease)


def test_claims_stay_fast_with_thousands_of_jobs(store: Store) -> None:
    queue = Queue(store.database, JobsSettings(per_user=10_000))
    row = store.jobs.create("u0", PROCESS)
    with store.database.write() as connection:
        columns = [column for column in (c.name for c in jobs.c) if column not in ("id", "user_id", "status", "queued")]
        names = ", ".join(f'"{column}"' for column in columns)
        connection.exec_driver_sql(
            f"INSERT INTO jobs (id, user_id, status, queued, {names}) "
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) "
            f"SELECT 'j-' || i, 'u' || (i & 63), 'queued', i, {names} FROM n, jobs WHERE jobs.id = '{row.id}'"
        )
    claimed(queue)
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        claimed(queue)
        times.append(time.perf_counter() - begin)
    assert min(times) < 0.1


def _work(url: str, settings: JobsSettings, file: str) -> None:
    """Claim, note, finish, until the queue is empty; dies at any moment."""
    store = Store.open(url)
    queue = Queue(store.database, settings)
    while True:
        lease = queue.claim(f"w{os.getpid()}")
        if lease is None:
            time.sleep(0.02)
            continue
        time.sleep(0.03)
        queue.beat(lease, [{"level": "info", "message": f"attempt {lease.attempt}"}])
        if queue.publish(lease, {"files": [], "by": lease.attempt}, {}):
            with open(file, "a", encoding="utf-8") as stream:
                stream.write(f"{lease.job.id}\n")


def test_killed_workers_lose_and_double_nothing(store: Store, migrated_url: str, tmp_path: Path) -> None:
    settings = JobsSettings(lease_seconds=0.5, per_user=99, attempts=99)
    for user in ("ada", "bob", "cy"):
        queued(store, user, 8)
    file = tmp_path / "published"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["openeo_backend.jobs.queue", "openeo_backend.store.store"])

    def start() -> Any:
        child = context.Process(target=_work, args=(migrated_url, settings, str(file)))
        child.start()
        return child

    children = [start() for _ in range(3)]
    kills, end = 0, time.monotonic() + 40
    while time.monotonic() < end:
        states = [job.status for user in ("ada", "bob", "cy") for job in store.jobs.list(user).jobs]
        if all(state == "finished" for state in states):
            break
        time.sleep(0.12)
        if kills < 3:
            victim = children.pop(0)
            os.kill(victim.pid, signal.SIGKILL)
            victim.join()
            children.append(start())
            kills += 1
    for child in children:
        child.kill()
        child.join()
    assert states == ["finished"] * 24
    published = file.read_text(encoding="utf-8").split()
    assert len(published) == len(set(published))  # a kill between publishing and noting may leave one out
    assert len(published) >= 24 - kills
    for user in ("ada", "bob", "cy"):
        for short in store.jobs.list(user).jobs:
            job = store.jobs.get(user, short.id)
            assert job.result == {"files": [], "by": job.result_attempt}
            assert job.attempt == job.result_attempt


@pytest.fixture(autouse=True)
def _no_children_left() -> Any:
    yield
    for child in multiprocessing.active_children():
        child.kill()
