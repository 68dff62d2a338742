"""Callbacks compiled to flat operations give what the general way gives, bit by bit."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from dask.local import get_sync

from openeo_backend.cube import Cube, Dimension, blocks, chain, flat, fusion
from openeo_backend.cube.nodata import put_missing
from openeo_backend.cube.program import Program
from openeo_backend.graph.callback import Callback, Scope
from openeo_backend.graph.evaluate import evaluate
from openeo_backend.graph.parse import parse
from openeo_backend.processes.registry import Registry

BANDS = ("B04", "B08", "SCL")


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.predefined()


def callback(registry: Registry, nodes: dict[str, Any]) -> Callback:
    graph = parse(nodes, max_nodes=100, max_depth=10)
    call = lambda inner, scope: evaluate(inner, registry, scope, None)  # noqa: E731
    return Callback(graph, Scope({"offset": 3}), call, registry)


def cube(dtype: str, nodata: int | None, seed: int = 0, boolean: bool = False) -> Cube:
    choose = np.random.default_rng(seed)
    values = choose.integers(0, 2 if boolean else 12, (5, 3, 13, 17)).astype(dtype)
    if boolean and nodata is not None:
        values[choose.random(values.shape) < 0.2] = nodata
    if values.dtype.kind == "f":
        values[choose.random(values.shape) < 0.2] = np.nan
        values[choose.random(values.shape) < 0.05] = np.inf
    array = xr.DataArray(
        da.from_array(values, chunks=(5, 3, 8, 17)),
        dims=("t", "bands", "y", "x"),
        coords={
            "t": np.arange("2025-05-01", "2025-05-06", dtype="datetime64[D]").astype("datetime64[ns]"),
            "bands": np.array(BANDS),
            "y": np.arange(13.0)[::-1],
            "x": np.arange(17.0),
        },
        attrs={"boolean": True} if boolean and nodata is not None else {},
    )
    kinds = {"t": "temporal", "bands": "bands", "y": "spatial", "x": "spatial"}
    dimensions = tuple(Dimension(name, kinds[name], axis=name if name in "xy" else None) for name in kinds)
    return Cube(data=array, dimensions=dimensions, nodata=nodata)


CUBES = {
    "uint16": lambda seed: cube("uint16", 0, seed),
    "int16": lambda seed: cube("int16", None, seed),
    "float32": lambda seed: cube("float32", None, seed),
    "float64": lambda seed: cube("float64", None, seed),
    "int32": lambda seed: cube("int32", 7, seed),
    "boolean": lambda seed: cube("uint8", 255, seed, boolean=True),
}


def computed(array: da.Array, is_fused: bool) -> tuple[np.ndarray, int]:
    """The values, and how many tasks have flat operations."""
    names = [(array.name, *index) for index in np.ndindex(*array.numblocks)]
    graph: Any = dict(array.__dask_graph__())
    if is_fused:
        graph = fusion.fuse(graph, names)
    programs = sum(getattr(getattr(task, "func", None), "program", None) is not None for task in graph.values())
    parts = dict(zip(names, get_sync(graph, names), strict=True))
    nested: Any = np.empty(array.numblocks, dtype=object)
    for name, part in parts.items():
        nested[name[1:]] = part
    return np.block(nested.tolist()), programs


def compare(result: Cube) -> int:
    found, programs = computed(result.data.data, is_fused=True)
    expected, _ = computed(result.data.data, is_fused=False)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    return programs


def node(process: str, **arguments: Any) -> dict[str, Any]:
    return {"process_id": process, "arguments": arguments}


def ref(name: str) -> dict[str, str]:
    return {"from_node": name}


DATA = {"from_parameter": "data"}
NDVI = {
    "nir": node("array_element", data=DATA, label="B08"),
    "red": node("array_element", data=DATA, index=0),
    "up": node("subtract", x=ref("nir"), y=ref("red")),
    "sum": node("add", x=ref("nir"), y=ref("red")),
    "ndvi": node("divide", x=ref("up"), y=ref("sum")) | {"result": True},
}
CLOUDS = {
    "scl": node("array_element", data=DATA, label="SCL"),
    "shadow": node("eq", x=ref("scl"), y=3),
    "high": node("gte", x=ref("scl"), y=8),
    "low": node("lt", x=ref("scl"), y=10),
    "cloud": node("and", x=ref("high"), y=ref("low")),
    "any": node("or", x=ref("cloud"), y=ref("shadow")) | {"result": True},
}


def one(process: str, **arguments: Any) -> dict[str, Any]:
    return {"one": node(process, data=DATA, **arguments) | {"result": True}}


@pytest.mark.parametrize("kind", CUBES)
def test_an_index_then_a_median(registry: Registry, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "STRIP", 200)
    ndvi = blocks.reduce(CUBES[kind](1), blocks.bind(callback(registry, NDVI), "data", context=None), ["bands"])
    median = blocks.reduce(ndvi, blocks.bind(callback(registry, one("median")), "data", context=None), ["t"])
    assert compare(median) == 2


@pytest.mark.parametrize("kind", [kind for kind in CUBES if kind != "boolean"])
@pytest.mark.parametrize("output", [{}, {"outputMin": 2.5, "outputMax": 255}])
def test_scaling_of_the_first_date(registry: Registry, kind: str, output: dict[str, float]) -> None:
    first = blocks.reduce(CUBES[kind](3), blocks.bind(callback(registry, one("first")), "data", context=None), ["t"])
    scale = {"s": node("linear_scale_range", x={"from_parameter": "x"}, inputMin=9, inputMax=2, **output)}
    scaled = blocks.apply(first, blocks.bind(callback(registry, scale | {"s": scale["s"] | {"result": True}}), "x"))
    assert compare(scaled) == 2


@pytest.mark.parametrize("kind", ["uint16", "int16", "float32", "int32"])
def test_a_mask_of_clouds_then_months(registry: Registry, kind: str) -> None:
    loaded = CUBES[kind](2)
    clouds = blocks.reduce(loaded, blocks.bind(callback(registry, CLOUDS), "data", context=None), ["bands"])
    where = blocks.apply(clouds, registry["mask"].implementation.__globals__["_is_set"])
    masked = put_missing(loaded, where.data)
    months = blocks.bind(callback(registry, one("median")), "data", context=None)
    groups = [range(2), [2, 4], [3]]
    assert compare(blocks.grouped(masked, months, "t", groups, np.array(["a", "b", "c"]))) == 2


@pytest.mark.parametrize("kind", CUBES)
@pytest.mark.parametrize("process", ["min", "max", "first", "last", "mean", "sum", "product", "sd", "variance"])
@pytest.mark.parametrize("ignore", [True, False])
def test_reducers(registry: Registry, kind: str, process: str, ignore: bool) -> None:
    reducer = blocks.bind(callback(registry, one(process, ignore_nodata=ignore)), "data", context=None)
    programs = compare(blocks.reduce(CUBES[kind](3), reducer, ["t"]))
    assert programs == 2 or kind == "boolean"


def test_quantiles_along_a_dimension(registry: Registry) -> None:
    wanted = one("quantiles", probabilities=[0.1, 0.5, 0.9])
    result = blocks.along(CUBES["uint16"](4), blocks.bind(callback(registry, wanted), "data", context=None), "t")
    assert compare(result) == 2


def test_what_no_rule_is_for_goes_the_general_way(registry: Registry) -> None:
    odd = {"e": node("array_element", data=DATA, index=1), "s": node("sgn", x=ref("e")) | {"result": True}}
    result = blocks.reduce(CUBES["uint16"](5), blocks.bind(callback(registry, odd), "data", context=None), ["bands"])
    assert compare(result) == 0


def test_numbers_that_floats_would_round_go_the_general_way(registry: Registry) -> None:
    odd = {"e": node("array_element", data=DATA, index=1), "s": node("gt", x=ref("e"), y=2.99999999) | {"result": True}}
    result = blocks.reduce(CUBES["uint16"](5), blocks.bind(callback(registry, odd), "data", context=None), ["bands"])
    assert compare(result) == 0


def test_a_mistake_says_what_the_general_way_says(registry: Registry) -> None:
    far = one("array_element", index=5)
    with pytest.raises(Exception, match="no index 5"):
        blocks.reduce(CUBES["uint16"](5), blocks.bind(callback(registry, far), "data", context=None), ["bands"])


NUMBERS = ("add", "subtract", "multiply", "divide", "power", "normalized_difference")
SINGLE = {"exp": "p", "ln": "x", "sqrt": "x"}
TRUTHS = ("eq", "neq", "gt", "gte", "lt", "lte")
LOGIC = ("and", "or", "xor")


def made_up(choose: random.Random) -> dict[str, Any]:
    """A random graph over the elements of an array."""
    nodes: dict[str, Any] = {f"b{i}": node("array_element", data=DATA, index=i) for i in range(3)}
    numbers: list[Any] = [ref(name) for name in nodes]
    truths: list[Any] = []
    for index in range(choose.randint(1, 8)):
        name = f"n{index}"
        constants: Sequence[Any] = (0, 1, 2.5, -3, None, {"from_parameter": "offset"})
        x, y = choose.choice(numbers), choose.choice([*numbers, choose.choice(constants)])
        kind = choose.choice(["number", "number", "single", "truth", "truth", "logic", "not", "if"])
        if kind == "number":
            process = choose.choice(NUMBERS)
            names = ("base", "p") if process == "power" else ("x", "y")
            nodes[name] = node(process, **dict(zip(names, (x, y), strict=True)))
            numbers.append(ref(name))
        elif kind == "single":
            process = choose.choice(sorted(SINGLE))
            nodes[name] = node(process, **{SINGLE[process]: x})
            numbers.append(ref(name))
        elif kind == "truth":
            nodes[name] = node(choose.choice(TRUTHS), x=x, y=y)
            truths.append(ref(name))
        elif truths and kind == "logic":
            nodes[name] = node(choose.choice(LOGIC), x=choose.choice(truths), y=choose.choice([*truths, x]))
            truths.append(ref(name))
        elif truths and kind == "not":
            nodes[name] = node("not", x=choose.choice(truths))
            truths.append(ref(name))
        elif truths and kind == "if":
            nodes[name] = node("if", value=choose.choice(truths), accept=x, **({"reject": y} if y is not None else {}))
            numbers.append(ref(name))
    nodes[list(nodes)[-1]]["result"] = True
    return nodes


@pytest.mark.parametrize("seed", range(60))
def test_random_callbacks(registry: Registry, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "STRIP", 300)
    choose = random.Random(seed)
    loaded = CUBES[choose.choice([name for name in CUBES if name != "boolean"])](seed)
    function = blocks.bind(callback(registry, made_up(choose)), "data", context=None)
    compare(blocks.reduce(loaded, function, ["bands"]))


def test_most_random_callbacks_are_flat(registry: Registry) -> None:
    found = []
    for seed in range(30):
        choose = random.Random(seed)
        function = blocks.bind(callback(registry, made_up(choose)), "data", context=None)
        found.append(compare(blocks.reduce(CUBES["float32"](seed), function, ["bands"])))
    assert np.mean(np.array(found) > 0) > 0.8


def test_operations_stop_where_their_values_are_not_those_they_know() -> None:
    truth = flat.Value(lambda: np.array([1, 255, 0], "uint8"), truth=True)
    program = Program(flat.close(truth, blocks.Storage(np.dtype(bool))))
    with pytest.raises(flat.Unfit):
        program()
