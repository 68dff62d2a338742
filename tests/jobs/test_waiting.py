"""Jobs that load the results of others wait in the queue, and no worker holds them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Float, type_coerce, update

from openeo_backend import settings as settings_module
from openeo_backend.catalog.own import refuse_unfinished
from openeo_backend.errors import OpenEOError
from openeo_backend.files.objects import open_objects
from openeo_backend.jobs.input import OwnResults
from openeo_backend.jobs.queue import Queue
from openeo_backend.jobs.waiting import look
from openeo_backend.jobs.worker import Worker
from openeo_backend.net.door import Reply
from openeo_backend.run.request import Outcome, RunRequest
from openeo_backend.settings import Settings
from openeo_backend.store.schema import jobs
from openeo_backend.store.store import Store

PROCESS: dict[str, Any] = {"process_graph": {"a": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}}
URL = "https://peer.example/openeo/1.2/results/j-1?partial=true&signature=secret"


class Peer:
    """Another server, answering with what the test says."""

    def __init__(self) -> None:
        self.answer: Any = {"openeo:status": "running"}
        self.status = 200
        self.asked: list[str] = []

    def request(self, method: str, url: str, **more: Any) -> Reply:
        assert method == "GET"
        self.asked.append(url)
        if isinstance(self.answer, Exception):
            raise self.answer
        return Reply(url, self.status, {}, json.dumps(self.answer).encode())


class Bench:
    def __init__(self, store: Store, settings: Settings, folder: Path) -> None:
        self.store, self.peer = store, Peer()
        self.queue = Queue(store.database, settings.jobs)
        self.settings = settings
        self.waits_for: str | None = URL
        self.worker = Worker(store, open_objects(str(folder / "objects")), self.run, settings)

    def run(self, request: RunRequest, hear: Any, is_cancelled: Any) -> Outcome:
        if self.waits_for is None:
            return Outcome(value=1, has_value=True)
        return Outcome(error={"code": "JobNotFinished", "message": "Not yet."}, waiting_for=self.waits_for)

    def look(self, seconds: float = 3600.0) -> None:
        with self.store.database.write() as connection:  # as if the time between two looks had passed
            connection.execute(update(jobs).where(jobs.c.next_look.is_not(None)).values(next_look=1.0))
        look(self.store, self.queue, self.peer, seconds)  # type: ignore[arg-type]

    def start(self) -> str:
        id = self.store.jobs.create("ada", PROCESS).id
        self.store.jobs.queue("ada", id)
        return id

    def status(self, id: str) -> str:
        return self.store.jobs.get("ada", id).status

    def log(self, id: str) -> list[str]:
        return [entry["message"] for entry in self.store.jobs.logs("ada", id, None, "debug")[1].entries]


@pytest.fixture
def bench(migrated_url: str, tmp_path: Path) -> Iterator[Bench]:
    store = Store.open(migrated_url)
    overrides = {"data_dir": str(tmp_path / "data"), "jobs": {"lease_seconds": 5}}
    yield Bench(store, settings_module.read(overrides=overrides), tmp_path)
    store.close()


def test_a_job_waits_for_another_server_without_a_worker(bench: Bench) -> None:
    id = bench.start()
    assert bench.worker.run_once()
    assert bench.status(id) == "queued"
    assert not bench.worker.run_once()  # it is not claimed while it waits
    bench.look()
    assert bench.peer.asked == [URL]
    assert not bench.worker.run_once()
    assert sum("waits for the results" in message for message in bench.log(id)) == 1
    assert not any("secret" in message for message in bench.log(id))  # links with signatures stay out of logs
    bench.peer.answer = {"type": "Collection", "openeo:status": "finished"}
    bench.look()
    bench.waits_for = None
    assert bench.worker.run_once()
    assert bench.status(id) == "finished"
    assert bench.log(id)[-2].startswith("The job goes on")


def test_a_look_is_not_repeated_before_its_time(bench: Bench) -> None:
    bench.start()
    assert bench.worker.run_once()
    bench.look()
    look(bench.store, bench.queue, bench.peer, 3600)  # type: ignore[arg-type]
    assert len(bench.peer.asked) == 1


@pytest.mark.parametrize("state", ["error", "canceled"])
def test_a_job_fails_with_what_it_waits_for(bench: Bench, state: str) -> None:
    id = bench.start()
    assert bench.worker.run_once()
    bench.peer.answer = {"openeo:status": state}
    bench.look()
    assert bench.status(id) == "error"
    found = bench.store.jobs.last_error("ada", id)
    assert found is not None
    assert found["code"] == "JobNotFinished"
    assert state in found["message"]


def test_a_dead_peer_is_given_up_after_the_time_set(bench: Bench) -> None:
    id = bench.start()
    assert bench.worker.run_once()
    bench.peer.answer = OpenEOError("UrlNotReachable", "'https://peer.example' does not answer.")
    bench.look(3600)
    assert bench.status(id) == "queued"
    bench.look(0)
    assert bench.status(id) == "error"
    assert bench.log(id)[-1].count("does not answer") == 1


@pytest.mark.parametrize("status", [401, 403, 410])
def test_links_that_do_not_work_any_more_end_the_waiting(bench: Bench, status: int) -> None:
    id = bench.start()
    assert bench.worker.run_once()
    bench.peer.status = status
    bench.look()
    assert bench.status(id) == "error"
    assert f"HTTP status {status}" in bench.log(id)[-1]


@pytest.mark.parametrize("code", ["UrlNotAllowed", "FileSizeExceeded"])
def test_what_can_never_be_read_is_not_waited_for(bench: Bench, code: str) -> None:
    id = bench.start()
    assert bench.worker.run_once()
    bench.peer.answer = OpenEOError(code, "It leads to a private address.")
    bench.look()
    assert bench.status(id) == "error"
    assert "It leads to a private address." in bench.log(id)[-1]


@pytest.mark.parametrize("status", [404, 429, 500, 502, 503])
def test_errors_of_a_peer_are_waited_out(bench: Bench, status: int) -> None:
    id = bench.start()
    assert bench.worker.run_once()
    bench.peer.status = status
    bench.look()
    assert bench.status(id) == "queued"
    bench.peer.status, bench.peer.answer = 200, {"openeo:status": "finished"}
    bench.look()
    bench.waits_for = None
    assert bench.worker.run_once()
    assert bench.status(id) == "finished"


def test_a_silent_server_is_asked_once_for_many_jobs(bench: Bench) -> None:
    for number in range(3):
        bench.waits_for = f"{URL}&number={number}"
        bench.start()
        assert bench.worker.run_once()
    bench.peer.answer = OpenEOError("UrlNotReachable", "'https://peer.example' does not answer.")
    bench.look()
    assert len(bench.peer.asked) == 1


def test_a_peer_that_says_finished_again_and_again_is_given_up_after_the_time_set(bench: Bench) -> None:
    """It tells who looks that the results are there, and who loads them that they are not."""
    id = bench.start()
    assert bench.worker.run_once()
    bench.peer.answer = {"openeo:status": "finished"}
    bench.look()
    assert bench.worker.run_once()
    assert bench.status(id) == "queued"
    with bench.store.database.write() as connection:  # as if the configured time had passed
        earlier = jobs.c.waiting_since - bench.settings.jobs.wait_seconds - 1
        connection.execute(update(jobs).values(waiting_since=type_coerce(earlier, Float)))
    bench.look()
    assert bench.worker.run_once()
    assert bench.status(id) == "error"
    assert "86,40" in bench.log(id)[-1]
    assert not bench.worker.run_once()


def test_jobs_of_this_server_are_looked_up_and_not_asked_for(bench: Bench) -> None:
    other = bench.store.jobs.create("bob", PROCESS).id
    bench.waits_for = other
    id = bench.start()
    assert bench.worker.run_once()
    bench.look()
    assert bench.status(id) == "queued"
    bench.waits_for = None
    bench.store.jobs.queue("bob", other)
    assert bench.worker.run_once()  # one worker does both, one after the other
    assert bench.store.jobs.get("bob", other).status == "finished"
    bench.look()
    assert bench.worker.run_once()
    assert bench.status(id) == "finished"
    assert bench.peer.asked == []


def test_a_job_that_waits_for_itself_fails_at_once(bench: Bench) -> None:
    id = bench.waits_for = bench.start()
    assert bench.worker.run_once()
    assert bench.status(id) == "error"


def test_a_waiting_job_can_be_stopped_changed_and_started_again(bench: Bench) -> None:
    id = bench.start()
    assert bench.worker.run_once()
    assert bench.store.jobs.cancel("ada", id)
    assert bench.status(id) == "created"
    bench.look()
    assert bench.peer.asked == []
    bench.waits_for = None
    bench.store.jobs.queue("ada", id)
    assert bench.worker.run_once()
    assert bench.status(id) == "finished"


@pytest.mark.parametrize(("state", "waits"), [("running", True), ("created", True), ("error", False)])
def test_a_load_of_results_elsewhere_says_whether_to_wait(state: str, waits: bool) -> None:
    with pytest.raises(OpenEOError, match="JobNotFinished") as caught:
        refuse_unfinished({"openeo:status": state}, URL)
    assert caught.value.data == ({"waiting_for": URL} if waits else None)
    assert "secret" not in caught.value.message
    refuse_unfinished({"openeo:status": "finished"}, URL)
    refuse_unfinished({}, URL)


def test_a_load_of_our_own_results_says_whether_to_wait(bench: Bench, tmp_path: Path) -> None:
    settings = bench.settings.model_copy(deep=True)
    settings.store.url = bench.store.database.engine.url.render_as_string(hide_password=False)
    own = OwnResults(settings)
    id = bench.store.jobs.create("ada", PROCESS).id
    for ready in (False, True):
        with pytest.raises(OpenEOError, match="JobNotFinished") as caught:
            own.find(id, "ada", lambda: tmp_path)
        assert caught.value.data == {"waiting_for": id}
        if not ready:
            bench.store.jobs.queue("ada", id)
    bench.waits_for = None
    assert bench.worker.run_once()
    found = own.find(id, "ada", lambda: tmp_path)
    assert found is not None
    assert found.collection["id"] == id
    own._store.close()
