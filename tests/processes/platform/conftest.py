"""Servers of this machine that processes talk to, and a way to run graphs against settings."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from odc.geo.crs import CRS
from ogc_server import Ogc
from werkzeug.serving import make_server

from openeo_backend.catalog.catalog import Catalog
from openeo_backend.cube import Cube, Dimension
from openeo_backend.graph.callback import Scope
from openeo_backend.graph.evaluate import evaluate
from openeo_backend.graph.parse import parse
from openeo_backend.net.door import Door
from openeo_backend.processes.environment import Env
from openeo_backend.processes.registry import Registry
from openeo_backend.run.services import open_services
from openeo_backend.settings import Settings


@contextmanager
def serving(app: Callable[..., Any]) -> Iterator[str]:
    """A WSGI application on a free port of this machine."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def ogc() -> Iterator[Ogc]:
    """An OGC API - Processes server."""
    app = Ogc()
    with serving(app) as url:
        app.url = f"{url}/api"
        yield app


@pytest.fixture
def serve() -> Any:
    return serving


@pytest.fixture(scope="session")
def registry() -> Registry:
    """All processes, whatever is configured."""
    return Registry.predefined(lambda name: True)


@pytest.fixture
def evaluate_with(tmp_path: Path, registry: Registry) -> Callable[..., Any]:
    """Evaluate nodes under settings: `evaluate_with(settings, nodes, user=..., **parameters)`."""

    def run(settings: dict[str, Any], nodes: dict[str, Any], user: str | None = "alice", **parameters: Any) -> Any:
        opened = Settings.model_validate({"data_dir": str(tmp_path / "data"), **settings})
        catalog = Catalog([], opened.catalog, Door(opened.net))
        folder = tmp_path / "run"
        folder.mkdir(exist_ok=True)
        log = lambda *args, **more: None  # noqa: E731
        env = Env(log=log, user=user, folder=folder, services=open_services(opened, catalog))
        return evaluate(parse(nodes), registry, Scope(parameters), env)

    return run


@pytest.fixture
def raster() -> Cube:
    """Two bands of 3 x 4 pixels of 10 m, one of them missing a value."""
    values = np.arange(24, dtype="float32").reshape(2, 3, 4)
    values[1, 2, 3] = np.nan
    data = xr.DataArray(
        values,
        dims=("bands", "y", "x"),
        coords={"bands": ["B04", "B08"], "y": [5_000_025.0, 5_000_015.0, 5_000_005.0], "x": [5.0, 15.0, 25.0, 35.0]},
    ).assign_coords(x=[500_005.0, 500_015.0, 500_025.0, 500_035.0])
    dimensions = (Dimension("bands", "bands"), Dimension("y", "spatial", "y", -10), Dimension("x", "spatial", "x", 10))
    return Cube(data.chunk({"y": 2}), dimensions, CRS("EPSG:32633"))
