"""Plans and budgets: everything is free here, and says so in the currency of the federation."""

from __future__ import annotations

from typing import Any

from openeo_backend.errors import OpenEOError

DEFAULT_PLAN = "free"

BILLING: dict[str, Any] = {
    "currency": "credits",
    "default_plan": DEFAULT_PLAN,
    "plans": [{"name": DEFAULT_PLAN, "description": "Processing costs nothing.", "paid": False}],
}


def plan_of(body: dict[str, Any]) -> str:
    """The plan that a request for processing is charged to.

    :raises OpenEOError: BillingPlanInvalid for a plan that does not exist.
    """
    plan = body.get("plan")
    if plan is None or (isinstance(plan, str) and plan.lower() == DEFAULT_PLAN):
        return DEFAULT_PLAN
    raise OpenEOError(
        "BillingPlanInvalid",
        f"There is no billing plan '{plan}'.",
        hint=f"The only plan is '{DEFAULT_PLAN}'; it may be left out.",
    )


def budget_of(body: dict[str, Any]) -> float | None:
    """The most that a request for processing may cost; None for no limit.

    :raises OpenEOError: BudgetInvalid for anything but a number that is not negative.
    """
    budget = body.get("budget")
    if budget is None:
        return None
    if isinstance(budget, bool) or not isinstance(budget, int | float) or budget < 0:
        raise OpenEOError("BudgetInvalid", f"The budget {budget!r} is not a number of at least 0.")
    return float(budget)
