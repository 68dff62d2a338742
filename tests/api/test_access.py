"""Who may call what."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from openeo_backend.api.access import is_public

ROOT = "/openeo/1.2"

#: Everything that answers without a user, by path below the API root. A new public view is added here on purpose.
PUBLIC = {
    "/",
    "/.well-known/openeo",
    "/collections",
    "/collections/<collection_id>",
    "/collections/<collection_id>/items",
    "/collections/<collection_id>/items/<path:item_id>",
    "/collections/<collection_id>/queryables",
    "/conformance",
    "/credentials/basic",
    "/credentials/oidc",
    "/file_formats",
    "/health",
    "/processes",
    "/processing_parameters",
    "/service_types",
    "/udf_runtimes",
    "/validation",
}

#: Links that carry their own proof: a signature, or a name that cannot be guessed.
SIGNED = {
    "/public_processes/<name>",
    "/results/<job_id>",
    "/results/<job_id>/<attempt>/items/<item_id>",
    "/results/<job_id>/<attempt>/files/<name>",
}


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def test_only_known_views_are_public(app: Flask) -> None:
    found = {
        rule.rule.removeprefix(ROOT)
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith(ROOT) and is_public(app.view_functions[rule.endpoint])
    }
    assert found == PUBLIC | SIGNED


def test_everything_else_needs_a_user(app: Flask, client: FlaskClient) -> None:
    tried = 0
    for rule in app.url_map.iter_rules():
        if is_public(app.view_functions[rule.endpoint]):
            continue
        path = rule.rule
        for argument in rule.arguments:
            path = path.replace(f"<path:{argument}>", "a").replace(f"<{argument}>", "a")
        for method in (rule.methods or set()) - {"OPTIONS", "HEAD"}:
            response = client.open(path, method=method)
            assert (response.status_code, response.json["code"]) == (401, "AuthenticationRequired"), rule.rule
            assert response.headers["WWW-Authenticate"].startswith("Bearer")
            forged = client.open(path, method=method, headers={"Authorization": "Bearer basic//forged"})
            assert (forged.status_code, forged.json["code"]) == (403, "TokenInvalid"), rule.rule
            tried += 1
    assert tried >= 6


def test_a_forgotten_mark_refuses(backend: Any) -> None:
    from flask import Blueprint

    from openeo_backend.api.app import create_app

    blueprint = Blueprint("forgotten", __name__)
    blueprint.add_url_rule("/forgotten", "view", lambda: "open")
    client = create_app(backend, [blueprint]).test_client()
    assert client.get(f"{ROOT}/forgotten").status_code == 401


def test_a_password_gives_a_token(client: FlaskClient) -> None:
    response = client.get(f"{ROOT}/credentials/basic", headers=basic("ada", "lovelace"))
    token = response.json["access_token"]
    assert response.headers["Cache-Control"] == "no-store"
    assert "/" not in token
    for form in (f"Bearer basic//{token}", f"Bearer {token}", f"bearer  basic//{token} "):
        me = client.get(f"{ROOT}/me", headers={"Authorization": form})
        assert me.json["user_id"] == "ada", form
    assert None not in me.json.values()


@pytest.mark.parametrize(
    ("header", "status", "code"),
    [
        ({}, 401, "AuthenticationRequired"),
        (basic("ada", "byron"), 403, "CredentialsInvalid"),
        (basic("nobody", "lovelace"), 403, "CredentialsInvalid"),
        (basic("ada", ""), 403, "CredentialsInvalid"),
        ({"Authorization": "Basic ???"}, 403, "CredentialsInvalid"),
        ({"Authorization": "Basic " + base64.b64encode(b"ada").decode()}, 403, "CredentialsInvalid"),
        ({"Authorization": "Basic " + base64.b64encode(b"\xff:\xff").decode()}, 403, "CredentialsInvalid"),
        ({"Authorization": "Basic " + base64.b64encode(b"a\x00b:pw").decode()}, 403, "CredentialsInvalid"),
        ({"Authorization": "Bearer basic//x"}, 403, "AuthenticationSchemeInvalid"),
    ],
)
def test_wrong_passwords(client: FlaskClient, header: dict[str, str], status: int, code: str) -> None:
    response = client.get(f"{ROOT}/credentials/basic", headers=header)
    assert (response.status_code, response.json["code"]) == (status, code)


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("Bearer ", "TokenInvalid"),
        ("Bearer", "TokenInvalid"),
        ("Bearer oidc/somewhere/{token}", "TokenInvalid"),
        ("Bearer basic/other/{token}", "TokenInvalid"),
        ("Bearer basic/{token}", "TokenInvalid"),
        ("Bearer basic//{token}x", "TokenInvalid"),
        ("Basic {token}", "AuthenticationSchemeInvalid"),
        ("Digest x", "AuthenticationSchemeInvalid"),
    ],
)
def test_wrong_tokens(client: FlaskClient, login: Any, header: str, code: str) -> None:
    token = login()["Authorization"].removeprefix("Bearer basic//")
    response = client.get(f"{ROOT}/me", headers={"Authorization": header.format(token=token)})
    assert (response.status_code, response.json["code"]) == (403, code)


def test_tokens_end(client: FlaskClient, backend: Any) -> None:
    token = backend.store.tokens.issue("ada", timedelta(seconds=-1))
    response = client.get(f"{ROOT}/me", headers={"Authorization": f"Bearer basic//{token}"})
    assert (response.status_code, response.json["code"]) == (403, "TokenInvalid")


def test_tokens_mean_nothing_where_basic_is_off(client: FlaskClient, backend: Any, login: Any) -> None:
    from openeo_backend.api.app import create_app

    headers = login()
    backend.settings.auth.basic = False
    assert create_app(backend).test_client().get(f"{ROOT}/me", headers=headers).status_code == 403


def test_guessing_is_slowed_down(client: FlaskClient) -> None:
    for _ in range(10):
        assert client.get(f"{ROOT}/credentials/basic", headers=basic("ada", "guess")).status_code == 403
    response = client.get(f"{ROOT}/credentials/basic", headers=basic("ada", "lovelace"))
    assert (response.status_code, response.json["code"]) == (429, "TooManyRequests")
    assert 0 < int(response.headers["Retry-After"]) <= 60
    assert client.get(f"{ROOT}/credentials/basic", headers=basic("bob", "builder")).status_code == 200


def test_wrong_credentials_are_no_anonymous_validation(client: FlaskClient) -> None:
    body = {"process_graph": {}}
    assert client.post(f"{ROOT}/validation", json=body).status_code == 200
    response = client.post(f"{ROOT}/validation", json=body, headers={"Authorization": "Bearer basic//forged"})
    assert response.status_code == 403
