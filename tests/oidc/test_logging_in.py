"""The openEO client logs in at real providers, in every way that it has, and works at the back-end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openeo
import pytest
import requests
from loopback import ROLE, log_in
from openeo.rest import OpenEoApiError
from openeo.rest.auth import oidc
from openeo.rest.auth.oidc import OidcAuthCodePkceAuthenticator, OidcClientInfo, OidcProviderInfo

from openeo_backend.auth.oidc import user_id
from openeo_backend.backend import Backend
from openeo_backend.jobs.worker import Worker
from openeo_backend.run.request import Outcome

Serving = Callable[..., tuple[Backend, str]]
Person = Callable[[str], Callable[[str], None]]

#: The client leaves the socket open to which browsers are sent back.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

KINDS = ("opaque", "jwt")
SUM = {"add": {"process_id": "add", "arguments": {"x": 3, "y": 5}, "result": True}}


def tokens_of(url: str, kind: str, name: str) -> Any:
    """The tokens of somebody, fetched as the client does."""
    listed = openeo.connect(url).list_auth_providers()
    own = next(entry for entry in listed if entry["id"] == kind)
    client = OidcClientInfo("openeo-public", OidcProviderInfo.from_dict(own))
    return OidcAuthCodePkceAuthenticator(client, webbrowser_open=lambda link: log_in(link, name)).get_tokens()


@pytest.mark.parametrize("kind", KINDS)
def test_device_flow_with_pkce_and_refresh_tokens(
    serving: Serving, issuers: dict[str, str], person: Person, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, url = serving(**issuers)
    challenged = []
    connection = openeo.connect(url)

    class Noted(oidc.PkceCode):
        def __init__(self) -> None:
            super().__init__()
            challenged.append(self.code_challenge)

    monkeypatch.setattr(oidc, "PkceCode", Noted)
    connection.authenticate_oidc_device(provider_id=kind, store_refresh_token=True, display=person("ada"))
    me = connection.describe_account()
    assert (me["user_id"], me["sub"], me["iss"]) == ("ada", "ada", issuers[kind])
    assert me["name"] in ("ada", "ada of loopback")
    assert me["roles"] == [ROLE]
    assert len(challenged) == 1
    again = openeo.connect(url).authenticate_oidc_refresh_token(provider_id=kind)
    assert again.describe_account()["user_id"] == "ada"
    by_itself = openeo.connect(url).authenticate_oidc(provider_id=kind, display=_nobody)
    assert by_itself.describe_account()["user_id"] == "ada"


def _nobody(text: str) -> None:
    raise AssertionError(f"nobody is there to read: {text}")


@pytest.mark.parametrize("kind", KINDS)
def test_authorization_code_with_pkce(serving: Serving, issuers: dict[str, str], kind: str) -> None:
    _, url = serving(**issuers)
    connection = openeo.connect(url)
    connection.authenticate_oidc_authorization_code(
        provider_id=kind, webbrowser_open=lambda link: log_in(link, "ada-l")
    )
    assert connection.describe_account()["user_id"] == "ada-l"


@pytest.mark.parametrize("kind", KINDS)
def test_client_credentials(serving: Serving, issuers: dict[str, str], kind: str) -> None:
    _, url = serving(**issuers)
    connection = openeo.connect(url)
    secret = "secret-of-a-test"
    connection.authenticate_oidc_client_credentials("ada-robot", secret, provider_id=kind)
    assert connection.describe_account()["user_id"] == "ada-robot"
    connection.authenticate_oidc_client_credentials("another-app", secret, provider_id=kind)
    with pytest.raises(OpenEoApiError) as caught:
        connection.describe_account()
    # Which client an opaque token was issued to, the userinfo endpoint does not tell; that it has no role it does.
    expected = {"jwt": "TokenInvalid", "opaque": "PermissionsInsufficient"}
    assert (caught.value.http_status_code, caught.value.code) == (403, expected[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_who_is_entitled_to_nothing_is_told_what_is_missing(
    serving: Serving, issuers: dict[str, str], person: Person, kind: str
) -> None:
    _, url = serving(**issuers)
    connection = openeo.connect(url)
    connection.authenticate_oidc_device(provider_id=kind, display=person("bob"))
    with pytest.raises(OpenEoApiError, match=f"does not have the role '{ROLE}'") as caught:
        connection.list_jobs()
    assert (caught.value.http_status_code, caught.value.code) == (403, "PermissionsInsufficient")


def test_plain_tokens_as_api_1_3_has_them(serving: Serving, issuers: dict[str, str]) -> None:
    _, url = serving(**issuers)
    tokens = tokens_of(url, "jwt", "ada")
    for version, is_announced in (("1.2", False), ("1.3", True)):
        root = f"{url}/openeo/{version}"
        classes = requests.get(f"{root}/conformance").json()["conformsTo"]
        assert ("https://api.openeo.org/1.3.0/authentication/jwt" in classes) == is_announced
        me = requests.get(f"{root}/me", headers={"Authorization": f"Bearer {tokens.access_token}"})
        assert (me.status_code, me.json()["user_id"]) == (200, "ada")
    id_token = openeo.connect(url).authenticate_bearer_token(f"oidc/jwt/{tokens.id_token}")
    with pytest.raises(OpenEoApiError, match="TokenInvalid"):
        id_token.describe_account()


def test_the_same_name_at_two_providers_is_two_users(serving: Serving, issuers: dict[str, str]) -> None:
    _, url = serving(**issuers)
    opaque, jwt = (
        openeo.connect(url).authenticate_bearer_token(f"oidc/{kind}/{tokens_of(url, kind, 'ada').access_token}")
        for kind in KINDS
    )
    assert opaque.describe_account()["user_id"] == jwt.describe_account()["user_id"] == "ada"
    job = opaque.create_job(SUM, validate=False)
    assert [entry["id"] for entry in opaque.list_jobs()] == [job.job_id]
    assert jwt.list_jobs() == []
    with pytest.raises(OpenEoApiError, match="JobNotFound"):
        jwt.job(job.job_id).describe()


def test_a_queued_job_needs_no_token_and_no_provider(
    serving: Serving, stoppable: Callable[[str], Any], person: Person
) -> None:
    with stoppable("opaque") as issuer:
        backend, url = serving(gone=issuer)
        connection = openeo.connect(url)
        connection.authenticate_oidc_device(display=person("ada"))
        job = connection.create_job(SUM, validate=False)
        job.start()
    assert Worker(
        backend.store, backend.objects, lambda *_: Outcome(value=8, has_value=True), backend.settings
    ).run_once()
    owner = user_id(issuer, "ada")
    assert backend.store.jobs.get(owner, job.job_id).status == "finished"
    answer = requests.get(f"{url}/openeo/1.2/jobs", headers={"Authorization": "Bearer oidc/gone/another-token"})
    assert (answer.status_code, answer.json()["code"]) == (503, "InfrastructureBusy")
    assert issuer in answer.json()["message"]
    assert int(answer.headers["Retry-After"]) > 0
