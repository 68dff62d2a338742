"""Stored processes: kept, described, replaced, listed, called, deleted."""

from __future__ import annotations

from typing import Any

from openeo_backend.federation.review import answers
from openeo_backend.federation.review.check import (
    OPENEO_API_PROFILE,
    Verdict,
    check,
    judged,
)
from openeo_backend.federation.review.node import Node, decoded

#: Members of a stored process that may be null.
NULLABLE = ("summary", "description", "parameters", "returns")
INVALID = range(400, 500)


@check("API-9", profile="L2", kind="token", source=OPENEO_API_PROFILE)
def tells_namespaces_apart(node: Node) -> Verdict:
    """The namespaces `user` and `backend` of a node are understood"""
    problems = _value(node, "given", 15, "A stored process with the namespace `user`")
    problems += _value(node, "predefined", 3, "A process with the namespace `backend`")
    return judged(problems, "Both are understood.", expected="200 and the value")


@check("API-11", profile="L2", kind="token", source=OPENEO_API_PROFILE)
def computes_stored_processes(node: Node) -> Verdict:
    """Stored processes can be called by their id"""
    problems = _value(node, "default", 6, "A stored process called by its id")
    return judged(problems, "It computes what it should.", expected="200 and the value 6")


@check("API-12", profile="L2", kind="token", source=OPENEO_API_PROFILE)
def passes_parameters(node: Node) -> Verdict:
    """Parameters of stored processes have the values given, else their defaults"""
    problems = _value(node, "default", 6, "A stored process with the default of a parameter")
    problems += _value(node, "given", 15, "A stored process with the value of a parameter")
    return judged(problems, "Values and defaults arrive.", expected="5 + 1 = 6 and 5 + 10 = 15")


@check("API-400", profile="L2", kind="token", source=OPENEO_API_PROFILE)
def lists_stored_processes(node: Node) -> Verdict:
    """GET /process_graphs lists the processes of a user, and only with a token"""
    stored = node.trial.stored
    problems = answers.status("GET /process_graphs", stored["listed"], 200)
    problems += answers.refusal("GET /process_graphs without a token", stored["anonymous"], (401,))
    return judged(problems, "They are listed for their user.", expected="200 with a token, 401 without one")


@check("API-401", profile="L2", kind="token", source=OPENEO_API_PROFILE)
def list_of_stored_processes_has_its_members(node: Node) -> Verdict:
    """GET /process_graphs has the arrays processes and links"""
    problems = answers.arrays(node.trial.stored["listed"], "processes", "links")
    return judged(problems, "Both are arrays.", expected="the arrays `processes` and `links`")


@check("API-403", profile="L2", kind="token", source=OPENEO_API_PROFILE)
def lists_all_stored_processes(node: Node) -> Verdict:
    """GET /process_graphs without a limit lists all processes"""
    trial = node.trial
    document = answers.of(trial.stored["listed"])
    found = {entry.get("id") for entry in answers.objects(document, "processes")}
    wanted = {f"{trial.tag}_{number}" for number in range(trial.many)}
    problems = []
    if missing := wanted - found:
        problems.append(f"{len(missing)} of {len(wanted)} processes made by this review are not listed")
    if any(link.get("rel") == "next" for link in answers.objects(document, "links")):
        problems.append("there is a link to a next page")
    return judged(
        problems, f"All {len(wanted)} processes made are listed at once.", expected="no pages without `limit`"
    )


@check("API-404", profile="L2", kind="token", source=OPENEO_API_PROFILE)
def listed_processes_have_ids(node: Node) -> Verdict:
    """Each process of GET /process_graphs has an id"""
    entries = answers.objects(answers.of(node.trial.stored["listed"]), "processes")
    problems = [f"process {number} has the id {entry.get('id')!r}" for number, entry in enumerate(entries)
                if not isinstance(entry.get("id"), str) or not entry["id"]]  # fmt: skip
    if not entries:
        problems.append("no process is listed")
    return judged(problems, f"All {len(entries)} have one.", expected="a string `id` in each")


@check("API-405", profile="L2", kind="token", source=OPENEO_API_PROFILE)
def listed_processes_have_no_wrong_nulls(node: Node) -> Verdict:
    """What a listed process lacks is left out, not null"""
    entries = answers.objects(answers.of(node.trial.stored["listed"]), "processes")
    problems = [] if entries else ["no process is listed"]
    for entry in entries:
        problems += answers.nulls(entry, NULLABLE, f"the process {entry.get('id')}")
    return judged(problems, "Nothing is null that must not be.", expected=f"null only in {', '.join(NULLABLE)}")


@check("API-410", profile="L2", kind="token", source=OPENEO_API_PROFILE)
def stores_processes(node: Node) -> Verdict:
    """PUT /process_graphs/{id} stores a process"""
    return judged(answers.status("PUT", node.trial.stored["created"], 200), "It is stored.", expected="200")


@check("API-411", profile="L2", kind="token", source=OPENEO_API_PROFILE)
def updates_stored_processes(node: Node) -> Verdict:
    """PUT /process_graphs/{id} of a stored process updates it"""
    return judged(answers.status("The second PUT", node.trial.stored["updated"], 200), "It is updated.", expected="200")


@check("API-412", profile="L2", kind="token", source=OPENEO_API_PROFILE)
def refuses_invalid_processes(node: Node) -> Verdict:
    """PUT /process_graphs/{id} refuses what is no valid process"""
    stored = node.trial.stored
    problems = answers.refusal("A process without a graph", stored["without_graph"], INVALID)
    problems += answers.refusal("A graph with a reference to no node", stored["broken"], INVALID)
    return judged(problems, "Both are refused.", expected="4xx with a code such as ProcessGraphMissing")


@check("API-413", profile="L2", kind="token", source=OPENEO_API_PROFILE)
def takes_the_id_of_the_path(node: Node) -> Verdict:
    """The id of the path wins over that in the body"""
    id = answers.of(node.trial.stored["replaced"]).get("id")
    wanted = f"{node.trial.tag}_increment"
    problems = [] if id == wanted else [f"the process put at {wanted} has the id {id!r}"]
    return judged(problems, "The process has the id of its path.", expected=f"the id {wanted!r}")


@check("API-414", profile="L2", kind="token", source=OPENEO_API_PROFILE)
def replaces_processes_fully(node: Node) -> Verdict:
    """PUT /process_graphs/{id} replaces the process as a whole"""
    before = answers.of(node.trial.stored["described"])
    after = answers.of(node.trial.stored["replaced"])
    problems = [f"the earlier `{name}` is still there" for name in ("summary", "description") if after.get(name)]
    if not before.get("summary"):
        problems.append("the summary of the first version was not kept")
    return judged(problems, "Nothing of the first version is left.", expected="only what the second PUT had")


@check("API-420", profile="L2", kind="token", source=OPENEO_API_PROFILE)
def describes_stored_processes(node: Node) -> Verdict:
    """GET /process_graphs/{id} describes a process"""
    return judged(answers.status("GET", node.trial.stored["described"], 200), "It is described.", expected="200")


@check("API-421", profile="L2", kind="token", source=OPENEO_API_PROFILE)
def described_processes_have_graphs(node: Node) -> Verdict:
    """GET /process_graphs/{id} has the id and the process graph"""
    found = answers.of(node.trial.stored["described"])
    problems = []
    if not isinstance(found.get("id"), str):
        problems.append(f"`id` is {found.get('id')!r}")
    graph = found.get("process_graph")
    if not isinstance(graph, dict) or not _calls(graph, "add"):
        problems.append("`process_graph` is not the graph that was stored")
    return judged(problems, "Both are there.", expected="`id` and `process_graph` as they were stored")


@check("API-422", profile="L2", kind="token", source=OPENEO_API_PROFILE)
def described_processes_have_no_wrong_nulls(node: Node) -> Verdict:
    """What a described process lacks is left out, not null"""
    found = [answers.of(node.trial.stored[name]) for name in ("described", "replaced")]
    problems = [] if all(found) else ["there is no description"]
    for process in found:
        problems += answers.nulls(process, NULLABLE, "the process")
    return judged(problems, "Nothing is null that must not be.", expected=f"null only in {', '.join(NULLABLE)}")


@check("API-430", profile="L2", kind="token", source=OPENEO_API_PROFILE)
def deletes_stored_processes(node: Node) -> Verdict:
    """DELETE /process_graphs/{id} is supported"""
    problems = answers.status("DELETE", node.trial.stored["deleted"], 204)
    return judged(problems, "It is deleted.", expected="204")


@check("API-431", profile="L2", kind="token", source=OPENEO_API_PROFILE)
def deleted_processes_are_gone(node: Node) -> Verdict:
    """DELETE /process_graphs/{id} deletes: afterwards there is no such process"""
    stored = node.trial.stored
    problems = answers.status("DELETE", stored["deleted"], 204)
    problems += answers.refusal(
        "GET of the deleted process", stored["absent"], (404, 400, 410), ("ProcessGraphNotFound",)
    )
    problems += answers.refusal("DELETE of the deleted process", stored["deleted_again"], INVALID)
    return judged(problems, "It is gone.", expected="204, then ProcessGraphNotFound")


def _value(node: Node, name: str, expected: float, what: str) -> list[str]:
    reply = node.trial.stored[name]
    problems = answers.status(what, reply, 200)
    if problems:
        return problems
    value = decoded(reply)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != expected:
        return [f"{what} gives {value!r}, not {expected}"]
    return []


def _calls(graph: dict[str, Any], process: str) -> bool:
    return any(isinstance(node, dict) and node.get("process_id") == process for node in graph.values())
