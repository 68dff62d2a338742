"""What random input once broke, kept as cases: each was an internal failure, or a disagreement."""

from __future__ import annotations

import io
import json
from typing import Any

import h5py
import pandas as pd
import pyproj
import pytest
import rasterio

from openeo_backend.cube.crs import read_crs
from openeo_backend.cube.extent import parse_area, parse_crs
from openeo_backend.cube.features import parse_features
from openeo_backend.cube.geometry import parse_geometries
from openeo_backend.errors import OpenEOError
from openeo_backend.jobs import options
from openeo_backend.settings import Settings


def call(process: str, **arguments: Any) -> dict[str, Any]:
    return {"process_id": process, "arguments": arguments}


LOAD = call("load_collection", id="SENTINEL2_L2A", spatial_extent=None, temporal_extent=None)
LOADED = {"from_node": "load"}
AREA = {"west": 11.9672, "south": 48.519, "east": 11.972, "north": 48.5225}
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


def test_options_are_the_same_for_all_pixels(node: Any) -> None:
    every = call("all", data=[], ignore_nodata={"from_parameter": "x"})
    process = {"process_graph": {"c": {**every, "result": True}}}
    apply = {"process_id": "apply", "arguments": {"data": LOADED, "process": process}, "result": True}
    answer = node.ask("POST", "/result", json={"process": {"process_graph": {"load": LOAD, "r": apply}}})
    assert (answer.status_code, answer.json["code"]) == (400, "ProcessParameterInvalid")
    assert "'ignore_nodata' must be of the type boolean" in answer.json["message"]


def test_what_is_not_there_is_no_failure_of_the_server(node: Any) -> None:
    load = call("load_collection", id="SENTINEL1_GRD", spatial_extent=None, temporal_extent=None)
    beta = {**call("sar_backscatter", data=LOADED, coefficient="beta0"), "result": True}
    answer = node.ask("POST", "/result", json={"process": {"process_graph": {"load": load, "n": beta}}})
    assert (answer.status_code, answer.json["code"]) == (400, "FeatureUnsupported")


def test_values_are_no_callbacks(node: Any) -> None:
    fit = call("fit_curve", data={"from_parameter": "data"}, parameters=[0], function={"from_parameter": "data"})
    reducer = {"process_graph": {"c": {**fit, "result": True}}}
    reduce = {**call("reduce_spatial", data=LOADED, reducer=reducer), "result": True}
    answer = node.ask("POST", "/result", json={"process": {"process_graph": {"load": LOAD, "r": reduce}}})
    assert (answer.status_code, answer.json["code"]) == (400, "ProcessParameterInvalid")
    assert "'function' must be a process graph" in answer.json["message"]


def test_what_was_saved_is_no_list_of_bands(node: Any) -> None:
    load = call("load_collection", id="COPERNICUS_30", spatial_extent=None, temporal_extent=None)
    again = {**load["arguments"], "bands": {"from_node": "s"}}
    graph = {"load": load, "s": call("save_result", data=LOADED, format="GTiff")}
    graph["r"] = {"process_id": "load_collection", "arguments": again, "result": True}
    answer = node.ask("POST", "/result", json={"process": {"process_graph": graph}})
    assert (answer.status_code, answer.json["code"]) == (400, "ProcessParameterInvalid")


@pytest.mark.parametrize("bands", [["B04", {"a": 1}], [{}], [2.5]])
def test_names_of_bands_that_come_from_a_node_are_texts(node: Any, bands: list[Any]) -> None:
    load = {**LOAD, "arguments": {**LOAD["arguments"], "bands": {"from_node": "made"}}, "result": True}
    process = {"process_graph": {"made": call("array_create", data=bands), "r": load}}
    answer = node.ask("POST", "/result", json={"process": process})
    assert (answer.status_code, answer.json["code"]) == (400, "ProcessParameterInvalid")


def test_pixels_are_no_texts(node: Any) -> None:
    difference = call("date_difference", date1="2025-05-01", date2="2025-05-02", unit={"from_parameter": "x"})
    process = {"process_graph": {"d": {**difference, "result": True}}}
    graph = {
        "load": LOAD,
        "r": {"process_id": "apply", "arguments": {"data": LOADED, "process": process}, "result": True},
    }
    answer = node.ask("POST", "/result", json={"process": {"process_graph": graph}})
    assert (answer.status_code, answer.json["code"]) == (400, "ProcessParameterInvalid")
    assert "'unit' must be of the type null or string" in answer.json["message"]


def test_classes_are_numbers_only(node: Any) -> None:
    """Values of other nodes: constants are refused before."""
    graph = {
        "load": LOAD,
        "n": call("array_concat", array1=[None], array2=[]),
        "r": {**call("to_scl_dilation_mask", data=LOADED, mask1_values={"from_node": "n"}), "result": True},
    }
    answer = node.ask("POST", "/result", json={"process": {"process_graph": graph}})
    assert (answer.status_code, answer.json["code"]) == (400, "ProcessParameterInvalid")


@pytest.mark.parametrize(("data", "parameters"), [([1, 2], [1, None]), ([1, "B02"], [1])])
def test_curves_are_fitted_to_numbers_only(node: Any, data: list[Any], parameters: list[Any]) -> None:
    """Values of other nodes: constants are refused before."""
    line = {"process_graph": {"c": {**call("absolute", x={"from_parameter": "x"}), "result": True}}}
    graph = {
        "d": call("array_concat", array1=data, array2=[]),
        "p": call("array_concat", array1=parameters, array2=[]),
        "r": {
            **call("fit_curve", data={"from_node": "d"}, parameters={"from_node": "p"}, function=line),
            "result": True,
        },
    }
    answer = node.ask("POST", "/result", json={"process": {"process_graph": graph}})
    assert (answer.status_code, answer.json["code"]) == (400, "ProcessParameterInvalid")


@pytest.mark.parametrize("name", ["merge_cubes", "mask"])
def test_a_cube_beside_itself(node: Any, name: str) -> None:
    """Steps that use one block twice, or one of their blocks not at all."""
    negative = {"process_graph": {"c": {**call("absolute", x={"from_parameter": "x"}), "result": True}}}
    load = call("load_collection", id="COPERNICUS_30", spatial_extent=None, temporal_extent=None)
    arguments = {
        "merge_cubes": {"cube1": LOADED, "cube2": LOADED, "overlap_resolver": negative},
        "mask": {"data": LOADED, "mask": LOADED, "replacement": False},
    }
    step = {"process_id": name, "arguments": arguments[name], "result": True}
    answer = node.ask("POST", "/result", json={"process": {"process_graph": {"load": load, "r": step}}})
    assert answer.status_code == 200, answer.text


def test_boxes_around_a_point(node: Any) -> None:
    box = {"west": 11.0, "east": 11.0, "south": 50.0, "north": 50.0}
    area = parse_area(box)
    assert area is not None
    expected = pyproj.Transformer.from_crs(4326, 32632, always_xy=True).transform(11.0, 50.0)
    assert area.bounds(read_crs(32632)) == pytest.approx((*expected, *expected))
    load = {**call("load_collection", id="SENTINEL2_L2A", spatial_extent=box, temporal_extent=None), "result": True}
    assert node.ask("POST", "/result", json={"process": {"process_graph": {"l": load}}}).status_code == 400


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("GTiff", {"nodata": "nan((("}),
        ("PNG", {"colormap": {"B04": 0}}),
        ("PNG", {"colormap": {"1e999": [0, 0, 0, 1]}}),
    ],
)
def test_options_of_formats_that_are_no_numbers(node: Any, format: str, options: dict[str, Any]) -> None:
    load = {**LOAD, "arguments": {**LOAD["arguments"], "bands": ["B04"]}}
    save = call("save_result", data=LOADED, format=format, options=options)
    answer = node.ask(
        "POST", "/result", json={"process": {"process_graph": {"load": load, "s": {**save, "result": True}}}}
    )
    assert (answer.status_code, answer.json["code"]) == (400, "ProcessParameterInvalid")


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


def test_an_image_without_pixels_is_no_image(node: Any) -> None:
    never = {"process_graph": {"c": {**call("eq", x=1, y=2), "result": True}}}
    first = {"process_graph": {"f": {**call("first", data={"from_parameter": "data"}), "result": True}}}
    graph = {
        "load": LOAD,
        "one": call("reduce_dimension", data=LOADED, dimension="t", reducer=first),
        "r": {**call("filter_labels", data={"from_node": "one"}, dimension="x", condition=never), "result": True},
    }
    answer = node.ask("POST", "/result", json={"process": {"process_graph": graph}})
    assert (answer.status_code, answer.json["code"]) == (400, "DataCubeEmpty")


@pytest.mark.parametrize("credentials", ["\x80", "é=", "====", "YTp\xff", "gICA"])
def test_credentials_that_are_none(node: Any, credentials: str) -> None:
    answer = node.ask("GET", "/credentials/basic", headers={"Authorization": f"Basic {credentials}"})
    assert (answer.status_code, answer.json["code"]) == (403, "CredentialsInvalid")


@pytest.mark.parametrize("path", ["/jobs/%00", "/process_graphs/a%00", "/jobs?limit=1&start=1~%00", "/result/logs/%00"])
def test_nul_is_in_no_address(node: Any, path: str) -> None:
    """PostgreSQL would not take it."""
    answer = node.ask("GET", path)
    assert (answer.status_code, answer.json["code"]) == (400, "RequestInvalid")


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_times_before_and_after_all_years(node: Any, text: str) -> None:
    """Their time in UTC is none that Python knows."""
    answer = node.ask("GET", "/collections/SENTINEL2_L2A/items", query_string={"datetime": f"{text}/.."})
    assert (answer.status_code, answer.json["code"]) == (400, "RequestInvalid")
    load = {**call("load_collection", id="SENTINEL2_L2A", spatial_extent=None, temporal_extent=[text, None])}
    problems = node.ask("POST", "/validation", json={"process_graph": {"l": {**load, "result": True}}}).json["errors"]
    assert [problem["code"] for problem in problems] == ["ProcessParameterInvalid"]


@pytest.mark.parametrize("url", ["http://[", "http://[::1", "http://a:99999999/", "http://a℀b.example/", "//["])
def test_addresses_that_are_none(node: Any, url: str) -> None:
    graphs = [
        call("load_stac", url=url),
        call("load_result", id=url),
        {"process_id": "x", "namespace": url, "arguments": {}},
    ]
    for graph in graphs:
        process = {"process_graph": {"a": {**graph, "result": True}}}
        assert node.ask("POST", "/validation", json=process).status_code == 200
        answer = node.ask("POST", "/result", json={"process": process})
        assert 400 <= answer.status_code < 500, answer.text


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


SHIFTED = """BOUNDCRS[SOURCECRS[GEOGCRS["a",DATUM["b",ELLIPSOID["c",6378137,298]],CS[ellipsoidal,2],AXIS["lat",north],
AXIS["lon",east],ANGLEUNIT["degree",0.0174532925199433]]],TARGETCRS[GEOGCRS["d",DATUM["e",ELLIPSOID["f",6378137,298]],
CS[ellipsoidal,2],AXIS["lat",north],AXIS["lon",east],ANGLEUNIT["degree",0.0174532925199433]]],ABRIDGEDTRANSFORMATION["x",
METHOD["NTv2"],PARAMETERFILE["Latitude and longitude difference file","/dev/zero"]]]"""
METHOD = {"name": "Latitude and longitude difference file", "value": "/dev/zero"}


@pytest.mark.parametrize(
    "value",
    [
        "+proj=utm +zone=32 +nadgrids=/dev/zero +type=crs",
        "+proj=utm +zone=32 +nadgrids=@null,/dev/zero +type=crs",
        "+proj=longlat +geoidgrids=/dev/zero +type=crs",
        "+init=/dev/zero:a",
        SHIFTED,
        json.dumps(METHOD).replace("file", "\\u0066ile"),
        METHOD,
        5773,
        4978,
    ],
)
def test_t20_reference_systems_open_no_files(value: Any) -> None:
    """PROJ reads files that a text names, and devices that have no end; heights and geocentric axes are no places."""
    with pytest.raises(ValueError, match="refers to a file|neither geographic nor projected"):
        read_crs(value)


@pytest.mark.parametrize("code", [4326, 3857, 27700, 4979])
@pytest.mark.filterwarnings("ignore:'\\+init")
def test_reference_systems_in_all_their_forms(code: int) -> None:
    known = pyproj.CRS(code)
    for value in (
        code,
        str(code),
        f"EPSG:{code}",
        known.to_wkt(),
        known.to_json_dict(),
        rasterio.CRS.from_epsg(code).wkt,
    ):
        assert read_crs(value).epsg == code
    assert read_crs("+proj=utm +zone=32 +nadgrids=@null").projected
    assert read_crs("+init=epsg:4326").geographic


@pytest.mark.parametrize("value", ["²", "9" * 5000, 10**400, "", "\x00", "GEOGCS[" * 10**5, "{" * 10**4], ids=range(7))
def test_reference_systems_that_are_none(value: Any) -> None:
    with pytest.raises(OpenEOError):
        parse_crs(value)


def test_there_are_no_windows_in_a_cube_without_dimensions(node: Any) -> None:
    same = {"process_graph": {"c": {**call("cumsum", data={"from_parameter": "data"}), "result": True}}}
    graph = {
        "cube": call("create_data_cube"),
        "r": {
            "process_id": "apply_neighborhood",
            "arguments": {"data": {"from_node": "cube"}, "process": same, "size": []},
            "result": True,
        },
    }
    answer = node.ask("POST", "/result", json={"process": {"process_graph": graph}})
    assert (answer.status_code, answer.json["code"]) == (400, "DimensionNotAvailable")


def test_windows_of_pixels_become_one(node: Any) -> None:
    mean = {"process_graph": {"c": {**call("mean", data={"from_parameter": "data"}), "result": True}}}
    step = call("aggregate_spatial_window", data=LOADED, reducer=mean, size=[2, 2])
    graph = {"load": LOAD, "r": {**step, "result": True}}
    answer = node.ask("POST", "/result", json={"process": {"process_graph": graph}})
    assert answer.status_code == 200, answer.text


def test_differences_to_normals_are_written(node: Any) -> None:
    load = call("load_collection", id="COPERNICUS_30", spatial_extent=AREA, temporal_extent=None)
    anomaly = call("anomaly", data=LOADED, normals=LOADED, period="climatology-period")
    save = call("save_result", data={"from_node": "anomaly"}, format="netCDF")
    graph = {"load": load, "anomaly": anomaly, "save": {**save, "result": True}}
    answer = node.ask("POST", "/result", json={"process": {"process_graph": graph}})
    assert answer.status_code == 200, answer.text
    with h5py.File(io.BytesIO(answer.data)) as file:
        (name,) = (name for name, entry in file.items() if entry.ndim >= 3)
        assert (file[name][()] == 0).all()


@pytest.mark.parametrize("odd", [True, 1, "a", ["a"], [], None])
def test_properties_that_are_no_objects(odd: Any) -> None:
    point = {"type": "Point", "coordinates": [11, 48]}
    features = [{"type": "Feature", "geometry": point, "properties": each} for each in ({"a": 1}, odd)]
    for given, expected in ((features, [1, None]), (features[1:], None)):
        cube = parse_features({"type": "FeatureCollection", "features": given})
        if expected is None:
            assert cube.properties is None
        else:
            assert [None if pd.isna(value) else value for value in cube.properties["a"]] == expected
