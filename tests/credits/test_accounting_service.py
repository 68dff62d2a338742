"""The accounting service over HTTP: logging in, reporting, asking for balances; and what may go wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from accounting_server import Service

from openeo_backend.jobs.accounting import AccountingError, NoAccounting, open_accounting
from openeo_backend.settings import Settings

REPORT: dict[str, Any] = {"idempotencyKey": "k", "jobId": "j"}

PATH = {"balance_path": "/users/{user}/wallet", "balance_member": "wallet.credits"}


def client_of(service: Service, secret: str = "s3cret&=ü") -> dict[str, Any]:
    return {"token": None, "token_url": f"{service.address}/token", "client_id": "node", "client_secret": secret}


def test_reports_are_answered_with_their_costs(service: Service, settings_for: Callable[..., Settings]) -> None:
    assert open_accounting(settings_for()).report(REPORT) == 8.0
    assert service.posts == [REPORT]


def test_client_credentials_are_used_until_they_end(service: Service, settings_for: Callable[..., Settings]) -> None:
    accounting = open_accounting(settings_for(**client_of(service), scope="usage"))
    for _ in range(3):
        accounting.report(REPORT)
    assert len(service.logins) == 1
    assert service.logins[0] == {
        "grant_type": ["client_credentials"],
        "client_id": ["node"],
        "client_secret": ["s3cret&=ü"],
        "scope": ["usage"],
    }


def test_a_token_that_is_refused_is_replaced(service: Service, settings_for: Callable[..., Settings]) -> None:
    accounting = open_accounting(settings_for(**client_of(service)))
    accounting.report(REPORT)
    service.tokens.clear()
    assert accounting.report(REPORT) == 8.0
    assert len(service.logins) == 2


def test_an_expired_token_is_not_sent(service: Service, settings_for: Callable[..., Settings]) -> None:
    service.lifetime = 0
    accounting = open_accounting(settings_for(**client_of(service)))
    accounting.report(REPORT)
    accounting.report(REPORT)
    assert len(service.logins) == 2


def test_secrets_are_nowhere_to_be_seen(service: Service, settings_for: Callable[..., Settings]) -> None:
    settings = settings_for(**client_of(service, "wr0ng"))
    with pytest.raises(AccountingError, match="no token") as raised:
        open_accounting(settings).report(REPORT)
    assert "wr0ng" not in str(raised.value) + repr(settings) + str(settings.model_dump(mode="json"))


@pytest.mark.parametrize(
    ("mood", "is_away", "words"),
    [
        ("500", True, "status 500"),
        ("503", True, "status 503"),
        ("403", True, "status 403"),
        ("422", False, "status 422.*not now"),
        ("malformed", False, "not JSON.*Thank you"),
        ("odd", False, "not a list of costs.*a lot"),
        ("slow", True, "does not answer|in time"),
    ],
)
def test_failures_are_told_apart(
    service: Service, settings_for: Callable[..., Settings], mood: str, is_away: bool, words: str
) -> None:
    service.moods = [mood]
    with pytest.raises(AccountingError, match=words) as raised:
        open_accounting(settings_for()).report(REPORT)
    assert raised.value.is_away is is_away
    assert len(service.posts) == 1  # nobody repeats it behind our back


def test_balances(service: Service, settings_for: Callable[..., Settings]) -> None:
    service.balances = {"ada%2Fx%40y": 12.5, "bob": "much"}
    accounting = open_accounting(settings_for(**PATH))
    assert accounting.balance("ada/x@y") == 12.5
    with pytest.raises(AccountingError, match="no number"):
        accounting.balance("bob")
    with pytest.raises(AccountingError, match="404"):
        accounting.balance("eve")
    assert open_accounting(settings_for()).balance("ada") is None


def test_without_a_url_there_is_no_service() -> None:
    nobody = open_accounting(Settings())
    assert isinstance(nobody, NoAccounting)
    assert nobody.balance("ada") is None
