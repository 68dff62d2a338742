"""OpenID Connect: from the access tokens of several providers to users."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from openeo_backend.auth import jwt
from openeo_backend.auth.entitlements import name_of, roles_of
from openeo_backend.auth.issuer import Issuer, Recent
from openeo_backend.auth.jwt import PublishedKey, Unverified, refuse
from openeo_backend.auth.user import User
from openeo_backend.errors import OpenEOError
from openeo_backend.net.door import Door
from openeo_backend.sections.identity import ClientSettings, LinkSettings, ProviderSettings
from openeo_backend.settings import Settings

#: Seconds for which an answer of a userinfo endpoint counts.
KNOWN = 60

#: Seconds for which a token that a userinfo endpoint refused is refused without asking.
REFUSED = 30

#: Most tokens of either kind that are remembered per provider.
MOST = 10_000

#: What tokens are made of (RFC 6750).
_OPAQUE = re.compile(r"[A-Za-z0-9\-._~+/]+=*")

#: The issuer of the Copernicus Data Space Ecosystem, which a demo lists: whoever has an account there has one here.
CDSE = ProviderSettings(
    issuer="https://identity.dataspace.copernicus.eu/auth/realms/CDSE",
    title="Copernicus Data Space Ecosystem",
    description="Log in with an account of the Copernicus Data Space Ecosystem.",
    scopes=["openid", "profile", "email"],
    default_clients=[ClientSettings(id="sh-b1c3a958-52d4-40fe-a333-153595d1c71e")],
    clients=["sh-*", "cdse-public"],
    links=[
        LinkSettings(href="https://dataspace.copernicus.eu", type="text/html", title="Register and manage accounts")
    ],
)


def providers_of(settings: Settings) -> dict[str, ProviderSettings]:
    """The providers by id, the default one first."""
    providers = dict(settings.auth.oidc)
    if settings.demo.enabled and all(other.issuer.rstrip("/") != CDSE.issuer for other in providers.values()):
        providers.setdefault("CDSE", CDSE)
    return providers


def describe(id: str, provider: ProviderSettings) -> dict[str, Any]:
    """A provider as /credentials/oidc lists it."""
    document: dict[str, Any] = {
        "id": id,
        "issuer": provider.issuer.rstrip("/"),
        "title": provider.title or id,
        "scopes": provider.scopes,
        "default_clients": [client.model_dump() for client in provider.default_clients],
        "links": [link.model_dump(exclude_none=True) for link in provider.links],
    }
    if provider.description:
        document["description"] = provider.description
    if provider.authorization_parameters:
        document["authorization_parameters"] = provider.authorization_parameters
    return document


def user_id(issuer: str, subject: str) -> str:
    """The id of a user here: no other issuer's user has it, and no account of this back-end (they have no `~`)."""
    digest = hashlib.sha256("\n".join((issuer.rstrip("/"), subject)).encode())
    return f"oidc~{digest.hexdigest()[:40]}"


class Provider:
    """Checks the tokens of one provider.

    :param clock: seconds since the epoch.
    """

    def __init__(
        self, id: str, settings: ProviderSettings, issuer: Issuer, clock: Callable[[], float] = time.time
    ) -> None:
        self.settings = settings
        self._id = id
        self._issuer = issuer
        self._clock = clock
        self._known: Recent[Mapping[str, Any]] = Recent(MOST, clock)
        self._refused: Recent[bool] = Recent(MOST, clock)

    def user(self, token: str) -> User:
        """Whom a token belongs to.

        :raises OpenEOError: TokenInvalid; PermissionsInsufficient for who has no role that is needed;
            InfrastructureBusy when the provider has to be asked and does not answer.
        """
        if jwt.looks_like_jwt(token):
            return self.user_of_jwt(jwt.read(token))
        if self.settings.userinfo == "never":
            raise refuse(f"Tokens of the provider '{self._id}' have to be JWTs.")
        return self._admit(self._userinfo(token, KNOWN))

    def user_of_jwt(self, token: Unverified) -> User:
        """As :meth:`user`, for a token that was read already."""
        if token.issuer != self.settings.issuer.rstrip("/"):
            raise refuse(f"The token was not issued by the provider '{self._id}' but by {_shown(token)}.")
        algorithm = jwt.check_algorithm(token, self.settings.algorithms)

        def candidates(keys: list[PublishedKey]) -> list[PublishedKey]:
            return jwt.candidates(token, algorithm, keys)

        # Before the keys are asked for: who sends what is void anyway causes no request to the provider.
        jwt.check_claims(token.claims, self.settings, self._clock())
        # A key under the same id that did not sign it may be a mistake of the provider, which it mends.
        keys = candidates(self._issuer.keys(lambda keys: jwt.is_signed(token, algorithm, candidates(keys))))
        if not jwt.is_signed(token, algorithm, keys):
            reason = "is not what its key would make" if keys else "was made with a key that the provider does not have"
            raise refuse(f"The signature of the token {reason}.")
        if self.settings.userinfo != "always":
            return self._admit(token.claims)
        info = self._userinfo(token.text, min(KNOWN, token.claims["exp"] - self._clock()))
        if info["sub"] != token.claims["sub"]:
            raise refuse("The provider says that the token belongs to somebody else.")
        return self._admit(token.claims, info)

    def _userinfo(self, token: str, seconds: float) -> Mapping[str, Any]:
        if len(token) > jwt.LONGEST or not _OPAQUE.fullmatch(token):
            raise refuse("The token cannot be read.")
        digest = hashlib.sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known is not None:
            return known
        found = None if self._refused.get(digest) else self._issuer.userinfo(token)
        if found is None:
            self._refused.put(digest, True, REFUSED)
            raise refuse(f"The provider '{self._id}' does not accept the token, or no longer.")
        expires = found.get("exp")
        if isinstance(expires, int | float):
            seconds = min(seconds, expires - self._clock())
        self._known.put(digest, found, seconds)
        return found

    def _admit(self, *claims: Mapping[str, Any]) -> User:
        """The user that claims describe, if they have what the settings ask for."""
        settings, subject = self.settings, str(claims[0]["sub"])
        issuer = settings.issuer.rstrip("/")
        roles = frozenset(settings.default_roles).union(
            *(roles_of(part, settings.entitlements, settings.roles) for part in claims)
        )
        if settings.required_roles and not roles.intersection(settings.required_roles):
            needed = " or ".join(f"'{role}'" for role in settings.required_roles)
            raise OpenEOError(
                "PermissionsInsufficient",
                f"The account at the provider '{self._id}' does not have the role {needed}, which is needed here.",
                hint="Ask for it where the account comes from, then log in again.",
            )
        name = next((name for part in reversed(claims) if (name := name_of(part))), subject)
        return User(user_id(issuer, subject), name, roles, issuer, subject)


class Oidc:
    """Checks the tokens of all providers."""

    def __init__(self, providers: Mapping[str, Provider]) -> None:
        self._providers = providers

    @classmethod
    def of(cls, settings: Settings) -> Oidc:
        """The providers that the settings name; none of them is contacted before one of its tokens comes."""
        providers = providers_of(settings)
        door = Door(settings.net, tuple(provider.issuer for provider in providers.values()))
        return cls(
            {id: Provider(id, provider, Issuer(id, provider.issuer, door)) for id, provider in providers.items()}
        )

    def __call__(self, id: str | None, token: str) -> User | None:
        """Whom a token of a provider belongs to.

        :param id: the provider; None for a bare token, which has to be a JWT unless there is only one provider.
        :raises OpenEOError: as :meth:`Provider.user`.
        """
        if id is not None:
            if id not in self._providers:
                offered = ", ".join(self._providers)
                raise refuse(f"There is no identity provider '{id[:20]}' here.", hint=f"Providers: {offered}.")
            return self._providers[id].user(token)
        if not jwt.looks_like_jwt(token):
            return next(iter(self._providers.values())).user(token) if len(self._providers) == 1 else None
        read = jwt.read(token)
        for provider in self._providers.values():
            if provider.settings.issuer.rstrip("/") == read.issuer:
                return provider.user_of_jwt(read)
        raise refuse(f"The token was issued by {_shown(read)}, whose tokens are not accepted here.")


def _shown(token: Unverified) -> str:
    return f"'{token.issuer[:100]}'" if token.issuer else "nobody (it has no claim iss)"
