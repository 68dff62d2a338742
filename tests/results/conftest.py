"""Whole back-ends in this process: store, worker, children and HTTP, on a small catalog with true pixels."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.warp
from affine import Affine
from sqlalchemy import insert
from werkzeug.serving import make_server

from openeo_backend import settings as settings_module
from openeo_backend.api.app import create_app
from openeo_backend.backend import Backend
from openeo_backend.jobs.input import OwnResults
from openeo_backend.jobs.worker import Worker
from openeo_backend.run.engine import Engine
from openeo_backend.run.execute import execute
from openeo_backend.run.request import Event, Outcome, RunRequest
from openeo_backend.store.schema import users

DAYS = ("2023-04-02", "2023-04-12", "2023-04-25")


@dataclass
class Site:
    """A back-end that serves HTTP on this machine, with the users ada and bob."""

    backend: Backend
    url: str

    def run(self, request: RunRequest, on_event: Callable[[Event], None], cancelled: Callable[[], bool]) -> Outcome:
        """A runner that evaluates here, as a child of the server does."""
        return execute(request, Engine.open(self.backend.settings, OwnResults(self.backend.settings)), on_event)

    def job(self, nodes: Mapping[str, Any], user: str = "ada", runner: Any = None) -> str:
        """The id of a job that has ended."""
        job = self.backend.store.jobs.create(user, {"process_graph": dict(nodes)}, title="round trip")
        self.backend.store.jobs.queue(user, job.id)
        assert Worker(self.backend.store, self.backend.objects, runner or self.run, self.backend.settings).run_once()
        return job.id

    def headers(self, user: str = "ada") -> dict[str, str]:
        return {"Authorization": f"Bearer basic//{self.backend.store.tokens.issue(user, timedelta(hours=1))}"}


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Makes back-ends over a catalog."""
    stops = []

    def make(name: str, *catalogs: str, **sections: Any) -> Site:
        overrides = {
            "data_dir": str(tmp_path / name),
            "catalog": {"sources": list(catalogs)},
            "auth": {"basic": True},
            "net": {"allow": ["127.0.0.1"]},
            **sections,
        }
        backend = Backend.open(settings_module.read(overrides=overrides))
        with backend.store.database.write() as connection:  # nobody logs in with a password here
            rows = [{"id": user, "password": "", "roles": [], "created": 0.0} for user in ("ada", "bob")]
            connection.execute(insert(users), rows)
        server = make_server("127.0.0.1", 0, create_app(backend), threaded=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()

        def stop() -> None:
            server.shutdown()
            thread.join()
            server.server_close()
            backend.close()

        stops.append(stop)
        return Site(backend, f"http://127.0.0.1:{server.server_port}/openeo/1.2")

    yield make
    for stop in stops:
        stop()


@pytest.fixture
def values() -> dict[str, np.ndarray]:
    """Stored values of two bands at three dates, (t, y, x), with no-data 0."""
    rng = np.random.default_rng(5)
    return {name: rng.integers(0, 9000, (3, 23, 31)).astype("uint16") for name in ("B04", "B08")}


@pytest.fixture
def catalog(tmp_path: Path, values: dict[str, np.ndarray]) -> Path:
    """A static collection SCENES of these values, one item per date, with pixels of 10 x 20 m."""
    folder = tmp_path / "scenes"
    folder.mkdir()
    transform = Affine(10, 0, 600_000, 0, -20, 5_700_000)
    links = []
    for index, day in enumerate(DAYS):
        assets = {}
        for name, planes in values.items():
            height, width = planes.shape[1:]
            profile = {"driver": "GTiff", "width": width, "height": height, "count": 1, "dtype": planes.dtype}
            with rasterio.open(
                folder / f"{day}-{name}.tif", "w", **profile, crs=32631, transform=transform, nodata=0
            ) as file:
                file.write(planes[index], 1)
            band = {"name": name, "data_type": "uint16", "nodata": 0, "scale": 0.0001, "offset": 0}
            assets[name] = {"href": f"./{day}-{name}.tif", "type": "image/tiff; application=geotiff"}
            assets[name] |= {"bands": [band], "proj:shape": [height, width], "proj:transform": list(transform)[:6]}
        west, south, east, north = rasterio.warp.transform_bounds(
            32631, 4326, 600_000, 5_700_000 - 20 * height, 600_000 + 10 * width, 5_700_000
        )
        ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
        item = {"type": "Feature", "stac_version": "1.1.0", "id": day, "collection": "SCENES", "links": []}
        item |= {"geometry": {"type": "Polygon", "coordinates": [ring]}, "bbox": [west, south, east, north]}
        item |= {"properties": {"datetime": f"{day}T10:50:00Z", "proj:code": "EPSG:32631"}, "assets": assets}
        (folder / f"{day}.json").write_text(json.dumps(item))
        links.append({"rel": "item", "href": f"./{day}.json"})
    collection = {"type": "Collection", "stac_version": "1.1.0", "id": "SCENES", "description": "Made by a test."}
    collection |= {"license": "CC0-1.0", "links": links}
    collection["extent"] = {
        "spatial": {"bbox": [[4, 51, 5, 52]]},
        "temporal": {"interval": [["2023-01-01T00:00:00Z", None]]},
    }
    path = folder / "collection.json"
    path.write_text(json.dumps(collection))
    return path
