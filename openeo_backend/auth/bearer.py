"""From an Authorization header to a User.

Bearer tokens come as `METHOD/PROVIDER/TOKEN` (`basic//TOKEN`, `oidc/ID/TOKEN`) or plain. What checks the tokens of a
method is handed in, one function per method: a further method is one more entry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from openeo_backend.auth.oidc import Oidc, providers_of
from openeo_backend.auth.user import User
from openeo_backend.errors import OpenEOError
from openeo_backend.settings import Settings
from openeo_backend.store.store import Store
from openeo_backend.store.users import Account

#: `verify(provider, token) -> User | None`; None for a token that is not (or no longer) valid, or an OpenEOError that
#: says more. The provider is None for bare tokens: each method tells by None that one may be another's.
Verify = Callable[[str | None, str], User | None]

_LOGIN = "Log in again for a new token."


def offers_basic(settings: Settings) -> bool:
    """Whether people can log in with a name and a password."""
    return settings.auth.basic or settings.demo.enabled


def offers_oidc(settings: Settings) -> bool:
    """Whether people can log in at an OpenID Connect provider."""
    return bool(providers_of(settings))


def user_of(account: Account) -> User:
    """The user that an account stands for."""
    return User(account.id, account.id, account.roles)


class Authenticator:
    """Checks Authorization headers against the methods that are offered."""

    def __init__(self, methods: Mapping[str, Verify]) -> None:
        self._methods = methods

    @classmethod
    def of(cls, settings: Settings, store: Store) -> Authenticator:
        """The methods that the settings offer."""
        methods: dict[str, Verify] = {}
        if offers_basic(settings):

            def basic(provider: str | None, token: str) -> User | None:
                account = store.tokens.account(token) if not provider else None
                return user_of(account) if account else None

            methods["basic"] = basic
        if offers_oidc(settings):
            methods["oidc"] = Oidc.of(settings)
        return cls(methods)

    def __call__(self, header: str | None) -> User:
        """The user that a header proves.

        :raises OpenEOError: AuthenticationRequired without one; AuthenticationSchemeInvalid for another scheme than
            Bearer; TokenInvalid; and what the methods raise.
        """
        if not header or not header.strip():
            raise OpenEOError(
                "AuthenticationRequired",
                "This needs a user.",
                hint="Log in, and send the token in the header 'Authorization: Bearer ...'.",
            )
        scheme, _, credentials = header.strip().partition(" ")
        if scheme.lower() != "bearer":
            raise OpenEOError(
                "AuthenticationSchemeInvalid",
                f"The authentication scheme '{scheme[:20]}' is not accepted here.",
                hint="Send a Bearer token; HTTP Basic is only for /credentials/basic.",
            )
        user = self._verify(credentials.strip())
        if user is None:
            raise OpenEOError("TokenInvalid", "The token is not valid, or no longer.", hint=_LOGIN)
        return user

    def _verify(self, credentials: str) -> User | None:
        parts = credentials.split("/", 2)
        if len(parts) == 1:
            found = (verify(None, credentials) for verify in self._methods.values())
            return next((user for user in found if user is not None), None)
        if len(parts) < 3 or parts[0] not in self._methods:
            offered = ", ".join(f"{method}/PROVIDER/TOKEN" for method in self._methods) or "none yet"
            raise OpenEOError(
                "TokenInvalid",
                "The token does not have one of the forms that are accepted here.",
                hint=f"Accepted: {offered.replace('basic/PROVIDER', 'basic/')}.",
            )
        method, provider, token = parts
        return self._methods[method](provider, token)
