"""run_ogcapi and run_ogcapi_externally against a server of this machine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ogc_server import Ogc

from openeo_backend.cube import Cube
from openeo_backend.errors import OpenEOError
from openeo_backend.processes.registry import Registry

SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]}


def call(process: str = "run_ogcapi", **arguments: Any) -> dict[str, Any]:
    return {"run1": {"process_id": process, "arguments": arguments, "result": True}}


@pytest.fixture
def settings(ogc: Ogc) -> dict[str, Any]:
    return {"ogcapi": {"servers": {"lab": ogc.url}, "poll_seconds": 0.05, "seconds": 20}}


DATA = {"from_parameter": "cube"}


@pytest.mark.parametrize(
    "data", [5, 2.5, "text", True, [1, 2, 3], {"a": {"b": 1}}, {"type": "Point", "coordinates": [1, 2]}, []]
)
def test_json_values_come_back_as_sent(evaluate_with, settings, data):
    assert evaluate_with(settings, call(id="echo", data=data)) == data


def test_context_is_further_inputs(evaluate_with, settings, ogc):
    evaluate_with(settings, call(id="echo", data="hello", context={"times": 3}))
    assert ogc.executions[0]["inputs"] == {"message": "hello", "times": 3}
    assert ogc.executions[0]["response"] == "document"


def test_data_go_to_the_input_that_the_context_leaves_open(evaluate_with, settings, ogc):
    with pytest.raises(OpenEOError, match="a, b.*not clear") as raised:
        evaluate_with(settings, call(id="ambiguous", data=1))
    assert raised.value.code == "ProcessParameterInvalid"
    assert ogc.executions == []


def test_a_raster_is_computed_as_geotiff_by_a_job(evaluate_with, settings, ogc, raster):
    result = evaluate_with(settings, call(id="scale", data=DATA, context={"factor": 3}), cube=raster)
    assert isinstance(result, Cube)
    expected = np.arange(24, dtype="float32").reshape(2, 3, 4) * 3
    expected[1, 2, 3] = np.nan
    np.testing.assert_array_equal(result.data.values, expected)
    assert list(result.labels("bands")) == ["B04", "B08"]
    assert result.geobox == raster.geobox
    polls = [request for request in ogc.requests if request.startswith("GET /api/jobs/job-0")]
    assert polls[-1] == "GET /api/jobs/job-0/results"
    assert len(polls) >= 3


@pytest.mark.parametrize("id", ["by-reference", "raw"])
def test_outputs_by_reference_and_raw(evaluate_with, settings, raster, id):
    result = evaluate_with(settings, call(id=id, data=DATA), cube=raster)
    np.testing.assert_array_equal(result.data.values, raster.data.values)


def test_vectors_are_geojson(evaluate_with, settings):
    nodes = {
        "load": {
            "process_id": "load_geojson",
            "arguments": {
                "data": {"type": "Feature", "geometry": SQUARE, "properties": {"name": "a"}},
                "properties": [],
            },
        },
        "run": {
            "process_id": "run_ogcapi",
            "arguments": {"data": {"from_node": "load"}, "id": "buffer", "context": {"distance": 1}},
            "result": True,
        },
    }
    if "load_geojson" not in Registry.predefined():
        nodes = call(
            id="buffer",
            data={"type": "FeatureCollection", "features": [nodes["load"]["arguments"]["data"]]},
            context={"distance": 1},
        )
    result = evaluate_with(settings, nodes)
    assert result.is_vector
    # a square of side 1 with a margin of 1: 1 + 4 + pi, the circle being a polygon
    assert result.geometries().iloc[0].area == pytest.approx(5 + np.pi, abs=0.03)


def test_several_outputs_are_an_object(evaluate_with, settings):
    assert evaluate_with(settings, call(id="pair", data=1)) == {"one": 1, "two": 2}


def test_several_outputs_in_parts(evaluate_with, settings):
    assert evaluate_with(settings, call(id="parts", data=1)) == {"number": 5, "text": "five"}


@pytest.mark.parametrize("id", ["no-such", "lab:no-such", "other:echo"])
def test_unknown_processes(evaluate_with, settings, id):
    with pytest.raises(OpenEOError) as raised:
        evaluate_with(settings, call(id=id, data=1))
    assert raised.value.code == "InvalidOgcApiProcess"
    assert raised.value.path[-1].node_id == "run1"


def test_the_server_can_be_named(evaluate_with, settings):
    assert evaluate_with(settings, call(id="lab:echo", data=1)) == 1


@pytest.mark.parametrize(("id", "reason"), [("fails", "flux capacitor is empty"), ("refuses", "wrong phase")])
def test_failures_say_what_the_server_says(evaluate_with, settings, id, reason):
    with pytest.raises(OpenEOError, match=reason) as raised:
        evaluate_with(settings, call(id=id, data=1))
    assert raised.value.code == "OgcApiProcessFailed"


def test_a_job_that_takes_too_long_is_dismissed(evaluate_with, settings, ogc):
    settings["ogcapi"]["seconds"] = 0.4
    with pytest.raises(OpenEOError, match="not ended after") as raised:
        evaluate_with(settings, call(id="sleeps", data=1))
    assert raised.value.code == "RequestTimeout"
    assert ogc.jobs["job-0"]["status"] == "dismissed"


def test_cubes_larger_than_allowed_are_not_sent(evaluate_with, settings, raster, ogc):
    settings["net"] = {"max_file_mb": 0}
    with pytest.raises(OpenEOError) as raised:
        evaluate_with(settings, call(id="scale", data=DATA, context={"factor": 3}), cube=raster)
    assert raised.value.code == "ProcessGraphComplexity"
    assert ogc.executions == []


def external(url: str, id: str = "echo") -> dict[str, Any]:
    return call("run_ogcapi_externally", url=url, id=id, data=7)


def test_external_servers_are_reached_where_the_policy_allows(evaluate_with, ogc):
    settings = {"ogcapi": {"externally": True}, "net": {"allow": ["127.0.0.1"]}}
    assert evaluate_with(settings, external(ogc.url)) == 7
    with pytest.raises(OpenEOError) as raised:
        evaluate_with(settings, external(ogc.url, "no-such"))
    assert raised.value.code == "InvalidOgcApiProcess"
    with pytest.raises(OpenEOError) as raised:
        evaluate_with(settings, external(f"{ogc.url}/processes/echo"))
    assert raised.value.code == "InvalidOgcApiProcess"


def test_external_servers_are_refused_although_the_operator_uses_them(evaluate_with, settings, ogc):
    settings["ogcapi"]["externally"] = True
    with pytest.raises(OpenEOError, match="not a public address") as raised:
        evaluate_with(settings, external(ogc.url))
    assert raised.value.code == "UrlNotAllowed"
    assert ogc.requests == []


def test_offered_only_where_configured():
    assert not {"run_ogcapi", "run_ogcapi_externally"} & set(Registry.predefined().ids())
    offered = Registry.predefined(lambda name: name == "ogcapi.servers").ids()
    assert "run_ogcapi" in offered
    assert "run_ogcapi_externally" not in offered
