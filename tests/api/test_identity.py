"""OpenID Connect as HTTP shows it: the providers, tokens, errors, and what roles change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from flask.testing import FlaskClient
from token_issuer import CLIENT, TokenIssuer, issuing

from openeo_backend.api.app import create_app
from openeo_backend.auth.oidc import user_id
from openeo_backend.sections.identity import AuthSettings, ClientSettings, ProviderSettings, RoleSettings

ROOT = "/openeo/1.2"
CDSE = "https://identity.dataspace.copernicus.eu/auth/realms/CDSE"
JWT = "https://api.openeo.org/1.3.0/authentication/jwt"

Get = Callable[..., Any]


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture
def issuer(key: rsa.RSAPrivateKey) -> Iterator[TokenIssuer]:
    with issuing(key) as issuer:
        yield issuer


@pytest.fixture
def open_client(backend: Any) -> Callable[..., FlaskClient]:
    """A client of the back-end with providers and roles."""

    def open_client(roles: dict[str, RoleSettings] | None = None, **providers: ProviderSettings) -> FlaskClient:
        backend.settings.auth = AuthSettings(basic=True, oidc=providers)
        backend.settings.roles = roles or {}
        return create_app(backend).test_client()

    return open_client


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_providers_are_listed_as_clients_need_them(
    open_client: Any, issuer: TokenIssuer, problems: Callable[[str, Any], list[str]]
) -> None:
    first = ProviderSettings(
        issuer="https://aai.example/realms/a/",
        title="A",
        description="Log in.",
        scopes=["openid", "eduperson_entitlement"],
        default_clients=[ClientSettings(id="web")],
        links=[{"href": "https://aai.example/register", "title": "Register"}],  # type: ignore[list-item]
        authorization_parameters={"kc_idp_hint": "x"},
    )
    client = open_client(first=first, test=ProviderSettings(issuer=issuer.url, clients=[CLIENT]))
    paths = {entry["path"] for entry in client.get(f"{ROOT}/").json["endpoints"]}
    assert {"/credentials/oidc", "/credentials/basic"} <= paths
    response = client.get(f"{ROOT}/credentials/oidc")
    schema = "#/paths/~1credentials~1oidc/get/responses/200/content/application~1json/schema"
    assert problems(schema, response.json) == []
    listed, other = response.json["providers"]
    assert (listed["id"], listed["issuer"], listed["title"]) == ("first", "https://aai.example/realms/a", "A")
    assert listed["default_clients"][0]["grant_types"] == [
        "authorization_code+pkce",
        "urn:ietf:params:oauth:grant-type:device_code+pkce",
        "refresh_token",
    ]
    assert "https://editor.openeo.org" in listed["default_clients"][0]["redirect_urls"]
    assert listed["authorization_parameters"] == {"kc_idp_hint": "x"}
    assert other["title"] == "test"  # the Aggregator drops back-ends whose providers have no title
    assert issuer.asked == []


def test_a_demo_lists_the_issuer_of_the_federation(backend: Any) -> None:
    backend.settings.demo.enabled = True
    client = create_app(backend).test_client()
    (provider,) = client.get(f"{ROOT}/credentials/oidc").json["providers"]
    assert (provider["issuer"], provider["default_clients"][0]["id"][:3]) == (CDSE, "sh-")
    assert client.get(f"{ROOT}/me", headers=bearer("oidc/CDSE/e30.e30.e30")).status_code == 403
    own = ProviderSettings(issuer=CDSE, clients=["mine"])
    backend.settings.auth.oidc = {"own": own}
    client = create_app(backend).test_client()
    assert [entry["id"] for entry in client.get(f"{ROOT}/credentials/oidc").json["providers"]] == ["own"]


def test_plain_tokens_are_announced_by_1_3_only(open_client: Any, issuer: TokenIssuer) -> None:
    client = open_client(test=ProviderSettings(issuer=issuer.url, clients=[CLIENT]))
    for version, listed in (("1.2", False), ("1.3", True)):
        root = f"/openeo/{version}"
        assert (JWT in client.get(f"{root}/conformance").json["conformsTo"]) == listed
        for token in (issuer.token(), f"oidc/test/{issuer.token()}"):
            assert client.get(f"{root}/me", headers=bearer(token)).json["user_id"] == "u-1"
    assert JWT not in open_client().get("/openeo/1.3/conformance").json["conformsTo"]


@pytest.mark.parametrize(
    ("header", "status", "code"),
    [
        (None, 401, "AuthenticationRequired"),
        ("", 401, "AuthenticationRequired"),
        ("Bearer oidc/test/{expired}", 403, "TokenInvalid"),
        ("Bearer oidc/test/{misdirected}", 403, "TokenInvalid"),
        ("Bearer oidc/unknown/{sound}", 403, "TokenInvalid"),
        ("Bearer oidc//{sound}", 403, "TokenInvalid"),
        ("Bearer oidc/{sound}", 403, "TokenInvalid"),
        ("Bearer saml/test/{sound}", 403, "TokenInvalid"),
        ("Bearer basic/test/{sound}", 403, "TokenInvalid"),
        ("Bearer basic//{sound}", 403, "TokenInvalid"),
        ("Bearer oidc/test/", 403, "TokenInvalid"),
        ("Bearer nonsense", 403, "TokenInvalid"),
        ("Basic {sound}", 403, "AuthenticationSchemeInvalid"),
        ("Bearer oidc/test/{sound}", 200, None),
        ("bearer {sound}", 200, None),
    ],
)
def test_headers_and_their_answers(
    open_client: Any, issuer: TokenIssuer, header: str | None, status: int, code: str | None
) -> None:
    client = open_client(test=ProviderSettings(issuer=issuer.url, clients=[CLIENT]))
    tokens = {"sound": issuer.token(), "expired": issuer.token(exp=1), "misdirected": issuer.token(azp="other")}
    headers = {} if header is None else {"Authorization": header.format(**tokens)}
    response = client.get(f"{ROOT}/me", headers=headers)
    assert (response.status_code, response.json.get("code")) == (status, code)
    assert ("WWW-Authenticate" in response.headers) == (status == 401)


def test_me_is_the_providers_subject(
    open_client: Any, issuer: TokenIssuer, problems: Callable[[str, Any], list[str]]
) -> None:
    client = open_client(test=ProviderSettings(issuer=issuer.url, clients=[CLIENT], default_roles=["guest"]))
    me = client.get(f"{ROOT}/me", headers=bearer(issuer.token(name="Ada"))).json
    assert (me["user_id"], me["name"], me["roles"]) == ("u-1", "Ada", ["guest"])
    assert (me["sub"], me["iss"]) == ("u-1", issuer.url)
    odd = client.get(f"{ROOT}/me", headers=bearer(issuer.token(sub="0a1b@egi.eu"))).json
    assert (odd["user_id"], odd["sub"]) == (user_id(issuer.url, "0a1b@egi.eu"), "0a1b@egi.eu")
    schema = "#/paths/~1me/get/responses/200/content/application~1json/schema"
    assert problems(schema, me) == problems(schema, odd) == []


def test_no_account_of_this_back_end_is_the_user_of_a_provider(
    open_client: Any, issuer: TokenIssuer, login: Any
) -> None:
    client = open_client(test=ProviderSettings(issuer=issuer.url, clients=[CLIENT]))
    graph = {"process_graph": {"a": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}}
    ada = bearer(f"oidc/test/{issuer.token(sub='ada')}")
    assert client.post(f"{ROOT}/jobs", headers=ada, json={"process": graph}).status_code == 201
    assert len(client.get(f"{ROOT}/jobs", headers=ada).json["jobs"]) == 1
    assert client.get(f"{ROOT}/jobs", headers=login("ada")).json["jobs"] == []


def test_who_lacks_a_role_is_refused_everywhere(open_client: Any, issuer: TokenIssuer) -> None:
    provider = ProviderSettings(
        issuer=issuer.url, clients=[CLIENT], roles={"member": ["openeo"]}, required_roles=["member"]
    )
    client = open_client(test=provider)
    for method, path in (("GET", "/me"), ("GET", "/jobs"), ("POST", "/jobs"), ("POST", "/result")):
        response = client.open(f"{ROOT}{path}", method=method, headers=bearer(issuer.token(groups=["x"])), json={})
        assert (response.status_code, response.json["code"]) == (403, "PermissionsInsufficient")
        assert "'member'" in response.json["message"]
    assert client.get(f"{ROOT}/me", headers=bearer(issuer.token(groups=["openeo"]))).json["roles"] == ["member"]


def test_roles_of_a_provider_have_limits(open_client: Any, issuer: TokenIssuer, backend: Any, graph: Any) -> None:
    provider = ProviderSettings(issuer=issuer.url, clients=[CLIENT], roles={"large": ["/large"]})
    client = open_client(test=provider, roles={"large": RoleSettings(sync_samples=7e9, threads=3)})
    seen: list[tuple[float, int | None]] = []
    run = backend.runner

    def noting(request: Any, *others: Any) -> Any:
        seen.append((request.limit_samples, request.threads))
        return run(request, *others)

    backend.runner = noting
    for groups in (["/large"], ["/small"]):
        token = issuer.token(groups=groups)
        assert client.post(f"{ROOT}/result", headers=bearer(token), json={"process": graph}).status_code == 200
    assert seen == [(7e9, 3), (1e9, None)]


def test_a_provider_that_is_away_is_named_and_others_work(
    open_client: Any, issuer: TokenIssuer, login: Any, key: rsa.RSAPrivateKey
) -> None:
    with issuing(key) as gone:
        pass
    providers = {"test": issuer.url, "gone": gone.url}
    client = open_client(**{id: ProviderSettings(issuer=url, clients=[CLIENT]) for id, url in providers.items()})
    response = client.get(f"{ROOT}/me", headers=bearer(f"oidc/gone/{gone.token()}"))
    assert (response.status_code, response.json["code"]) == (503, "InfrastructureBusy")
    assert "'gone'" in response.json["message"]
    assert int(response.headers["Retry-After"]) > 0
    for header in (bearer(f"oidc/test/{issuer.token()}"), login("ada")):
        assert client.get(f"{ROOT}/me", headers=header).status_code == 200
    assert client.get(f"{ROOT}/credentials/oidc").status_code == 200


def test_basic_authentication_is_off_unless_set() -> None:
    assert AuthSettings().basic is False
