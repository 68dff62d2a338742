"""Plans, costs, budgets and balances over the API, with an accounting service on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from accounting_server import Service, running

from openeo_backend.run.request import Event, Outcome, RunRequest
from openeo_backend.settings import Settings

GRAPH: dict[str, Any] = {
    "process_graph": {"load": {"process_id": "load_collection", "arguments": {"id": "S2"}, "result": True}}
}

USED = {"cpu": {"value": 4, "unit": "cpu-seconds"}, "duration": {"value": 3, "unit": "seconds"}}


@pytest.fixture
def service() -> Iterator[Service]:
    with running() as found:
        yield found


@pytest.fixture
def priced(backend: Any, service: Service) -> Callable[..., None]:
    """Set prices and the accounting service; keyword arguments are members of `billing.accounting`."""

    def put(accounting: dict[str, Any] | None = None, **billing: Any) -> None:
        reached: dict[str, Any] = {"url": service.address, "token": "fixed", "balance_path": "/users/{user}/wallet"}
        reached |= {"balance_member": "wallet.credits", "timeout_seconds": 1, "balance_seconds": 1}
        chosen = {"tariff": {"cpu_second": 0.5, "job_start": 2, "sync_request": 6}} | billing
        raw = backend.settings.model_dump() | {"billing": {**chosen, "accounting": reached | (accounting or {})}}
        backend.settings = Settings.model_validate(raw)

    return put


def computes(request: RunRequest, hear: Callable[[Event], None], is_cancelled: Callable[[], bool]) -> Outcome:
    if request.mode == "estimate":
        return Outcome(value={"items": 1, "samples": 0, "bytes": 0}, has_value=True)
    return Outcome(value=3, has_value=True, usage=USED)


def spends(request: RunRequest, hear: Callable[[Event], None], is_cancelled: Callable[[], bool]) -> Outcome:
    for seconds in range(1, 1000):
        hear(Event("usage", {"cpu": {"value": seconds, "unit": "cpu-seconds"}}))
        if is_cancelled():
            return Outcome(cancelled=True)
    return Outcome(value=1, has_value=True)


def test_everything_is_free_by_default(ada: Any) -> None:
    billing = ada("GET", "/").json["billing"]
    assert billing == {
        "currency": "credits",
        "default_plan": "free",
        "plans": [{"name": "free", "description": "Processing costs nothing.", "paid": False}],
    }
    assert "budget" not in ada("GET", "/me").json
    assert ada("GET", "/me").json["default_plan"] == "free"


def test_plans_and_balances_are_shown(ada: Any, bob: Any, priced: Any, service: Service) -> None:
    priced(url="https://prices.example/")
    service.balances = {"ada": 12.5}
    [plan] = ada("GET", "/").json["billing"]["plans"]
    assert (plan["name"], plan["paid"], plan["url"]) == ("credits", True, "https://prices.example/")
    me = ada("GET", "/me").json
    assert (me["budget"], me["default_plan"]) == (12.5, "credits")
    assert {"rel": "payment", "href": "https://prices.example/", "title": "Credits"} in me["links"]
    assert "budget" not in bob("GET", "/me").json  # the service does not know them


def test_costs_of_a_job_are_shown_everywhere(ada: Any, backend: Any, priced: Any, service: Service) -> None:
    priced()
    service.balances = {"ada": 100}
    id = ada.start()
    backend.work(computes)
    job = ada("GET", f"/jobs/{id}").json
    assert (job["costs"], job["plan"]) == (4, "credits")  # 2 + 4 * 0.5
    assert job["usage"]["cpu"] == {"value": 4, "unit": "cpu-seconds"}
    assert [entry["costs"] for entry in ada("GET", "/jobs").json["jobs"]] == [4]
    results = ada("GET", f"/jobs/{id}/results")
    assert (results.json["openeo:costs"], results.headers["OpenEO-Costs"]) == (4, "0")
    shared = next(link["href"] for link in results.json["links"] if link["rel"] == "canonical")
    assert "openeo:costs" not in ada("GET", shared).json
    assert any("Costs: 4 credits" in entry["message"] for entry in ada("GET", f"/jobs/{id}/logs").json["logs"])
    assert [report.report["userId"] for report in backend.store.reports.list()] == ["ada"]


@pytest.mark.parametrize(("balance", "status"), [(2.5, 202), (2, 202), (1.9, 402), (0, 402), (-3, 402)])
def test_too_little_credit_starts_nothing(
    ada: Any, backend: Any, priced: Any, service: Service, balance: float, status: int
) -> None:
    priced()
    service.balances = {"ada": balance}
    id = ada.create()  # which never asks
    answer = ada("POST", f"/jobs/{id}/results")
    assert answer.status_code == status
    if status == 402:
        assert answer.json["code"] == "PaymentRequired"
        assert f"You have {balance:g} credits left; at least 2 are needed" in answer.json["message"]
        assert ada("GET", f"/jobs/{id}").json["status"] == "created"


def test_a_job_that_costs_nothing_to_start_needs_some_credit(ada: Any, priced: Any, service: Service) -> None:
    priced(tariff={"cpu_second": 1})
    service.balances = {"ada": 0}
    id = ada.create()
    assert ada("POST", f"/jobs/{id}/results").status_code == 402
    service.balances = {"ada": 0.001}
    assert ada("POST", f"/jobs/{id}/results").status_code == 202


def test_debts_may_be_allowed(ada: Any, priced: Any, service: Service) -> None:
    priced({"least_balance": -50}, tariff={"cpu_second": 1})
    service.balances = {"ada": -49}
    assert ada("POST", f"/jobs/{ada.create()}/results").status_code == 202
    service.balances = {"ada": -50}
    assert ada("POST", f"/jobs/{ada.create()}/results").status_code == 402


def test_a_free_plan_needs_no_credit(ada: Any, backend: Any, priced: Any, service: Service) -> None:
    priced(plans={"credits": {"paid": True}, "free": {}})
    service.balances = {"ada": 0}
    id = ada.start(plan="FREE")
    backend.work(computes)
    assert (ada("GET", f"/jobs/{id}").json["costs"], ada("GET", f"/jobs/{id}").json["plan"]) == (0, "free")


def test_a_plan_that_is_gone_starts_nothing(ada: Any, priced: Any, service: Service) -> None:
    id = ada.create()
    assert ada("GET", f"/jobs/{id}").json["plan"] == "free"
    priced()
    service.balances = {"ada": 100}
    assert ada("POST", f"/jobs/{id}/results").json["code"] == "BillingPlanInvalid"
    assert ada("PATCH", f"/jobs/{id}", json={"plan": "credits"}).status_code == 204
    assert ada("POST", f"/jobs/{id}/results").status_code == 202


@pytest.mark.parametrize(("choice", "status"), [("allow", 202), ("refuse", 503)])
def test_a_setting_decides_while_the_balance_is_not_known(ada: Any, priced: Any, choice: str, status: int) -> None:
    priced({"unreachable": choice, "url": "http://127.0.0.1:9"})
    answer = ada("POST", f"/jobs/{ada.create()}/results")
    assert answer.status_code == status
    if status == 503:
        assert (answer.json["code"], answer.headers["Retry-After"]) == ("InfrastructureBusy", "60")
    assert "budget" not in ada("GET", "/me").json


def test_estimates_have_costs(ada: Any, backend: Any, priced: Any) -> None:
    backend.runner = computes
    priced()
    body = ada("GET", f"/jobs/{ada.create()}/estimate").json
    assert body["costs"] == 3.5  # 2 + 0.5 * 1.5 cores * 2 seconds
    assert "downloads_included" not in body  # not limited; the official suite takes null for an error
    priced(plans={"credits": {"paid": True}, "free": {}})
    assert ada("GET", f"/jobs/{ada.create(plan='free')}/estimate").json["costs"] == 0


@pytest.mark.parametrize(
    ("budget", "words"), [(1, "costs at least 2 credits"), (3, "is estimated to cost 3.5 credits")]
)
def test_a_job_above_its_budget_is_not_started(
    ada: Any, backend: Any, priced: Any, service: Service, budget: float, words: str
) -> None:
    backend.runner = computes
    priced()
    service.balances = {"ada": 100}
    answer = ada("POST", f"/jobs/{ada.create(budget=budget)}/results")
    assert (answer.status_code, answer.json["code"]) == (402, "PaymentRequired")
    assert words in answer.json["message"]
    assert f"the budget of {budget}" in answer.json["message"]
    assert ada("POST", f"/jobs/{ada.create(budget=3.5)}/results").status_code == 202


def test_a_stopped_job_shows_what_it_costs(ada: Any, backend: Any, priced: Any, service: Service) -> None:
    priced(tariff={"second": 1, "job_start": 2})
    service.balances = {"ada": 100}
    id = ada.start()

    def stopped(request: RunRequest, hear: Any, is_cancelled: Callable[[], bool]) -> Outcome:
        time.sleep(0.2)
        assert ada("DELETE", f"/jobs/{id}/results").status_code == 204
        return Outcome(cancelled=True)

    backend.work(stopped)
    job = ada("GET", f"/jobs/{id}").json
    assert job["status"] == "canceled"
    assert job["costs"] == pytest.approx(2 + job["usage"]["duration"]["value"])
    assert job["costs"] > 2.1
    assert ada("DELETE", f"/jobs/{id}").status_code == 204
    assert [report.report["state"] for report in backend.store.reports.list()] == ["KILLED"]


def compute(user: Any, **members: Any) -> Any:
    return user("POST", "/result", json={"process": GRAPH, **members})


def test_a_synchronous_request_is_charged_and_reported(ada: Any, backend: Any, priced: Any, service: Service) -> None:
    backend.runner = computes
    priced()
    service.balances = {"ada": 100}
    answer = compute(ada)
    assert (answer.status_code, answer.headers["OpenEO-Costs"]) == (200, "8")  # 6 + 4 * 0.5
    [kept] = backend.store.reports.list()
    id = answer.headers["OpenEO-Identifier"]
    assert (kept.key, kept.report["jobId"], kept.report["userId"], kept.job_id) == (id, id, "ada", None)
    assert kept.report["metrics"]["processing"] == {"value": 8, "unit": "credits"}
    assert (kept.report["state"], kept.report["metrics"]["time"]["value"]) == ("FINISHED", 3000)
    logs = ada("GET", f"/result/logs/{id}").json["logs"]
    assert [entry["usage"]["cpu"]["value"] for entry in logs if "usage" in entry] == [4]


@pytest.mark.parametrize(
    ("status", "costs", "metrics"), [(400, "8", {"cpu", "memory", "time", "processing"}), (500, "0", {"processing"})]
)
def test_failed_requests_cost_unless_it_is_our_fault(
    ada: Any, backend: Any, priced: Any, service: Service, status: int, costs: str, metrics: set[str]
) -> None:
    error = {"code": "Wrong", "message": "It went wrong.", "status": status}
    backend.runner = lambda *_: Outcome(error=error, usage=USED)
    priced()
    service.balances = {"ada": 100}
    answer = compute(ada)
    assert (answer.status_code, answer.headers["OpenEO-Costs"]) == (status, costs)
    [kept] = backend.store.reports.list()
    assert (kept.report["state"], set(kept.report["metrics"])) == ("FAILED", metrics)


def test_a_synchronous_request_stops_at_its_budget(ada: Any, backend: Any, priced: Any, service: Service) -> None:
    backend.runner = spends
    priced()
    service.balances = {"ada": 100}
    answer = compute(ada, budget=8)
    assert (answer.status_code, answer.json["code"]) == (402, "PaymentRequired")
    assert "would have cost 8.5 credits by then, the budget is 8" in answer.json["message"]
    assert answer.headers["OpenEO-Costs"] == "8"
    assert compute(ada, budget=5).status_code == 402  # less than the fixed amount: not even begun
    assert len(backend.store.reports.list()) == 1


def test_too_little_credit_computes_nothing(ada: Any, backend: Any, priced: Any, service: Service) -> None:
    backend.runner = computes
    priced()
    service.balances = {"ada": 5}
    answer = compute(ada)
    assert (answer.status_code, answer.json["code"]) == (402, "PaymentRequired")
    assert backend.store.reports.list() == ()


@pytest.mark.parametrize("budget", [-1, True, "5", float("inf")])
def test_budgets_are_numbers(ada: Any, budget: Any) -> None:
    assert compute(ada, budget=budget).json["code"] in ("BudgetInvalid", "RequestInvalid")
