"""The documents of a whole back-end, with its real collections, processes and formats, against the official schemas."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from openeo_backend import settings as settings_module
from openeo_backend.api.app import create_app
from openeo_backend.backend import Backend

ROOT = "/openeo/1.2"


def answer_to(path: str) -> str:
    return f"#/paths/{path.replace('/', '~1')}/get/responses/200/content/application~1json/schema"


@pytest.fixture(scope="module")
def real_client(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    overrides = {
        "data_dir": str(tmp_path_factory.mktemp("data")),
        "catalog": {"sources": [str(shared / "data" / "stac" / "catalog.json")]},
    }
    whole = Backend.open(settings_module.read(overrides=overrides))
    yield create_app(whole).test_client()
    whole.close()


@pytest.mark.parametrize("path", ["/", "/collections", "/processes", "/file_formats"])
def test_documents(real_client: FlaskClient, problems: Any, path: str) -> None:
    body = real_client.get(ROOT + path).json
    assert problems(answer_to(path), body) == []


def test_every_collection(real_client: FlaskClient, problems: Any) -> None:
    listed = real_client.get(f"{ROOT}/collections").json["collections"]
    assert len(listed) >= 4
    for collection in listed:
        document = real_client.get(f"{ROOT}/collections/{collection['id']}").json
        assert problems(answer_to("/collections/{collection_id}"), document) == []
        assert document["cube:dimensions"]
        assert document["summaries"]
        queryables = real_client.get(f"{ROOT}/collections/{collection['id']}/queryables").json
        assert queryables["$id"].endswith(f"/collections/{collection['id']}/queryables")
        assert queryables["properties"]


def test_nothing_optional_is_null(real_client: FlaskClient) -> None:
    """Validators that read OpenAPI 3.0 as 3.1 take every null for an error; only time may have an open end."""
    found = [
        where
        for path in ("/", "/collections", "/conformance")
        for where in _nulls(real_client.get(ROOT + path).json, path)
    ]
    assert [where for where in found if "extent" not in where] == []


def _nulls(value: Any, where: str) -> Iterator[str]:
    if value is None:
        yield where
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, member in members:
        yield from _nulls(member, f"{where}.{name}")
