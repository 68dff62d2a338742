"""Every run is charged and reported once, however it ends and whatever happens to the service or to us."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from accounting_server import Service
from sqlalchemy import select, update

from openeo_backend.files.objects import Objects, open_objects
from openeo_backend.jobs.accounting import AccountingError, open_accounting
from openeo_backend.jobs.accounts import Accounts
from openeo_backend.jobs.attempt import Attempt
from openeo_backend.jobs.outbox import Outbox
from openeo_backend.jobs.queue import Queue
from openeo_backend.jobs.worker import Worker
from openeo_backend.run.request import Event, Outcome, RunRequest
from openeo_backend.settings import JobsSettings, Settings
from openeo_backend.store.schema import jobs
from openeo_backend.store.store import Store
from openeo_backend.store.types import now

GRAPH = {"process_graph": {"a": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}}

#: 2 for the start, 4 * 0.5 for the cores, 1000 * 0.001 for memory, 8 * 0.25 for pixels: 7, and 100 a GB of results
USED = {
    "cpu": {"value": 4, "unit": "cpu-seconds"},
    "memory": {"value": 1000, "unit": "mb-seconds"},
    "input_pixel": {"value": 8, "unit": "mega-pixel"},
}
COSTS = 7.0


@pytest.fixture(autouse=True)
def _duration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each run."""
    monkeypatch.setattr(Attempt, "_seconds", lambda self: 2.5)


def finishes(request: RunRequest, hear: Callable[[Event], None], is_cancelled: Callable[[], bool]) -> Outcome:
    return Outcome(value=3, has_value=True, usage=USED)


def fails(status: int, **members: Any) -> Callable[..., Outcome]:
    error = {"code": "Wrong", "message": "It went wrong.", "status": status}
    return lambda *_: Outcome(error=error, usage=USED, **members)


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return open_objects(str(tmp_path / "objects"))


def queued(store: Store, **members: Any) -> str:
    chosen = {"plan": "credits", "title": "Fields", **members}
    id = store.jobs.create("https://idp.example#ada", GRAPH, **chosen).id
    assert store.jobs.queue("https://idp.example#ada", id, payer="ada")
    return id


def outbox(store: Store, settings: Settings) -> Outbox:
    return Outbox(store.reports, open_accounting(settings), settings.billing.accounting)


def deliver_all(store: Store, settings: Settings, seconds: float = 20) -> None:
    """As the worker does, until nothing waits."""
    found, end = outbox(store, settings), time.monotonic() + seconds
    while store.reports.waiting():
        assert time.monotonic() < end, [report.problem for report in store.reports.list()]
        found.deliver()
        time.sleep(0.02)


def job_of(store: Store, id: str) -> Any:
    return store.jobs.get("https://idp.example#ada", id)


def messages(store: Store, id: str) -> str:
    page = store.jobs.logs("https://idp.example#ada", id, None, "debug")[1]
    return "\n".join(entry["message"] for entry in page.entries)


def test_a_finished_job_is_charged_and_reported(
    store: Store, objects: Objects, settings_for: Callable[..., Settings], service: Service
) -> None:
    settings = settings_for()
    id = queued(store)
    Worker(store, objects, finishes, settings).run_once()
    job = job_of(store, id)
    # the file has the one byte of the value: 100 credits per 10^9 of them
    assert (job.status, job.costs) == ("finished", pytest.approx(COSTS + 100 / 1e9, abs=1e-6))
    assert "Costs: 7 credits (2 for the run of a batch job, 2 for 4 cpu-seconds" in messages(store, id)
    assert service.posts == []
    deliver_all(store, settings)
    [report] = service.posts
    start, finish = report.pop("jobStart"), report.pop("jobFinish")
    assert time.time() * 1000 - 60_000 < start <= finish <= time.time() * 1000
    assert report == {
        "jobId": id,
        "jobName": "Fields",
        "executionId": f"{id}-1",
        "userId": "ada",
        "sourceId": "openeo-backend",
        "orchestrator": "openeo",
        "idempotencyKey": f"{id}-1",
        "state": "FINISHED",
        "status": "SUCCEEDED",
        "metrics": {
            "cpu": {"value": 4, "unit": "cpu-seconds"},
            "memory": {"value": 1000, "unit": "mb-seconds"},
            "time": {"value": 2500, "unit": "milliseconds"},
            "processing": {"value": pytest.approx(COSTS, abs=1e-6), "unit": "credits"},
        },
    }
    assert job_of(store, id).costs == 8.0  # what the service answered: 7.5 + 0.5


def test_each_run_is_reported_by_itself(
    store: Store, objects: Objects, settings_for: Callable[..., Settings], service: Service
) -> None:
    settings = settings_for()
    id = queued(store)
    Worker(store, objects, finishes, settings).run_once()
    store.jobs.queue("https://idp.example#ada", id, payer="ada")
    assert job_of(store, id).costs is None
    deliver_all(store, settings)
    assert job_of(store, id).costs is None  # the answer is about the earlier run
    Worker(store, objects, fails(400), settings).run_once()
    deliver_all(store, settings)
    assert [(post["executionId"], post["state"]) for post in service.posts] == [
        (f"{id}-1", "FINISHED"),
        (f"{id}-2", "FAILED"),
    ]


@pytest.mark.parametrize(
    ("runner", "costs", "attempts"),
    [(fails(400), COSTS, 1), (fails(500), 0, 1), (fails(500, lost="killed"), 0, 3)],
    ids=["the user's fault", "our fault", "lost three times"],
)
def test_failures_cost_what_they_used_unless_they_are_ours(
    store: Store,
    objects: Objects,
    settings_for: Callable[..., Settings],
    service: Service,
    runner: Any,
    costs: float,
    attempts: int,
) -> None:
    settings = settings_for()
    id = queued(store)
    for _ in range(attempts):
        assert Worker(store, objects, runner, settings).run_once()
    assert (job_of(store, id).status, job_of(store, id).costs) == ("error", costs)
    deliver_all(store, settings)
    [report] = service.posts
    assert (report["state"], report["status"]) == ("FAILED", "FAILED")
    assert report["metrics"]["processing"] == {"value": costs, "unit": "credits"}
    assert ("cpu" in report["metrics"]) is (costs > 0)
    assert ("no fault of yours" in messages(store, id)) is (costs == 0)


@pytest.mark.parametrize("action", ["cancel", "delete"])
def test_stopped_jobs_pay_for_what_they_used(
    store: Store, settings_for: Callable[..., Settings], service: Service, action: str
) -> None:
    settings = settings_for()
    accounts = Accounts.open(settings)
    queue = Queue(store.database, JobsSettings(), accounts.close)
    id = queued(store)
    lease = queue.claim("w")
    assert lease is not None
    queue.beat(lease, usage=USED)
    getattr(store.jobs, action)("https://idp.example#ada", id, accounts.close)
    assert not queue.publish(lease, {}, USED)  # the worker comes too late
    if action == "cancel":
        assert job_of(store, id).costs == COSTS
    deliver_all(store, settings)
    [report] = service.posts
    assert (report["state"], report["status"]) == ("KILLED", "KILLED")
    assert report["metrics"]["processing"]["value"] == COSTS


def test_stopping_a_queued_job_is_no_run(store: Store, settings_for: Callable[..., Settings]) -> None:
    accounts = Accounts.open(settings_for())
    id = queued(store)
    store.jobs.cancel("https://idp.example#ada", id, accounts.close)
    assert store.reports.list() == ()


def test_a_lost_machine_costs_nothing(store: Store, settings_for: Callable[..., Settings], service: Service) -> None:
    settings = settings_for()
    queue = Queue(store.database, JobsSettings(attempts=2), Accounts.open(settings).close)
    id = queued(store)
    for _ in range(2):
        lease = queue.claim("w")
        assert lease is not None
        assert job_of(store, id).usage is None  # what the lost attempt used is forgotten
        queue.beat(lease, usage=USED)
        with store.database.write() as connection:
            connection.execute(update(jobs).values(lease_until=now() - 1))
    assert queue.claim("w") is None
    assert (job_of(store, id).status, job_of(store, id).costs) == ("error", 0)
    deliver_all(store, settings)
    assert [post["executionId"] for post in service.posts] == [f"{id}-2"]


def test_a_free_plan_is_reported_with_nothing_to_pay(
    store: Store, objects: Objects, settings_for: Callable[..., Settings], service: Service
) -> None:
    plans = {"credits": {"paid": True}, "free": {}}
    base = settings_for()
    settings = base.model_copy(
        update={"billing": type(base.billing).model_validate({**base.billing.model_dump(), "plans": plans})}
    )
    id = queued(store, plan="free")
    Worker(store, objects, finishes, settings).run_once()
    assert job_of(store, id).costs == 0
    deliver_all(store, settings)
    assert service.posts[0]["metrics"] == {"processing": {"value": 0, "unit": "credits"}}


def test_without_prices_the_service_decides(
    store: Store, objects: Objects, settings_for: Callable[..., Settings], service: Service
) -> None:
    settings = settings_for(tariff={})
    id = queued(store)
    Worker(store, objects, finishes, settings).run_once()
    assert job_of(store, id).costs is None
    deliver_all(store, settings)
    assert "processing" not in service.posts[0]["metrics"]
    assert job_of(store, id).costs == 8.0


def test_users_without_an_account_are_not_reported(store: Store, objects: Objects) -> None:
    id = store.jobs.create("bob", GRAPH, plan="free").id
    store.jobs.queue("bob", id, payer=None)
    Worker(store, objects, finishes, Settings()).run_once()
    assert store.jobs.get("bob", id).costs == 0
    assert store.reports.list() == ()


@pytest.mark.parametrize("mood", ["500", "422", "malformed", "odd", "slow"])
def test_a_report_is_kept_until_the_service_has_it(
    store: Store, objects: Objects, settings_for: Callable[..., Settings], service: Service, mood: str
) -> None:
    settings = settings_for(retry_seconds=0.5)
    id = queued(store)
    Worker(store, objects, finishes, settings).run_once()
    assert job_of(store, id).status == "finished"
    service.moods = [mood, mood]
    assert outbox(store, settings).deliver() == 0
    [kept] = store.reports.list()
    assert (kept.sent, kept.tries) == (None, 1)
    assert kept.problem
    deliver_all(store, settings)
    assert {post["idempotencyKey"] for post in service.posts} == {f"{id}-1"}
    assert list(service.charged) == [f"{id}-1"]
    [sent] = store.reports.list()
    assert (sent.problem, sent.tries) == (None, 3)
    assert sent.sent is not None
    deliver_all(store, settings)
    assert len(service.posts) == 3  # and never again


def test_a_report_that_is_not_understood_holds_no_other_back(
    store: Store, objects: Objects, settings_for: Callable[..., Settings], service: Service
) -> None:
    settings = settings_for(retry_seconds=60)
    for _ in range(3):
        queued(store)
        Worker(store, objects, finishes, settings).run_once()
    service.moods = ["malformed"]
    assert outbox(store, settings).deliver() == 2
    assert store.reports.waiting() == 1


def test_a_service_that_is_away_is_left_alone(
    store: Store, objects: Objects, settings_for: Callable[..., Settings], service: Service
) -> None:
    settings = settings_for(retry_seconds=60)
    for _ in range(3):
        queued(store)
        Worker(store, objects, finishes, settings).run_once()
    service.moods = ["503"]
    found = outbox(store, settings)
    assert (found.deliver(), found.deliver(), len(service.posts)) == (0, 0, 1)
    assert outbox(store, settings).deliver() == 2  # of another process, which does not know


def test_waits_grow_up_to_an_hour(store: Store, objects: Objects, settings_for: Callable[..., Settings]) -> None:
    settings = settings_for(retry_seconds=10)
    queued(store)
    Worker(store, objects, finishes, settings).run_once()

    class Deaf:
        def balance(self, payer: str) -> float | None:
            return None

        def report(self, report: Any) -> float | None:
            raise AccountingError("no")

    from openeo_backend.store.schema import usage_reports

    waits = []
    for _ in range(11):
        Outbox(store.reports, Deaf(), settings.billing.accounting).deliver()
        with store.database.write() as connection:
            next_try = connection.execute(select(usage_reports.c.next_try)).scalar_one()
            waits.append(round(next_try.timestamp() - time.time(), -1))
            connection.execute(update(usage_reports).values(next_try=now()))
    assert waits == [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]


def test_several_workers_deliver_a_report_once(
    store: Store, objects: Objects, settings_for: Callable[..., Settings], service: Service
) -> None:
    settings = settings_for(retry_seconds=60, timeout_seconds=10)
    ids = [queued(store) for _ in range(6)]
    for _ in ids:
        Worker(store, objects, finishes, settings).run_once()
    threads = [threading.Thread(target=outbox(store, settings).deliver) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(post["idempotencyKey"] for post in service.posts) == sorted(f"{id}-1" for id in ids)


def _deliver(url: str, raw: dict[str, Any], token: str) -> None:
    raw["billing"]["accounting"]["token"] = token
    settings = Settings.model_validate(raw)
    outbox(Store.open(url), settings).deliver()


def test_killed_between_sending_and_noting_it_down_nobody_pays_twice(
    store: Store, migrated_url: str, objects: Objects, settings_for: Callable[..., Settings], service: Service
) -> None:
    settings = settings_for(timeout_seconds=5)
    id = queued(store)
    Worker(store, objects, finishes, settings).run_once()
    service.moods = ["kill"]
    child = multiprocessing.get_context("forkserver").Process(
        target=_deliver, args=(migrated_url, settings.model_dump(mode="json"), "fixed")
    )
    child.start()
    service.pid = child.pid
    child.join(60)
    assert child.exitcode == -9
    assert (len(service.posts), store.reports.waiting()) == (1, 1)
    from openeo_backend.store.schema import usage_reports

    with store.database.write() as connection:  # time goes by
        connection.execute(update(usage_reports).values(next_try=now()))
    deliver_all(store, settings)
    assert [post["idempotencyKey"] for post in service.posts] == [f"{id}-1", f"{id}-1"]
    assert list(service.charged) == [f"{id}-1"]
    assert job_of(store, id).costs == 8.0


def test_the_worker_delivers_beside_its_jobs(
    store: Store, objects: Objects, settings_for: Callable[..., Settings], service: Service
) -> None:
    settings = settings_for()
    settings.jobs.poll_seconds = 0.05
    service.moods = ["500", "malformed"]
    id = queued(store)
    stop = threading.Event()
    thread = threading.Thread(target=Worker(store, objects, finishes, settings).run, args=(stop,))
    thread.start()
    try:
        end = time.monotonic() + 20
        while job_of(store, id).costs != 8.0:
            assert time.monotonic() < end
            time.sleep(0.05)
    finally:
        stop.set()
        thread.join()
    assert list(service.charged) == [f"{id}-1"]


def spends(request: RunRequest, hear: Callable[[Event], None], is_cancelled: Callable[[], bool]) -> Outcome:
    """A run that uses a core more and more, until it is told to stop."""
    for seconds in range(1, 1000):
        hear(Event("usage", {"cpu": {"value": seconds, "unit": "cpu-seconds"}}))
        if is_cancelled():
            return Outcome(cancelled=True)
    return Outcome(value=1, has_value=True)


def test_a_job_stops_at_its_budget(
    store: Store, objects: Objects, settings_for: Callable[..., Settings], service: Service
) -> None:
    settings = settings_for()
    id = queued(store, budget=10)
    Worker(store, objects, spends, settings).run_once()
    job = job_of(store, id)
    # 2 + 0.5 * 17 = 10.5 is the first that is more than 10
    assert (job.status, job.costs, job.usage["cpu"]["value"]) == ("error", 10, 17)
    error = store.jobs.last_error("https://idp.example#ada", id)
    assert error is not None
    assert error["code"] == "PaymentRequired"
    assert "it would have cost 10.5 credits by then, the budget is 10" in error["message"]
    deliver_all(store, settings)
    assert service.posts[0]["metrics"]["processing"]["value"] == 10


def test_delivered_reports_are_forgotten_others_never(
    store: Store, objects: Objects, settings_for: Callable[..., Settings], service: Service
) -> None:
    settings = settings_for(retry_seconds=60)
    for _ in range(2):
        queued(store)
        Worker(store, objects, finishes, settings).run_once()
    service.moods = ["422"]
    outbox(store, settings).deliver()
    store.reports.expire(-1)
    assert [report.sent for report in store.reports.list()] == [None]
