"""Settings of plans, prices and the accounting service."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, model_validator

from openeo_backend.sections.section import Section


class TariffSettings(Section):
    """What processing costs, in credits; a run that used 2 cpu-seconds at a price of 0.5 costs 1."""

    cpu_second: float = Field(default=0, ge=0, allow_inf_nan=False)
    """Price of a second of one core."""
    mb_second: float = Field(default=0, ge=0, allow_inf_nan=False)
    """Price of a MB of memory held for a second."""
    second: float = Field(default=0, ge=0, allow_inf_nan=False)
    """Price of a second of run time."""
    input_megapixel: float = Field(default=0, ge=0, allow_inf_nan=False)
    """Price of a million samples (pixels x bands x dates) read."""
    stored_gb: float = Field(default=0, ge=0, allow_inf_nan=False)
    """Price of a GB (10^9 bytes) of results of a batch job."""
    job_start: float = Field(default=0, ge=0, allow_inf_nan=False)
    """Fixed amount for each run of a batch job."""
    sync_request: float = Field(default=0, ge=0, allow_inf_nan=False)
    """Fixed amount for each synchronous request."""


class PlanSettings(Section):
    description: str | None = None
    """What users are told about the plan (CommonMark); by default that it is free, or the tariff."""
    url: str | None = None
    """Page about the plan, instead of `billing.url`."""
    paid: bool = False
    """Whether processing under the plan costs what the tariff says."""


class AccountingSettings(Section):
    """The service that keeps the users' accounts; docs/credits.md tells what is sent."""

    url: str | None = None
    """Base URL of the accounting service; without it nothing is reported, and nobody has a balance."""
    resources_path: str = "/resources"
    """Path below the base URL to which usage is reported."""
    balance_path: str | None = None
    """Path below the base URL of a user's balance, with `{user}` in the place of the user's id at the identity
    provider; without it no balance is known, and nobody is refused for lack of credits."""
    balance_member: str = "balance"
    """Member of the answer that is the balance; dots lead into objects."""
    least_balance: float = 0
    """Who has so many credits or fewer starts nothing that costs."""
    unreachable: Literal["allow", "refuse"] = "allow"
    """What becomes of a start while the balance cannot be learnt: `allow` it, and log that, or `refuse` it (503)."""
    issuers: list[str] | None = None
    """Issuers of the OpenID Connect providers whose users have accounts there; others pay nothing and are not
    reported. By default all users have."""
    source_id: str = "openeo-backend"
    """What this back-end calls itself in reports (`sourceId`)."""
    token: SecretStr | None = None
    """Bearer token for the service."""
    token_url: str | None = None
    """Token endpoint (OpenID Connect client credentials), instead of a fixed `token`."""
    client_id: str | None = None
    """Client id at the token endpoint."""
    client_secret: SecretStr | None = None
    """Client secret at the token endpoint."""
    scope: str | None = None
    """Scope to ask for at the token endpoint."""
    timeout_seconds: float = Field(default=60, gt=0)
    """Longest wait for the answer to a report."""
    balance_seconds: float = Field(default=5, gt=0)
    """Longest wait for a balance: somebody is waiting."""
    retry_seconds: float = Field(default=10, gt=0)
    """Wait before a report is sent again; doubled each time, up to an hour."""

    @model_validator(mode="after")
    def _check_login(self) -> AccountingSettings:
        if self.token_url and not (self.client_id and self.client_secret):
            raise ValueError("token_url needs client_id and client_secret")
        if self.token_url and self.token:
            raise ValueError("token and token_url exclude each other")
        if self.balance_path and "{user}" not in self.balance_path:
            raise ValueError("balance_path has no {user}, so all users would have the same balance")
        return self


class BillingSettings(Section):
    currency: str = "credits"
    """What is charged in."""
    url: str | None = None
    """Page that explains what processing costs and where credits come from."""
    default_plan: str | None = None
    """Plan of who does not name one; by default the first of `billing.plans`."""
    plans: dict[str, PlanSettings] = Field(default_factory=dict)
    """Plans by name: `description`, `url`, `paid`. By default one: `free`, or, with an accounting service or a tariff,
    `credits`, which is paid."""
    tariff: TariffSettings = Field(default_factory=TariffSettings)
    accounting: AccountingSettings = Field(default_factory=AccountingSettings)

    @property
    def has_prices(self) -> bool:
        return any(self.tariff.model_dump().values())

    def offered(self) -> dict[str, PlanSettings]:
        """The plans there are, by name."""
        if self.plans:
            return self.plans
        if self.has_prices or self.accounting.url:
            return {"credits": PlanSettings(paid=True)}
        return {"free": PlanSettings()}

    @model_validator(mode="after")
    def _check_plans(self) -> BillingSettings:
        offered = self.offered()
        names = [name.lower() for name in offered]
        if len(set(names)) < len(names):
            raise ValueError("two plans differ only in upper and lower case, which does not tell them apart")
        if self.default_plan is not None and self.default_plan.lower() not in names:
            raise ValueError(f"default_plan is '{self.default_plan}', which is none of the plans {', '.join(offered)}")
        if self.has_prices and not any(plan.paid for plan in offered.values()):
            raise ValueError("the tariff has prices, but no plan is paid: nobody would ever pay them")
        return self
