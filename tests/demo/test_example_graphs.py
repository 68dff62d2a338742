"""The example process graphs are sound, and fit the demo archive."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from openeo_backend.catalog.demo import Scenario
from openeo_backend.catalog.demo.collections import land_cover, sentinel1, sentinel2, terrain
from openeo_backend.catalog.demo.landscape import make_landscape
from openeo_backend.catalog.demo.reference import reference_polygons

FOLDER = Path(__file__).resolve().parents[2] / "process_graphs"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json") if not path.stem.endswith(".expected"))
#: Processes of older drafts, which are not in the current specification: their parameters as published then.
FORMER = {
    "fit_class_random_forest": {"predictors", "target", "max_variables", "num_trees", "seed"},
    "predict_random_forest": {"data", "model"},
}


def read(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def graphs(nodes: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A process graph and those of its callbacks."""
    yield nodes
    for node in nodes.values():
        for value in node["arguments"].values():
            if isinstance(value, dict) and "process_graph" in value:
                yield from graphs(value["process_graph"])


def references(value: Any, kind: str) -> Iterator[str]:
    """Names behind `from_node` or `from_parameter`, not those inside callbacks."""
    if isinstance(value, dict):
        if kind in value:
            yield value[kind]
        elif "process_graph" not in value:
            for part in value.values():
                yield from references(part, kind)
    elif isinstance(value, list):
        for part in value:
            yield from references(part, kind)


def test_there_are_examples() -> None:
    assert {"ndvi_monthly_composite", "crop_classification"} <= set(NAMES)
    assert len(NAMES) >= 6


@pytest.mark.parametrize("name", NAMES)
def test_arguments_are_those_of_the_specification(name: str, shared: Path) -> None:
    folder = shared / "spec" / "openeo-processes-2.0.0-rc.2"
    for nodes in graphs(read(name)["process_graph"]):
        for key, node in nodes.items():
            process = node["process_id"]
            if process in FORMER:
                assert set(node["arguments"]) <= FORMER[process]
                continue
            path = next(p for p in (folder, folder / "proposals") if (p / f"{process}.json").is_file())
            parameters = json.loads((path / f"{process}.json").read_text(encoding="utf-8"))["parameters"]
            known = {parameter["name"] for parameter in parameters}
            required = {parameter["name"] for parameter in parameters if not parameter.get("optional")}
            assert required <= set(node["arguments"]) <= known, (key, process)


@pytest.mark.parametrize("name", NAMES)
def test_references_lead_somewhere(name: str) -> None:
    process = read(name)
    assert process["id"] == name
    declared = {parameter["name"] for parameter in process["parameters"]}
    assert all("default" in parameter for parameter in process["parameters"])
    used = set()
    for nodes in graphs(process["process_graph"]):
        assert sum(bool(node.get("result")) for node in nodes.values()) == 1
        for node in nodes.values():
            assert set(references(node["arguments"], "from_node")) <= set(nodes)
            if nodes is process["process_graph"]:
                used |= set(references(node["arguments"], "from_parameter"))
    assert used == declared


@pytest.mark.parametrize("name", NAMES)
def test_bands_and_areas_are_in_the_archive(name: str) -> None:
    scenario = Scenario()
    bands = {
        spec.id: {band.name for band in spec.bands}
        for spec in (make(scenario) for make in (sentinel1, sentinel2, terrain, land_cover))
    }
    process = read(name)
    west, south, east, north = scenario.grid.bounds
    defaults = {parameter["name"]: parameter["default"] for parameter in process["parameters"]}
    area = {"west": west, "south": south, "east": east, "north": north, "crs": scenario.epsg}
    assert defaults["spatial_extent"] == area
    for node in process["process_graph"].values():
        if node["process_id"] == "load_collection":
            assert set(node["arguments"]["bands"]) <= bands[node["arguments"]["id"]]


@pytest.mark.parametrize("name", NAMES)
def test_expectations_lie_beside(name: str) -> None:
    expected = read(f"{name}.expected")
    assert expected["graph"] == f"{name}.json"
    save = next(n for n in read(name)["process_graph"].values() if n["process_id"] == "save_result")
    assert expected["format"] == save["arguments"]["format"]
    for entry in expected.get("statistics", []):
        low, high = entry["mean"]
        assert entry["minimum"] <= low < high <= entry["maximum"]


def test_polygons_in_the_graphs_are_those_of_the_archive() -> None:
    scenario = Scenario()
    features = reference_polygons(scenario, make_landscape(scenario))["features"]

    def default(name: str, parameter: str) -> list[dict[str, Any]]:
        found = next(p for p in read(name)["parameters"] if p["name"] == parameter)
        return found["default"]["features"]

    training = [feature for feature in features if feature["properties"]["use"] == "training"]
    assert {feature["properties"]["target"] for feature in training} == set(range(1, 11))
    assert default("crop_classification", "training") == training
    assert all(field in features for field in default("field_statistics", "fields"))
