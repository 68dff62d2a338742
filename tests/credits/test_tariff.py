"""Costs, computed by hand."""

from __future__ import annotations

from typing import Any

import pytest

from openeo_backend.errors import OpenEOError
from openeo_backend.jobs.accounts import is_charged
from openeo_backend.jobs.estimate import estimate
from openeo_backend.jobs.tariff import Tariff
from openeo_backend.observe import clock
from openeo_backend.sections.billing import BillingSettings

PRICES = {
    "cpu_second": 0.5,
    "mb_second": 0.001,
    "second": 0.01,
    "input_megapixel": 0.25,
    "stored_gb": 100,
    "job_start": 2,
    "sync_request": 6,
}

USAGE = {
    "cpu": {"value": 3, "unit": "cpu-seconds"},
    "memory": {"value": 4000, "unit": "mb-seconds"},
    "duration": {"value": 10, "unit": "seconds"},
    "input_pixel": {"value": 8, "unit": "mega-pixel"},
    "storage": {"value": 20_000_000, "unit": "b"},
    "network": {"value": 10**12, "unit": "b"},
}


def tariff(**billing: object) -> Tariff:
    return Tariff(BillingSettings.model_validate({"tariff": PRICES, **billing}))


def test_costs_are_prices_times_what_was_used() -> None:
    # 3 * 0.5 + 4000 * 0.001 + 10 * 0.01 + 8 * 0.25 + 0.02 * 100 = 1.5 + 4 + 0.1 + 2 + 2 = 9.6
    assert tariff().costs("credits", "job", USAGE) == 11.6
    assert tariff().costs("credits", "request", USAGE) == 15.6
    assert tariff().costs("CREDITS", "job", {}) == 2


def test_costs_stop_at_the_budget() -> None:
    assert tariff().costs("credits", "job", USAGE, budget=5) == 5
    assert tariff().costs("credits", "job", USAGE, budget=12) == 11.6


def test_without_prices_all_is_free() -> None:
    free = Tariff(BillingSettings())
    assert free.plans() == [{"name": "free", "description": "Processing costs nothing.", "paid": False}]
    assert (free.currency, free.default_plan) == ("credits", "free")
    assert free.costs("free", "job", USAGE) == 0


def test_a_free_plan_costs_nothing_beside_a_paid_one() -> None:
    plans = {"Trial": {"description": "A month."}, "Pro": {"paid": True, "url": "https://pro.example/"}}
    both = tariff(plans=plans, default_plan="pro", url="https://prices.example/")
    assert both.costs("trial", "job", USAGE) == 0
    assert both.costs("PRO", "job", USAGE) == 11.6
    assert both.default_plan == "Pro"
    assert both.resolve("TRIAL") == "Trial"
    trial, pro = both.plans()
    assert trial == {"name": "Trial", "description": "A month.", "paid": False, "url": "https://prices.example/"}
    assert pro["url"] == "https://pro.example/"
    for price in ("0.5 per cpu-second", "0.001 per MB-second", "0.25 per million samples", "6 per synchronous"):
        assert price in pro["description"]


@pytest.mark.parametrize("plan", ["gold", 5, ["credits"]])
def test_plans_that_do_not_exist_are_refused(plan: object) -> None:
    with pytest.raises(OpenEOError, match="'credits'") as raised:
        tariff().resolve(plan)
    assert (raised.value.code, raised.value.status) == ("BillingPlanInvalid", 400)


def test_parts_add_up_to_the_costs() -> None:
    parts = tariff().parts("credits", "job", USAGE)
    assert sum(part for part, _ in parts) == pytest.approx(11.6)
    assert (2.0, "the run of a batch job") in parts
    assert (1.5, "3 cpu-seconds") in parts


def test_estimates_use_the_same_tariff() -> None:
    # one earlier job: 100 million samples in 10 s after the 2 s of the start, 3 cores busy, 500 MB held
    earlier = {
        "duration": {"value": 12, "unit": "seconds"},
        "input_pixel": {"value": 100, "unit": "mega-pixel"},
        "cpu": {"value": 36, "unit": "cpu-seconds"},
        "memory": {"value": 6000, "unit": "mb-seconds"},
    }
    size = {"items": 3, "samples": 50_000_000, "bytes": 10_000_000}
    found = estimate(size, [earlier], clock.now(), tariff(), "credits")
    # 7 s: 21 cpu-seconds, 3500 MB-seconds: 2 + 10.5 + 3.5 + 0.07 + 12.5 + 1
    assert found["costs"] == pytest.approx(29.57)
    assert (found["duration"], found["size"]) == ("PT7S", 10_000_000)
    assert "downloads_included" not in found
    assert found["usage"]["cpu"] == {"value": 21, "unit": "cpu-seconds"}
    assert estimate(size, [], clock.now(), Tariff(BillingSettings()), "free")["costs"] == 0


def test_without_a_tariff_only_the_service_knows_the_costs() -> None:
    only = Tariff(BillingSettings.model_validate({"accounting": {"url": "http://accounts.example"}}))
    assert only.plans()[0]["paid"]
    size = {"items": 3, "samples": 50_000_000, "bytes": 10_000_000}
    assert "costs" not in estimate(size, [], clock.now(), only, "credits")


@pytest.mark.parametrize(
    ("error", "charged"),
    [
        (None, True),
        ({"code": "ProcessParameterInvalid"}, True),
        ({"code": "NoDataAvailable", "status": 400}, True),
        ({"code": "Internal", "status": 500}, False),
        ({"code": "InfrastructureBusy"}, False),
        ({"code": "ProcessGraphComplexity", "status": 400}, False),
    ],
)
def test_runs_are_charged_unless_the_fault_is_ours_or_nothing_was_computed(
    error: dict[str, Any] | None, charged: bool
) -> None:
    assert is_charged(error) is charged
