"""Which graphs may be computed by a process that goes on for others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from openeo_backend.run.child import prepare, work
from openeo_backend.run.engine import Engine
from openeo_backend.run.plain import _COMPUTING, is_plain
from openeo_backend.run.request import RunRequest
from openeo_backend.settings import Settings

ADD = {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}


def plain(engine: Engine, nodes: Mapping[str, Any]) -> bool:
    plan, problems = engine.plan({"process_graph": nodes})
    assert plan is not None, problems
    return is_plain(plan.graph, engine)


def load(id: Any) -> dict[str, Any]:
    return {
        "process_id": "load_collection",
        "arguments": {"id": id, "spatial_extent": None, "temporal_extent": None},
        "result": True,
    }


def test_computing_on_collections_of_the_operator_is_plain(engine: Engine) -> None:
    assert plain(engine, {"a": ADD})
    reducer = {"m": {"process_id": "mean", "arguments": {"data": {"from_parameter": "data"}}, "result": True}}
    reduce = {"data": {"from_node": "l"}, "dimension": "t", "reducer": {"process_graph": reducer}}
    graph = {
        "l": load("SENTINEL2_L2A") | {"result": False},
        "r": {"process_id": "reduce_dimension", "arguments": reduce, "result": True},
    }
    assert plain(engine, graph)


@pytest.mark.parametrize(
    "node",
    [
        {"process_id": "load_stac", "arguments": {"url": "https://example.com/item.json"}},
        {"process_id": "load_url", "arguments": {"url": "https://example.com/a.tif", "format": "GTiff"}},
        {"process_id": "load_result", "arguments": {"id": "j-" + 32 * "0"}},
    ],
)
def test_what_users_name_is_not(engine: Engine, node: dict[str, Any]) -> None:
    assert not plain(engine, {"a": {**node, "result": True}})
    filtered = {"process_id": "filter_bands", "arguments": {"data": {"from_node": "a"}, "bands": ["b"]}, "result": True}
    assert not plain(engine, {"a": node, "f": filtered})


def test_collections_that_users_exported_are_not(archive: Path, tmp_path: Path) -> None:
    settings = Settings.model_validate(
        {"catalog": {"sources": [str(archive / "catalog.json")], "exports": str(tmp_path / "exports")}}
    )
    engine = Engine.open(settings)
    assert engine.catalog.is_of_operator("SENTINEL2_L2A")
    assert not engine.catalog.is_of_operator("exported")
    assert not engine.catalog.is_of_operator(None)


def test_families_that_reach_out_are_not_computing(engine: Engine) -> None:
    """Those are plain that are named: a new family is not, and none of those that run, send, open or keep something."""
    families = {f"openeo_backend.processes.{name}" for name in _COMPUTING}
    plain = {id for id in engine.processes.ids() if engine.processes[id].implementation.__module__ in families}
    reaching = ("run_", "load_", "export_", "fit_class", "fit_regr", "save_ml", "predict_random")
    assert {id for id in plain if id.startswith(reaching)} == {"load_geojson"}  # whose features come in the graph


def test_a_child_that_works_twice_opens_the_catalogs_once(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Any] = []
    read = Engine.open.__func__  # type: ignore[attr-defined]
    monkeypatch.setattr(Engine, "open", classmethod(lambda cls, *given: opened.append(1) or read(cls, *given)))
    given = {"settings": settings.model_dump_json()}
    prepare(given, lambda event: None)
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        request = RunRequest("r", {"process_graph": {"a": ADD}}, folder)
        answer = work({**given, "request": request.json()}, lambda event: None)
        assert answer["value"] == 3
        assert answer["usage"]["cpu"]["value"] < 5  # of this request, not of the process
    assert len(opened) == 1
