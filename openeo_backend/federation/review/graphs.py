"""The process graphs of the trial: small ones, of standard processes only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from openeo_backend.federation.review.place import Place

Graph = dict[str, dict[str, Any]]

#: The least a client can ask for.
SUM: Graph = {"sum": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}
#: A node refers to one that is not there.
BROKEN: Graph = {"sum": {"process_id": "add", "arguments": {"x": 1, "y": {"from_node": "absent"}}, "result": True}}
#: Well-formed, but nobody has such a process.
UNKNOWN: Graph = {"call": {"process_id": "openeo_review_no_such_process", "arguments": {}, "result": True}}


def chain(*steps: tuple[str, Mapping[str, Any]]) -> Graph:
    """Processes one after the other, each the `data` of the next."""
    graph: Graph = {}
    before: str | None = None
    for number, (process, arguments) in enumerate(steps, 1):
        given = {"data": {"from_node": before}, **arguments} if before else dict(arguments)
        before = f"{process}{number}"
        graph[before] = {"process_id": process, "arguments": given}
    if before:
        graph[before]["result"] = True
    return graph


def load(place: Place, **changed: Any) -> tuple[str, dict[str, Any]]:
    """Load the pixels of a place."""
    arguments: dict[str, Any] = {
        "id": place.collection,
        "spatial_extent": place.extent,
        "temporal_extent": list(place.interval) if place.of("temporal") else None,
    }
    if place.bands:
        arguments["bands"] = list(place.bands)
    return "load_collection", {**arguments, **changed}


def save(format: str, **options: Any) -> tuple[str, dict[str, Any]]:
    """Write what comes."""
    return "save_result", {"format": format, **({"options": options} if options else {})}


def callback(*steps: tuple[str, Mapping[str, Any]], parameter: str = "data", argument: str = "data") -> dict[str, Any]:
    """Processes one after the other as the value of a callback's argument; the first one gets the parameter."""
    (process, arguments), rest = steps[0], steps[1:]
    given = {argument: {"from_parameter": parameter}, **arguments} if argument else dict(arguments)
    return {"process_graph": chain((process, given), *rest)}


def reduce(dimension: str, process: str, **arguments: Any) -> tuple[str, dict[str, Any]]:
    """Reduce a dimension with one process."""
    return "reduce_dimension", {"dimension": dimension, "reducer": callback((process, arguments))}


def flat(place: Place, *, bands: Sequence[str] | None = None) -> list[tuple[str, dict[str, Any]]]:
    """Load a place and, where it has dates, reduce them to one picture."""
    steps = [load(place, **({"bands": list(bands)} if bands else {}))]
    dates = place.of("temporal")
    if dates:
        steps.append(reduce(dates, "mean"))
    return steps


def failing(place: Place) -> Graph:
    """A graph that is valid and fails while it computes: it takes an element that an array does not have."""
    steps = [load(place)]
    dimension = place.of("bands") or place.of("temporal") or "t"
    steps.append(reduce(dimension, "array_element", index=9999))
    return chain(*steps, save("GTiff"))


def function(place: Place, runtime: str) -> Graph:
    """A user function that gives back what it gets, with an inline declaration of its packages (PEP 723)."""
    code = "# /// script\n# dependencies = []\n# ///\ndef apply_datacube(cube, context):\n    return cube\n"
    run = "run_udf", {"udf": code, "runtime": runtime}
    steps = [*flat(place), ("apply", {"process": callback(run, parameter="x")})]
    return chain(*steps, save("netCDF"))
