"""Real STAC API servers on this machine, where they are installed.

rustac: the program `rustac` of the package of that name. pgstac: the packages stac-fastapi.pgstac, pypgstac and uvicorn
(in the environment of these tests, or of the Python that STAC_API_PGSTAC names), and a PostgreSQL with PostGIS.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from stac_server import Server

from openeo_backend.catalog.catalog import Catalog
from openeo_backend.catalog.request import LoadRequest
from openeo_backend.net.door import Door
from openeo_backend.settings import CatalogSettings, NetSettings


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 40
    while time.monotonic() < end:
        assert process.poll() is None, "the STAC server ended"
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the STAC server does not answer")


@pytest.fixture
def files(scenes) -> Iterator[Server]:
    """Serves the assets."""
    server = Server(scenes.folder)
    yield server
    server.http.shutdown()
    server.http.server_close()


def documents(files: Server) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    collection = json.loads((files.folder / "collection.json").read_text())
    return {**collection, "links": []}, [{**item, "links": []} for item in files.items()]


def start_rustac(files: Server, folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    beside = Path(sys.executable).with_name("rustac")
    program = os.environ.get("STAC_API_RUSTAC") or (str(beside) if beside.is_file() else shutil.which("rustac"))
    if program is None:
        pytest.skip("the STAC server rustac is not installed (pip install rustac, or set STAC_API_RUSTAC)")
    collection, items = documents(files)
    (folder / "collection.json").write_text(json.dumps(collection))
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    port = free_port()
    command = [program, "serve", "-a", f"127.0.0.1:{port}", "collection.json", "items.json"]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL), (
        f"http://127.0.0.1:{port}/"
    )


def start_pgstac(files: Server, folder: Path, request: Any) -> tuple[subprocess.Popen[bytes], str]:
    python = os.environ.get("STAC_API_PGSTAC") or (sys.executable if find_spec("pypgstac") else None)
    if python is None:
        pytest.skip("stac-fastapi.pgstac is not installed (set STAC_API_PGSTAC to a Python that has it)")
    url = request.getfixturevalue("postgresql")
    with psycopg.connect(f"{url}/postgres", autocommit=True) as connection:
        there = connection.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'postgis'").fetchone()
        if there is None:
            pytest.skip("PostgreSQL has no PostGIS on this machine")
        connection.execute("DROP DATABASE IF EXISTS pgstac")
        connection.execute("CREATE DATABASE pgstac")
    host, port = url.rpartition("@")[2].split(":")
    settings = {"PGHOST": host, "PGPORT": port, "PGUSER": "tests", "PGPASSWORD": "x", "PGDATABASE": "pgstac"}
    environment = {**os.environ, **settings}
    collection, items = documents(files)
    (folder / "collections.json").write_text(json.dumps(collection))
    (folder / "items.json").write_text("\n".join(map(json.dumps, items)))
    program = [python, "-c", "from pypgstac.pypgstac import cli; cli()"]
    for arguments in (["migrate"], ["load", "collections", "collections.json"], ["load", "items", "items.json"]):
        subprocess.run([*program, *arguments], cwd=folder, env=environment, check=True, capture_output=True)
    own = free_port()
    application = ["--factory", "stac_fastapi.pgstac.app:create_app", "--host", "127.0.0.1", "--port", str(own)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([python, "-m", "uvicorn", *application], cwd=folder, env=environment, **quiet), (
        f"http://127.0.0.1:{own}/"
    )


@pytest.fixture(params=["rustac", "pgstac"])
def api(request, files, tmp_path) -> Iterator[str]:
    """URL of a real server with the scenes."""
    folder = tmp_path / "server"
    folder.mkdir()
    if request.param == "rustac":
        process, url = start_rustac(files, folder)
    else:
        process, url = start_pgstac(files, folder, request)
    try:
        wait_for(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def low(condition, limit: int):
    call = {"process_id": "lte", "arguments": {"x": {"from_parameter": "value"}, "y": limit}, "result": True}
    return condition({"low": call})


def test_a_real_server_gives_what_the_files_give(api, files, scenes, env, condition):
    catalog = Catalog([api], CatalogSettings(), Door(NetSettings(allow=["127.0.0.1"]), (api,)))
    local = scenes.open()
    assert catalog.ids() == ["TEST"]
    west, south, east, north = files.items()[0]["bbox"]
    middle = (west, south, (west + east) / 2, (south + north) / 2)
    requests = {
        "everything": LoadRequest(),
        "dates": LoadRequest(temporal_extent=["2023-04-04T10:50:00Z", "2023-04-13T10:50:00Z"]),
        "open end": LoadRequest(temporal_extent=["2023-04-10", None]),
        "box": LoadRequest(spatial_extent=dict(zip(("west", "south", "east", "north"), middle, strict=True))),
        "clouds": LoadRequest(properties={"eo:cloud_cover": low(condition, 30)}),
    }
    sizes = {}
    for name, request in requests.items():
        found, expected = catalog.load("TEST", request, env), local.load("TEST", request, env)
        np.testing.assert_array_equal(found.labels("t"), expected.labels("t"), err_msg=name)
        np.testing.assert_array_equal(found.data.values, expected.data.values, err_msg=name)
        sizes[name] = len(found.labels("t"))
    assert sizes == {"everything": 8, "dates": 3, "open end": 5, "box": 8, "clouds": 4}
    for path in ("collections/TEST", "collections/TEST/items", "collections/TEST/items?limit=3", ""):
        cube = catalog.load_url(f"{api}{path}", requests["dates"], env)
        assert cube.data.values[:, 0, 0, 0].tolist() == [2, 3, 4]
    one = catalog.load_url(f"{api}collections/TEST/items/S5", LoadRequest(), env)
    assert one.data.values[:, 0, 0, 0].tolist() == [6]
    published = catalog.collection("TEST")
    assert published["cube:dimensions"]["bands"]["values"] == ["B04"]
