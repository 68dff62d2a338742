"""Several replicas of the API do the same at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from openeo_backend.errors import OpenEOError
from openeo_backend.jobs.queue import Queue
from openeo_backend.settings import JobsSettings
from openeo_backend.store.store import Store

PROCESS: dict[str, Any] = {"process_graph": {"a": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}}


def together(*functions: Callable[[], Any]) -> list[Any]:
    """What functions return, or raise, that start at the same moment in threads of their own."""
    gate, found = threading.Barrier(len(functions)), [None] * len(functions)

    def call(index: int, function: Callable[[], Any]) -> None:
        gate.wait()
        try:
            found[index] = function()
        except OpenEOError as error:
            found[index] = error.code  # type: ignore[call-overload]

    threads = [threading.Thread(target=call, args=pair) for pair in enumerate(functions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return found


@pytest.fixture
def replica(migrated_url: str) -> Any:
    store = Store.open(migrated_url)
    yield store
    store.close()


def test_a_job_started_twice_at_once_is_queued_once(store: Store, replica: Store) -> None:
    for _ in range(10):
        id = store.jobs.create("ada", PROCESS).id
        entry = {"level": "info", "message": "Queued."}
        found = together(*(partial(s.jobs.queue, "ada", id, [entry]) for s in (store, replica)))
        assert sorted(found) == [False, True]
        assert len(store.jobs.logs("ada", id, None, "debug")[1].entries) == 1


def test_a_job_is_claimed_by_one_of_two_workers(store: Store, replica: Store) -> None:
    queues = [Queue(s.database, JobsSettings()) for s in (store, replica)]
    for _ in range(10):
        id = store.jobs.create("ada", PROCESS).id
        store.jobs.queue("ada", id)
        found = together(*(partial(queue.claim, name) for name, queue in zip("ab", queues, strict=True)))
        assert sum(lease is not None for lease in found) == 1
        store.jobs.delete("ada", id)


def test_deleting_and_publishing_at_once_leaves_no_half(store: Store, replica: Store) -> None:
    queue = Queue(store.database, JobsSettings())
    for _ in range(10):
        id = store.jobs.create("ada", PROCESS).id
        store.jobs.queue("ada", id)
        lease = queue.claim("w")
        assert lease is not None
        published, deleted = together(
            partial(queue.publish, lease, {"files": []}, {}), partial(replica.jobs.delete, "ada", id)
        )
        assert published in (True, False)
        assert deleted is None
        assert store.jobs.owner(id) is None
        assert f"jobs/{id}/" not in store.trash.due()  # its files wait for a worker that may still write
