"""Plans, and what processing costs under them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from openeo_backend.errors import OpenEOError
from openeo_backend.sections.billing import BillingSettings, PlanSettings

Kind = Literal["job", "request"]

#: Decimals of costs.
DECIMALS = 6

#: Which metric of usage a price is for, how many of its units make one of the price, and what that is called.
_PRICED = {
    "cpu_second": ("cpu", 1.0, "cpu-second"),
    "mb_second": ("memory", 1.0, "MB-second of memory"),
    "second": ("duration", 1.0, "second of run time"),
    "input_megapixel": ("input_pixel", 1.0, "million samples read"),
    "stored_gb": ("storage", 1e9, "GB of results stored"),
}

#: The price of each kind of work as such, and what that is called.
_FIXED: dict[Kind, tuple[str, str]] = {
    "job": ("job_start", "run of a batch job"),
    "request": ("sync_request", "synchronous request"),
}


class Tariff:
    """The plans and prices of the settings."""

    def __init__(self, settings: BillingSettings) -> None:
        self.currency = settings.currency
        self._prices: dict[str, float] = settings.tariff.model_dump()
        self._plans = settings.offered()
        self._url = settings.url
        self._default = settings.default_plan or next(iter(self._plans))

    @property
    def default_plan(self) -> str:
        return self._name(self._default) or self._default

    @property
    def has_prices(self) -> bool:
        return any(self._prices.values())

    @property
    def has_metered_prices(self) -> bool:
        """Whether costs depend on what a run uses, so that they are not known before."""
        return any(self._prices[price] for price in _PRICED)

    def plans(self) -> list[dict[str, Any]]:
        """The plans as `/` shows them."""
        return [self._shown(name, plan) for name, plan in self._plans.items()]

    def resolve(self, plan: object) -> str:
        """The name of the plan that a request means; names are the same in upper and lower case.

        :param plan: None for the default.
        :raises OpenEOError: BillingPlanInvalid for one that does not exist.
        """
        name = self.default_plan if plan is None else self._name(plan)
        if name is None:
            offered = ", ".join(f"'{name}'" for name in self._plans)
            message = f"There is no billing plan {str(plan)[:80]!r}."
            raise OpenEOError("BillingPlanInvalid", message, hint=f"There is {offered}; it may be left out.")
        return name

    def is_paid(self, plan: str | None) -> bool:
        """Whether work under a plan costs something; work under a plan that was given up does not."""
        name = self._name(plan)
        return name is not None and self._plans[name].paid

    def fixed(self, plan: str | None, kind: Kind) -> float:
        """What a run costs at least."""
        return self._prices[_FIXED[kind][0]] if self.is_paid(plan) else 0.0

    def costs(self, plan: str | None, kind: Kind, usage: Mapping[str, Any], budget: float | None = None) -> float:
        """What a run costs that used `usage` (openEO metrics), and never more than its budget."""
        total = sum(part for part, _ in self.parts(plan, kind, usage))
        return round(total if budget is None else min(total, budget), DECIMALS)

    def parts(self, plan: str | None, kind: Kind, usage: Mapping[str, Any]) -> list[tuple[float, str]]:
        """What costs are made of: amounts that are not 0, and in words what they are for."""
        if not self.is_paid(plan):
            return []
        found = [(self.fixed(plan, kind), f"the {_FIXED[kind][1]}")]
        for price, (metric, units, name) in _PRICED.items():
            used = amount(usage, metric) / units
            found.append((self._prices[price] * used, f"{used:,.6g} {name.replace('second', 'seconds', 1)}"))
        return [part for part in found if part[0]]

    def _shown(self, name: str, plan: PlanSettings) -> dict[str, Any]:
        shown = {"name": name, "description": plan.description or self._describe(plan), "paid": plan.paid}
        url = plan.url or self._url
        return shown | ({"url": url} if url else {})

    def _describe(self, plan: PlanSettings) -> str:
        if not plan.paid:
            return "Processing costs nothing."
        units = {price: name for price, (_, _, name) in _PRICED.items()} | dict(_FIXED.values())
        parts = [f"{self._prices[price]:g} per {unit}" for price, unit in units.items() if self._prices[price]]
        if not parts:
            return f"Processing is charged in {self.currency}, as the accounting service decides."
        return f"Processing is charged by use, in {self.currency}: {', '.join(parts)}."

    def _name(self, plan: object) -> str | None:
        """The plan as the settings write it; None for one that they do not have."""
        if not isinstance(plan, str):
            return None
        return next((name for name in self._plans if name.lower() == plan.lower()), None)


def amount(usage: Mapping[str, Any], metric: str) -> float:
    """The value of a metric; 0 where it was not measured."""
    found = usage.get(metric)
    value = found.get("value") if isinstance(found, Mapping) else None
    return float(value) if isinstance(value, int | float) else 0.0
