"""What the openEO profile L3 asks of jobs and requests that run."""

from __future__ import annotations

import io
import tarfile
import zipfile
from typing import Any

from openeo_backend.federation.review import answers, graphs
from openeo_backend.federation.review.check import OPENEO_API_PROFILE, Verdict, check, failed, judged, not_applicable
from openeo_backend.federation.review.checks.processes import paged
from openeo_backend.federation.review.node import Node
from openeo_backend.net.door import Reply

_SEVERE = ("warning", "error")


@check("API-10", profile="L3", kind="job", source=OPENEO_API_PROFILE, level="recommended")
def graphs_may_have_several_results(node: Node) -> Verdict:
    """Graphs with several results, as GeoTIFF and as netCDF, give all of them"""
    reply = _two(node)
    problems = answers.status("A graph that saves two files", reply, 200)
    if not problems:
        names = _members(reply)
        missing = [end for end in (".tif", ".nc") if not any(name.endswith(end) for name in names)]
        problems = [f"there is no {end} in {names or reply.media_type}" for end in missing]
    return judged(problems, "Both files are there.")


@check("API-753", profile="L3", kind="job", source=OPENEO_API_PROFILE, level="recommended")
def jobs_tell_what_they_cost(node: Node) -> Verdict:
    """Finished jobs tell plan, costs and usage"""
    job = answers.of(node.trial.finished["described"])
    missing = [name for name in ("plan", "costs", "usage") if job.get(name) is None]
    return judged([f"{name} is missing" for name in missing], "All are told.")


@check("API-802", profile="L3", kind="job", source=OPENEO_API_PROFILE, level="recommended")
def logs_are_filtered(node: Node) -> Verdict:
    """GET /jobs/{id}/logs with a level leaves out what is less severe"""
    reply = node.trial.finished["logs_level"]
    problems = answers.status("GET /jobs/{id}/logs?level=warning", reply, 200)
    levels = {str(entry.get("level")) for entry in answers.objects(answers.of(reply), "logs")}
    problems += [f"entries of the level {level} come for level=warning" for level in sorted(levels - set(_SEVERE))]
    return judged(problems, "It does.")


@check("API-803", profile="L3", kind="job", source=OPENEO_API_PROFILE, level="recommended")
def pages_of_logs(node: Node) -> Verdict:
    """GET /jobs/{id}/logs answers a limit with a page and a link to the next, or with all"""
    id = node.trial.finished["created"].headers.get("openeo-identifier")
    return paged(node, f"/jobs/{id}/logs", "logs", auth=True)


@check("API-864", profile="L3", kind="job", source=OPENEO_API_PROFILE, level="recommended")
def results_tell_costs(node: Node) -> Verdict:
    """GET /jobs/{id}/results has the header OpenEO-Costs"""
    return _has_costs(node.trial.finished["results"], "GET /jobs/{id}/results")


@check("API-867", profile="L3", kind="job", source=OPENEO_API_PROFILE, level="recommended")
def results_are_a_hierarchy(node: Node) -> Verdict:
    """Results link to a STAC item for each date or file"""
    record = node.trial.finished
    links = answers.objects(answers.of(record["results"]), "links")
    if not any(link.get("rel") in ("item", "child") for link in links):
        return failed("No link leads to an item or a child.", expected="links with the relation item")
    problems = answers.status("The link to an item", record["item"], 200) if "item" in record else []
    if not problems and "item" in record and answers.of(record["item"]).get("type") != "Feature":
        problems.append("the link to an item leads to something else")
    return judged(problems, "They do.")


@check("API-902", profile="L3", kind="job", source=OPENEO_API_PROFILE, level="recommended")
def requests_have_plan_and_budget(node: Node) -> Verdict:
    """POST /result takes a plan and a budget"""
    billing = node.get_document("/").get("billing")
    plan = billing.get("default_plan") if isinstance(billing, dict) else None
    members: dict[str, Any] = {"budget": 1000, **({"plan": plan} if isinstance(plan, str) else {})}
    reply = node.trial.compute(graphs.SUM, **members)
    return judged(answers.status("POST /result with plan and budget", reply, 200), "It does.")


@check("API-903", profile="L3", kind="job", source=OPENEO_API_PROFILE, level="recommended")
def requests_have_log_levels(node: Node) -> Verdict:
    """POST /result takes a log level"""
    reply = node.trial.compute(graphs.SUM, log_level="error")
    return judged(answers.status("POST /result with a log level", reply, 200), "It does.")


@check("API-904", profile="L3", kind="job", source=OPENEO_API_PROFILE, level="recommended")
def requests_take_more_properties(node: Node) -> Verdict:
    """POST /result takes more properties than the API knows"""
    reply = node.trial.compute(graphs.SUM, openeo_review="kept")
    return judged(answers.status("POST /result with one more property", reply, 200), "It does.")


@check("API-907", profile="L3", kind="job", source=OPENEO_API_PROFILE, level="recommended")
def requests_tell_costs(node: Node) -> Verdict:
    """POST /result has the header OpenEO-Costs"""
    return _has_costs(node.trial.netcdf, "POST /result")


@check("API-908", profile="L3", kind="job", source=OPENEO_API_PROFILE, level="recommended")
def requests_link_their_log(node: Node) -> Verdict:
    """POST /result links its log in the header Link"""
    link = node.trial.netcdf.headers.get("link", "")
    return judged([] if "monitor" in link else [f"the header Link is {link!r}"], "It does.", expected='rel="monitor"')


@check("API-909", profile="L3", kind="job", source=OPENEO_API_PROFILE, level="recommended")
def requests_pack_several_files(node: Node) -> Verdict:
    """POST /result packs several files into an archive"""
    reply = _two(node)
    if reply.status >= 400:
        return not_applicable(f"A graph with two files is refused ({reply.status}).")
    names = _members(reply)
    return judged([] if names else [f"several files come as {reply.media_type}"], f"{len(names)} files are packed.")


def _two(node: Node) -> Reply:
    """The answer to a graph that saves one picture in two formats."""
    place = node.trial.place
    graph = graphs.chain(*graphs.flat(place, bands=place.bands[:1]), graphs.save("GTiff"))
    (last,) = (step for step in graph.values() if step.get("result"))
    before = last["arguments"]["data"]
    graph["second"] = {"process_id": "save_result", "arguments": {"data": before, "format": "netCDF"}}
    return node.trial.compute(graph)


def _members(reply: Reply) -> list[str]:
    """Names of the files in an archive; none where it is none."""
    content = io.BytesIO(reply.content)
    try:
        if zipfile.is_zipfile(content):
            with zipfile.ZipFile(content) as archive:
                return archive.namelist()
        with tarfile.open(fileobj=io.BytesIO(reply.content)) as packed:
            return packed.getnames()
    except (tarfile.TarError, zipfile.BadZipFile):
        return []


def _has_costs(reply: Reply, what: str) -> Verdict:
    costs = reply.headers.get("openeo-costs")
    return judged([] if costs is not None else [f"{what} has no such header"], f"It is {costs}.")
