"""What odd cubes and numbers once broke, kept as cases: each was an internal failure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from odd_arguments import DATA, PARAMETERS, SHAPES, X, Y, node, one, polygon, size
from odd_engine import call, odd, run, with_odd_cubes

CUBE = node("cube")
MEAN, SUMS, LARGER = one("mean", data=DATA), one("cumsum", data=DATA), one("max", data=[X, Y])
INVALID, LARGE, UNFIT, EMPTY = "ProcessParameterInvalid", "ProcessGraphComplexity", "FormatUnsuitable", "DataCubeEmpty"


def made(cube: str, *steps: dict[str, Any], format: str | None = "netCDF", **others: str) -> dict[str, Any]:
    """A graph of steps from a cube on (`cube`, then `n0` ...), saved; with others by name."""
    nodes = {"cube": odd(cube), **{name: odd(other) for name, other in others.items()}}
    nodes |= {f"n{index}": step for index, step in enumerate(steps)}
    if format is not None:
        last = [*nodes][-1] if steps else "cube"
        nodes["save"] = call("save_result", data=node(last), format=format)
    last = [*nodes][-1]
    return {**nodes, last: {**nodes[last], "result": True}}


def reduced(dimension: str, data: str = "cube") -> dict[str, Any]:
    return call("reduce_dimension", data=node(data), dimension=dimension, reducer=MEAN)


def zones(data: str = "cube") -> dict[str, Any]:
    return call("aggregate_spatial", data=node(data), geometries=SHAPES, reducer=MEAN)


def windows(margin: str | None = None, **lengths: Any) -> dict[str, Any]:
    around = size(t=margin) if margin else []
    return call("apply_neighborhood", data=CUBE, process=one("constant", x=DATA), size=size(**lengths), overlap=around)


def merged(resolver: Any = LARGER) -> dict[str, Any]:
    return call("merge_cubes", cube1=CUBE, cube2=node("second"), overlap_resolver=resolver)


#: Graphs, and the code of the error that they end with, if any.
CASES: dict[str, tuple[dict[str, Any], str | None]] = {
    "a value per band, as netCDF": (
        made("full", call("reduce_spatial", data=CUBE, reducer=MEAN), reduced("t", "n0")),
        None,
    ),
    "the largest numbers": (made("huge float64", format="GTiff"), None),
    "the largest whole numbers": (made("huge int64"), None),
    "NUL in a name of a band": (made("odd bands"), None),
    "properties of all kinds": (made("odd features", format="Parquet"), None),
    "a geometry that is none": (made("no geometry"), None),
    "a place beyond all": (
        made("full", call("add_dimension", data=CUBE, name="z", label=1e308, type="spatial")),
        INVALID,
    ),
    "a shape beyond all": (
        made("full", call("add_dimension", data=CUBE, name="g", label="POINT (1e400 0)", type="geometry")),
        INVALID,
    ),
    "two dimensions of shapes": (
        made("features", call("add_dimension", data=CUBE, name="g", label="POINT (1 2)", type="geometry")),
        "DimensionExists",
    ),
    "a dimension without name": (
        made("full", call("constant", x=""), call("add_dimension", data=CUBE, name=node("n0"), label="a")),
        INVALID,
    ),
    "a dimension that netCDF cannot name": (
        made("full", call("add_dimension", data=CUBE, name="a/b", label="a")),
        UNFIT,
    ),
    "zones of nothing": (made("no t", zones(), shapes="features"), EMPTY),
    "zones of pixels of features": (made("feature pixels", zones(), shapes="features"), "DimensionExists"),
    "features on no pixels": (
        made("no y", call("vector_to_raster", data=SHAPES, target=CUBE), shapes="numbers"),
        EMPTY,
    ),
    "features on pixels that they have": (
        made("full", call("vector_to_raster", data=SHAPES, target=CUBE), shapes="feature pixels"),
        "DimensionExists",
    ),
    "sums along features": (
        made("odd features", call("apply_dimension", data=CUBE, process=MEAN, dimension="geometry")),
        None,
    ),
    "arrays that decide": (
        made("full, lazy", call("apply_dimension", data=CUBE, dimension="t",
                                process=one("if", value=DATA, accept=DATA, reject=DATA))),
        None,
    ),
    "the same dimension flattened twice": (
        made("full, lazy", call("array_create", data=["t", "t"]),
             call("flatten_dimensions", data=CUBE, dimensions=node("n0"), target_dimension="f")),
        INVALID,
    ),
    "nothing flattened": (
        made("no bands, lazy", call("flatten_dimensions", data=CUBE, dimensions=["t", "bands"], target_dimension="f")),
        EMPTY,
    ),
    "windows of a thousand years": (made("full", windows(t="P1000Y")), None),
    "margins of a thousand years": (made("full", windows("P1000Y", x=2)), None),
    "margins of dates backwards": (made("backwards", windows("P1D", t=3)), None),
    "windows of all years": (made("full", windows(t="P" + "9" * 30 + "Y")), INVALID),
    "windows larger than the cube, trimmed": (
        made("full, lazy", call("aggregate_spatial_window", data=CUBE, reducer=MEAN, size=[99, 99], boundary="trim")),
        EMPTY,
    ),
    "the smallest resolution": (made("full", call("resample_spatial", data=CUBE, resolution=5e-324)), LARGE),
    "the largest resolution": (made("full", call("resample_spatial", data=CUBE, resolution=1e308)), INVALID),
    "the largest buffer": (made("features", call("vector_buffer", geometries=CUBE, distance=1e308)), INVALID),
    "a buffer beyond 64 bits": (made("features", call("vector_buffer", geometries=CUBE, distance=10**30)), INVALID),
    "points at no distance": (
        made("features", call("vector_to_regular_points", data=CUBE, distance=5e-324)),
        INVALID,
    ),
    "a million years": (
        made("full", call("resample_cube_temporal", data=CUBE, target=CUBE, valid_within=1e308)),
        None,
    ),
    "the largest kernel": (made("classes", call("to_scl_dilation_mask", data=CUBE, kernel1_size=10**30)), LARGE),
    "classes that are texts": (
        made("object None, lazy", call("to_scl_dilation_mask", data=CUBE, scl_band_name="B02")),
        INVALID,
    ),
    "trained on nothing": (
        made("no features", call("fit_regr_random_forest", predictors=CUBE, target=CUBE, num_trees=2), format=None),
        INVALID,
    ),
    "a model as result": (
        made("feature series", call("fit_regr_random_forest", predictors=CUBE, target=SHAPES, num_trees=2),
             format=None, shapes="numbers"),
        UNFIT,
    ),
    "a curve of texts": (
        made("object None", call("predict_curve", parameters=CUBE, dimension="bands", labels=["2025-01-01"],
                                 function=one("array_element", data=PARAMETERS, index=0))),
        INVALID,
    ),
    "features without geometry, merged": (made("no geometry", merged(), second="no features"), None),
    "nothing and something, merged": (made("nothing, lazy", merged(), second="without t"), EMPTY),
    "whole numbers of other types, merged": (made("huge uint64", merged(), second="uint32 7"), None),
    "a mask whose pixels are called otherwise": (
        made("full", call("rename_dimension", data=CUBE, source="y", target="v"),
             call("mask", data=node("n0"), mask=CUBE)),
        "IncompatibleDataCubes",
    ),
    "more dimensions than a block has": (
        made("full, lazy", call("apply_dimension", data=CUBE, process=SUMS, dimension="t", target_dimension="x"),
             call("add_dimension", data=node("n0"), name="new", label="a"), reduced("bands", "n1"), format="PNG"),
        None,
    ),
    "a curve through the largest number": (
        {"r": {**call("fit_curve", data=[1e308, 0, 0], parameters=[0], function=one("absolute", x=X)), "result": True}},
        None,
    ),
    "an area beyond all": (
        made("full", call("filter_spatial", data=CUBE, geometries=polygon([1e300, 0], [0, 1], [1, 1]))),
        INVALID,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", CASES)
def test_odd_cubes_that_were_found(node: Any, tmp_path: Path, what: str) -> None:
    graph, code = CASES[what]
    outcome = run(graph, with_odd_cubes(node.backend.engine), tmp_path / "run")
    assert (outcome.error or {}).get("code") == code, outcome.error
