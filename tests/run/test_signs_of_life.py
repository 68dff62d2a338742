"""What a run tells while one window of its result takes long."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest

from openeo_backend.catalog.read import BlockReader
from openeo_backend.formats import blocks, waiting
from openeo_backend.observe import share
from openeo_backend.run import journal
from openeo_backend.run.engine import Engine
from openeo_backend.run.execute import execute
from openeo_backend.run.request import Event, RunRequest

LOAD = {"id": "SENTINEL2_L2A", "spatial_extent": None, "temporal_extent": None, "bands": ["B04", "B08"]}
PROCESS = {
    "process_graph": {
        "load": {"process_id": "load_collection", "arguments": LOAD},
        "save": {
            "process_id": "save_result",
            "arguments": {"data": {"from_node": "load"}, "format": "netCDF"},
            "result": True,
        },
    }
}


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "TELL_SECONDS", 0.02)
    monkeypatch.setattr(journal, "TELL_SECONDS", 0.02)


def test_the_dates_and_bands_read_of_a_window_are_progress(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One window of three dates and two bands: as each plane is read, so much of the window is done."""
    fill = BlockReader._fill

    def slowly(self: BlockReader, *arguments: Any) -> None:
        time.sleep(0.15)
        fill(self, *arguments)

    monkeypatch.setattr(BlockReader, "_fill", slowly)
    events: list[Event] = []
    outcome = execute(RunRequest(id="r", process=PROCESS, folder=tmp_path), engine, events.append)
    assert outcome.error is None
    percents = [event.data["percent"] for event in events if event.kind == "progress"]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    assert set(percents) >= {int(100 * planes / 6) for planes in range(1, 6)}
    seconds = [event.data["duration"]["value"] for event in events if event.kind == "usage"]
    assert len(seconds) >= 5
    assert seconds == sorted(seconds)
    assert seconds[-1] - seconds[0] > 0.6


def test_tasks_that_are_done_of_a_window_are_progress() -> None:
    """A window of four chunks; the work on the last one waits until it was told that three are done."""
    told: list[float] = []
    three, calls = threading.Event(), iter(range(9))

    def make(block_info: Any = None) -> np.ndarray:
        if next(calls) == 3:
            assert three.wait(10)
        return np.ones((2, 2))

    def progress(done: float, planned: int) -> None:
        told.append(done / planned)
        if done >= 0.5:
            three.set()

    array = da.map_blocks(make, chunks=((2, 2), (2, 2)), dtype="f8", meta=np.empty((0, 0)))
    (block,) = blocks.stream(array, lambda values, _: values.sum(), progress, threads=1)
    assert block.result == 16
    assert told[-1] == 1
    assert 0.5 <= told[-2] < 1


def test_what_nobody_waits_for_is_told_to_nobody() -> None:
    share.tell(0.5)
    mine = share.Share()
    mine.plan(2)
    with mine.told():
        share.tell(0.5)
    share.tell(1.0)
    assert mine.value == 0.25
    mine.count()
    mine.count()
    assert mine.value < 1
