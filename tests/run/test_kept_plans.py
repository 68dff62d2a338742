"""Requests for the same graph again: what is kept of the first, and what is done each time."""

from __future__ import annotations

import shutil
from functools import wraps
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import rasterio
import xarray as xr

from openeo_backend.catalog import catalog
from openeo_backend.catalog.viewer import Viewer
from openeo_backend.cube import Cube, Dimension
from openeo_backend.graph.nodes import Node
from openeo_backend.graph.parse import parse
from openeo_backend.run.engine import MOST_PLANS, MOST_TEXT, Engine
from openeo_backend.run.execute import execute
from openeo_backend.run.plan import Stored
from openeo_backend.run.request import Event, Outcome, RunRequest
from openeo_backend.run.values import Values
from openeo_backend.settings import Settings

X, DATA = {"from_parameter": "x"}, {"from_parameter": "data"}


def node(process: str, /, **arguments: Any) -> dict[str, Any]:
    return {"process_id": process, "arguments": arguments}


def ref(name: str) -> dict[str, str]:
    return {"from_node": name}


def callback(process: str, **arguments: Any) -> dict[str, Any]:
    return {"process_graph": {"c": node(process, **arguments) | {"result": True}}}


def picture(inner: dict[str, Any] | None = None) -> dict[str, Any]:
    """Three bands of the first date, scaled, as PNG."""
    scale = callback("linear_scale_range", x=X, inputMin=0, inputMax=4000, outputMax=255)
    nodes = {
        "l": node(
            "load_collection",
            id="SENTINEL2_L2A",
            spatial_extent=None,
            temporal_extent=["2025-05-01", "2025-05-20"],
            bands=["B04", "B03", "B02"],
        ),
        "f": node("reduce_dimension", data=ref("l"), dimension="t", reducer=callback("first", data=DATA)),
        "s": node("apply", data=ref("f"), process=inner or scale),
        "i": node("inspect", data=ref("s"), message="looked at"),
        "o": node("save_result", data=ref("i"), format="PNG") | {"result": True},
    }
    return {"process_graph": nodes}


class Asking:
    """Requests of one process after the other, as a child that goes on for others computes them."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine, self.folder = engine, folder
        self.events: list[Event] = []
        self.count = 0

    def __call__(self, process: dict[str, Any], **more: Any) -> tuple[Outcome, bytes]:
        self.count += 1
        folder = self.folder / str(self.count)
        folder.mkdir()
        self.events = []
        given = {"user": "ada", "is_plain": True, "is_checked": True, "threads": 1, **more}
        outcome = execute(RunRequest("r", process, folder, **given), self.engine, self.events.append)
        return outcome, (folder / outcome.files[0]["name"]).read_bytes() if outcome.files else b""

    def told(self) -> list[tuple[Any, ...]]:
        """What the log says, without when."""
        logged = [event.data for event in self.events if event.kind == "log"]
        return [(each["level"], each["message"], each.get("path"), each.get("data")) for each in logged]


@pytest.fixture
def ask(engine: Engine, tmp_path: Path) -> Asking:
    return Asking(engine, tmp_path)


@pytest.fixture
def calls(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The processes that are called."""
    found: list[str] = []
    for id in ("load_collection", "reduce_dimension", "apply", "inspect", "save_result"):
        process = engine.processes[id]

        def call(*args: Any, of: Any = process.implementation, name: str = id, **more: Any) -> Any:
            found.append(name)
            return of(*args, **more)

        monkeypatch.setattr(process, "implementation", wraps(process.implementation)(call))
    return found


def test_the_second_time_only_loads_and_effects_are_called(ask: Asking, calls: list[str]) -> None:
    _, first = ask(picture())
    assert calls == ["load_collection", "reduce_dimension", "apply", "inspect", "save_result"]
    calls.clear()
    reads = ask.engine.catalog.reads()
    _, second = ask(picture())
    assert calls == ["load_collection", "inspect", "save_result"]
    assert second == first
    assert first.startswith(b"\x89PNG")
    assert ask.engine.catalog.reads() > reads  # pixels are no part of what is kept


def test_logs_usage_provenance_and_descriptions_are_those_of_the_first_time(ask: Asking) -> None:
    one, _ = ask(picture())
    told = ask.told()
    two, _ = ask(picture())
    assert ask.told() == told
    assert sum(entry[1] == "looked at" for entry in told) == 1
    assert two.files == one.files
    assert {**two.provenance, "computed": ""} == {**one.provenance, "computed": ""}
    assert two.usage["input_pixel"] == one.usage["input_pixel"]
    assert two.usage["input_pixel"]["value"] > 0


def test_pixels_that_changed_are_seen(archive: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(archive, tmp_path / "archive"))
    engine = Engine.open(Settings.model_validate({"catalog": {"sources": [str(own / "catalog.json")]}}))
    (folder := tmp_path / "runs").mkdir()
    ask = Asking(engine, folder)
    _, first = ask(picture())
    for file in own.rglob("*B0[234]*.tif"):
        with rasterio.open(file) as dataset:
            profile, values = dataset.profile, dataset.read()
        file.unlink()
        with rasterio.open(file, "w", **profile) as dataset:
            dataset.write(values // 2)
    _, second = ask(picture())
    assert second != first


def test_limits_hold_the_second_time(ask: Asking) -> None:
    outcome, _ = ask(picture(), limit_samples=1e9)
    assert outcome.error is None
    samples = outcome.usage["input_pixel"]["value"] * 1e6
    outcome, _ = ask(picture(), limit_samples=samples - 1)
    assert outcome.error is not None
    assert outcome.error["code"] == "ProcessGraphComplexity"


def test_the_least_is_compared_once_where_the_api_can(ask: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loads with arguments that come out of the graph are compared when they are made."""
    compared: list[str] = []
    monkeypatch.setattr(catalog, "_refuse_larger", lambda source, id, *more: compared.append(id))
    ask(picture(), limit_samples=1e9)
    assert compared == []
    made = picture()
    made["process_graph"]["b"] = node("array_create", data=["B02", "B03", "B04"])
    made["process_graph"]["l"]["arguments"]["bands"] = ref("b")
    outcome, _ = ask(made, limit_samples=1e9)
    assert outcome.error is None
    assert compared == ["SENTINEL2_L2A"]


def test_other_roles_load_what_they_may(archive: Path, tmp_path: Path) -> None:
    settings = {"sources": [str(archive / "catalog.json")], "collections": {"SENTINEL2_L2A": {"roles": ["eo"]}}}
    ask = Asking(Engine.open(Settings.model_validate({"catalog": settings})), tmp_path)
    assert ask(picture(), roles=["eo"])[0].error is None
    outcome, _ = ask(picture(), user="bob", roles=[])
    assert outcome.error is not None
    assert outcome.error["code"] == "PermissionsInsufficient"
    for viewer, is_fine in ((Viewer(frozenset({"eo"}), is_known=True), True), (Viewer(is_known=True), False)):
        plan, problems = ask.engine.seen_by(viewer).plan(picture(), most=1e9)
        assert (plan is not None) is is_fine
        assert [problem.code for problem in problems] == ([] if is_fine else ["PermissionsInsufficient"])


def test_other_threads_and_memory_make_other_blocks(ask: Asking, calls: list[str]) -> None:
    ask(picture())
    for changed in ({"threads": 2}, {"memory_mb": 1000}):
        calls.clear()
        ask(picture(), **changed)
        assert "apply" in calls


def test_a_process_that_computes_once_keeps_nothing(ask: Asking, calls: list[str]) -> None:
    for _ in range(2):
        calls.clear()
        ask(picture(), is_plain=False)
        assert "apply" in calls


def test_callbacks_that_may_tell_are_called_each_time(ask: Asking, calls: list[str]) -> None:
    for _ in range(2):
        calls.clear()
        ask(picture(callback("inspect", data=X)))
        assert "apply" in calls


def test_a_plan_is_that_of_the_same_text(engine: Engine) -> None:
    plan, _ = engine.plan(picture(), given={})
    assert engine.plan(picture(), given={})[0] is plan
    other = picture()
    other["process_graph"]["l"]["arguments"]["bands"] = ["B04", "B03", "B08"]
    assert engine.plan(other, given={})[0] is not plan
    assert engine.plan(picture())[0] is not plan
    assert engine.plan(picture(), given={}, checked=True)[0] is not plan


def test_plans_of_stored_processes_are_made_anew(engine: Engine) -> None:
    def process(number: int) -> dict[str, Any]:
        return {"process_graph": {"a": node("add", x=number, y=2) | {"result": True}}}

    for namespace in ({}, {"namespace": "user"}):
        sent = {"process_graph": {"mine": node("mine") | namespace | {"result": True}}}
        for number in (1, 2):
            plan, problems = engine.plan(sent, stored=Stored(lambda number=number: {"mine": process(number)}))
            assert plan is not None, problems
            assert [each.arguments["x"] for each in plan.graph] == [number]
        assert engine.plan(sent)[0] is None


def test_few_and_short_plans_are_kept(engine: Engine) -> None:
    def process(number: int, text: str = "") -> dict[str, Any]:
        return {"process_graph": {"a": node("add", x=number, y=2) | {"result": True, "description": text}}}

    for number in range(MOST_PLANS + 9):
        engine.plan(process(number))
    assert len(engine.plans) == MOST_PLANS
    long = process(0, "a" * MOST_TEXT)
    assert engine.plan(long)[0] is not engine.plan(long)[0]


def cube(values: Any) -> Cube:
    dimensions = (Dimension("y", "spatial", "y", step=-1), Dimension("x", "spatial", "x", step=1))
    coords = {"y": np.arange(values.shape[0])[::-1], "x": np.arange(values.shape[1])}
    return Cube(xr.DataArray(values, dims=("y", "x"), coords=coords), dimensions)


class Counted:
    """A node that makes a cube of one of its inputs; how often it was called."""

    def __init__(self, engine: Engine, process: str = "apply") -> None:
        graph = {"a": node("add", x=1, y=2), "n": node(process, data=ref("a")) | {"result": True}}
        self.node: Node = parse(graph, max_nodes=9, max_depth=9).nodes["n"]
        self.processes, self.values, self.reads, self.calls = engine.processes, Values(), 0, 0

    def __call__(self, data: Any, result: Cube, reads: int = 0) -> Cube:
        def call() -> Cube:
            self.calls += 1
            self.reads += reads
            return result

        found = self.values.under(1, self.processes, lambda: self.reads)(self.node, {"a": data}, call)
        assert isinstance(found, Cube)
        return found


def lazy(side: int = 8) -> Cube:
    """A lazy cube that nothing is kept for but how it is made."""
    from openeo_backend.cube import fusion

    return cube(fusion.filled("f", ((side,), (side,)), np.dtype("f4"), lambda place, out: None))


def test_a_lazy_cube_is_kept_for_the_same_input(engine: Engine) -> None:
    counted, data, result = Counted(engine), lazy(), lazy()
    assert counted(data, result) is result
    assert counted(data, lazy()) is result
    assert counted.calls == 1
    assert counted(lazy(), other := lazy()) is other
    assert counted(data, result) is result
    assert counted.calls == 3


@pytest.mark.parametrize(
    "result",
    [
        cube(np.zeros((8, 8))),
        cube(da.from_array(np.zeros((300, 300)), chunks=300)),
        lazy(2000),
        cube(da.zeros((64, 64), chunks=2)),
    ],
    ids=["values", "values in its graph", "large", "many blocks"],
)
def test_what_is_large_or_has_values_is_not_kept(engine: Engine, result: Cube) -> None:
    counted, data = Counted(engine), lazy()
    counted(data, result)
    counted(data, result)
    assert counted.calls == 2


def test_what_was_made_of_pixels_is_not_kept(engine: Engine) -> None:
    counted, data = Counted(engine), lazy()
    counted(data, lazy(), reads=1)
    counted(data, lazy(), reads=1)
    assert counted.calls == 2


@pytest.mark.parametrize("process", ["inspect", "save_result", "unheard_of"])
def test_what_has_effects_is_not_kept(engine: Engine, process: str) -> None:
    counted, data = Counted(engine, process), lazy()
    counted(data, lazy())
    counted(data, lazy())
    assert counted.calls == 2


def test_a_collection_that_is_gone_is_told(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert engine.plan(picture(), most=1e9)[0] is not None
    monkeypatch.setattr(engine.catalog._sources[0], "names", dict)
    plan, problems = engine.plan(picture(), most=1e9)
    assert plan is None
    assert [problem.code for problem in problems] == ["CollectionNotFound"]


def test_stored_processes_are_read_only_where_a_graph_may_call_one() -> None:
    stored = Stored(dict)
    assert not stored.is_read
    assert "a" not in stored
    assert stored.is_read
