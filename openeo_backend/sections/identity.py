"""Settings of who may log in, and of what they may take."""

from __future__ import annotations

import ipaddress
import re
from typing import Literal, get_args
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from openeo_backend.sections.section import Section

#: Signature algorithms that tokens may have: all of them have a public key, so that who can check cannot forge.
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"]

#: Ways to get a token that clients may use with a client of their own back-end.
GrantType = Literal[
    "implicit",
    "authorization_code",
    "authorization_code+pkce",
    "urn:ietf:params:oauth:grant-type:device_code",
    "urn:ietf:params:oauth:grant-type:device_code+pkce",
    "refresh_token",
]

_ID = re.compile(r"\w{1,20}", re.ASCII)


class ClientSettings(Section):
    """A client, registered at a provider, that openEO clients may use."""

    id: str = Field(min_length=1)
    """Client id."""
    grant_types: list[GrantType] = Field(
        default=["authorization_code+pkce", "urn:ietf:params:oauth:grant-type:device_code+pkce", "refresh_token"],
        min_length=1,
    )
    """Ways to get a token that the provider allows this client."""
    redirect_urls: list[str] = Field(default=["https://editor.openeo.org", "http://localhost:1410/"])
    """Where the provider lets browsers return to."""


class LinkSettings(Section):
    href: str
    rel: str = "about"
    type: str | None = None
    title: str | None = None


class ProviderSettings(Section):
    """An OpenID Connect provider."""

    issuer: str
    """URL of the issuer, as its tokens name it."""
    title: str | None = None
    """What clients call it; by default its id."""
    description: str | None = None
    """How to get an account there (CommonMark)."""
    scopes: list[str] = Field(default=["openid"])
    """Scopes that clients must ask for."""
    authorization_parameters: dict[str, str] = Field(default_factory=dict)
    """Parameters that clients add to authorization requests (API 1.3)."""
    default_clients: list[ClientSettings] = Field(default_factory=list)
    """Clients that openEO clients may use: `id`, `grant_types`, `redirect_urls`."""
    links: list[LinkSettings] = Field(default_factory=list)
    """Links about the provider: `href`, `rel`, `type`, `title`."""
    clients: list[str] = Field(default_factory=list)
    """Clients (`azp` or `client_id`) whose tokens are accepted, with `*` for any letters; by default the default
    clients, unless `audiences` are set."""
    audiences: list[str] = Field(default_factory=list)
    """Audiences (`aud`) of which a token must name one; by default any."""
    userinfo: Literal["opaque", "always", "never"] = "opaque"
    """When the provider is asked who a token belongs to: for tokens that are no JWT, for all, or never (then only
    JWTs are accepted). `always` also finds entitlements that tokens do not carry."""
    algorithms: list[Algorithm] = Field(default=list(get_args(Algorithm)), min_length=1)
    """Signature algorithms that tokens may have."""
    leeway_seconds: float = Field(default=30, ge=0, le=300)
    """How far the provider's clock may be off."""
    entitlements: list[str] = Field(default=["eduperson_entitlement", "realm_access.roles", "groups"])
    """Claims that hold what users are entitled to; dots lead into objects."""
    roles: dict[str, list[str]] = Field(default_factory=dict)
    """Roles here, with the entitlements of which one is enough, with `*` for any letters."""
    default_roles: list[str] = Field(default_factory=list)
    """Roles that all users of the provider have."""
    required_roles: list[str] = Field(default_factory=list)
    """Roles of which users must have one; others are refused."""
    insecure: bool = False
    """Allow http instead of https also where the provider is not on this machine."""

    @field_validator("scopes")
    @classmethod
    def _check_scopes(cls, scopes: list[str]) -> list[str]:
        if scopes and "openid" not in scopes:
            raise ValueError("scopes have to contain openid")
        return scopes

    @model_validator(mode="after")
    def _check_issuer(self) -> ProviderSettings:
        parts = urlsplit(self.issuer)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("issuer is not an http(s) URL without query")
        if parts.scheme == "http" and not (self.insecure or _is_loopback(parts.hostname)):
            raise ValueError("issuer has no https; in a network that nobody else is in, set insecure")
        return self

    @model_validator(mode="after")
    def _check_parties(self) -> ProviderSettings:
        if not (self.clients or self.audiences or self.default_clients):
            raise ValueError(
                'neither clients nor audiences nor default_clients say whose tokens are accepted; clients = ["*"] '
                "accepts those of all clients of the issuer"
            )
        return self

    @model_validator(mode="after")
    def _check_required_roles(self) -> ProviderSettings:
        given = {*self.roles, *self.default_roles}
        if self.required_roles and not given.intersection(self.required_roles):
            raise ValueError("nobody can have one of required_roles: neither roles nor default_roles name them")
        return self


class AuthSettings(Section):
    basic: bool = False
    """Offer HTTP Basic authentication (users made with `openeo-backend user add`)."""
    token_hours: float = 24
    """How long a token from /credentials/basic is valid."""
    oidc: dict[str, ProviderSettings] = Field(default_factory=dict)
    """OpenID Connect providers by id, the default one first; docs/identity.md tells what can be set."""

    @field_validator("oidc")
    @classmethod
    def _check_ids(cls, providers: dict[str, ProviderSettings]) -> dict[str, ProviderSettings]:
        for id in providers:
            if not _ID.fullmatch(id):
                raise ValueError(f"the id {id} does not have 1 to 20 letters, digits or _")
        issuers = [provider.issuer.rstrip("/") for provider in providers.values()]
        if len(set(issuers)) < len(issuers):
            raise ValueError("two providers have the same issuer")
        return providers


class RoleSettings(Section):
    priority: int = 0
    """Jobs of higher priorities go before others."""
    per_user: int | None = None
    """Running jobs per user, instead of `jobs.per_user`."""
    max_runtime_seconds: float | None = None
    """Longest run of a job, instead of `jobs.max_runtime_seconds`."""
    max_memory_mb: int | None = None
    """Most memory of a job, instead of `jobs.max_memory_mb`."""
    threads: int | None = Field(default=None, ge=1)
    """Threads per evaluation, instead of `compute.threads`."""
    sync_samples: float | None = None
    """Most input samples of a synchronous request, instead of `limits.sync_samples`."""
    sync_slots: int | None = Field(default=None, ge=1)
    """Synchronous requests at the same time, instead of `quotas.sync_slots`."""
    stored_jobs: int | None = Field(default=None, ge=1)
    """Stored jobs, instead of `quotas.jobs`."""
    results_gb: float | None = Field(default=None, gt=0)
    """GB of stored results, instead of `quotas.results_gb`."""


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
