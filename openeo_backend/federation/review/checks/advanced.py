"""What the openEO profile L3 asks of jobs and lists beyond the federation's profile, as far as nothing need be run."""

from __future__ import annotations

from typing import Any

from openeo_backend.federation.review import answers, graphs
from openeo_backend.federation.review.check import (
    OPENEO_API_PROFILE,
    Verdict,
    check,
    failed,
    judged,
    not_applicable,
    passed,
)
from openeo_backend.federation.review.checks.processes import paged
from openeo_backend.federation.review.node import Node, decoded
from openeo_backend.federation.review.record import Record

_BUDGET = 1000
#: Longest wait for an estimate, which computes.
_ESTIMATE_SECONDS = 120


@check("API-8", profile="L3", kind="anonymous", source=OPENEO_API_PROFILE, level="recommended")
def errors_can_be_told_apart(node: Node) -> Verdict:
    """Errors have an id, or a link to more about them"""
    error = decoded(node.get("/collections/OPENEO_REVIEW_NO_SUCH_COLLECTION"))
    told = [name for name in ("id", "url", "links") if isinstance(error, dict) and error.get(name)]
    return judged([] if told else ["an error has neither id nor links"], f"They have {', '.join(told)}.")


@check("API-402", profile="L3", kind="token", source=OPENEO_API_PROFILE, level="recommended")
def pages_of_stored_processes(node: Node) -> Verdict:
    """GET /process_graphs answers a limit with a page and a link to the next, or with all"""
    return paged(node, "/process_graphs", "processes", auth=True)


@check("API-712", profile="L3", kind="token", source=OPENEO_API_PROFILE, level="recommended")
def pages_of_jobs(node: Node) -> Verdict:
    """GET /jobs answers a limit with a page and a link to the next, or with all"""
    _draft(node)
    return paged(node, "/jobs", "jobs", auth=True)


@check("API-732", profile="L3", kind="token", source=OPENEO_API_PROFILE, level="recommended")
def jobs_have_plan_and_budget(node: Node) -> Verdict:
    """Jobs keep the plan and the budget that they are created with"""
    record = _draft(node)
    problems = answers.status("POST /jobs with plan and budget", record["created"], 201)
    job, plan = answers.of(record["described"]), _plan(node)
    if plan is not None and job.get("plan") != plan:
        problems.append(f"the plan {plan!r} became {job.get('plan')!r}")
    if job.get("budget") != _BUDGET:
        problems.append(f"the budget {_BUDGET} became {job.get('budget')!r}")
    return judged(problems, "They do.", expected="plan and budget in GET /jobs/{id}")


@check("API-733", profile="L3", kind="token", source=OPENEO_API_PROFILE, level="recommended")
def jobs_have_log_levels(node: Node) -> Verdict:
    """Jobs keep the log level that they are created with"""
    level = answers.of(_draft(node)["described"]).get("log_level")
    return judged([] if level == "warning" else [f"the level warning became {level!r}"], "They do.")


@check("API-735", profile="L3", kind="token", source=OPENEO_API_PROFILE, level="recommended")
def jobs_take_more_properties(node: Node) -> Verdict:
    """Jobs can be created with more properties than the API knows"""
    return judged(answers.status("POST /jobs with one more property", _draft(node)["created"], 201), "They can.")


@check("API-755", profile="L3", kind="token", source=OPENEO_API_PROFILE, level="recommended")
def jobs_tell_more_properties(node: Node) -> Verdict:
    """GET /jobs/{id} tells the further properties that a job was created with"""
    job = answers.of(_draft(node)["described"])
    options = job.get("job_options")
    told = job.get("openeo_review", options.get("openeo_review") if isinstance(options, dict) else None)
    return judged([] if told == "kept" else [f"the property 'kept' became {told!r}"], "It does.")


@check("API-760", profile="L3", kind="token", source=OPENEO_API_PROFILE, level="recommended")
def jobs_can_be_changed(node: Node) -> Verdict:
    """PATCH /jobs/{id} changes a job"""
    return judged(answers.status("PATCH /jobs/{id}", _draft(node)["patched"], 204), "It does.", expected="204")


@check("API-764", profile="L3", kind="token", source=OPENEO_API_PROFILE, level="recommended")
def titles_can_be_changed(node: Node) -> Verdict:
    """PATCH /jobs/{id} changes title and description, and nothing else"""
    record = _draft(node)
    before, after = answers.of(record["described"]), answers.of(record["changed"])
    problems = [
        f"{name} is {after.get(name)!r}"
        for name, value in (("title", "Changed"), ("description", "Also changed."))
        if after.get(name) != value
    ]
    problems += [f"{name} changed" for name in ("process", "status", "created") if before.get(name) != after.get(name)]
    return judged(problems, "It does.", expected="the new title and description")


@check("API-820", profile="L3", kind="token", source=OPENEO_API_PROFILE, level="recommended")
def jobs_are_estimated(node: Node) -> Verdict:
    """GET /jobs/{id}/estimate tells costs, duration or size"""
    found = _estimate(node)
    if isinstance(found, Verdict):
        return found
    told = [name for name in ("costs", "duration", "size") if name in found]
    return judged([] if told else ["it tells none of them"], f"It tells {', '.join(told)}.")


@check("API-821", profile="L3", kind="token", source=OPENEO_API_PROFILE, level="recommended")
def costs_are_estimated(node: Node) -> Verdict:
    """Estimates tell costs"""
    return _estimated(node, "costs", lambda value: isinstance(value, int | float | dict))


@check("API-824", profile="L3", kind="token", source=OPENEO_API_PROFILE, level="recommended")
def estimates_count_downloads(node: Node) -> Verdict:
    """Estimates tell how many downloads are included"""
    found = _estimate(node)
    if isinstance(found, Verdict):
        return found
    count = found.get("downloads_included")
    good = count is None or (isinstance(count, int) and not isinstance(count, bool) and count >= 0)
    said = "Any number, which is the default." if count is None else f"{count}."
    return judged([] if good else [f"downloads_included is {count!r}"], said, expected="a number; none for any number")


@check("API-825", profile="L3", kind="token", source=OPENEO_API_PROFILE, level="recommended")
def estimates_expire(node: Node) -> Verdict:
    """Estimates tell until when they hold"""
    return _estimated(node, "expires", answers.is_instant)


@check("API-826", profile="L3", kind="token", source=OPENEO_API_PROFILE, level="recommended")
def estimates_have_a_status(node: Node) -> Verdict:
    """Estimates come with 200, or 500 EstimateComplexity where there can be none"""
    if "GET" not in node.endpoints.get("/jobs/{}/estimate", ()):
        return failed("The capabilities do not list GET /jobs/{job_id}/estimate.")
    reply = _draft(node)["estimate"]
    if reply.status == 500 and answers.of(reply).get("code") == "EstimateComplexity":
        return passed("There can be none, and it says so.")
    return judged(answers.status("GET /jobs/{id}/estimate", reply, 200), "It comes with 200.")


def _draft(node: Node) -> Record:
    """A job with all that the API lets one say, changed and estimated, but never started."""
    found: Record = node.once("a draft with everything", lambda: _drafted(node))
    return found


def _drafted(node: Node) -> Record:
    body: dict[str, Any] = {
        "title": f"{node.trial.tag} advanced",
        "process": {"process_graph": graphs.SUM},
        "budget": _BUDGET,
        "log_level": "warning",
        "openeo_review": "kept",
    }
    if (plan := _plan(node)) is not None:
        body["plan"] = plan
    with Record.kept(node) as record:
        created = record.ask("created", "POST", "/jobs", body)
        path = node.trial.own(f"/jobs/{created.headers['openeo-identifier']}") if created.status == 201 else ""
        if path:
            record.ask("described", "GET", path)
            record.ask("patched", "PATCH", path, {"title": "Changed", "description": "Also changed."})
            record.ask("changed", "GET", path)
            record.put(
                "estimate", lambda: node.request("GET", f"{path}/estimate", auth=True, seconds=_ESTIMATE_SECONDS)
            )
    return record


def _plan(node: Node) -> str | None:
    billing = node.get_document("/").get("billing")
    plan = billing.get("default_plan") if isinstance(billing, dict) else None
    return plan if isinstance(plan, str) else None


def _estimate(node: Node) -> dict[str, Any] | Verdict:
    if "GET" not in node.endpoints.get("/jobs/{}/estimate", ()):
        return failed("The capabilities do not list GET /jobs/{job_id}/estimate.")
    reply = _draft(node)["estimate"]
    if reply.status != 200:
        return not_applicable(f"There is no estimate of the job of the review ({reply.status}).")
    return answers.of(reply)


def _estimated(node: Node, name: str, is_good: Any) -> Verdict:
    found = _estimate(node)
    if isinstance(found, Verdict):
        return found
    good = is_good(found.get(name))
    return judged([] if good else [f"{name} is {found.get(name)!r}"], f"{name} is {found.get(name)!r}.")
