"""What logs tell about places in the queue."""

from __future__ import annotations

from typing import Any

import pytest

from openeo_backend.jobs.place import place, tell_places
from openeo_backend.jobs.queue import Queue
from openeo_backend.settings import JobsSettings
from openeo_backend.store.store import Store

PROCESS: dict[str, Any] = {"process_graph": {"a": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}}


def queued(store: Store, user: str) -> str:
    """As the API queues it."""
    id = store.jobs.create(user, PROCESS).id
    store.jobs.queue(user, id)
    store.jobs.log(user, id, [place(*store.jobs.ahead(user, id), 2)])
    return id


def places(store: Store, user: str, id: str) -> list[int]:
    entries = store.jobs.logs(user, id, None, "debug")[1].entries
    return [entry["data"]["ahead"] for entry in entries if "ahead" in (entry.get("data") or {})]


def test_a_place_is_told_again_when_half_as_many_go_before(store: Store) -> None:
    settings = JobsSettings(per_user=2)
    queue = Queue(store.database, settings)
    others = [queued(store, f"user{number:02d}") for number in range(12)]
    mine = queued(store, "zoe")
    assert places(store, "zoe", mine) == [12]
    assert tell_places(store, settings) == 0
    for _ in others:
        assert queue.claim("w") is not None
        tell_places(store, settings)
        tell_places(store, settings)
    assert places(store, "zoe", mine) == [12, 6, 3, 1, 0]


def test_the_reason_is_told_when_it_changes(store: Store) -> None:
    settings = JobsSettings(per_user=1)
    queue = Queue(store.database, settings)
    first, second = queued(store, "ada"), queued(store, "ada")
    lease = queue.claim("w")
    assert lease is not None
    assert lease.job.id == first
    assert tell_places(store, settings) == 1
    told = store.jobs.logs("ada", second, None, "debug")[1].entries[-1]["message"]
    assert told == (
        "The job is queued; 0 of all queued jobs may go before it. "
        "1 jobs of yours are running, 1 may: it starts when one of them has ended."
    )
    assert queue.publish(lease, {}, {})
    assert tell_places(store, settings) == 1
    assert store.jobs.logs("ada", second, None, "debug")[1].entries[-1]["message"] == (
        "The job is queued; 0 of all queued jobs may go before it."
    )


def test_entries_are_bounded_whatever_changes(store: Store) -> None:
    id = queued(store, "ada")
    sum_of = sum(tell_places(store, JobsSettings(per_user=number % 2)) for number in range(60))
    assert sum_of == 19
    assert len(places(store, "ada", id)) == 20


@pytest.mark.parametrize("level", ["warning", "error"])
def test_who_asks_for_warnings_only_is_told_nothing(store: Store, level: Any) -> None:
    id = store.jobs.create("ada", PROCESS, log_level=level).id
    store.jobs.queue("ada", id, [place(5, 0, 2)])
    assert tell_places(store, JobsSettings()) == 0
    assert places(store, "ada", id) == []
