"""What the registry lets through to processes, of values that only running tells."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from openeo_backend.cube import Cube, Dimension
from openeo_backend.cube.features import parse_features
from openeo_backend.cube.pixels import LabeledList, PixelArray
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.callback import Callback, Scope
from openeo_backend.graph.nodes import Graph
from openeo_backend.ml.model import Model
from openeo_backend.processes.environment import Saved, StacResource
from openeo_backend.processes.registry import Registry

RASTER = Cube(xr.DataArray(np.zeros(2), dims="t", coords={"t": [0, 1]}), (Dimension("t", "other"),))
VECTOR = parse_features({"type": "Point", "coordinates": [11, 48]})
MODEL = Model(None, "regression", ("a",))
SAVED = StacResource(Saved(RASTER, "GTiff", {}, "n"))
CALLBACK = Callback(Graph({}, ""), Scope(), lambda graph, scope: None)
PIXELS = np.zeros((2, 2), "float32")
TEXTS = np.array(["a", "b"])
ARRAY = PixelArray(np.zeros((3, 2, 2), "uint8"))


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.predefined(lambda name: True)


FIT = [
    ("add", "x", 1), ("add", "x", 1.5), ("add", "x", None), ("add", "x", PIXELS), ("add", "x", ARRAY),
    ("and", "x", PIXELS), ("eq", "x", TEXTS), ("if", "accept", RASTER), ("constant", "x", SAVED),
    ("mean", "data", [1, None, 2.5]), ("mean", "data", LabeledList([1], ["a"])), ("mean", "data", ARRAY),
    ("mean", "data", [PIXELS, 1]), ("mean", "ignore_nodata", True), ("mean", "ignore_nodata", None),
    ("sort", "data", ["2020-01-01", None]), ("filter_bands", "data", RASTER), ("vector_buffer", "geometries", VECTOR),
    ("filter_spatial", "geometries", {"type": "Point", "coordinates": [1, 2]}),
    ("apply", "process", CALLBACK), ("load_collection", "properties", {"eo:cloud_cover": CALLBACK}),
    ("count", "condition", CALLBACK), ("count", "condition", True), ("predict_random_forest", "model", MODEL),
    ("export_workspace", "data", SAVED), ("export_workspace", "data", RASTER), ("save_result", "data", [1, 2]),
    ("load_collection", "temporal_extent", ["2020-01-01", None]), ("array_element", "index", -1),
]  # fmt: skip

UNFIT = [
    ("add", "x", "a"), ("add", "x", RASTER), ("add", "x", True), ("add", "x", TEXTS), ("and", "x", 1),
    ("mean", "data", 1), ("mean", "data", RASTER), ("mean", "data", [1, "a"]), ("mean", "data", [[1]]),
    ("mean", "data", [RASTER]), ("mean", "data", PixelArray(TEXTS)), ("mean", "ignore_nodata", PIXELS),
    ("filter_bands", "data", {"a": 1}), ("filter_bands", "data", PIXELS), ("filter_bands", "bands", ["a", 1]),
    ("filter_bands", "bands", SAVED), ("filter_bands", "bands", [SAVED]), ("vector_buffer", "geometries", RASTER),
    ("filter_spatial", "geometries", RASTER), ("vector_buffer", "distance", PIXELS), ("apply", "process", RASTER),
    ("apply", "process", {"process_graph": {}}), ("load_collection", "properties", {"eo:cloud_cover": 5}),
    ("load_collection", "properties", CALLBACK), ("count", "condition", False),
    ("predict_random_forest", "model", {}), ("predict_random_forest", "model", SAVED), ("export_workspace", "data", 5),
    ("save_result", "data", MODEL), ("save_result", "data", PIXELS), ("save_result", "options", CALLBACK),
    ("load_collection", "temporal_extent", ["2020-01-01"]), ("load_collection", "temporal_extent", ["2020-01-01", 1]),
    ("filter_bbox", "extent", {"west": 1}), ("round", "p", 1.5), ("date_shift", "unit", "eon"),
    ("apply_neighborhood", "size", [{"dimension": "x"}]), ("apply_neighborhood", "size", [5]),
]  # fmt: skip


@pytest.mark.parametrize(("process", "parameter", "value"), FIT, ids=lambda value: type(value).__name__)
def test_what_fits(registry: Registry, process: str, parameter: str, value: Any) -> None:
    registry[process].admit({parameter: value})


@pytest.mark.parametrize(("process", "parameter", "value"), UNFIT, ids=lambda value: type(value).__name__)
def test_what_does_not_fit(registry: Registry, process: str, parameter: str, value: Any) -> None:
    with pytest.raises(OpenEOError) as failure:
        registry[process].admit({parameter: value})
    assert failure.value.code == "ProcessParameterInvalid"
    assert f"'{parameter}' " in failure.value.message
    assert len(failure.value.message) < 400


@pytest.mark.parametrize(
    ("process", "parameter", "value", "words"),
    [
        ("add", "x", "a", "must be of the type null or number, but is 'a'"),
        ("mean", "data", RASTER, "must be of the type array, but is a data cube"),
        (
            "mean",
            "data",
            [1, SAVED],
            "is not valid at '1': it must be of the type null or number, but is a STAC resource",
        ),
        ("apply", "process", MODEL, "must be a process graph, but is a model"),
        ("vector_buffer", "geometries", RASTER, "must be a vector data cube, but is a data cube"),
        ("filter_spatial", "geometries", 5, "must be a vector data cube or of the type object, but is 5"),
        ("filter_bbox", "extent", {"west": 1}, "must have the member 'east'"),
        ("date_shift", "unit", "eon", "must be one of 'millisecond', 'second', "),
        ("load_collection", "temporal_extent", ["2020"], "must have 2 elements, but has 1"),
    ],
    ids=["text", "cube", "element", "model", "raster", "number", "member", "unit", "elements"],
)
def test_the_words(registry: Registry, process: str, parameter: str, value: Any, words: str) -> None:
    with pytest.raises(OpenEOError) as failure:
        registry[process].admit({parameter: value})
    assert words in failure.value.message


def test_whole_numbers_are_integers_where_only_those_go(registry: Registry) -> None:
    arguments = {"x": 1.0, "p": 2.0}
    registry["round"].admit(arguments)
    assert (type(arguments["x"]), type(arguments["p"])) == (float, int)
    arguments = {"data": [3.0, 1.0], "order": [1.0, 0]}
    registry["rearrange"].admit(arguments)
    assert list(map(type, arguments["order"])) == [int, int]
    assert list(map(type, arguments["data"])) == [float, float]
