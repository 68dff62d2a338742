"""What requests for a few pixels share: open files, unpacked tiles, the thread that computes."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.io import DatasetReader

from openeo_backend.catalog import raster, unpack
from openeo_backend.formats import blocks
from openeo_backend.run.engine import Engine
from openeo_backend.run.execute import execute
from openeo_backend.run.request import RunRequest
from openeo_backend.settings import Settings


def asset(archive: Path) -> tuple[Path, dict[str, Any]]:
    """The file of a band of the first date, and its item."""
    found = []
    for path in archive.rglob("*.json"):
        document = json.loads(path.read_text())
        if document.get("type") == "Feature" and document["collection"] == "SENTINEL2_L2A":
            found.append((document["properties"]["datetime"], path, document))
    _, path, item = min(found, key=lambda entry: entry[0])
    return (path.parent / item["assets"]["B04"]["href"]).resolve(), item


def run(engine: Engine, folder: Path, item: dict[str, Any], file: Path, part: tuple[int, int]) -> np.ndarray:
    """The pixels of a window of 16 x 16 from a row and column on, of the first date."""
    with rasterio.open(file) as dataset:
        left, top = dataset.transform @ (part[1], part[0])
        right, bottom = dataset.transform @ (part[1] + 16, part[0] + 16)
        epsg = dataset.crs.to_epsg()
    day = item["properties"]["datetime"][:10]
    load = {
        "id": "SENTINEL2_L2A",
        "spatial_extent": {"west": left, "east": right, "south": bottom, "north": top, "crs": epsg},
        "temporal_extent": [day, f"{day}T23:59:59Z"],
        "bands": ["B04"],
    }
    save = {"data": {"from_node": "l"}, "format": "GTiff"}
    graph = {
        "l": {"process_id": "load_collection", "arguments": load},
        "s": {"process_id": "save_result", "arguments": save, "result": True},
    }
    folder.mkdir()
    outcome = execute(RunRequest("r", {"process_graph": graph}, folder), engine, lambda event: None)
    assert outcome.error is None
    with rasterio.open(folder / outcome.files[0]["name"]) as dataset:
        return np.asarray(dataset.read(1))


@pytest.fixture
def own(archive: Path, tmp_path: Path) -> Path:
    """A copy of the archive, to change."""
    return Path(shutil.copytree(archive, tmp_path / "archive"))


def test_the_next_request_opens_and_unpacks_nothing(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine.open(Settings.model_validate({"catalog": {"sources": [str(own / "catalog.json")]}}))
    file, item = asset(own)
    opened: list[str] = []
    unpacked: list[int] = []
    threads: set[str] = set()
    take = unpack.Rows.take

    def taking(rows: unpack.Rows, until: int) -> bytes:
        found = take(rows, until)
        unpacked.append(len(found))
        threads.add(threading.current_thread().name)
        return found

    def opening(address: str, **options: Any) -> DatasetReader:
        opened.append(address)
        return DatasetReader(address, **options)

    monkeypatch.setattr(unpack.Rows, "take", taking)
    monkeypatch.setattr(raster, "DatasetReader", opening)
    with rasterio.open(file) as dataset:
        whole = dataset.read(1)
    np.testing.assert_array_equal(run(engine, tmp_path / "1", item, file, (32, 16)), whole[32:48, 16:32])
    assert (opened, len(unpacked)) == ([str(file)], 1)
    np.testing.assert_array_equal(run(engine, tmp_path / "2", item, file, (0, 0)), whole[:16, :16])
    assert (opened, len(unpacked)) == ([str(file)], 1)
    assert len(threads) == 1


def test_a_file_that_changed_is_opened_again(own: Path, tmp_path: Path) -> None:
    engine = Engine.open(Settings.model_validate({"catalog": {"sources": [str(own / "catalog.json")]}}))
    file, item = asset(own)
    before = run(engine, tmp_path / "1", item, file, (0, 0))
    with rasterio.open(file) as dataset:
        profile, values = dataset.profile, dataset.read()
    draft = file.with_suffix(".draft.tif")
    with rasterio.open(draft, "w", **profile) as dataset:
        dataset.write(np.where(values > 0, values + 1, values))
    draft.replace(file)
    after = run(engine, tmp_path / "2", item, file, (0, 0))
    np.testing.assert_array_equal(after, np.where(before > 0, before + 1, before))


def test_results_of_one_window_are_computed_in_a_thread_that_stays() -> None:
    found: list[str] = []

    def finish(values: np.ndarray, place: Any) -> None:
        found.append(threading.current_thread().name)

    for _ in range(3):
        list(blocks.stream(np.zeros((1, 4, 4)), finish, lambda done, planned: None))
    assert len(set(found)) == 1


def test_a_stream_within_a_stream_has_a_thread_of_its_own() -> None:
    def inner(values: np.ndarray, place: Any) -> float:
        return float(values.sum())

    def outer(values: np.ndarray, place: Any) -> float:
        return sum(block.result for block in blocks.stream(values, inner, lambda done, planned: None))

    assert [b.result for b in blocks.stream(np.ones((1, 4, 4)), outer, lambda done, planned: None)] == [16.0]
