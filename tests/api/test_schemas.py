"""Answers against the schemas of the official API document."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient
from jsonschema import Draft4Validator

ROOT = "/openeo/1.2"


def as_json_schema(value: Any) -> Any:
    """OpenAPI 3.0's dialect as JSON schema: `nullable` spelt out."""
    if isinstance(value, list):
        return [as_json_schema(member) for member in value]
    if not isinstance(value, dict):
        return value
    schema = {key: as_json_schema(member) for key, member in value.items()}
    if schema.pop("nullable", False) is True:
        return {"anyOf": [{"enum": [None]}, schema]}
    return schema


@pytest.fixture(scope="session")
def document(openapi: dict[str, Any]) -> dict[str, Any]:
    converted = as_json_schema(openapi)
    # Its alternatives overlap, so that nothing could ever match exactly one: a known defect of the document.
    schema = converted["components"]["schemas"]["process_json_schema"]
    schema["anyOf"] = schema.pop("oneOf")
    return converted


def problems(document: dict[str, Any], pointer: str, body: Any) -> list[str]:
    validator = Draft4Validator({**document, "allOf": [{"$ref": pointer}]})
    return [f"{error.json_path}: {error.message[:300]}" for error in validator.iter_errors(body)]


def response_of(path: str, method: str = "get", media_type: str = "application/json") -> str:
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
def test_documents(client: FlaskClient, login: Any, document: dict[str, Any], path: str) -> None:
    response = client.get(ROOT + path.format(collection_id="FIELDS"), headers=login())
    assert response.status_code == 200
    assert problems(document, response_of(path), response.json) == []


def test_queryables(client: FlaskClient, document: dict[str, Any]) -> None:
    path, media_type = "/collections/{collection_id}/queryables", "application/schema+json"
    response = client.get(f"{ROOT}/collections/FIELDS/queryables")
    assert problems(document, response_of(path, media_type=media_type), response.json) == []


def test_tokens(client: FlaskClient, document: dict[str, Any]) -> None:
    response = client.get(f"{ROOT}/credentials/basic", auth=("ada", "lovelace"))
    assert problems(document, response_of("/credentials/basic"), response.json) == []


@pytest.mark.parametrize("process_id", ["add", "no_such_thing"])
def test_validation(client: FlaskClient, document: dict[str, Any], process_id: str) -> None:
    node = {"process_id": process_id, "arguments": {"x": 1, "y": 2}, "result": True}
    response = client.post(f"{ROOT}/validation", json={"process_graph": {"node": node}})
    assert problems(document, response_of("/validation", "post"), response.json) == []


def test_logs(client: FlaskClient, login: Any, graph: Any, document: dict[str, Any]) -> None:
    headers = login()
    response = client.post(f"{ROOT}/result", json={"process": graph}, headers=headers)
    log = client.get(response.headers["Link"].split(">")[0].strip("<"), headers=headers)
    assert log.json["logs"]
    assert problems(document, "#/components/responses/logs/content/application~1json/schema", log.json) == []


@pytest.mark.parametrize("path", ["/nothing", "/me", "/collections/NONE"])
def test_errors(client: FlaskClient, document: dict[str, Any], path: str) -> None:
    assert problems(document, "#/components/schemas/error", client.get(ROOT + path).json) == []


def test_all_listed_endpoints_are_official_or_of_the_federation(client: FlaskClient, openapi: dict[str, Any]) -> None:
    for entry in client.get(f"{ROOT}/").json["endpoints"]:
        if entry["path"] == "/health":
            continue
        assert {method.lower() for method in entry["methods"]} <= set(openapi["paths"][entry["path"]])


def test_the_check_itself_finds_faults(document: dict[str, Any]) -> None:
    assert problems(document, response_of("/"), {"api_version": "1.2.0"}) != []
    assert problems(document, response_of("/validation", "post"), {"errors": [{"message": "no code"}]}) != []
