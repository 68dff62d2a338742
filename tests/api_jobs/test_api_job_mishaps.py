"""What users do at bad moments is harmless, and nothing hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from openeo_backend.jobs.sweep import sweep
from openeo_backend.jobs.worker import Worker
from openeo_backend.run.request import Event, Outcome, RunRequest

Hear = Callable[[Event], None]


def test_a_running_job_that_is_deleted_stops_and_leaves_nothing(ada: Any, backend: Any) -> None:
    id = ada.start()
    told: list[float] = []

    def long(request: RunRequest, hear: Hear, is_cancelled: Callable[[], bool]) -> Outcome:
        (request.folder / "a.tif").write_bytes(b"x")
        assert ada("DELETE", f"/jobs/{id}").status_code == 204
        end = time.monotonic() + 10
        while not is_cancelled():
            assert time.monotonic() < end
            time.sleep(0.02)
        told.append(time.monotonic())
        return Outcome(cancelled=True)

    begun = time.monotonic()
    assert Worker(backend.store, backend.objects, long, backend.settings).run_once()
    assert told[0] - begun < 5
    for method, path in (("GET", ""), ("GET", "/logs"), ("GET", "/results"), ("POST", "/results"), ("DELETE", "")):
        answer = ada(method, f"/jobs/{id}{path}")
        assert (answer.status_code, answer.get_json()["code"]) == (404, "JobNotFound")
    sweep(backend.store, backend.objects, backend.settings.jobs)
    assert backend.objects.list("jobs") == []


def test_jobs_started_and_stopped_by_many_at_once_end_in_one_state(ada: Any, login: Any, backend: Any) -> None:
    id = ada.create()
    others = [login("ada") for _ in range(4)]
    found: list[int] = []

    def shake(api: Any, method: str) -> None:
        for _ in range(5):
            found.append(api(method, f"/jobs/{id}/results").status_code)

    threads = [
        threading.Thread(target=shake, args=(api, method))
        for api, method in zip(others, ("POST", "DELETE", "POST", "DELETE"), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert set(found) == {202, 204}
    assert len(found) == 20
    assert ada("GET", f"/jobs/{id}").get_json()["status"] in ("created", "queued")
    ada("POST", f"/jobs/{id}/results")
    backend.work()
    assert ada("GET", f"/jobs/{id}").get_json()["status"] == "finished"
    assert not Worker(backend.store, backend.objects, backend.runner, backend.settings).run_once()


def test_a_job_that_writes_nothing_has_results_without_assets(ada: Any, backend: Any) -> None:
    id = ada.start()
    backend.work(lambda *_: Outcome())
    document = ada("GET", f"/jobs/{id}/results").get_json()
    assert (document["type"], document["assets"]) == ("Collection", {})
    (warning,) = ada("GET", f"/jobs/{id}/logs?level=warning").get_json()["logs"]
    assert "nothing to download" in warning["message"]


@pytest.mark.parametrize(
    ("alter", "status"),
    [
        (lambda url: url[:-1] + ("0" if url[-1] != "0" else "1"), 403),
        (lambda url: url.split("?")[0], 403),
        (lambda url: url, 416),
    ],
)
def test_errors_of_signed_links_reach_scripts_of_other_origins(
    ada: Any, anyone: Any, backend: Any, alter: Callable[[str], str], status: int
) -> None:
    id = ada.start()
    backend.work()
    (asset,) = ada("GET", f"/jobs/{id}/results").get_json()["assets"].values()
    headers = {"Origin": "https://editor.openeo.org", "Range": "bytes=99999999-"}
    answer = anyone("GET", alter(asset["href"]), headers=headers)
    assert answer.status_code == status
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert {"code", "message"} <= answer.get_json().keys()


def test_nothing_about_a_job_comes_in_a_state_that_clients_do_not_know(ada: Any, backend: Any) -> None:
    """Clients compare states as lower-case words of the API."""
    seen = set()
    id = ada.create()
    seen.add(ada("GET", f"/jobs/{id}").get_json()["status"])
    ada("POST", f"/jobs/{id}/results")
    seen.add(ada("GET", f"/jobs/{id}").get_json()["status"])

    def running(*arguments: Any) -> Any:
        job = ada("GET", f"/jobs/{id}").get_json()
        seen.add(job["status"])
        assert isinstance(job["progress"], int | float)
        return Outcome(error={"code": "NoDataAvailable", "message": "There are no data."})

    backend.work(running)
    seen.add(ada("GET", f"/jobs/{id}").get_json()["status"])
    assert seen == {"created", "queued", "running", "error"}
