"""A back-end stand-in: real settings, store and registry; collections, formats and runs that tests control."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft4Validator
from werkzeug.serving import make_server

from openeo_backend import settings as settings_module
from openeo_backend.api.app import create_app
from openeo_backend.errors import NodeRef, OpenEOError
from openeo_backend.files.objects import open_objects
from openeo_backend.files.signing import Signer, read_keys
from openeo_backend.formats.asset import Format
from openeo_backend.jobs.accounts import Accounts
from openeo_backend.run.request import Event, Outcome, RunRequest
from openeo_backend.store.database import connect
from openeo_backend.store.store import Store

COLLECTION = {
    "type": "Collection",
    "stac_version": "1.0.0",
    "stac_extensions": ["https://stac-extensions.github.io/datacube/v2.2.0/schema.json"],
    "id": "FIELDS",
    "title": "Fields",
    "description": "Fields seen from above.",
    "license": "CC0-1.0",
    "extent": {
        "spatial": {"bbox": [[5.0, 51.0, 5.1, 51.1]]},
        "temporal": {"interval": [["2024-01-01T00:00:00Z", "2024-12-31T00:00:00Z"]]},
    },
    "cube:dimensions": {
        "x": {"type": "spatial", "axis": "x", "extent": [5.0, 5.1], "reference_system": 4326},
        "y": {"type": "spatial", "axis": "y", "extent": [51.0, 51.1], "reference_system": 4326},
        "t": {"type": "temporal", "extent": ["2024-01-01T00:00:00Z", "2024-12-31T00:00:00Z"]},
        "bands": {"type": "bands", "values": ["B04", "B08"]},
    },
    "summaries": {"eo:bands": [{"name": "B04"}, {"name": "B08"}]},
    "links": [
        {"rel": "self", "href": "https://elsewhere.example/fields.json"},
        {"rel": "license", "href": "https://creativecommons.org/publicdomain/zero/1.0/"},
    ],
}


@dataclass
class Collections:
    differs = False
    documents: dict[str, dict[str, Any]] = field(default_factory=lambda: {"FIELDS": COLLECTION})

    def ids(self) -> list[str]:
        return list(self.documents)

    def collections(self) -> list[dict[str, Any]]:
        return list(self.documents.values())

    def collection(self, id: str) -> dict[str, Any]:
        if id not in self.documents:
            raise OpenEOError("CollectionNotFound", f"There is no collection '{id}'.")
        return self.documents[id]

    def queryables(self, id: str) -> dict[str, Any]:
        self.collection(id)
        return {"type": "object", "properties": {"eo:cloud_cover": {"type": "number", "description": "x" * 4000}}}


ADD = {
    "id": "add",
    "summary": "Addition of two numbers",
    "description": "Sums up the two numbers.",
    "categories": ["math"],
    "parameters": [
        {"name": "x", "description": "First.", "schema": {"type": ["number", "null"]}},
        {"name": "y", "description": "Second.", "schema": {"type": ["number", "null"]}},
    ],
    "returns": {"description": "The sum.", "schema": {"type": ["number", "null"]}},
}


@dataclass
class Processes:
    specs: list[dict[str, Any]] = field(default_factory=lambda: [ADD])

    def listed(self) -> list[dict[str, Any]]:
        return self.specs

    def __contains__(self, id: object) -> bool:
        return any(spec["id"] == id for spec in self.specs)


def _write(*args: Any) -> list[Any]:
    raise AssertionError("formats are only described here")


FORMATS = {
    "gtiff": Format(
        name="GTiff",
        title="GeoTIFF",
        description="One file per date, one band per band.",
        gis_data_types=("raster",),
        extension=".tif",
        media_type="image/tiff; application=geotiff; profile=cloud-optimized",
        parameters={"tile_size": {"type": "integer", "description": "Pixels.", "default": 512}},
        write=_write,
    ),
    "json": Format(
        name="JSON",
        title="JSON",
        description="Values.",
        gis_data_types=("raster", "other"),
        extension=".json",
        media_type="application/json",
        write=_write,
        read=_write,
    ),
}

Run = Callable[[RunRequest, Callable[[Event], None], Callable[[], bool]], Outcome]


def add(run: RunRequest, on_event: Callable[[Event], None], is_cancelled: Callable[[], bool]) -> Outcome:
    """A runner that adds the two numbers of the only node."""
    node = next(iter(run.process["process_graph"].values()))
    on_event(Event("log", {"level": "info", "message": "Adding."}))
    return Outcome(value=node["arguments"]["x"] + node["arguments"]["y"], has_value=True)


class NoRemote:
    """Processes by URL of a back-end that has none."""

    def __init__(self, pins: object = ()) -> None: ...

    def pins(self) -> list[dict[str, Any]]:
        return []


@dataclass
class StandIn:
    settings: Any
    store: Any
    objects: Any
    signer: Any
    catalog: Any = field(default_factory=Collections)
    processes: Any = field(default_factory=Processes)
    formats: Any = field(default_factory=lambda: dict(FORMATS))
    runner: Run = add
    engine: Any = field(default_factory=lambda: SimpleNamespace(pins=lambda process, stored: [], pinned=NoRemote))

    @property
    def accounts(self) -> Accounts:
        return Accounts.open(self.settings)

    def validate(
        self, process: dict[str, Any], user: Any, most: float | None = None, remote: Any = None
    ) -> list[OpenEOError]:
        return [
            OpenEOError(
                "ProcessUnsupported",
                f"There is no process '{node['process_id']}'.",
                path=[NodeRef(id, node["process_id"])],
            )
            for id, node in process["process_graph"].items()
            if node["process_id"] != "add"
        ]

    def plan(self, *given: Any) -> tuple[Any, list[OpenEOError]]:
        problems = self.validate(*given[:2])
        return (None if problems else SimpleNamespace(graph=())), problems

    def stored(self, user: str) -> dict[str, Any]:
        return {stored.id: stored.process for stored in self.store.processes.list(user)}


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with two users, made once: each test gets a copy."""
    file = tmp_path_factory.mktemp("store") / "store.sqlite"
    store = Store.open(f"sqlite:///{file}")
    store.users.add("ada", "lovelace")
    store.users.add("bob", "builder")
    with store.database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()
    return file


@pytest.fixture
def backend(tmp_path: Path, database: Path) -> Iterator[StandIn]:
    settings = settings_module.read(overrides={"data_dir": str(tmp_path), "auth": {"basic": True}})
    file = shutil.copy(database, tmp_path / "store.sqlite")
    store = Store(connect(f"sqlite:///{file}"))
    objects = open_objects(str(tmp_path / "files"))
    yield StandIn(settings, store, objects, Signer(read_keys(tmp_path / "keys.json", None)))
    store.close()


@pytest.fixture
def app(backend: StandIn) -> Flask:
    return create_app(backend)  # type: ignore[arg-type]


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def login(backend: StandIn) -> Callable[[str], dict[str, str]]:
    """Headers of a user, by name."""
    from datetime import timedelta

    def headers(name: str = "ada") -> dict[str, str]:
        return {"Authorization": f"Bearer basic//{backend.store.tokens.issue(name, timedelta(hours=1))}"}

    return headers


@pytest.fixture
def live(app: Flask) -> Iterator[str]:
    """The URL of a server of the application on this machine."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def graph() -> dict[str, Any]:
    return {"process_graph": {"sum": {"process_id": "add", "arguments": {"x": 3, "y": 5}, "result": True}}}


@pytest.fixture(scope="session")
def openapi(shared: Path) -> dict[str, Any]:
    """The official API document."""
    import yaml

    text = (shared / "spec" / "openeo-api-1.2.0" / "openapi.yaml").read_text(encoding="utf-8")
    return json.loads(json.dumps(yaml.safe_load(text), default=str))


@pytest.fixture(scope="session")
def problems(openapi: dict[str, Any]) -> Callable[[str, Any], list[str]]:
    """Violations of the schema at a JSON pointer into the official API document."""
    document = _as_json_schema(openapi)
    # Alternatives that overlap, so that nothing could ever match exactly one: known defects of the document.
    _loosen(document["components"]["schemas"]["process_json_schema"])
    for schema in _schemas_with(document, "summaries"):
        _loosen(schema["properties"]["summaries"]["additionalProperties"])

    def problems(pointer: str, body: Any) -> list[str]:
        validator = Draft4Validator({**document, "allOf": [{"$ref": pointer}]})
        return [f"{error.json_path}: {error.message[:300]}" for error in validator.iter_errors(body)]

    return problems


def _loosen(schema: dict[str, Any]) -> None:
    schema["anyOf"] = schema.pop("oneOf")


def _schemas_with(value: Any, member: str) -> Iterator[dict[str, Any]]:
    """Object schemas in a document that describe a member of this name with alternatives."""
    if isinstance(value, list):
        for entry in value:
            yield from _schemas_with(entry, member)
    elif isinstance(value, dict):
        properties = value.get("properties")
        if isinstance(properties, dict) and "oneOf" in properties.get(member, {}).get("additionalProperties", {}):
            yield value
        for entry in value.values():
            yield from _schemas_with(entry, member)


def _as_json_schema(value: Any) -> Any:
    """OpenAPI 3.0's dialect as JSON schema: `nullable` spelt out."""
    if isinstance(value, list):
        return [_as_json_schema(member) for member in value]
    if not isinstance(value, dict):
        return value
    schema = {key: _as_json_schema(member) for key, member in value.items()}
    if schema.pop("nullable", False) is True:
        return {"anyOf": [{"enum": [None]}, schema]}
    return schema
