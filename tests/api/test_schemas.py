"""Answers against the schemas of the official API document."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

ROOT = "/openeo/1.2"

#: Violations of the schema at a pointer into the API document.
Problems = Callable[[str, Any], list[str]]


def response_of(path: str, method: str = "get", media_type: str = "application/json") -> str:
    """Where the API document describes an answer."""
    tokens = [path.replace("/", "~1"), method, "responses", "200", "content", media_type.replace("/", "~1"), "schema"]
    return "#/paths/" + "/".join(tokens)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/.well-known/openeo",
        "/conformance",
        "/collections",
        "/collections/{collection_id}",
        "/processes",
        "/file_formats",
        "/service_types",
        "/udf_runtimes",
        "/me",
    ],
)
def test_documents(client: FlaskClient, login: Any, problems: Problems, path: str) -> None:
    response = client.get(ROOT + path.format(collection_id="FIELDS"), headers=login())
    assert response.status_code == 200
    assert problems(response_of(path), response.json) == []


def test_queryables(client: FlaskClient, problems: Problems) -> None:
    path, media_type = "/collections/{collection_id}/queryables", "application/schema+json"
    response = client.get(f"{ROOT}/collections/FIELDS/queryables")
    assert problems(response_of(path, media_type=media_type), response.json) == []


def test_tokens(client: FlaskClient, problems: Problems) -> None:
    response = client.get(f"{ROOT}/credentials/basic", auth=("ada", "lovelace"))
    assert problems(response_of("/credentials/basic"), response.json) == []


@pytest.mark.parametrize("process_id", ["add", "no_such_thing"])
def test_validation(client: FlaskClient, problems: Problems, process_id: str) -> None:
    node = {"process_id": process_id, "arguments": {"x": 1, "y": 2}, "result": True}
    response = client.post(f"{ROOT}/validation", json={"process_graph": {"node": node}})
    assert problems(response_of("/validation", "post"), response.json) == []


def test_logs(client: FlaskClient, login: Any, graph: Any, problems: Problems) -> None:
    headers = login()
    response = client.post(f"{ROOT}/result", json={"process": graph}, headers=headers)
    log = client.get(response.headers["Link"].split(">")[0].strip("<"), headers=headers)
    assert log.json["logs"]
    assert problems("#/components/responses/logs/content/application~1json/schema", log.json) == []


@pytest.mark.parametrize("path", ["/nothing", "/me", "/collections/NONE"])
def test_errors(client: FlaskClient, problems: Problems, path: str) -> None:
    assert problems("#/components/schemas/error", client.get(ROOT + path).json) == []


def test_all_listed_endpoints_are_official_or_an_extension(client: FlaskClient, openapi: dict[str, Any]) -> None:
    for entry in client.get(f"{ROOT}/").json["endpoints"]:
        if entry["path"] in ("/health", "/processing_parameters") or "/items" in entry["path"]:
            continue
        assert {method.lower() for method in entry["methods"]} <= set(openapi["paths"][entry["path"]])


def test_the_check_itself_finds_faults(problems: Problems) -> None:
    assert problems(response_of("/"), {"api_version": "1.2.0"}) != []
    assert problems(response_of("/validation", "post"), {"errors": [{"message": "no code"}]}) != []
