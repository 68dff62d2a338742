"""A real back-end for real clients: the server as its operator starts it, on a small archive."""

from __future__ import annotations

import json
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
from live_server import Server, serving

from openeo_backend.catalog.demo import Scenario, write_archive

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


@dataclass(frozen=True)
class Served(Server):
    """A running back-end and what it serves."""

    catalog: Path


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("clients")
    catalog = write_archive(folder / "archive", lambda done, planned: None, SCENARIO)
    with serving(folder / "server", catalog, USER, PASSWORD, workers=2) as server:
        yield Served(server.url, server.pid, catalog)


@pytest.fixture(scope="session")
def connection(server: Served) -> openeo.Connection:
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
def expected_ndvi(server: Served) -> Any:
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
