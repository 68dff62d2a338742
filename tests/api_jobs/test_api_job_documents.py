"""What the endpoints of jobs answer, against the schemas of the API's own document."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

Check = Callable[[Any, str], None]


@pytest.fixture(scope="module")
def openapi(shared: Path) -> dict[str, Any]:
    text = (shared / "spec" / "openeo-api-1.2.0" / "openapi.yaml").read_text(encoding="utf-8")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    document: dict[str, Any] = json.loads(json.dumps(yaml.load(text, loader), default=str))
    return document


@pytest.fixture
def check(openapi: dict[str, Any]) -> Check:
    """Checks a response against the schema for its status and media type. Null is never allowed."""

    def validate(response: Any, path: str) -> None:
        described = openapi["paths"][path][response.request.method.lower()]["responses"]
        found = described.get(str(response.status_code)) or described[f"{response.status_code // 100}XX"]
        while "$ref" in found:
            found = openapi["components"]["responses"][found["$ref"].rsplit("/", 1)[1]]
        for name, header in found.get("headers", {}).items():
            assert name in response.headers or not header.get("required"), name
        if "content" in found:
            schema = found["content"][response.mimetype]["schema"]
            jsonschema.Draft4Validator({**schema, "components": openapi["components"]}).validate(response.get_json())
        else:
            assert response.get_data() == b""

    return validate


def test_all_answers_fit_their_schemas(ada: Any, backend: Any, check: Check) -> None:
    graph = {"process_graph": {"a": {"process_id": "load_collection", "arguments": {"id": "S2"}, "result": True}}}
    created = ada("POST", "/jobs", json={"process": graph, "title": "x", "budget": 1, "unknown": 1})
    check(created, "/jobs")
    id = created.headers["OpenEO-Identifier"]
    job, results, logs = "/jobs/{job_id}", "/jobs/{job_id}/results", "/jobs/{job_id}/logs"
    for work in (None, backend.work):
        if work:
            work()
        check(ada("GET", "/jobs"), "/jobs")
        check(ada("GET", "/jobs?limit=1"), "/jobs")
        check(ada("GET", f"/jobs/{id}"), job)
        check(ada("GET", f"/jobs/{id}/logs"), logs)
        check(ada("GET", f"/jobs/{id}/estimate"), "/jobs/{job_id}/estimate")
        check(ada("PATCH", f"/jobs/{id}", json={}), job)
        check(ada("POST", f"/jobs/{id}/results"), results) if not work else None
    check(ada("DELETE", f"/jobs/{id}/results"), results)
    check(ada("GET", f"/jobs/{id}/results", headers={"Accept": "application/geo+json"}), results)
    check(ada("GET", "/jobs/none"), job)
    check(ada("PATCH", f"/jobs/{id}", json={"status": "x"}), job)
    check(ada("DELETE", f"/jobs/{id}"), job)
