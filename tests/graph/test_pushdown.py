"""Push-down: what later filters say about loads, with the effects that the real processes declare."""

from __future__ import annotations

from typing import Any

import pytest

from openeo_backend.graph.effects import LoadHints, Means
from openeo_backend.graph.parse import parse
from openeo_backend.graph.pushdown import hints
from openeo_backend.processes.registry import Registry

BOX = {"west": 1, "south": 2, "east": 3, "north": 4}
OTHER = {"west": 1.5, "south": 2, "east": 3, "north": 4}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.predefined()


def node(process: str, source: str | None = None, /, **arguments: Any) -> dict[str, Any]:
    if source:
        arguments["data"] = {"from_node": source}
    return {"process_id": process, "arguments": arguments}


LOAD = node("load_collection", id="S2", spatial_extent=None, temporal_extent=None)
MEAN = {
    "process_graph": {"m": {"process_id": "mean", "arguments": {"data": {"from_parameter": "data"}}, "result": True}}
}
NEGATE = {
    "process_graph": {"m": {"process_id": "absolute", "arguments": {"x": {"from_parameter": "x"}}, "result": True}}
}


def of_load(registry: Registry, **nodes: dict[str, Any]) -> LoadHints:
    last = list(nodes)[-1]
    nodes[last]["result"] = True
    return hints(parse({"load": dict(LOAD), **nodes}), registry, ["load_collection"])["load"]


def test_filters_narrow_the_load(registry: Registry) -> None:
    found = of_load(
        registry,
        box=node("filter_bbox", "load", extent=BOX),
        time=node("filter_temporal", "box", extent=["2020-01-01", "2020-02-01"]),
        bands=node("filter_bands", "time", bands=["B04"]),
        save=node("save_result", "bands", format="GTiff"),
    )
    assert found == LoadHints((BOX,), (("2020-01-01", "2020-02-01"),), ("B04",), 0)


def test_filters_pass_processes_that_work_on_single_pixels(registry: Registry) -> None:
    found = of_load(
        registry,
        math=node("apply", "load", process=NEGATE),
        mean=node("reduce_dimension", "math", dimension="t", reducer=MEAN),
        box=node("filter_bbox", "mean", extent=BOX),
    )
    assert found.spatial == (BOX,)


def test_a_time_filter_after_an_aggregation_says_nothing_about_the_load(registry: Registry) -> None:
    found = of_load(
        registry,
        month=node("aggregate_temporal_period", "load", period="month", reducer=MEAN),
        time=node("filter_temporal", "month", extent=["2020-01-01", "2020-02-01"]),
        box=node("filter_bbox", "time", extent=BOX),
    )
    assert found.temporal == ()
    assert found.spatial == (BOX,)


def test_a_kernel_widens_what_is_needed(registry: Registry) -> None:
    kernel = [[1] * 5 for _ in range(5)]
    found = of_load(
        registry, smooth=node("apply_kernel", "load", kernel=kernel), box=node("filter_bbox", "smooth", extent=BOX)
    )
    assert (found.spatial, found.margin >= 2) == ((BOX,), True)


def test_a_reduction_over_space_needs_everything(registry: Registry) -> None:
    found = of_load(
        registry,
        mean=node("reduce_spatial", "load", reducer=MEAN),
        bands=node("filter_bands", "mean", bands=["B04"]),
    )
    assert found.spatial == ()


def test_two_consumers_need_what_both_need(registry: Registry) -> None:
    def branches(box1: dict[str, Any], box2: dict[str, Any]) -> LoadHints:
        return of_load(
            registry,
            red=node("filter_bands", "load", bands=["B04"]),
            nir=node("filter_bands", "load", bands=["B08"]),
            a=node("filter_bbox", "red", extent=box1),
            b=node("filter_bbox", "nir", extent=box2),
            merged=node("merge_cubes", cube1={"from_node": "a"}, cube2={"from_node": "b"}),
        )

    assert branches(BOX, BOX).spatial == (BOX,)
    assert branches(BOX, OTHER).spatial == ()
    assert set(branches(BOX, BOX).bands or ()) == {"B04", "B08"}


def test_a_cube_saved_before_the_filter_is_needed_whole(registry: Registry) -> None:
    found = of_load(
        registry, all=node("save_result", "load", format="netCDF"), box=node("filter_bbox", "load", extent=BOX)
    )
    assert found.spatial == ()


def test_filters_reach_both_sides_of_a_merge_and_of_a_mask(registry: Registry) -> None:
    nodes = {
        "one": dict(LOAD),
        "two": dict(LOAD),
        "mask": node("mask", "one", mask={"from_node": "two"}),
        "box": {**node("filter_bbox", "mask", extent=BOX), "result": True},
    }
    found = hints(parse(nodes), registry, ["load_collection"])
    assert found["one"].spatial == found["two"].spatial == (BOX,)


def coarse(source: str = "load", **arguments: Any) -> dict[str, Any]:
    return node("resample_spatial", source, **{"resolution": 160, "method": "average", **arguments})


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, Means((160.0, 160.0), None, "upper-left")),
        (
            {"resolution": [80, 160], "projection": 3857, "align": "lower-left"},
            Means((80.0, 160.0), 3857, "lower-left"),
        ),
        ({"method": "near"}, None),
        ({"method": None}, None),
        ({"resolution": 0, "projection": 3857}, None),
        ({"resolution": True}, None),
        ({"resolution": [160, 160, 160]}, None),
    ],
)
def test_means_are_enough_for_resampling_by_average(
    registry: Registry, arguments: dict[str, Any], expected: Means | None
) -> None:
    assert of_load(registry, made=coarse(**arguments)).means == expected


def test_filters_of_bands_and_dates_leave_means_enough(registry: Registry) -> None:
    bands = node("filter_bands", "load", bands=["B04"])
    times = node("filter_temporal", "bands", extent=["2020-01-01", None])
    found = of_load(registry, bands=bands, times=times, made=coarse("times"))
    assert found.means == Means((160.0, 160.0), None, "upper-left")
    assert found.bands == ("B04",)


@pytest.mark.parametrize(
    "between", [node("filter_bbox", "load", extent=BOX), node("ndvi", "load"), node("apply", "load", process=NEGATE)]
)
def test_all_else_needs_every_pixel(registry: Registry, between: dict[str, Any]) -> None:
    assert of_load(registry, between=between, made=coarse("between")).means is None


def test_what_another_way_needs_is_needed(registry: Registry) -> None:
    both = {"process_id": "merge_cubes", "arguments": {"cube1": {"from_node": "one"}, "cube2": {"from_node": "two"}}}
    assert of_load(registry, one=coarse(), two=node("absolute", "load"), both=both).means is None
    same = of_load(registry, one=coarse(), two=coarse(), both=both).means
    assert same is not None
    assert of_load(registry, one=coarse(), two=coarse(resolution=80), both=both).means is None
