"""Predefined processes: that they are there, and how they are described."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from openeo_backend.federation.review.check import (
    AGGREGATOR,
    FEDERATION_API,
    FEDERATION_PROCESSES,
    OPENEO_API_PROFILE,
    OPENEO_PROCESSES_PROFILE,
    Verdict,
    check,
    declared,
    failed,
    judged,
    not_applicable,
    passed,
)
from openeo_backend.federation.review.declaration import age_in_days, written
from openeo_backend.federation.review.node import Node, decoded, items
from openeo_backend.federation.review.standard import EXPERIMENTAL, FORMER, L2P, L3P, L4P, ML, RASTER, standard

#: What the federation wants tried on more than 100 x 100 km at 10 m: all of its own profile but array_contains.
_LARGE = frozenset(
    [
        *("add_dimension", "aggregate_spatial", "aggregate_temporal", "aggregate_temporal_period", "apply"),
        *("apply_dimension", "apply_kernel", "dimension_labels", "drop_dimension", "filter_bands", "filter_bbox"),
        *("filter_spatial", "filter_temporal", "load_collection", "mask", "mask_polygon", "merge_cubes", "ndvi"),
        *("reduce_dimension", "rename_dimension", "rename_labels", "resample_cube_spatial", "resample_spatial"),
        "save_result",
    ]
)
#: Optional members of a process that are objects or arrays, and may not be null.
_NEVER_NULL = ("categories", "deprecated", "experimental", "exceptions", "examples", "links", "process_graph")


@check("API-200", profile="L1", kind="anonymous", source=OPENEO_API_PROFILE)
def lists_processes(node: Node) -> Verdict:
    """GET /processes answers with arrays of processes and links"""
    return _arrays(node, "/processes", "processes")


@check("API-201", profile="L1", kind="anonymous", source=OPENEO_API_PROFILE)
def lists_processes_to_all(node: Node) -> Verdict:
    """GET /processes works without a token"""
    status = node.get("/processes").status
    return judged([] if status == 200 else [f"It answers with {status}"], "It answers.", expected="200")


@check("API-203", profile="L3", kind="anonymous", source=OPENEO_API_PROFILE, level="recommended")
def pages_of_processes(node: Node) -> Verdict:
    """GET /processes answers a limit with a page and a link to the next, or with all"""
    return paged(node, "/processes", "processes")


@check("API-204", profile="L1", kind="anonymous", source=OPENEO_API_PROFILE)
def lists_all_processes(node: Node) -> Verdict:
    """All processes are listed where no limit is asked for"""
    return unpaged(node, "/processes", "processes")


@check("API-205", profile="LP", kind="anonymous", source=FEDERATION_API)
def processes_are_whole(node: Node) -> Verdict:
    """Every process has id, description, parameters and returns, each of its type"""
    return judged(_shapes(node), f"{len(node.processes)} processes are whole.")


@check("API-206", profile="L2", kind="anonymous", source=OPENEO_API_PROFILE)
def processes_tell_what_is_there(node: Node) -> Verdict:
    """Parameters are those of the standard: only optional ones are left out or added"""
    problems = []
    for process in node.processes:
        expected = standard().get(str(process.get("id")))
        if expected is None:
            continue
        parameters = {str(entry.get("name")): entry for entry in items(process, "parameters")}
        for name in expected.required:
            if name not in parameters:
                problems.append(f"{process['id']} lacks the parameter {name}")
        for name, parameter in parameters.items():
            known = name in expected.required or name in expected.optional
            if not known and parameter.get("optional") is not True:
                problems.append(f"{process['id']} requires {name}, which the standard does not know")
    return judged(problems, "They are.", expected="required parameters as in the standard")


@check("API-207", profile="L2", kind="anonymous", source=OPENEO_API_PROFILE)
def processes_are_summarised(node: Node) -> Verdict:
    """Every process has a summary and categories"""
    problems = [
        f"{process.get('id')} has no {name}"
        for process in node.processes
        for name in ("summary", "categories")
        if not process.get(name)
    ]
    return judged(problems, "All have both.")


@check("API-208", profile="LP", kind="anonymous", source=FEDERATION_API)
def processes_are_marked(node: Node) -> Verdict:
    """Processes that the standard calls experimental are marked so"""
    problems = []
    for process in node.processes:
        flags = {name: process.get(name, False) for name in ("experimental", "deprecated")}
        wrong = [name for name, value in flags.items() if not isinstance(value, bool)]
        problems += [f"{name} of {process.get('id')} is {flags[name]!r}" for name in wrong]
        known = standard().get(str(process.get("id")))
        if known is not None and known.is_experimental and flags["experimental"] is not True:
            problems.append(f"{process['id']} is not marked as experimental")
    return judged(problems, "All are marked.", expected="experimental: true for the proposals of the standard")


@check("API-209", profile="L1", kind="anonymous", source=OPENEO_API_PROFILE)
def processes_have_no_nulls(node: Node) -> Verdict:
    """Missing members of processes are left out, not null"""
    problems = [
        f"{name} of {process.get('id')} is null"
        for process in node.processes
        for name in _NEVER_NULL
        if name in process and process[name] is None
    ]
    for process in node.processes:
        for parameter in process.get("parameters") or ():
            nulls = [name for name, value in parameter.items() if value is None and name != "default"]
            problems += [f"{name} of {process.get('id')}.{parameter.get('name')} is null" for name in nulls]
    return judged(problems, "None is null.")


@check("PROC-L1/L2/L2A", profile="LP", kind="anonymous", source=OPENEO_PROCESSES_PROFILE)
def has_raster_processes(node: Node) -> Verdict:
    """The 93 processes of the openEO profiles L1, L2 and L2A (raster) are there"""
    return _has(node, RASTER - EXPERIMENTAL)


@check("PROC-L2P", profile="LP", kind="anonymous", source=FEDERATION_PROCESSES)
def has_processes_of_the_federation(node: Node) -> Verdict:
    """The processes that the federation's profile L2P adds are there"""
    return _has(node, L2P)


@check("PROC-EXP", profile="LP", kind="anonymous", source=FEDERATION_PROCESSES)
def has_required_experimental_processes(node: Node) -> Verdict:
    """inspect and nan are there, although they are experimental"""
    return _has(node, EXPERIMENTAL)


@check("PROC-SIZE", profile="LP", kind="declared", source=FEDERATION_PROCESSES)
def has_tried_large_areas(node: Node) -> Verdict:
    """The processes of L2P were tried on more than 100 x 100 km at 10 m"""
    tried = node.declares("size_test")
    if not isinstance(tried, Mapping):
        return not_applicable("Not declared: [size_test] with report, date, version and processes.")
    problems = [f"`{name}` is missing" for name in ("report", "date", "version") if not tried.get(name)]
    named = tried.get("processes")
    missing = sorted(_LARGE - {str(name) for name in named}) if isinstance(named, list) else []
    problems += [f"{name} was not tried" for name in missing]
    age = age_in_days(tried.get("date"))
    if age is not None and age > 400:
        problems.append(f"the test is {age} days old")
    if problems:
        return judged(problems, "", expected=f"a test of {len(_LARGE)} processes, report with version and date")
    return declared(f"Tried with version {tried['version']} on {written(tried['date'])}: {tried['report']}")


@check("PROC-SCHEMA", profile="LP", kind="anonymous", source=FEDERATION_API)
def processes_are_valid(node: Node) -> Verdict:
    """Processes and their parameters have the types of the API, and boolean flags"""
    problems = _shapes(node)
    for process in node.processes:
        for name in ("experimental", "deprecated"):
            if name in process and not isinstance(process[name], bool):
                problems.append(f"{name} of {process.get('id')} is {process[name]!r}")
    return judged(problems, f"{len(node.processes)} processes are valid.")


@check("PROC-L3P", profile="L3", kind="anonymous", source=FEDERATION_PROCESSES, level="optional")
def has_advanced_processes(node: Node) -> Verdict:
    """The processes of the profiles L3 and L3P are there"""
    return _has(node, L3P)


@check("PROC-L4P", profile="L3", kind="anonymous", source=FEDERATION_PROCESSES, level="optional")
def has_all_processes(node: Node) -> Verdict:
    """The processes that L4 and L4P add are there"""
    return _has(node, L4P)


@check("PROC-ML", profile="L3", kind="anonymous", source=OPENEO_PROCESSES_PROFILE, level="optional")
def has_processes_of_machine_learning(node: Node) -> Verdict:
    """The processes of the profile L3-ML are there"""
    return _has(node, ML)


@check("MERGE-PROCESSES", profile="LP", kind="anonymous", source=AGGREGATOR)
def processes_merge(node: Node) -> Verdict:
    """The aggregator can read the list of processes"""
    entries = node.get_document("/processes").get("processes")
    if not isinstance(entries, list):
        return failed("`processes` is no array.")
    problems = [
        f"entry {place} has no id, which loses the whole list"
        for place, entry in enumerate(entries)
        if not isinstance(entry, dict) or not isinstance(entry.get("id"), str)
    ]
    ids = [entry.get("id") for entry in entries if isinstance(entry, dict)]
    problems += [f"{id!r} is listed {ids.count(id)} times" for id in sorted({str(i) for i in ids if ids.count(i) > 1})]
    return judged(problems, "It can.", expected="an id of its own for each")


def unpaged(node: Node, path: str, name: str) -> Verdict:
    """Whether a list without a limit is whole: no link to a next page, and no more with a large limit."""
    document = node.get_document(path)
    found = len(items(document, name))
    if any(link.get("rel") == "next" for link in items(document, "links")):
        return failed("There is a link to a next page.", expected="all on one page where no limit is given")
    reply = node.get(f"{path}?limit=1000")
    if reply.status == 400:
        return passed(f"{found} are listed on one page.")
    more = len(items(node.get_document(f"{path}?limit=1000"), name))
    problems = [f"{found} without a limit, {more} with a limit of 1000"] if more > found else []
    return judged(problems, f"{found} are listed on one page.")


def paged(node: Node, path: str, name: str, *, auth: bool = False) -> Verdict:
    """Whether a list with a limit of 1 either has one entry and leads to the next, or is whole.

    Clients read the first page only, so that to ignore the limit is allowed, and wise.
    """
    whole = {str(entry.get("id")) for entry in items(node.get_document(path, auth=auth), name)}
    document = node.get_document(f"{path}?limit=1", auth=auth)
    page = [str(entry.get("id")) for entry in items(document, name)]
    if len(page) >= len(whole):
        return passed("All are on the first page.")
    following = [str(link.get("href")) for link in items(document, "links") if link.get("rel") == "next"]
    if len(page) > 1 or not following:
        return failed(f"{len(page)} of {len(whole)} come for a limit of 1, with {len(following)} links to a next page.")
    other = decoded(node.get(following[0], auth=auth))
    second = [str(entry.get("id")) for entry in items(other, name)] if isinstance(other, dict) else []
    problems = [] if second and not set(second) & set(page) else ["the next page has nothing new"]
    return judged(problems, "Pages of one follow each other.")


def _arrays(node: Node, path: str, name: str) -> Verdict:
    document = node.get_document(path)
    problems = [f"`{member}` is no array" for member in (name, "links") if not isinstance(document.get(member), list)]
    return judged(problems, f"{len(document.get(name) or ())} {name} are listed.")


def _has(node: Node, wanted: Iterable[str]) -> Verdict:
    there = {str(process.get("id")) for process in node.processes}
    wanted = sorted(wanted)
    missing = [id for id in wanted if id not in there and FORMER.get(id) not in there]
    return judged(
        [f"{', '.join(missing)} missing"] if missing else [],
        f"All {len(wanted)} are there.",
        expected=f"{len(wanted)} processes",
    )


def _shapes(node: Node) -> list[str]:
    """What the description of processes lacks to be valid."""
    problems = []
    for place, process in enumerate(node.processes):
        name = process.get("id") if _is_text(process.get("id")) else f"process {place}"
        problems += [f"{name} has no {member}" for member in ("id", "description") if not _is_text(process.get(member))]
        if not _is_schema(process.get("returns")):
            problems.append(f"{name} has no schema in `returns`")
        parameters = process.get("parameters")
        if not isinstance(parameters, list):
            problems.append(f"{name} has no array of parameters")
            continue
        for parameter in parameters:
            good = isinstance(parameter, dict) and _is_text(parameter.get("name")) and _is_schema(parameter)
            if not good or not isinstance(parameter.get("description"), str):
                problems.append(f"a parameter of {name} has no name, description or schema")
    return problems


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_schema(owner: Any) -> bool:
    return isinstance(owner, dict) and isinstance(owner.get("schema"), dict | list)
