"""How processes work together: reducers in callbacks, labels, dates, and each value that a parameter offers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from openeo_backend.federation.review import answers, graphs
from openeo_backend.federation.review.check import (
    OPENEO_PROCESSES_PROFILE,
    Verdict,
    check,
    judged,
    not_applicable,
)
from openeo_backend.federation.review.computed import cases
from openeo_backend.federation.review.node import Node
from openeo_backend.federation.review.place import Place
from openeo_backend.federation.review.rasters import read_netcdf

#: Parameters whose offered values are all tried.
OFFERED = (
    ("aggregate_temporal_period", "period"),
    ("apply_kernel", "border"),
    ("resample_spatial", "method"),
    ("inspect", "level"),
)
KERNEL = [[0, 1, 0], [1, 1, 1], [0, 1, 0]]


@check("PROC-PAR", profile="LP", kind="job", source=OPENEO_PROCESSES_PROFILE)
def processes_work_together(node: Node) -> Verdict:
    """Reducers in callbacks, labels, dates, common names and all values of parameters work"""
    trial, place = node.trial, node.trial.place
    if place.of("temporal") is None or len(place.bands) < 2 or place.of("bands") is None:
        return not_applicable(f"{place.collection} has not both dates and two bands.")
    reply = trial.netcdf
    problems = answers.status("POST /result for netCDF", reply, 200)
    if problems:
        return judged(problems, "", expected="the pixels to compare with")
    known = {str(process.get("id")) for process in node.processes}
    tried = 0
    for case in cases(place, read_netcdf(reply.content)):
        if not _processes(case.graph) <= known:
            continue
        tried += 1
        answer = trial.compute(case.graph)
        found = answers.status(case.name, answer, 200)
        if not found and (problem := case.problem(read_netcdf(answer.content))):
            found = [f"{case.name} {problem}"]
        problems += found
    for process, parameter in OFFERED:
        values = _offered(node, process, parameter)
        tried += len(values)
        problems += _refused(node, process, parameter, values)
    holds = f"{tried} graphs give what they should."
    return judged(problems, holds, expected="200, and what is computed from the pixels loaded")


def _refused(node: Node, process: str, parameter: str, values: list[str]) -> list[str]:
    """What is wrong with the values that a parameter offers: first all in one graph, then each."""
    if not values:
        return []
    place, compute = node.trial.place, node.trial.compute
    if compute(_graph(place, process, parameter, values)).status == 200:
        return []
    problems: list[str] = []
    for value in values:
        reply = compute(_graph(place, process, parameter, [value]))
        problems += answers.status(f"{process} with {parameter} {value!r}", reply, 200)
    return problems or [f"{process} with all values of {parameter} in one graph fails"]


def _graph(place: Place, process: str, parameter: str, values: list[str]) -> graphs.Graph:
    """A graph with each value once: one step after the other, or side by side where a step changes the dimensions."""
    single = graphs.load(place, bands=list(place.bands[:1]))
    if process == "aggregate_temporal_period":
        return _side_by_side(place, single, values)
    fixed: dict[str, Any] = {}
    if process == "apply_kernel":
        fixed = {"kernel": KERNEL, "factor": 0.2}
    elif process == "resample_spatial":
        fixed = {"resolution": 60, "projection": 3857}
    steps: list[tuple[str, dict[str, Any]]] = [(process, {**fixed, parameter: value}) for value in values]
    return graphs.chain(single, graphs.reduce(place.of("temporal") or "", "mean"), *steps, graphs.save("netCDF"))


def _side_by_side(place: Place, load: tuple[str, dict[str, Any]], periods: list[str]) -> graphs.Graph:
    """Aggregate by each period, average what comes, and put all together."""
    graph: graphs.Graph = {"load": {"process_id": load[0], "arguments": load[1]}}
    before: str | None = None
    mean = graphs.callback(("mean", {}))
    for period in periods:
        whole, flat, joined = period, f"{period}-mean", f"{period}-joined"
        arguments = {"data": {"from_node": "load"}, "period": period, "reducer": mean}
        graph[whole] = {"process_id": "aggregate_temporal_period", "arguments": arguments}
        arguments = {"data": {"from_node": whole}, "dimension": place.of("temporal") or "", "reducer": mean}
        graph[flat] = {"process_id": "reduce_dimension", "arguments": arguments}
        if before is None:
            before = flat
            continue
        largest = {"process_graph": {"max": {"process_id": "max", "arguments": {"data": _PAIR}, "result": True}}}
        arguments = {"cube1": {"from_node": before}, "cube2": {"from_node": flat}, "overlap_resolver": largest}
        graph[joined] = {"process_id": "merge_cubes", "arguments": arguments}
        before = joined
    graph["save"] = {
        "process_id": "save_result",
        "arguments": {"data": {"from_node": before}, "format": "netCDF"},
        "result": True,
    }
    return graph


_PAIR = [{"from_parameter": "x"}, {"from_parameter": "y"}]


def _offered(node: Node, process: str, parameter: str) -> list[str]:
    """The values that the schema of a parameter lists."""
    described = next((entry for entry in node.processes if entry.get("id") == process), {})
    entries = answers.objects(described, "parameters")
    schema = next((entry.get("schema") for entry in entries if entry.get("name") == parameter), None)
    return [value for value in _enums(schema) if isinstance(value, str)]


def _enums(schema: Any) -> Iterator[Any]:
    if isinstance(schema, list):
        for entry in schema:
            yield from _enums(entry)
    elif isinstance(schema, Mapping):
        values = schema.get("enum")
        yield from values if isinstance(values, list) else ()
        for name in ("anyOf", "oneOf"):
            yield from _enums(schema.get(name))


def _processes(value: Any) -> set[str]:
    """The processes that a graph calls, also in callbacks."""
    if isinstance(value, Mapping):
        own = {str(value["process_id"])} if "process_id" in value else set()
        return own.union(*(_processes(inner) for inner in value.values()))
    if isinstance(value, list):
        return set().union(*(_processes(inner) for inner in value))
    return set()
