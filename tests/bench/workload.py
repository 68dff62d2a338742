"""The benchmark's process graphs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import season
from rasterio import Affine
from rasterio.warp import transform_bounds

BANDS = ("B02", "B03", "B04", "B08")
SHARES = (0.1, 0.5, 0.9)
CLOUDS = (3, 8, 9)
TITLES = {
    "a": "NDVI, median over time, GeoTIFF",
    "b": "clouds masked by SCL, monthly medians of four bands, netCDF",
    "c": "one date of four bands to EPSG:3857 (bilinear), 5 x 5 kernel, GeoTIFF",
    "d": "forest of 100 trees, trained on 1000 points, on three percentiles of four bands, GeoTIFF",
    "e": "one tile of 256 x 256 pixels as RGB PNG over HTTP",
    "f": "the other season: EVI, 90 % quantile over time, GeoTIFF",
    "g": "the other season: mean of float32 where at least three dates are clear, netCDF",
}
#: The season of each workload.
SEASONS = dict.fromkeys("abcde", "tile") | dict.fromkeys("fg", "coarse")

Node = dict[str, Any]


def node(process: str, /, **arguments: Any) -> Node:
    return {"process_id": process, "arguments": arguments}


def ref(name: str) -> dict[str, str]:
    return {"from_node": name}


DATA, X = {"from_parameter": "data"}, {"from_parameter": "x"}


def callback(nodes: dict[str, Node], result: str) -> dict[str, Any]:
    return {
        "process_graph": {name: {**each, "result": True} if name == result else each for name, each in nodes.items()}
    }


def reducer(process: str, /, **more: Any) -> dict[str, Any]:
    return callback({"r": node(process, data=DATA, **more)}, "r")


def elements(labels: Sequence[str]) -> dict[str, Node]:
    return {label: node("array_element", data=DATA, label=label) for label in labels}


def load(grid: season.Grid, id: str, size: int, bands: Sequence[str], time: Sequence[str], origin: int = 0) -> Node:
    """A load of `size` x `size` pixels, `origin` pixels from the upper left corner."""
    west, _, _, north = grid.extent(0)
    west, north = west + origin * grid.metres, north - origin * grid.metres
    side = size * grid.metres
    box = {"west": west, "south": north - side, "east": west + side, "north": north, "crs": grid.epsg}
    return node("load_collection", id=id, spatial_extent=box, temporal_extent=list(time), bands=list(bands))


def _tile(size: int, bands: Sequence[str], until: str = "2026-01-01") -> Node:
    return load(season.TILE, "bench-s2", size, bands, ("2025-05-01", until))


def _coarse(size: int, bands: Sequence[str]) -> Node:
    return load(season.COARSE, "bench-coarse", size, bands, ("2024-01-01", "2025-01-01"))


def process(workload: str, size: int, folder: Path) -> dict[str, Any]:
    """The process of a workload on the upper left `size` x `size` pixels.

    :param folder: the season, for the points of d.
    """
    nodes = {"a": _a, "b": _b, "c": _c, "f": _f, "g": _g}[workload](size) if workload != "d" else _d(size, folder)
    format_name = "netCDF" if workload in "bg" else "GTiff"
    save = {**node("save_result", data=ref("out"), format=format_name), "result": True}
    return {"process_graph": {**nodes, "save": save}}


def _a(size: int) -> dict[str, Node]:
    ndvi = node("normalized_difference", x=ref("B08"), y=ref("B04"))
    return {
        "load": _tile(size, ("B04", "B08")),
        "ndvi": node(
            "reduce_dimension",
            data=ref("load"),
            dimension="bands",
            reducer=callback({**elements(("B08", "B04")), "n": ndvi}, "n"),
        ),
        "out": node("reduce_dimension", data=ref("ndvi"), dimension="t", reducer=reducer("median")),
    }


def _b(size: int) -> dict[str, Node]:
    wrong = {f"e{code}": node("eq", x=X, y=code) for code in CLOUDS}
    wrong |= {"o": node("or", x=ref("e3"), y=ref("e8")), "any": node("or", x=ref("o"), y=ref("e9"))}
    return {
        "load": _tile(size, BANDS),
        "scene": _tile(size, ["SCL"]),
        "bad": node("apply", data=ref("scene"), process=callback(wrong, "any")),
        "mask": node("mask", data=ref("load"), mask=ref("bad")),
        "out": node("aggregate_temporal_period", data=ref("mask"), period="month", reducer=reducer("median")),
    }


def _c(size: int) -> dict[str, Node]:
    row = np.array([1, 4, 6, 4, 1])
    return {
        "load": _tile(size, BANDS, until="2025-05-05"),
        "warp": node("resample_spatial", data=ref("load"), projection=3857, resolution=15, method="bilinear"),
        "out": node("apply_kernel", data=ref("warp"), kernel=np.outer(row, row).tolist(), factor=1 / 256),
    }


def warped(size: int) -> tuple[Any, int, int]:
    """The grid of c, which shares its upper left corner with the source: transform, height and width."""
    west, south, east, north = transform_bounds(season.TILE.epsg, 3857, *season.TILE.extent(size))
    return Affine(15, 0, west, 0, -15, north), int(np.ceil((north - south) / 15)), int(np.ceil((east - west) / 15))


def _d(size: int, folder: Path) -> dict[str, Node]:
    def features(cube: str) -> Node:
        return node(
            "apply_dimension",
            data=ref(cube),
            dimension="t",
            target_dimension="bands",
            process=reducer("quantiles", probabilities=list(SHARES)),
        )

    points = json.loads((folder / "points.json").read_text())
    predict = node("predict_random_forest", data=DATA, model={"from_parameter": "context"})
    return {
        "window": _tile(season.WINDOW, BANDS),
        "known": features("window"),
        "samples": node("aggregate_spatial", data=ref("known"), geometries=points, reducer=reducer("mean")),
        "forest": node("fit_class_random_forest", predictors=ref("samples"), target=points, num_trees=100, seed=42),
        "load": _tile(size, BANDS),
        "features": features("load"),
        "out": node(
            "reduce_dimension",
            data=ref("features"),
            dimension="bands",
            context=ref("forest"),
            reducer=callback({"p": predict}, "p"),
        ),
    }


def tile_of(date: str, until: str, column: int, row: int, collection: str = "bench-s2") -> dict[str, Any]:
    """e: the tile at a column and a row of tiles of 256 pixels, true colour, as PNG."""
    cube = load(season.TILE, collection, 256, ("B04", "B03", "B02"), (date, until))
    box = cube["arguments"]["spatial_extent"]
    side = 256 * season.TILE.metres
    box |= {"west": box["west"] + column * side, "east": box["east"] + column * side}
    box |= {"north": box["north"] - row * side, "south": box["south"] - row * side}
    stretch = node("linear_scale_range", x=X, inputMin=1000, inputMax=4000, outputMin=0, outputMax=255)
    nodes = {
        "load": cube,
        "first": node("reduce_dimension", data=ref("load"), dimension="t", reducer=reducer("first")),
        "out": node("apply", data=ref("first"), process=callback({"s": stretch}, "s")),
    }
    return {"process_graph": {**nodes, "save": {**node("save_result", data=ref("out"), format="PNG"), "result": True}}}


def _f(size: int) -> dict[str, Node]:
    def minus(x: Any, y: Any) -> Node:
        return node("subtract", x=x, y=y)

    def times(x: Any, y: Any) -> Node:
        return node("multiply", x=x, y=y)

    nodes = elements(("blue", "red", "nir"))
    nodes |= {band + "s": times(ref(band), 0.0001) for band in ("blue", "red", "nir")}
    nodes |= {"up": minus(ref("nirs"), ref("reds")), "r6": times(ref("reds"), 6), "b7": times(ref("blues"), 7.5)}
    nodes |= {"d1": node("add", x=ref("nirs"), y=ref("r6")), "d2": minus(ref("d1"), ref("b7"))}
    nodes |= {"down": node("add", x=ref("d2"), y=1), "share": node("divide", x=ref("up"), y=ref("down"))}
    nodes |= {"evi": times(ref("share"), 2.5)}
    upper = callback(
        {
            "q": node("quantiles", data=DATA, probabilities=[0.9]),
            "e": node("array_element", data=ref("q"), index=0),
        },
        "e",
    )
    return {
        "load": _coarse(size, ("blue", "red", "nir")),
        "evi": node("reduce_dimension", data=ref("load"), dimension="bands", reducer=callback(nodes, "evi")),
        "out": node("reduce_dimension", data=ref("evi"), dimension="t", reducer=upper),
    }


def _g(size: int) -> dict[str, Node]:
    """Where qa is 0 a date is clear; null counts as not clear, as the count takes only what is true."""
    clear = callback({"c": node("eq", x=X, y=0)}, "c")
    rare = callback({"n": node("count", data=DATA, condition=clear), "few": node("lt", x=ref("n"), y=3)}, "few")
    return {
        "load": _coarse(size, ["heat"]),
        "qa": _coarse(size, ["qa"]),
        "cloudy": node("apply", data=ref("qa"), process=callback({"c": node("neq", x=X, y=0)}, "c")),
        "clear": node("mask", data=ref("load"), mask=ref("cloudy")),
        "mean": node("reduce_dimension", data=ref("clear"), dimension="t", reducer=reducer("mean")),
        "few": node("reduce_dimension", data=ref("qa"), dimension="t", reducer=rare),
        "out": node("mask", data=ref("mean"), mask=ref("few")),
    }
