"""The whole application over a real store and real files; only the evaluation is replaced."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import insert

from openeo_backend import settings as settings_module
from openeo_backend.api.app import create_app
from openeo_backend.errors import NodeRef, OpenEOError
from openeo_backend.files.objects import open_objects
from openeo_backend.files.signing import Key, Signer
from openeo_backend.jobs.accounts import Accounts
from openeo_backend.jobs.worker import Worker
from openeo_backend.run.request import Event, Outcome, RunRequest
from openeo_backend.run.runner import Runner
from openeo_backend.store.schema import users
from openeo_backend.store.store import Store

COG = "image/tiff; application=geotiff; profile=cloud-optimized"
CONTENT = bytes(range(256)) * 40


def raster(request: RunRequest, hear: Callable[[Event], None], is_cancelled: Callable[[], bool]) -> Outcome:
    """A run that writes one raster and a picture of it."""
    hear(Event("log", {"level": "info", "message": "Reading."}))
    (request.folder / "ndvi.tif").write_bytes(CONTENT)
    (request.folder / "ndvi.png").write_bytes(b"png")
    place = {"bbox": [4.0, 50.0, 4.1, 50.1], "start": "2024-05-01T00:00:00Z", "end": "2024-05-01T00:00:00Z"}
    proj = {"code": "EPSG:32631", "shape": [2, 3], "transform": [10, 0, 0, 0, -10, 0], "bbox": [0, -20, 30, 0]}
    data = {"name": "ndvi.tif", "media_type": COG, "roles": ["data"], "proj": proj, **place}
    picture = {"name": "ndvi.png", "media_type": "image/png", "roles": ["thumbnail"], **place}
    return Outcome(files=(data, picture), provenance={"items": ["https://stac.example/a"], "licenses": ["CC0-1.0"]})


class NoRemote:
    """Processes of other servers that jobs here do not use."""

    def __init__(self, pins: Any = ()) -> None:
        assert not pins

    def pins(self) -> list[dict[str, Any]]:
        return []


@dataclass
class StandIn:
    settings: Any
    store: Any
    objects: Any
    signer: Any
    clock: list[timedelta]
    catalog: Any = None
    processes: Any = None
    formats: Any = field(default_factory=dict)
    runner: Runner = raster
    ring: Any = lambda: None  # noqa: E731
    engine: Any = field(default_factory=lambda: SimpleNamespace(pins=lambda process, stored: [], pinned=NoRemote))

    @property
    def accounts(self) -> Accounts:
        return Accounts.open(self.settings)

    def validate(self, process: dict[str, Any], user: Any, most: Any = None, remote: Any = None) -> list[OpenEOError]:
        return [
            OpenEOError("CollectionNotFound", "There is no such collection.", path=[NodeRef(id, "load_collection")])
            for id, node in process["process_graph"].items()
            if node.get("arguments", {}).get("id") == "NOWHERE"
        ]

    def plan(
        self, process: dict[str, Any], user: Any, most: Any = None, remote: Any = None, stored: Any = None
    ) -> tuple[Any, list[OpenEOError]]:
        problems = self.validate(process, user, most, remote)
        return (None if problems else SimpleNamespace(graph=())), problems

    def stored(self, user: str) -> dict[str, Any]:
        return {stored.id: stored.process for stored in self.store.processes.list(user)}

    def work(self, runner: Runner | None = None) -> None:
        """Let a worker do one job."""
        assert Worker(self.store, self.objects, runner or self.runner, self.settings).run_once()


@pytest.fixture
def backend(tmp_path: Path, migrated_sqlite: Path) -> Iterator[StandIn]:
    overrides = {"data_dir": str(tmp_path / "data"), "auth": {"basic": True}, "jobs": {"max_runtime_seconds": 3600}}
    settings = settings_module.read(overrides=overrides)
    store = Store.open(f"sqlite:///{shutil.copy(migrated_sqlite, tmp_path / 'store.sqlite')}")
    with store.database.write() as connection:  # hashing passwords takes its time, and nobody logs in with one here
        rows = [{"id": name, "password": "", "roles": [], "created": 0.0} for name in ("ada", "bob")]
        connection.execute(insert(users), rows)
    clock = [timedelta()]
    signer = Signer([Key("k", b"secret")], lambda: datetime.now(UTC) + clock[0])
    yield StandIn(settings, store, open_objects(str(tmp_path / "objects")), signer, clock)
    store.close()


class Api:
    """Requests of one user below the API root."""

    def __init__(self, client: FlaskClient, token: str | None) -> None:
        self._client = client
        self._headers = {"Authorization": f"Bearer basic//{token}"} if token else {}

    def __call__(self, method: str, path: str, **members: Any) -> Any:
        headers = {**self._headers, **members.pop("headers", {})}
        place = path if path.startswith("http") else f"http://localhost/openeo/1.2{path}"
        return self._client.open(place, method=method, headers=headers, **members)

    def create(self, **members: Any) -> str:
        response = self("POST", "/jobs", json={"process": GRAPH, **members})
        assert response.status_code == 201, response.get_json()
        return str(response.headers["OpenEO-Identifier"])

    def start(self, **members: Any) -> str:
        id = self.create(**members)
        assert self("POST", f"/jobs/{id}/results").status_code == 202
        return id


GRAPH: dict[str, Any] = {
    "process_graph": {"load": {"process_id": "load_collection", "arguments": {"id": "S2"}, "result": True}}
}


@pytest.fixture
def login(backend: StandIn) -> Callable[[str | None], Api]:
    app = create_app(backend)  # type: ignore[arg-type]

    def as_user(name: str | None) -> Api:
        token = backend.store.tokens.issue(name, timedelta(hours=1)) if name else None
        return Api(app.test_client(), token)

    return as_user


@pytest.fixture
def ada(login: Callable[[str | None], Api]) -> Api:
    return login("ada")


@pytest.fixture
def bob(login: Callable[[str | None], Api]) -> Api:
    return login("bob")


@pytest.fixture
def anyone(login: Callable[[str | None], Api]) -> Api:
    return login(None)
