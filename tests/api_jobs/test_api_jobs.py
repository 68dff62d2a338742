"""/jobs and /jobs/{job_id}, as the specification and its clients want them."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from openeo_backend.jobs.attempt import Attempt
from openeo_backend.run.request import Outcome, RunRequest
from openeo_backend.settings import RoleSettings

GRAPH: dict[str, Any] = {
    "process_graph": {"load": {"process_id": "load_collection", "arguments": {"id": "S2"}, "result": True}}
}
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def code(response: Any, status: int) -> str:
    assert response.status_code == status, response.get_data(as_text=True)
    body = response.get_json()
    assert isinstance(body["message"], str)
    assert isinstance(body["id"], str)
    return str(body["code"])


def test_a_job_is_created_and_described(ada: Any) -> None:
    body = {
        "title": "NDVI",
        "description": "*May*",
        "process": {**GRAPH, "summary": "s"},
        "plan": "FREE",
        "budget": 100,
        "log_level": "warning",
        "job_options": {"max_runtime": 60},
    }
    response = ada("POST", "/jobs", json=body)
    assert response.status_code == 201
    id = response.headers["OpenEO-Identifier"]
    assert re.fullmatch(r"[\w\-.~]+", id)
    assert response.headers["Location"] == f"http://localhost/openeo/1.2/jobs/{id}"
    job = ada("GET", f"/jobs/{id}").get_json()
    for name in ("title", "description", "process", "budget", "log_level", "job_options"):
        assert job[name] == body[name]
    assert job["plan"] == "free"
    assert (job["id"], job["status"], job["progress"]) == (id, "created", 0)
    assert RFC3339.fullmatch(job["created"])
    assert RFC3339.fullmatch(job["updated"])
    assert None not in job.values()
    assert [link["rel"] for link in job["links"]] == ["monitor"]
    assert "queued" not in job


def test_the_job_works_under_both_versions(ada: Any) -> None:
    id = ada.create()
    response = ada("GET", f"http://localhost/openeo/1.3/jobs/{id}")
    assert response.get_json()["id"] == id
    assert response.get_json()["links"][0]["href"] == f"http://localhost/openeo/1.3/jobs/{id}/logs"


def test_a_body_with_nulls_and_junk_is_accepted(ada: Any) -> None:
    nulls = dict.fromkeys(("title", "description", "plan", "budget", "log_level", "job_options"))
    id = ada.create(isTrusted=True, **nulls)
    job = ada("GET", f"/jobs/{id}").get_json()
    assert job["job_options"] == {"isTrusted": True}
    assert "title" not in job
    assert "budget" not in job


def test_members_that_are_ours_cannot_be_sent(ada: Any) -> None:
    id = ada.create(status="finished", user_id="bob", costs=-5, id="mine", created="2020-01-01T00:00:00Z", progress=50)
    job = ada("GET", f"/jobs/{id}").get_json()
    assert job["id"] != "mine"
    assert (job["status"], job["progress"]) == ("created", 0)
    assert "costs" not in job
    assert "job_options" not in job
    assert not job["created"].startswith("2020")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "ProcessGraphMissing"),
        ({"process": {}}, "ProcessGraphMissing"),
        ({"process": {"process_graph": {}}}, "ProcessGraphMissing"),
        ({"process": []}, "RequestInvalid"),
        ({"process": {"process_graph": {"a": {}}}}, "ProcessGraphInvalid"),
        ({"process": {"process_graph": {"a": {"process_id": "x", "arguments": {"x": {"from_node": "b"}}}}}}, None),
        ({"process": GRAPH, "budget": -1}, "BudgetInvalid"),
        ({"process": GRAPH, "plan": "gold"}, "BillingPlanInvalid"),
        ({"process": GRAPH, "log_level": "loud"}, "RequestInvalid"),
        ({"process": GRAPH, "title": 5}, "RequestInvalid"),
        ({"process": GRAPH, "job_options": "x"}, "RequestInvalid"),
        ({"process": GRAPH, "job_options": {"max_runtime": 3601}}, "RequestInvalid"),
        ({"process": GRAPH, "max_runtime": "P1D"}, "RequestInvalid"),
        ({"process": GRAPH, "job_options": {"max_runtime": 0}}, "RequestInvalid"),
        ({"process": GRAPH, "job_options": {"max_runtime": True}}, "RequestInvalid"),
        ({"process": GRAPH, "job_options": {"memory": 8193}}, "RequestInvalid"),
        ({"process": GRAPH, "job_options": {"memory": "9GB"}}, "RequestInvalid"),
        ({"process": GRAPH, "memory": "8GiB"}, "RequestInvalid"),  # 8,590 MB
        ({"process": GRAPH, "job_options": {"memory": "much"}}, "RequestInvalid"),
        ({"process": GRAPH, "job_options": {"memory": True}}, "RequestInvalid"),
        ({"process": GRAPH, "job_options": {"memory": -1}}, "RequestInvalid"),
        ({"process": GRAPH, "job_options": {"soft_errors": "maybe"}}, "RequestInvalid"),
        ({"process": GRAPH, "job_options": {"log_level": "loud"}}, "RequestInvalid"),
    ],
)
def test_bad_requests_have_their_standard_errors(ada: Any, body: dict[str, Any], said: str | None) -> None:
    found = code(ada("POST", "/jobs", json=body), 400)
    assert said is None or found == said
    assert ada("GET", "/jobs").get_json()["jobs"] == []


@pytest.mark.parametrize("member", ["budget", "max_runtime", "memory"])
@pytest.mark.parametrize("number", ["9" * 400, "-" + "9" * 400, "9" * 5000])
def test_numbers_that_no_float_holds_are_refused(ada: Any, member: str, number: str) -> None:
    body = json.dumps({"process": GRAPH, member: 0}).replace(f'"{member}": 0', f'"{member}": {number}')
    response = ada("POST", "/jobs", data=body, content_type="application/json")
    assert code(response, 400) == "RequestInvalid"
    assert "too large" in response.get_json()["message"]


@pytest.mark.parametrize("runtime", [f"P{'9' * 400}D", f"PT{'9' * 5000}S", "P\u0661D"])
def test_durations_without_end_are_refused(ada: Any, runtime: str) -> None:
    assert code(ada("POST", "/jobs", json={"process": GRAPH, "max_runtime": runtime}), 400) == "RequestInvalid"


def test_a_text_may_look_like_an_escaped_nul(ada: Any) -> None:
    text = "data.replace('\\u0000', '')"
    response = ada("POST", "/jobs", json={"process": GRAPH, "description": text})
    assert response.status_code == 201, response.text
    assert ada("GET", f"/jobs/{response.headers['OpenEO-Identifier']}").get_json()["description"] == text


def test_a_job_may_name_a_collection_that_does_not_exist_until_it_is_started(ada: Any) -> None:
    graph = {
        "process_graph": {"load": {"process_id": "load_collection", "arguments": {"id": "NOWHERE"}, "result": True}}
    }
    id = ada.create(process=graph)
    assert code(ada("POST", f"/jobs/{id}/results"), 404) == "CollectionNotFound"
    assert code(ada("GET", f"/jobs/{id}/estimate"), 404) == "CollectionNotFound"
    assert ada("GET", f"/jobs/{id}").get_json()["status"] == "created"


def test_options_come_nested_or_at_the_top(ada: Any, backend: Any) -> None:
    nested = {"max_runtime": "PT30M", "executor-memory": "4G"}
    id = ada.start(job_options=nested, udf_memory="1G", split_strategy="crossbackend")
    job = ada("GET", f"/jobs/{id}").get_json()
    assert job["job_options"] == {**nested, "udf_memory": "1G", "split_strategy": "crossbackend"}
    entries = ada("GET", f"/jobs/{id}/logs").get_json()["logs"]
    assert entries[0]["level"] == "warning"
    assert entries[0]["message"].endswith(": executor-memory, udf_memory.")  # what is for a federation is not ours
    seen = []
    backend.work(lambda request, *_: seen.append(request) or backend.runner(request, *_))
    assert seen[0].seconds == 1800


def test_lists_are_complete_without_limit_and_paged_with_it(ada: Any, bob: Any) -> None:
    ids = [ada.create(title=f"job {n}") for n in range(5)]
    bob.create()
    everything = ada("GET", "/jobs").get_json()
    assert sorted(job["id"] for job in everything["jobs"]) == sorted(ids)
    assert everything["links"] == []
    assert all("process" not in job and job["title"].startswith("job") for job in everything["jobs"])
    assert all({"id", "status", "created"} <= job.keys() for job in everything["jobs"])
    seen, path = [], "/jobs?limit=2"
    for count in (2, 2, 1):
        page = ada("GET", path).get_json()
        assert len(page["jobs"]) == count
        seen += [job["id"] for job in page["jobs"]]
        following = [link["href"] for link in page["links"] if link["rel"] == "next"]
        assert len(following) == (1 if len(seen) < 5 else 0)
        path = following[0] if following else ""
    assert seen == [job["id"] for job in everything["jobs"]]
    assert ada("GET", "/jobs?limit=5").get_json()["links"] == []
    assert len(ada("GET", "/jobs?limit=").get_json()["jobs"]) == 5


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=-1", "limit=x", "limit=1.5", "limit=2&start=x", "start=nan~x", "start=inf~x"]
)
def test_bad_pages_are_refused(ada: Any, query: str) -> None:
    assert code(ada("GET", f"/jobs?{query}"), 400) == "RequestInvalid"


def test_a_job_is_changed(ada: Any) -> None:
    id = ada.create(title="old", description="kept", budget=5, job_options={"a": 1})
    changed = {**GRAPH, "description": "new"}
    body = {"title": "new", "process": changed, "budget": None, "plan": None, "log_level": None, "b": 2}
    response = ada("PATCH", f"/jobs/{id}", json=body)
    assert response.status_code == 204
    assert response.get_data() == b""
    job = ada("GET", f"/jobs/{id}").get_json()
    assert (job["title"], job["description"], job["process"]) == ("new", "kept", changed)
    assert "budget" not in job
    assert job["job_options"] == {"a": 1, "b": 2}
    assert ada("PATCH", f"/jobs/{id}", json={"title": None, "job_options": {}}).status_code == 204
    job = ada("GET", f"/jobs/{id}").get_json()
    assert "title" not in job
    assert "job_options" not in job


def test_an_empty_change_is_fine_and_none_is_not(ada: Any) -> None:
    id = ada.create()
    assert ada("PATCH", f"/jobs/{id}", json={}).status_code == 204
    assert code(ada("PATCH", f"/jobs/{id}"), 400) == "RequestInvalid"


@pytest.mark.parametrize(
    "member", ["id", "status", "progress", "created", "costs", "usage", "links", "user_id", "result"]
)
def test_what_is_ours_cannot_be_changed(ada: Any, member: str) -> None:
    id = ada.create(title="old")
    assert code(ada("PATCH", f"/jobs/{id}", json={member: "x", "title": "new"}), 400) == "PropertyNotEditable"
    assert ada("GET", f"/jobs/{id}").get_json()["title"] == "old"


def test_a_bad_change_changes_nothing(ada: Any) -> None:
    id = ada.create(title="old")
    bad = {"title": "new", "process": {"process_graph": {"a": {}}}}
    assert code(ada("PATCH", f"/jobs/{id}", json=bad), 400) == "ProcessGraphInvalid"
    assert code(ada("PATCH", f"/jobs/{id}", json={"title": "new", "budget": -1}), 400) == "BudgetInvalid"
    assert ada("GET", f"/jobs/{id}").get_json()["title"] == "old"


def test_queued_and_running_jobs_are_locked(ada: Any, backend: Any) -> None:
    id = ada.start()
    assert code(ada("PATCH", f"/jobs/{id}", json={"title": "x"}), 400) == "JobLocked"

    def meanwhile(*arguments: Any) -> Any:
        assert ada("GET", f"/jobs/{id}").get_json()["status"] == "running"
        assert code(ada("PATCH", f"/jobs/{id}", json={"title": "x"}), 400) == "JobLocked"
        return backend.runner(*arguments)

    backend.work(meanwhile)
    assert ada("GET", f"/jobs/{id}").get_json()["status"] == "finished"
    assert ada("PATCH", f"/jobs/{id}", json={"title": "x"}).status_code == 204


def test_a_deleted_job_is_gone_with_its_files(ada: Any, backend: Any) -> None:
    id = ada.start()
    backend.work()
    assert backend.objects.list(f"jobs/{id}/")
    assert ada("DELETE", f"/jobs/{id}").status_code == 204
    assert backend.objects.list(f"jobs/{id}/") == []
    assert code(ada("GET", f"/jobs/{id}"), 404) == "JobNotFound"
    assert code(ada("DELETE", f"/jobs/{id}"), 404) == "JobNotFound"


def sized(samples: float) -> Any:
    """A run that estimates, as the child does."""

    def run(request: RunRequest, hear: Any, is_cancelled: Any) -> Outcome:
        assert request.mode == "estimate"
        assert request.seconds == 30
        return Outcome(value={"items": 3, "samples": samples, "bytes": 1234}, has_value=True)

    return run


def test_an_estimate_says_what_a_job_takes(ada: Any, backend: Any) -> None:
    id = ada.create()
    backend.runner = sized(50e6)
    body = ada("GET", f"/jobs/{id}/estimate").get_json()
    assert (body["costs"], body["size"]) == (0, 1234)
    assert "downloads_included" not in body  # not limited
    assert body["duration"] == "PT4S"  # 2 s and 50 million samples at 25 million per second
    assert datetime.fromisoformat(body["expires"]) > datetime.now(UTC)
    assert body["usage"]["input_items"]["value"] == 3


def test_an_estimate_learns_from_finished_jobs(ada: Any, backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(request: RunRequest, hear: Any, is_cancelled: Any) -> Outcome:
        usage = {"input_pixel": {"value": 100, "unit": "mega-pixel"}}
        return Outcome(value=1, has_value=True, usage=usage)

    monkeypatch.setattr(Attempt, "_seconds", lambda self: 102.0)

    ada.start()
    backend.work(slow)
    backend.runner = sized(3600e6)
    assert ada("GET", f"/jobs/{ada.create()}/estimate").get_json()["duration"] == "PT1H2S"


@pytest.mark.parametrize("failure", ["EstimateComplexity", "RequestTimeout", "OutOfMemory"])
def test_what_cannot_be_estimated_is_too_complex(ada: Any, backend: Any, failure: str) -> None:
    backend.runner = lambda *_: Outcome(error={"code": failure, "message": "Because.", "status": 500})
    assert code(ada("GET", f"/jobs/{ada.create()}/estimate"), 500) == "EstimateComplexity"


ROUTES = [
    ("GET", ""),
    ("PATCH", ""),
    ("DELETE", ""),
    ("GET", "/estimate"),
    ("GET", "/logs"),
    ("GET", "/results"),
    ("POST", "/results"),
    ("DELETE", "/results"),
]


def test_these_are_all_routes_of_a_job(ada: Any) -> None:
    rules = ada._client.application.url_map.iter_rules()
    found = {
        (method, rule.rule.split("<job_id>")[1])
        for rule in rules
        if rule.rule.startswith("/openeo/1.2/jobs/<job_id>")
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert found == set(ROUTES)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_other_users_jobs_do_not_exist(ada: Any, bob: Any, anyone: Any, backend: Any, method: str, path: str) -> None:
    id = ada.start()
    backend.work()
    before = ada("GET", f"/jobs/{id}").get_json()
    body = {"json": {}} if method == "PATCH" else {}
    for foreign in (id, "j-none"):
        assert code(bob(method, f"/jobs/{foreign}{path}", **body), 404) == "JobNotFound"
    assert code(anyone(method, f"/jobs/{id}{path}", **body), 401) == "AuthenticationRequired"
    assert ada("GET", f"/jobs/{id}").get_json() == before


def test_options_are_published_with_their_maxima(anyone: Any) -> None:
    body = anyone("GET", "/processing_parameters").get_json()
    published = {option["name"]: option for option in body["create_job_parameters"]}
    # clients have a field for log_level by themselves: it is a member of every job
    assert set(published) == {"max_runtime", "memory", "soft_errors"}
    assert published["memory"]["default"] == 4096
    assert published["memory"]["schema"][0]["maximum"] == 8192
    option = published["max_runtime"]
    assert (option["name"], option["optional"], option["default"]) == ("max_runtime", True, 3600)
    assert option["schema"][0]["maximum"] == 3600
    assert body["create_synchronous_parameters"] == []
    capabilities = anyone("GET", "/").get_json()
    assert {"path": "/processing_parameters", "methods": ["GET"]} in capabilities["endpoints"]
    assert "https://api.openeo.org/extensions/processing-parameters/0.1.0" in capabilities["conformsTo"]


def limits_of_run(backend: Any) -> tuple[float | None, float | None]:
    seen: list[RunRequest] = []

    def run(request: RunRequest, hear: Any, is_cancelled: Any) -> Outcome:
        seen.append(request)
        return Outcome(value=1, has_value=True)

    backend.work(run)
    return seen[0].seconds, seen[0].memory_mb


@pytest.mark.parametrize(
    ("given", "megabytes"),
    [(None, 4096), (500, 500), ("500", 500), ("500m", 500), ("2g", 2000), ("1.5 GB", 1500), ("1Gi", 1073.741824)],
)
def test_the_option_memory_becomes_the_limit_of_the_run(ada: Any, backend: Any, given: Any, megabytes: float) -> None:
    ada.start(job_options={"memory": given})
    assert limits_of_run(backend) == (3600, megabytes)


def test_roles_decide_what_a_user_may_ask_for(ada: Any, login: Any, backend: Any) -> None:
    backend.settings.roles = {
        "large": RoleSettings(max_memory_mb=64_000, priority=5),
        "long": RoleSettings(max_runtime_seconds=7200, per_user=9, max_memory_mb=100),
    }
    backend.store.users.add("eve", "secret", roles=["large", "long"])
    eve = login("eve")
    wanted = {"memory": "64GB", "max_runtime": 7200}
    assert code(ada("POST", "/jobs", json={"process": GRAPH, "job_options": wanted}), 400) == "RequestInvalid"
    first, second = ada.start(), eve.start(job_options=wanted)
    log = [entry["message"] for entry in eve("GET", f"/jobs/{second}/logs").get_json()["logs"]]
    assert log == ["The job is queued; 0 of all queued jobs may go before it."]  # although another was queued earlier
    assert limits_of_run(backend) == (7200, 64_000)
    assert eve("GET", f"/jobs/{second}").get_json()["status"] == "finished"
    assert ada("GET", f"/jobs/{first}").get_json()["status"] == "queued"
    eve.start()
    assert limits_of_run(backend) == (7200, 4096)


def test_roles_decide_how_many_threads_compute_and_what_is_computed_at_once(ada: Any, login: Any, backend: Any) -> None:
    backend.settings.compute.threads = 4
    backend.settings.roles = {"small": RoleSettings(threads=1, sync_samples=5e6)}
    backend.store.users.add("eve", "secret", roles=["small"])
    seen: list[RunRequest] = []

    def run(request: RunRequest, hear: Any, is_cancelled: Any) -> Outcome:
        seen.append(request)
        return Outcome(value=1, has_value=True)

    backend.runner = run
    for user in (login("eve"), ada):
        user.start()
        backend.work()
        assert user("POST", "/result", json={"process": GRAPH}).status_code == 200
    assert [request.threads for request in seen] == [1, 1, 4, 4]
    assert [request.limit_samples for request in seen] == [1e12, 5e6, 1e12, 1e9]


def test_a_log_level_among_the_options_counts(ada: Any) -> None:
    id = ada.create(job_options={"log_level": "error"})
    assert ada("GET", f"/jobs/{id}").get_json()["log_level"] == "error"
    assert ada("PATCH", f"/jobs/{id}", json={"job_options": {"log_level": "debug"}}).status_code == 204
    assert ada("GET", f"/jobs/{id}").get_json()["log_level"] == "debug"
