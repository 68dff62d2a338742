"""Runs from the graph to the files, in this process and in children."""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from openeo_backend.run import runner
from openeo_backend.run.engine import Engine
from openeo_backend.run.execute import execute, slug
from openeo_backend.run.request import Event, Outcome, RunRequest
from openeo_backend.run.runner import ChildRunner
from openeo_backend.sandbox.child import Ending
from openeo_backend.settings import Settings

PERIOD = ["2025-05-01", "2025-06-15"]


def node(process: str, source: str | None = None, /, **arguments: Any) -> dict[str, Any]:
    if source:
        arguments["data"] = {"from_node": source}
    return {"process_id": process, "arguments": arguments}


def load(*bands: str, period: list[str] | None = None) -> dict[str, Any]:
    return node(
        "load_collection",
        id="SENTINEL2_L2A",
        spatial_extent=None,
        temporal_extent=period or PERIOD,
        bands=list(bands),
    )


def callback(process: str, **arguments: Any) -> dict[str, Any]:
    return {"process_graph": {"only": {"process_id": process, "arguments": arguments, "result": True}}}


MAX = callback("max", data={"from_parameter": "data"})


def request(folder: Path, result: str, **nodes: dict[str, Any]) -> RunRequest:
    nodes[result] = {**nodes[result], "result": True}
    folder.mkdir(exist_ok=True)
    return RunRequest(id="r", process={"process_graph": nodes}, folder=folder)


def run(engine: Engine, request: RunRequest, events: list[Event] | None = None) -> Outcome:
    return execute(request, engine, (events if events is not None else []).append)


def read_items(archive: Path, band: str) -> list[np.ndarray]:
    """The band of every item, by time, read with plain rasterio."""
    paths = [path for path in archive.rglob("*.json") if "SENTINEL2_L2A" in path.parts[len(archive.parts)].upper()]
    items = [(json.loads(path.read_text()), path.parent) for path in paths]
    items = [(item, folder) for item, folder in items if item["type"] == "Feature"]
    arrays = []
    for item, folder in sorted(items, key=lambda entry: entry[0]["properties"]["datetime"]):
        with rasterio.open(folder / item["assets"][band]["href"]) as dataset:
            arrays.append(dataset.read(1))
    return arrays


def test_pixels_equal_those_of_plain_rasterio_and_numpy(engine: Engine, archive: Path, tmp_path: Path) -> None:
    nodes = {
        "load": load("B04"),
        "max": node("reduce_dimension", "load", dimension="t", reducer=MAX),
        "save": node("save_result", "max", format="gtiff"),
    }
    outcome = run(engine, request(tmp_path / "o", "save", **nodes))
    assert outcome.error is None
    (file,) = outcome.files
    with rasterio.open(tmp_path / "o" / file["name"]) as dataset:
        assert dataset.nodata == 0
        values = dataset.read(1)
    assert np.array_equal(values, np.max(read_items(archive, "B04"), axis=0))
    assert file["size"] == (tmp_path / "o" / file["name"]).stat().st_size
    assert file["proj"]["code"] == "EPSG:32632"
    assert file["proj"]["shape"] == [96, 96]
    assert len(outcome.provenance["items"]) == 3
    # without a time dimension, the file is about the period loaded: the solar days of the three dates
    assert (file["start"], file["end"]) == ("2025-05-01T00:00:00Z", "2025-06-10T00:00:00Z")


def contents(folder: Path, outcome: Outcome) -> list[bytes]:
    return [(folder / file["name"]).read_bytes() for file in outcome.files]


def test_a_child_gives_the_same_bytes(engine: Engine, settings: Settings, tmp_path: Path) -> None:
    nodes = {"load": load("B04", "B08"), "ndvi": node("ndvi", "load", nir="B08", red="B04")}
    nodes["max"] = node("reduce_dimension", "ndvi", dimension="t", reducer=MAX)
    here = run(engine, request(tmp_path / "here", "max", **nodes))
    events: list[Event] = []
    there = ChildRunner(settings)(request(tmp_path / "there", "max", **nodes), events.append, lambda: False)
    assert contents(tmp_path / "here", here) == contents(tmp_path / "there", there) != []
    assert any(event.kind == "log" and "EPSG:32632" in event.data["message"] for event in events)
    percents = [event.data["percent"] for event in events if event.kind == "progress"]
    assert percents == sorted(percents)
    assert percents[-1] == 100


@pytest.mark.parametrize(
    ("graph", "value"),
    [
        ({"a": node("add", x=1, y=2)}, 3),
        ({"a": node("eq", x=None, y=2)}, None),
        ({"a": node("array_create", data=[1, "x", None, True])}, [1, "x", None, True]),
        ({"a": node("text_concat", data=["a", "b"], separator="-")}, "a-b"),
    ],
)
def test_bare_values(engine: Engine, tmp_path: Path, graph: dict[str, Any], value: Any) -> None:
    outcome = run(engine, request(tmp_path / "o", "a", **graph))
    assert (outcome.has_value, outcome.value, outcome.files) == (True, value, ())


def test_every_save_result_writes_under_a_name_of_its_own(engine: Engine, tmp_path: Path) -> None:
    nodes = {
        "load": load("B04"),
        "max": node("reduce_dimension", "load", dimension="t", reducer=MAX),
        "one": node("save_result", "max", format="GTiff"),
        "two": node("save_result", "max", format="PNG", options={}),
    }
    outcome = run(engine, request(tmp_path / "o", "two", **nodes))
    assert outcome.error is None
    assert [file["name"] for file in outcome.files] == ["one.tif", "two.png"]
    assert [file["node"] for file in outcome.files] == ["one", "two"]
    titled = replace(
        request(tmp_path / "p", "one", **{k: dict(v) for k, v in nodes.items() if k != "two"}), title="Größte: B04!"
    )
    assert [file["name"] for file in run(engine, titled).files] == ["Grote-B04.tif"]


def failure(outcome: Outcome) -> Mapping[str, Any]:
    assert outcome.error is not None
    return outcome.error


def test_no_data_says_what_was_asked_and_what_there_is(engine: Engine, tmp_path: Path) -> None:
    error = failure(run(engine, request(tmp_path / "o", "load", load=load("B04", period=["1999-01-01", "1999-02-01"]))))
    assert error["code"] == "NoDataAvailable"
    for words in ("'load'", "SENTINEL2_L2A", "1999-01-01", "2025-05-01"):
        assert words in error["message"]


def test_a_request_that_reads_too_much_is_refused_with_numbers(engine: Engine, tmp_path: Path) -> None:
    small = replace(request(tmp_path / "o", "load", load=load("B04")), limit_samples=20_000)
    error = failure(run(engine, small))
    assert error["code"] == "ProcessGraphComplexity"
    assert "3 t" in error["message"]
    assert "96 x" in error["message"]


def test_unknown_collections_and_bands_are_found_before_anything_is_loaded(engine: Engine) -> None:
    nodes = {
        "a": {**load("B99"), "result": True},
        "b": node("load_collection", id="NONE", spatial_extent=None, temporal_extent=None),
    }
    _, problems = engine.plan({"process_graph": nodes})
    assert {(p.code, p.path[0].node_id) for p in problems} == {
        ("ProcessParameterInvalid", "a"),
        ("CollectionNotFound", "b"),
    }
    assert any("B04" in p.describe() for p in problems)


def test_parameters_of_the_process_get_their_values(engine: Engine, tmp_path: Path) -> None:
    process = {
        "parameters": [{"name": "x"}, {"name": "y", "optional": True, "default": 5}],
        "process_graph": {"a": {**node("add", x={"from_parameter": "x"}, y={"from_parameter": "y"}), "result": True}},
    }
    base = RunRequest(id="r", process=process, folder=tmp_path)
    assert run(engine, replace(base, parameters={"x": 1})).value == 6
    assert run(engine, replace(base, parameters={"x": 1, "y": 1})).value == 2
    assert failure(run(engine, base))["code"] == "ProcessParameterRequired"
    assert engine.plan(process)[1] == []


def test_the_deadline_and_a_crash_are_explained(settings: Settings, tmp_path: Path) -> None:
    nodes = {"load": load("B04")}
    outcome = ChildRunner(settings)(
        replace(request(tmp_path / "o", "load", **nodes), seconds=0.0), print, lambda: False
    )
    assert failure(outcome)["code"] == "RequestTimeout"
    cancelled = ChildRunner(settings)(request(tmp_path / "p", "load", **nodes), print, lambda: True)
    assert cancelled.cancelled
    assert cancelled.error is None


@pytest.mark.parametrize("kind", ["memory", "deadline"])
def test_who_was_ended_while_a_result_was_written_is_told_its_node(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    def ended(target: str, payload: Any, on_event: Any, *limits: Any) -> Ending:
        on_event({"kind": "place", "data": {"node_id": "save", "process_id": "save_result"}})
        on_event({"kind": "progress", "data": {"percent": 10}})
        return Ending(kind, memory_mb=5000)

    monkeypatch.setattr(runner, "run_child", ended)
    events: list[Event] = []
    asked = replace(request(tmp_path / "o", "load", load=load("B04")), seconds=5.0, memory_mb=4000)
    error = failure(ChildRunner(settings)(asked, events.append, lambda: False))
    assert error["path"] == [{"node_id": "save", "process_id": "save_result"}]
    assert "Node 'save' (save_result): The computation" in error["message"]
    assert [event.kind for event in events] == ["progress"]


def test_file_names() -> None:
    assert slug("../../etc/passwd") == "etc-passwd"
    assert slug("a" * 100) == "a" * 60
    assert slug("日本") == ""


def test_an_estimate_knows_sizes_without_reading(
    engine: Engine, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rasterio.DatasetReader, "read", None)  # whoever reads pixels fails
    asked = request(
        tmp_path / "out",
        "save",
        load=load("B04", "B08"),
        best=node("reduce_dimension", "load", dimension="t", reducer=MAX),
        save=node("save_result", "best", format="GTiff"),
    )
    outcome = run(engine, replace(asked, mode="estimate"))
    assert outcome.error is None, outcome.error
    steps = len(read_items_count(archive))
    assert outcome.value == {"items": steps, "samples": 96 * 96 * 2 * steps, "bytes": 96 * 96 * 2 * 2}
    assert list((tmp_path / "out").iterdir()) == []


def read_items_count(archive: Path) -> list[str]:
    """Ids of the scenes within the period."""
    items = [json.loads(path.read_text()) for path in archive.rglob("*.json")]
    items = [i for i in items if i["type"] == "Feature" and i["collection"] == "SENTINEL2_L2A"]
    return [item["id"] for item in items if PERIOD[0] <= item["properties"]["datetime"] < PERIOD[1]]


def test_what_depends_on_pixels_is_not_estimated(engine: Engine, tmp_path: Path) -> None:
    asked = request(
        tmp_path / "out", "fit", load=load("B04"), fit=node("fit_class_random_forest", predictors=1, target=2)
    )
    asked.process["process_graph"]["fit"]["arguments"] = {
        "predictors": {"from_node": "load"},
        "target": {"from_node": "load"},
    }
    outcome = run(engine, replace(asked, mode="estimate"))
    assert outcome.error is not None
    assert outcome.error["code"] == "EstimateComplexity"
    assert "fit_class_random_forest" in outcome.error["message"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_told_as_such(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(*arguments: Any) -> None:
        try:
            raise OSError(number, "full")
        except OSError as error:
            raise RuntimeError("a library's own words") from error

    monkeypatch.setattr("openeo_backend.run.execute.write_result", full)
    save = node("save_result", "load", format="netCDF")
    outcome = run(engine, request(tmp_path / "out", "save", load=load("B04"), save=save))
    assert outcome.error is not None
    assert outcome.error["code"] == "StorageFailure"
    assert outcome.error["path"] == [{"node_id": "save", "process_id": "save_result"}]
