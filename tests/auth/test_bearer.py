"""Authorization headers."""

from __future__ import annotations

import pytest

from openeo_backend.auth.bearer import Authenticator
from openeo_backend.auth.user import User
from openeo_backend.errors import OpenEOError

ADA, EVE = User("ada", "ada"), User("eve", "Eve", frozenset({"admin"}))


@pytest.fixture
def authenticate() -> Authenticator:
    return Authenticator(
        {
            "basic": lambda provider, token: ADA if not provider and token == "T" else None,
            "oidc": lambda provider, token: EVE if (provider, token) == ("egi", "a.b/c") else None,
        }
    )


@pytest.mark.parametrize(
    ("header", "user"), [("Bearer basic//T", ADA), ("Bearer T", ADA), ("Bearer oidc/egi/a.b/c", EVE)]
)
def test_every_form(authenticate: Authenticator, header: str, user: User) -> None:
    assert authenticate(header) is user


@pytest.mark.parametrize("header", ["Bearer oidc/other/a.b/c", "Bearer basic/egi/T", "Bearer saml/x/T", "Bearer U"])
def test_others_are_refused(authenticate: Authenticator, header: str) -> None:
    with pytest.raises(OpenEOError, match="TokenInvalid"):
        authenticate(header)


def test_without_methods_nobody_gets_in() -> None:
    with pytest.raises(OpenEOError, match="TokenInvalid"):
        Authenticator({})("Bearer T")
