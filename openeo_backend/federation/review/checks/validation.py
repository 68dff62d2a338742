"""POST /validation: recommended by the profiles, and used by the aggregator."""

from __future__ import annotations

from typing import Any

from openeo_backend.federation.review.check import OPENEO_API_PROFILE, Verdict, check, failed, judged, passed
from openeo_backend.federation.review.node import Node, decoded

_GOOD: dict[str, Any] = {"add": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}
_UNKNOWN = {"no": {"process_id": "openeo_review_no_such_process", "arguments": {}, "result": True}}
_MISTYPED = {"add": {"process_id": "add", "arguments": {"x": "one", "y": 2}, "result": True}}
_DANGLING = {"add": {"process_id": "add", "arguments": {"x": {"from_node": "nowhere"}, "y": 2}, "result": True}}


@check("API-490", profile="L3", kind="token", source=OPENEO_API_PROFILE, level="recommended")
def validates(node: Node) -> Verdict:
    """POST /validation is offered"""
    if "POST" not in node.endpoints.get("/validation", ()):
        return failed("The capabilities do not list POST /validation.")
    status, _ = _validate(node, _GOOD)
    return passed("It answers.") if status == 200 else failed(f"It answers with {status}.", expected="200")


@check("API-491", profile="L3", kind="token", source=OPENEO_API_PROFILE, level="recommended")
def finds_nothing_in_good_ones(node: Node) -> Verdict:
    """A valid process has no errors"""
    status, errors = _validate(node, _GOOD)
    if status != 200 or errors != []:
        return failed(f"1 + 2 is answered with {status} and {errors!r}.", expected="200 and an empty list of errors")
    return passed("1 + 2 has no errors.")


@check("API-492", profile="L3", kind="token", source=OPENEO_API_PROFILE, level="recommended")
def tells_errors(node: Node) -> Verdict:
    """Errors of an invalid process have a code and a message"""
    _, errors = _validate(node, _UNKNOWN)
    good = isinstance(errors, list) and bool(errors)
    good = good and all(isinstance(error.get(name), str) for error in errors for name in ("code", "message"))
    return judged([] if good else [f"errors are {errors!r}"], "They have.", expected="objects with code and message")


@check("API-493", profile="L3", kind="token", source=OPENEO_API_PROFILE, level="recommended")
def answers_well_for_bad_ones(node: Node) -> Verdict:
    """Invalid processes are answered with 200"""
    problems = []
    for name, graph in (("an unknown process", _UNKNOWN), ("a wrong argument", _MISTYPED), ("no such node", _DANGLING)):
        status, _ = _validate(node, graph)
        if status != 200:
            problems.append(f"{name} is answered with {status}")
    return judged(problems, "They are.", expected="200, also for invalid processes")


@check("API-494", profile="L3", kind="token", source=OPENEO_API_PROFILE, level="recommended")
def validates_ids(node: Node) -> Verdict:
    """Ids of processes are validated"""
    status, errors = _validate(node, _GOOD, id="no id: /&")
    return judged([] if errors or status >= 400 else ["the id 'no id: /&' has no error"], "They are.")


@check("API-495", profile="L3", kind="token", source=OPENEO_API_PROFILE, level="recommended")
def validates_parameters(node: Node) -> Verdict:
    """Definitions of parameters are validated"""
    status, errors = _validate(node, _GOOD, parameters=[{"name": "a b", "schema": 5}])
    return judged([] if errors or status >= 400 else ["a parameter 'a b' of the schema 5 has no error"], "They are.")


@check("API-496", profile="L3", kind="token", source=OPENEO_API_PROFILE, level="recommended")
def validates_returns(node: Node) -> Verdict:
    """The definition of what is returned is validated"""
    status, errors = _validate(node, _GOOD, returns={"description": "", "schema": 5})
    return judged([] if errors or status >= 400 else ["returns of the schema 5 has no error"], "It is.")


@check("API-497", profile="L3", kind="token", source=OPENEO_API_PROFILE, level="recommended")
def validates_graphs(node: Node) -> Verdict:
    """Nodes, references and arguments of process graphs are validated"""
    problems = []
    for name, graph in (("an unknown process", _UNKNOWN), ("a wrong argument", _MISTYPED), ("no such node", _DANGLING)):
        _, errors = _validate(node, graph)
        if not errors:
            problems.append(f"{name} has no error")
    return judged(problems, "They are.")


def _validate(node: Node, graph: dict[str, Any], **members: Any) -> tuple[int, Any]:
    """Status and errors that a process gets."""
    reply = node.request("POST", "/validation", {"process_graph": graph, **members}, auth=True)
    body = decoded(reply)
    return reply.status, body.get("errors") if isinstance(body, dict) else None
