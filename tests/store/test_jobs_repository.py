"""Jobs and logs as users see them."""

from __future__ import annotations

import random
from typing import Any

import pytest

from openeo_backend.errors import OpenEOError
from openeo_backend.observe.later import later
from openeo_backend.store.store import Store

PROCESS: dict[str, Any] = {"process_graph": {"a": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}}


def test_a_job_comes_back_as_it_was_sent(store: Store) -> None:
    process = {"process_graph": {"é\u0000": {"process_id": "\ud800", "arguments": {"z": 1, "a": [None, 1.5]}}}}
    job = store.jobs.create("ada", process, title="Ä", budget=1.5, options={"b": {"c": None}})
    again = store.jobs.get("ada", job.id)
    assert again == job
    assert again.process == process
    assert list(again.process["process_graph"]["é\u0000"]["arguments"]) == ["z", "a"]
    assert (again.status, again.progress, again.title, again.budget) == ("created", 0, "Ä", 1.5)
    assert again.options == {"b": {"c": None}}
    assert again.queued is None


def test_other_users_jobs_do_not_exist(store: Store) -> None:
    id = store.jobs.create("ada", PROCESS).id
    for action in (
        lambda: store.jobs.get("bob", id),
        lambda: store.jobs.update("bob", id, {"title": "mine"}),
        lambda: store.jobs.delete("bob", id),
        lambda: store.jobs.queue("bob", id),
        lambda: store.jobs.cancel("bob", id),
        lambda: store.jobs.log("bob", id, [{"level": "info", "message": "x"}]),
        lambda: store.jobs.logs("bob", id, None, "debug"),
        lambda: store.jobs.last_error("bob", id),
        lambda: store.jobs.ahead("bob", id),
    ):
        with pytest.raises(OpenEOError, match="JobNotFound"):
            action()
    assert store.jobs.get("ada", id).title is None
    assert store.jobs.list("bob").jobs == ()


def test_lists_hold_the_jobs_of_their_user_only(store: Store) -> None:
    dice = random.Random(1)
    mine: dict[str, list[str]] = {"ada": [], "bob": [], "cy": []}
    for _ in range(24):
        user = dice.choice(sorted(mine))
        mine[user].append(store.jobs.create(user, PROCESS).id)
    for user, ids in mine.items():
        assert sorted(job.id for job in store.jobs.list(user).jobs) == sorted(ids)


def test_pages_hold_every_job_once_and_end(store: Store) -> None:
    ids = {store.jobs.create("ada", PROCESS).id for _ in range(7)}
    seen, start, pages = [], None, 0
    while True:
        page = store.jobs.list("ada", 3, start)
        seen += [job.id for job in page.jobs]
        pages += 1
        if page.next is None:
            break
        start = page.next
    assert pages == 3
    assert len(seen) == 7
    assert set(seen) == ids
    times = [store.jobs.get("ada", id).created for id in seen]
    assert times == sorted(times, reverse=True)
    assert store.jobs.list("ada", 7).next is None
    with pytest.raises(OpenEOError, match="RequestInvalid"):
        store.jobs.list("ada", 3, "nonsense~x")


def test_changes_are_refused_while_a_job_is_queued(store: Store) -> None:
    id = store.jobs.create("ada", PROCESS).id
    store.jobs.update("ada", id, {"title": "new"})
    assert store.jobs.get("ada", id).title == "new"
    store.jobs.update("ada", id, {})
    store.jobs.queue("ada", id)
    with pytest.raises(OpenEOError, match="JobLocked: The job is queued"):
        store.jobs.update("ada", id, {"title": "newer"})
    with pytest.raises(OpenEOError, match="JobLocked"):
        store.jobs.update("ada", id, {})


def test_queueing_twice_is_harmless_and_stopping_goes_back(store: Store) -> None:
    id = store.jobs.create("ada", PROCESS).id
    assert store.jobs.queue("ada", id)
    first = store.jobs.get("ada", id)
    assert first.status == "queued"
    assert first.queued is not None
    assert not store.jobs.queue("ada", id)
    assert store.jobs.get("ada", id).queued == first.queued
    assert store.jobs.cancel("ada", id)
    assert store.jobs.get("ada", id).status == "created"
    assert not store.jobs.cancel("ada", id)


def test_deleting_removes_job_log_and_files(store: Store) -> None:
    id = store.jobs.create("ada", PROCESS).id
    store.jobs.log("ada", id, [{"level": "error", "message": "x"}])
    store.jobs.delete("ada", id)
    with pytest.raises(OpenEOError, match="JobNotFound"):
        store.jobs.delete("ada", id)
    with store.database.read() as connection:
        count = connection.exec_driver_sql("SELECT count(*) FROM job_logs").scalar()
        prefixes = connection.exec_driver_sql("SELECT prefix FROM trash").scalars().all()
    assert count == 0
    assert prefixes == [f"jobs/{id}/"]
    assert store.trash.due() == []  # not before a worker that may still write there has noticed


def test_logs_are_numbered_in_order_and_filtered(store: Store) -> None:
    id = store.jobs.create("ada", PROCESS, log_level="info").id
    entries = [{"level": level, "message": f"{n}"} for n, level in enumerate(("debug", "info", "warning", "error"))]
    store.jobs.log("ada", id, entries[:2])
    store.jobs.log("ada", id, entries[2:])
    own, page = store.jobs.logs("ada", id, None, "debug")
    assert own == "info"
    assert [entry["message"] for entry in page.entries] == ["1", "2", "3"]
    ids = [entry["id"] for entry in page.entries]
    assert ids == sorted(set(ids))
    assert all(entry["time"].endswith("Z") for entry in page.entries)
    _, rest = store.jobs.logs("ada", id, ids[0], "debug")
    assert [entry["id"] for entry in rest.entries] == ids[1:]
    _, severe = store.jobs.logs("ada", id, None, "error")
    assert [entry["message"] for entry in severe.entries] == ["3"]
    _, first = store.jobs.logs("ada", id, None, "debug", 2)
    assert first.more
    assert len(first.entries) == 2
    _, last = store.jobs.logs("ada", id, first.entries[-1]["id"], "debug", 2)
    assert not last.more
    assert store.jobs.last_error("ada", id) == page.entries[-1]


def test_a_new_run_begins_a_new_log_whose_ids_go_on(store: Store) -> None:
    id = store.jobs.create("ada", PROCESS).id
    store.jobs.log("ada", id, [{"level": "info", "message": "old"}])
    _, before = store.jobs.logs("ada", id, None, "debug")
    store.jobs.queue("ada", id, [{"level": "info", "message": "new"}])
    _, after = store.jobs.logs("ada", id, before.entries[-1]["id"], "debug")
    assert [entry["message"] for entry in after.entries] == ["new"]
    _, everything = store.jobs.logs("ada", id, None, "debug")
    assert everything.entries == after.entries


def test_logs_of_requests_that_are_written_soon_are_there_at_once(store: Store) -> None:
    for number in range(3):
        entries = [{"level": "debug", "message": "no"}, {"level": "info", "message": f"of {number}"}]
        store.requests.add_soon("ada", f"s-{number}", "info", entries)
    for number in range(3):
        _, page = store.requests.logs("ada", f"s-{number}", None, "debug", None)
        assert [entry["message"] for entry in page.entries] == [f"of {number}"]
    with pytest.raises(OpenEOError, match="s-1"):
        store.requests.logs("bob", "s-1", None, "debug", None)


def test_logs_of_requests_that_nobody_asks_for_are_written(store: Store, migrated_url: str) -> None:
    store.requests.add_soon("ada", "s-1", "info", [{"message": "a"}])
    assert later().finish(10)
    other = Store.open(migrated_url)
    assert [entry["message"] for entry in other.requests.logs("ada", "s-1", None, "info", None)[1].entries] == ["a"]
    other.close()


def test_logs_of_requests_wait_while_the_database_is_away(store: Store, migrated_url: str) -> None:
    if not migrated_url.startswith("sqlite"):
        pytest.skip("on PostgreSQL logs are written at once")
    other = Store.open(migrated_url)
    with other.database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE requests RENAME TO away")
    store.requests.add_soon("ada", "s-1", "info", [{"message": "a"}])
    assert later().finish(10)
    with other.database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO requests")
    store.requests.add_soon("ada", "s-2", "info", [{"message": "b"}])
    assert later().finish(10)
    for id, message in (("s-1", "a"), ("s-2", "b")):
        page = other.requests.logs("ada", id, None, "info", None)[1]
        assert [entry["message"] for entry in page.entries] == [message]
    other.close()


def test_logs_of_synchronous_requests_are_their_users(store: Store) -> None:
    store.requests.add("ada", "s-1", "info", [{"level": "debug", "message": "a"}, {"level": "info", "message": "b"}])
    store.requests.log("ada", "s-1", [{"level": "error", "message": "c"}])
    level, page = store.requests.logs("ada", "s-1", "", "debug", None)
    assert level == "info"
    assert [entry["message"] for entry in page.entries] == ["b", "c"]
    with pytest.raises(OpenEOError, match="NotFound"):
        store.requests.logs("bob", "s-1", None, "debug", None)
    store.requests.expire(1)
    assert store.requests.logs("ada", "s-1", None, "debug", None)[1].entries
    store.requests.expire(-1)
    with pytest.raises(OpenEOError, match="NotFound"):
        store.requests.logs("ada", "s-1", None, "debug", None)
