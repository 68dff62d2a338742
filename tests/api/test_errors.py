"""Every failure is an openEO error that browsers may read."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.exc import DatabaseError, DBAPIError, IntegrityError, InterfaceError, InternalError, OperationalError

ROOT = "/openeo/1.2"


def assert_error(response: Any, status: int, code: str) -> None:
    assert response.status_code == status
    assert response.mimetype == "application/json"
    body = response.json
    assert body["code"] == code
    assert isinstance(body["message"], str)
    assert body["links"] == []
    assert body["id"] == response.headers["X-Request-Id"]
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert "OpenEO-Identifier" in response.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize("path", ["/nothing", "/openeo", "/openeo/1.2/nothing", "/openeo/1.3/jobs/a/b/c", "/a b/ü"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_nothing_there(client: FlaskClient, method: str, path: str) -> None:
    assert_error(client.open(path, method=method), 404, "NotFound")


def test_unknown_versions_are_told_apart(client: FlaskClient) -> None:
    response = client.get("/openeo/0.4/collections")
    assert_error(response, 404, "UnsupportedApiVersion")
    assert "1.2, 1.3" in response.json["message"]


@pytest.mark.parametrize(("path", "method"), [("/collections", "POST"), ("/result", "GET"), ("/me", "DELETE")])
def test_wrong_methods(client: FlaskClient, path: str, method: str) -> None:
    response = client.open(ROOT + path, method=method)
    assert_error(response, 405, "MethodNotAllowed")
    assert "POST" in response.headers["Allow"] or "GET" in response.headers["Allow"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "no body"),
        (b"{", "line 1, column 2"),
        (b"[1]", "an array"),
        (b"null", "null"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": 1e999}', "too large"),
        (b'{"n": {"a": 1, "a": 2}}', "'a' twice"),
        (b'{"a": "\xff"}', "UTF-8"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"a": "\\u0000"}', "NUL"),
        (b'{"a":' * 100_000, "deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "JSON"),
    ],
)
def test_bodies_that_are_no_json_object(client: FlaskClient, login: Any, body: bytes, words: str) -> None:
    for path in ("/validation", "/result"):
        response = client.post(ROOT + path, data=body, content_type="application/json", headers=login())
        assert_error(response, 400, "RequestInvalid")
        assert words in response.json["message"]


def test_a_byte_order_mark_does_no_harm(client: FlaskClient) -> None:
    response = client.post(f"{ROOT}/validation", data=b"\xef\xbb\xbf{}", content_type="application/json")
    assert response.status_code == 200


def test_other_media_types(client: FlaskClient) -> None:
    response = client.post(f"{ROOT}/validation", data=b"{}", content_type="text/xml")
    assert_error(response, 400, "ContentTypeInvalid")


def test_bodies_above_the_limit(client: FlaskClient, backend: Any, app: Flask) -> None:
    app.config["MAX_CONTENT_LENGTH"] = 1000
    response = client.post(f"{ROOT}/validation", data=b'{"a": "' + b"x" * 2000, content_type="application/json")
    assert_error(response, 413, "RequestTooLarge")


def test_the_limit_comes_from_the_settings(app: Flask, backend: Any) -> None:
    assert app.config["MAX_CONTENT_LENGTH"] == backend.settings.server.body_limit_mb * 1_000_000


def test_internal_failures_tell_only_an_id(client: FlaskClient, backend: Any, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> None:
        raise ZeroDivisionError("secret detail")

    backend.processes.listed = broken
    response = client.get(f"{ROOT}/processes")
    assert_error(response, 500, "Internal")
    assert "secret" not in response.text
    assert response.json["id"] in response.json["message"]
    assert any("secret detail" in str(record.exc_info) for record in caplog.records)


@pytest.mark.parametrize("kind", [OperationalError, InternalError, InterfaceError, DatabaseError])
def test_a_database_that_is_away_is_told_as_such(
    client: FlaskClient, backend: Any, kind: type[DBAPIError], caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise kind("SELECT secret", {}, Exception("the database is read only"))

    backend.processes.listed = broken
    response = client.get(f"{ROOT}/processes")
    assert_error(response, 503, "InfrastructureBusy")
    assert response.headers["Retry-After"] == "2"
    assert "secret" not in response.text
    assert "the database is read only" in caplog.text


def test_what_the_database_refuses_is_a_mistake_of_ours(client: FlaskClient, backend: Any) -> None:
    def broken() -> None:
        raise IntegrityError("INSERT", {}, Exception("a value is there already"))

    backend.processes.listed = broken
    assert_error(client.get(f"{ROOT}/processes"), 500, "Internal")


def test_errors_are_in_the_operators_log(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="openeo_backend")
    client.get(f"{ROOT}/collections/NONE")
    assert any("CollectionNotFound" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("path", ["/result", "/jobs/x/results", "/collections", "/", "/nothing/at/all"])
def test_preflights_need_no_user(client: FlaskClient, path: str) -> None:
    headers = {
        "Origin": "https://editor.openeo.org",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type",
        "Access-Control-Request-Private-Network": "true",
    }
    response = client.options(ROOT + path, headers=headers)
    assert response.status_code == 204
    assert response.data == b""
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert {"Authorization", "Content-Type", "Range"} <= set(
        response.headers["Access-Control-Allow-Headers"].split(", ")
    )
    allowed = set(response.headers["Access-Control-Allow-Methods"].split(", "))
    assert allowed == {"OPTIONS", "GET", "HEAD", "POST", "PATCH", "PUT", "DELETE"}
    exposed = set(response.headers["Access-Control-Expose-Headers"].split(", "))
    assert {"Location", "OpenEO-Identifier", "OpenEO-Costs", "Link", "Content-Range", "Accept-Ranges"} <= exposed
    assert response.headers["Access-Control-Max-Age"] == "600"
    assert response.headers["Access-Control-Allow-Private-Network"] == "true"


def test_double_slashes_are_one(client: FlaskClient) -> None:
    assert client.get("/openeo/1.2//collections//FIELDS").status_code == 200
    assert client.post(f"{ROOT}//validation", json={}).status_code == 200
