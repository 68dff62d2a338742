"""What random input once broke, kept as cases: each was an internal failure, or a disagreement."""

from __future__ import annotations

from typing import Any

import pytest

from openeo_backend.cube.extent import parse_area, parse_crs
from openeo_backend.cube.geometry import parse_geometries
from openeo_backend.errors import OpenEOError
from openeo_backend.jobs import options
from openeo_backend.settings import Settings


def call(process: str, **arguments: Any) -> dict[str, Any]:
    return {"process_id": process, "arguments": arguments}


LOAD = call("load_collection", id="SENTINEL2_L2A", spatial_extent=None, temporal_extent=None)
LOADED = {"from_node": "load"}
STRANGE = {"type": "Feature", "geometry": "NaN"}
NULL = call("array_element", data=[None], index=0)

#: Graphs whose last node is the result, and the code with which validation and running refuse them.
REFUSED = {
    "a callback that is no graph, but holds a reference": (
        {"load": LOAD, "r": call("reduce_dimension", data=LOADED, dimension="t", reducer={"a": LOADED})},
        "ProcessParameterInvalid",
    ),
    "a cube that is an object, but holds a reference": (
        {"load": LOAD, "r": call("filter_bands", data={"a": LOADED}, bands=["B04"])},
        "ProcessParameterInvalid",
    ),
    "a feature without a usable geometry": (
        {"r": call("load_geojson", data={"type": "FeatureCollection", "features": [STRANGE]})},
        "ProcessParameterInvalid",
    ),
    "a box without a side": (
        {"r": {**LOAD, "arguments": {**LOAD["arguments"], "spatial_extent": {"west": 1, "south": 2, "north": 3}}}},
        "ProcessParameterInvalid",
    ),
    "a period that ends before it starts": (
        {"r": {**LOAD, "arguments": {**LOAD["arguments"], "temporal_extent": ["2025-06-01", "2025-05-01"]}}},
        "TemporalExtentEmpty",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_validation_finds_what_running_would(node: Any, what: str) -> None:
    graph, code = REFUSED[what]
    process = {"process_graph": {**graph, "r": {**graph["r"], "result": True}}}
    assert [problem["code"] for problem in node.ask("POST", "/validation", json=process).json["errors"]] == [code]
    answer = node.ask("POST", "/result", json={"process": process})
    assert (answer.status_code, answer.json["code"]) == (400, code)


def test_values_of_other_nodes_have_the_types_that_parameters_take(node: Any) -> None:
    """Only running tells them."""
    add = call("add_dimension", data={"from_node": "load"}, name={"from_node": "null"}, label="x")
    graph = {"load": LOAD, "null": NULL, "add": {**add, "result": True}}
    assert node.ask("POST", "/validation", json={"process_graph": graph}).json["errors"] == []
    answer = node.ask("POST", "/result", json={"process": {"process_graph": graph}})
    assert (answer.status_code, answer.json["code"]) == (400, "ProcessParameterInvalid")
    assert "'name' must be of the type string, but is null" in answer.json["message"]


def test_null_of_another_node_is_as_good_as_nothing_for_an_option(node: Any) -> None:
    graph = {"null": NULL, "r": {**call("sort", data=[2, 1], asc={"from_node": "null"}), "result": True}}
    assert node.ask("POST", "/result", json={"process": {"process_graph": graph}}).json == [1, 2]


def test_no_values_fit_nothing(node: Any) -> None:
    line = {
        "process_graph": {
            "a": {**call("array_element", data={"from_parameter": "parameters"}, index=0), "result": True}
        }
    }
    graph = {"r": {**call("fit_curve", data=[], parameters=[1, 2], function=line), "result": True}}
    answer = node.ask("POST", "/result", json={"process": {"process_graph": graph}})
    assert answer.status_code == 200, answer.json
    assert answer.json == [None, None]


@pytest.mark.parametrize("path", ["/jobs/%00", "/process_graphs/a%00", "/jobs?limit=1&start=1~%00", "/result/logs/%00"])
def test_nul_is_in_no_address(node: Any, path: str) -> None:
    """PostgreSQL would not take it."""
    answer = node.ask("GET", path)
    assert (answer.status_code, answer.json["code"]) == (400, "RequestInvalid")


@pytest.mark.parametrize("value", ["P" + "9" * 5000 + "D", 10**400, float("nan"), "PT" + "9" * 16 + "S"], ids=range(4))
def test_runtimes_beyond_all_numbers(value: Any) -> None:
    from openeo_backend.auth.policy import limits_of

    settings = Settings.model_validate({})
    with pytest.raises(OpenEOError) as failure:
        options.check({"max_runtime": value}, limits_of(settings, ()), settings.jobs)
    assert failure.value.code == "RequestInvalid"


@pytest.mark.parametrize(
    "value",
    [
        {"type": "FeatureCollection", "features": None},
        {"type": "FeatureCollection", "features": [None, 5]},
        {"type": "Point", "coordinates": [10**400, 0]},
        {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0]]], "crs": {"properties": 5}},
        {"west": 10**400, "south": 0, "east": 1, "north": 1},
    ],
)
def test_areas_that_are_none(value: Any) -> None:
    for parse in (parse_area, parse_geometries):
        try:
            parse(value)
        except OpenEOError as error:
            assert error.code == "ProcessParameterInvalid"  # noqa: PT017


@pytest.mark.parametrize("value", ["²", "9" * 5000, 10**400, "", "\x00"], ids=range(5))
def test_reference_systems_that_are_none(value: Any) -> None:
    with pytest.raises(OpenEOError):
        parse_crs(value)
