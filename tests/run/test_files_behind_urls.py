"""load_url of files that are larger than documents may be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from range_server import RangeServer

from openeo_backend.run.engine import Engine
from openeo_backend.run.execute import execute
from openeo_backend.run.request import Outcome, RunRequest
from openeo_backend.settings import Settings

SIDE = 800


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RangeServer]:
    (tmp_path / "served").mkdir()
    server = RangeServer(tmp_path / "served")
    yield server
    server.close()


def load(server: RangeServer, folder: Path, file_mb: int) -> Outcome:
    folder.mkdir()
    net = {"allow": [server.url.partition("://")[2]], "max_document_mb": 1, "max_file_mb": file_mb}
    arguments = {"url": f"{server.url}/noise.tif", "format": "GTiff"}
    graph = {
        "load": {"process_id": "load_url", "arguments": arguments},
        "save": {
            "process_id": "save_result",
            "arguments": {"data": {"from_node": "load"}, "format": "GTiff"},
            "result": True,
        },
    }
    request = RunRequest(id="r", process={"process_graph": graph}, folder=folder)
    return execute(request, Engine.open(Settings.model_validate({"net": net})), [].append)


def test_large_rasters_are_loaded_and_nothing_of_them_stays(server: RangeServer, tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(1, 2**16, (1, SIDE, SIDE), "uint16")  # 1.28 MB, however compressed
    profile = {"driver": "GTiff", "dtype": "uint16", "count": 1, "height": SIDE, "width": SIDE, "crs": 32633}
    with rasterio.open(
        tmp_path / "served" / "noise.tif", "w", transform=Affine(10, 0, 5e5, 0, -10, 5e6), **profile
    ) as f:
        f.write(noise)
    outcome = load(server, tmp_path / "large", 2)
    assert outcome.error is None, outcome.error
    left = list((tmp_path / "large").iterdir())
    assert [path.name for path in left] == [file["name"] for file in outcome.files]
    with rasterio.open(left[0]) as file:
        np.testing.assert_array_equal(file.read(), noise)
    refused = load(server, tmp_path / "small", 1)
    assert refused.error is not None
    assert refused.error["code"] == "FileSizeExceeded"
