"""A real back-end for real clients: the server as its operator starts it, on a small archive."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import openeo
import pytest
import rasterio
import requests

from openeo_backend.catalog.demo import Scenario, write_archive
from openeo_backend.store.store import Store

USER, PASSWORD = "ada", "lovelace"
SCENARIO = Scenario(
    width=96,
    height=96,
    start=datetime(2025, 5, 1, 10, 10, 31, tzinfo=UTC),
    days=(0, 10, 40),
    radar_days=(1,),
    cloud_cover=(0.2, 0.0, 0.1),
    neighbour=None,
)
PERIOD = ["2025-05-01", "2025-07-01"]
CONFIG = """
[server]
port = 0
[auth]
basic = true
[jobs]
poll_seconds = 0.1
workers = 2
"""


@dataclass(frozen=True)
class Server:
    """A running back-end."""

    url: str
    pid: int
    catalog: Path

    @property
    def root(self) -> str:
        return f"{self.url}/openeo/1.2"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("clients")
    catalog = write_archive(folder / "archive", lambda done, planned: None, SCENARIO)
    config = folder / "config.toml"
    config.write_text(CONFIG + f"[catalog]\nsources = [{str(catalog)!r}]\n", encoding="utf-8")
    options = ["--config", str(config), "--data-dir", str(folder / "data")]
    program = [sys.executable, "-m", "openeo_backend.cli"]
    (folder / "data").mkdir()
    store = Store.open(f"sqlite:///{folder / 'data' / 'openeo.sqlite'}")
    store.users.add(USER, PASSWORD)
    store.close()
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*program, "serve", *options],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
        try:
            assert process.stdout is not None
            announcement = process.stdout.readline()
            assert announcement.startswith("openEO back-end at "), announcement
            yield Server(announcement.split()[3].removesuffix("/openeo/1.2/"), process.pid, catalog)
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            assert process.stdout is not None
            process.stdout.close()


@pytest.fixture(scope="session")
def connection(server: Server) -> openeo.Connection:
    return openeo.connect(server.url).authenticate_basic(USER, PASSWORD)


@pytest.fixture(scope="session")
def extent() -> dict[str, Any]:
    """The whole archive."""
    west, south, east, north = SCENARIO.grid.bounds
    return {"west": west, "south": south, "east": east, "north": north, "crs": SCENARIO.epsg}


@pytest.fixture
def ndvi(connection: openeo.Connection, extent: dict[str, Any]) -> openeo.DataCube:
    """The highest NDVI of each pixel."""
    cube = connection.load_collection("SENTINEL2_L2A", extent, PERIOD, ["B04", "B08"])
    return cube.ndvi(nir="B08", red="B04").max_time()


@pytest.fixture(scope="session")
def expected_ndvi(server: Server) -> Any:
    """The same, made with rasterio and numpy of the files of the archive."""

    def read(item: Path, band: str) -> Any:
        document = json.loads(item.read_text(encoding="utf-8"))
        with rasterio.open(item.parent / document["assets"][band]["href"]) as file:
            values = file.read(1).astype("float32")
            return np.where(values == file.nodata, np.nan, values)

    layers = []
    for item in sorted((server.catalog.parent / "sentinel2_l2a").rglob("*.json")):
        if item.name == "collection.json":
            continue
        red, nir = read(item, "B04"), read(item, "B08")
        layers.append((nir - red) / (nir + red))
    assert len(layers) == len(SCENARIO.days)
    return np.nanmax(np.stack(layers), axis=0)


@pytest.fixture
def authorization(connection: openeo.Connection) -> dict[str, str]:
    return {"Authorization": f"Bearer {connection.auth.bearer}"}


@pytest.fixture(scope="session")
def web() -> Iterator[requests.Session]:
    """What a browser or curl would send."""
    with requests.Session() as session:
        yield session
