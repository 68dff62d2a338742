"""How long results and jobs are kept, as their metadata announce beforehand, by a clock that is moved."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from openeo_backend.jobs.sweep import sweep


@pytest.fixture
def travel(backend: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[datetime], None]:
    """Moves the clock of the database, and of links, to an instant, and lets a worker clear away what is due."""
    real = time.time

    def to(instant: datetime) -> None:
        offset = instant.timestamp() - real()
        monkeypatch.setattr(time, "time", lambda: real() + offset)
        backend.clock[0] = timedelta(seconds=offset)
        sweep(backend.store, backend.objects, backend.settings.jobs)

    return to


def test_results_and_jobs_are_kept_as_long_as_announced(
    ada: Any, anyone: Any, login: Any, backend: Any, travel: Any
) -> None:
    id = ada.start()
    backend.work()
    announced = ada("GET", f"/jobs/{id}").get_json()
    finished, unpublished, expires = (
        datetime.fromisoformat(announced[name]) for name in ("finished", "unpublished", "expires")
    )
    assert unpublished - finished == timedelta(days=90)
    assert expires - finished == timedelta(days=365)
    assert {job["id"]: job["unpublished"] for job in ada("GET", "/jobs").get_json()["jobs"]} == {
        id: announced["unpublished"]
    }

    travel(finished + timedelta(days=89))
    later = login("ada")  # tokens do not live that long
    document = later("GET", f"/jobs/{id}/results").get_json()
    link = document["assets"]["ndvi.tif"]["href"]
    assert anyone("GET", link).status_code == 200
    assert document["expires"] == announced["unpublished"]  # links do not promise more days than are left
    assert later("GET", f"/jobs/{id}").get_json()["unpublished"] == announced["unpublished"]

    travel(finished + timedelta(days=90, minutes=1))
    later = login("ada")
    gone = later("GET", f"/jobs/{id}/results")
    assert (gone.status_code, gone.get_json()["code"]) == (410, "ResultLinkExpired")
    assert anyone("GET", link).status_code == 410
    assert backend.objects.list("jobs") == []
    job = later("GET", f"/jobs/{id}").get_json()
    assert (job["status"], job["expires"]) == ("finished", announced["expires"])
    assert [link for link in job["links"] if link["rel"] == "result"] == []

    travel(finished + timedelta(days=364))
    later = login("ada")
    assert later("GET", f"/jobs/{id}").get_json()["process"] == announced["process"]
    assert later("GET", f"/jobs/{id}/logs").get_json()["logs"]

    travel(finished + timedelta(days=365, minutes=1))
    later = login("ada")
    for path in (f"/jobs/{id}", f"/jobs/{id}/logs", f"/jobs/{id}/results"):
        assert later("GET", path).status_code == 404
    assert later("GET", "/jobs").get_json()["jobs"] == []


def test_a_job_that_is_started_again_keeps_its_results_anew(ada: Any, login: Any, backend: Any, travel: Any) -> None:
    id = ada.start()
    backend.work()
    first = datetime.fromisoformat(ada("GET", f"/jobs/{id}").get_json()["unpublished"])
    travel(first - timedelta(days=1))
    later = login("ada")
    later("POST", f"/jobs/{id}/results")
    backend.work()
    travel(first + timedelta(days=30))
    later = login("ada")
    assert later("GET", f"/jobs/{id}/results").status_code == 200
    second = datetime.fromisoformat(later("GET", f"/jobs/{id}").get_json()["unpublished"])
    assert timedelta(days=88) < second - first < timedelta(days=90)
