"""Plans, budgets and balances as requests name them and answers show them."""

from __future__ import annotations

import math
from typing import Any

from openeo_backend.api.access import backend, current_user
from openeo_backend.errors import OpenEOError


def billing() -> dict[str, Any]:
    """The member of the capabilities: also where everything is free, in the currency of the federation."""
    tariff = backend().accounts.tariff
    return {"currency": tariff.currency, "default_plan": tariff.default_plan, "plans": tariff.plans()}


def account() -> dict[str, Any]:
    """Members of `/me`: the balance where it is known and limited, since clients take null for an error."""
    accounts, page = backend().accounts, backend().settings.billing.url
    document: dict[str, Any] = {"default_plan": accounts.tariff.default_plan, "links": []}
    if page:
        document["links"].append({"rel": "payment", "href": page, "title": "Credits"})
    balance = accounts.balance(current_user())
    return document if balance is None else document | {"budget": balance}


def plan_of(body: dict[str, Any]) -> str:
    """The plan that a request for processing is charged to.

    :raises OpenEOError: BillingPlanInvalid for a plan that does not exist.
    """
    return backend().accounts.tariff.resolve(body.get("plan"))


def budget_of(body: dict[str, Any]) -> float | None:
    """The most that a request for processing may cost; None for no limit.

    :raises OpenEOError: BudgetInvalid for anything but a number that is not negative.
    """
    budget = body.get("budget")
    if budget is None:
        return None
    if isinstance(budget, bool) or not isinstance(budget, int | float) or not 0 <= budget < math.inf:
        raise OpenEOError("BudgetInvalid", f"The budget {budget!r} is not a number of at least 0.")
    return float(budget)


def costs_header(costs: float) -> str:
    """Costs as the header OpenEO-Costs tells them."""
    return f"{costs:.6f}".rstrip("0").rstrip(".")
