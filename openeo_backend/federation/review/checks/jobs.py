"""Batch jobs: created, listed, described, started, stopped, deleted; their options."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from openeo_backend.federation.review import answers, graphs
from openeo_backend.federation.review.check import (
    CREDIT_USAGE,
    FEDERATION_API,
    JOB_OPTIONS,
    OPENEO_API_PROFILE,
    Verdict,
    check,
    failed,
    judged,
    not_applicable,
    passed,
    warned,
)
from openeo_backend.federation.review.node import Node
from openeo_backend.federation.review.parts import OPTIONS, UNKNOWN_OPTIONS

INVALID = range(400, 500)
STATUSES = ("created", "queued", "running", "canceled", "finished", "error")
#: What may come next.
NEXT = {
    "created": {"queued", "running", "finished", "error", "canceled"},
    "queued": {"running", "finished", "error", "canceled", "created"},
    "running": {"finished", "error", "canceled", "queued"},
}
#: Members of jobs that the API lets be null.
NULLABLE = ("title", "description", "costs", "budget", "plan", "progress", "usage")
#: Jobs that the federation's free tier lets run at the same time.
CONCURRENT = 2


@check("API-700", profile="L1", kind="job", source=OPENEO_API_PROFILE)
def status_follows_its_order(node: Node) -> Verdict:
    """The status of a job goes from created over queued and running to its end"""
    trial = node.trial
    for record in (trial.finished, trial.failing, trial.stopped):
        if "described" in record:
            record["described"]
    runs = [[status for status, _ in record.polls] for record in (trial.finished, trial.failing)]
    stopped = [status for status, _ in trial.stopped.polls]
    problems = [] if any((*runs, stopped)) else ["no status of any job was seen"]
    for statuses in (*runs, stopped):
        problems += [f"a job has the status {status!r}" for status in statuses if status not in STATUSES]
        problems += [
            f"a job goes from {one} to {other}"
            for one, other in pairwise(statuses)
            if one != other and other not in NEXT.get(one, ())
        ]
    if runs[0] and runs[0][-1] != "finished":
        problems.append(f"the small job ends as {runs[0][-1]}")
    if stopped and stopped[-1] not in ("canceled", "created", "finished"):
        problems.append(f"the stopped job ends as {stopped[-1]}")
    seen = ", ".join(" > ".join(dict.fromkeys(statuses)) for statuses in (*runs, stopped) if statuses)
    return judged(problems, f"Seen: {seen}.", expected="created, queued, running, and then finished, error or canceled")


@check("API-710", profile="L1B/L2", kind="token", source=OPENEO_API_PROFILE)
def lists_jobs(node: Node) -> Verdict:
    """GET /jobs lists the jobs of a user, and only with a token"""
    problems = answers.status("GET /jobs", node.trial.drafts["listed"], 200)
    problems += answers.refusal("GET /jobs without a token", node.get("/jobs"), (401,))
    return judged(problems, "They are listed for their user.", expected="200 with a token, 401 without one")


@check("API-711", profile="L1B/L2", kind="token", source=OPENEO_API_PROFILE)
def list_of_jobs_has_its_members(node: Node) -> Verdict:
    """GET /jobs has the arrays jobs and links"""
    problems = answers.arrays(node.trial.drafts["listed"], "jobs", "links")
    return judged(problems, "Both are arrays.", expected="the arrays `jobs` and `links`")


@check("API-713", profile="L1B/L2", kind="token", source=OPENEO_API_PROFILE)
def lists_all_jobs(node: Node) -> Verdict:
    """GET /jobs without a limit lists all jobs"""
    document = answers.of(node.trial.drafts["listed"])
    titles = [str(job.get("title")) for job in answers.objects(document, "jobs")]
    found = sum(title.startswith(f"{node.trial.tag} number ") for title in titles)
    problems = []
    if found < node.trial.many:
        problems.append(f"{found} of {node.trial.many} jobs made by this review are listed")
    if any(link.get("rel") == "next" for link in answers.objects(document, "links")):
        problems.append("there is a link to a next page")
    return judged(problems, f"All {found} jobs made are listed at once.", expected="no pages without `limit`")


@check("API-714", profile="L1B/L2", kind="token", source=OPENEO_API_PROFILE)
def listed_jobs_are_valid(node: Node) -> Verdict:
    """Each job of GET /jobs has id, status and created"""
    jobs = answers.objects(answers.of(node.trial.drafts["listed"]), "jobs")
    problems = [] if jobs else ["no job is listed"]
    for job in jobs:
        problems += _invalid(job)
    return judged(problems, f"All {len(jobs)} have them.", expected="id, status (of the API's) and created (RFC 3339)")


@check("API-715", profile="L1B/L2", kind="token", source=OPENEO_API_PROFILE)
def listed_jobs_have_titles(node: Node) -> Verdict:
    """GET /jobs gives the titles of jobs"""
    wanted = f"{node.trial.tag} draft"
    titles = [job.get("title") for job in answers.objects(answers.of(node.trial.drafts["listed"]), "jobs")]
    problems = [] if wanted in titles else [f"no job has the title {wanted!r}"]
    return judged(problems, "The title given is listed.", expected="the title as it was given")


@check("API-730", profile="L1B/L2", kind="token", source=OPENEO_API_PROFILE)
def creates_jobs(node: Node) -> Verdict:
    """POST /jobs creates a job, and only with a token"""
    problems = answers.status("POST /jobs", node.trial.drafts["created"], 201)
    problems += answers.refusal("POST /jobs without a token", node.request("POST", "/jobs", {}), (401,))
    return judged(problems, "It is created.", expected="201 with a token, 401 without one")


@check("API-731", profile="L1B/L2", kind="token", source=OPENEO_API_PROFILE)
def refuses_invalid_jobs(node: Node) -> Verdict:
    """POST /jobs refuses what is no valid process"""
    drafts = node.trial.drafts
    problems = answers.refusal("A job with a reference to no node", drafts["broken"], INVALID)
    problems += answers.refusal("A job without a process", drafts["without_process"], INVALID)
    return judged(problems, "Both are refused.", expected="4xx with a code such as ProcessGraphInvalid")


@check("API-734", profile="L1B/L2", kind="token", source=OPENEO_API_PROFILE)
def stores_title_and_description(node: Node) -> Verdict:
    """POST /jobs stores title and description"""
    return _echoed(node)


@check("API-752", profile="L1B/L2", kind="token", source=OPENEO_API_PROFILE)
def describes_title_and_description(node: Node) -> Verdict:
    """GET /jobs/{id} gives title and description"""
    return _echoed(node)


@check("API-736", profile="L1B/L2", kind="token", source=OPENEO_API_PROFILE)
def creating_answers_with_an_identifier(node: Node) -> Verdict:
    """POST /jobs answers with 201, OpenEO-Identifier and Location"""
    reply = node.trial.drafts["created"]
    problems = answers.status("POST /jobs", reply, 201)
    id, location = reply.headers.get("openeo-identifier", ""), reply.headers.get("location", "")
    if not id:
        problems.append("there is no header OpenEO-Identifier")
    if "://" not in location:
        problems.append(f"the header Location is {location!r}, no absolute URL")
    elif id and location.rstrip("/").rpartition("/")[2] != id:
        problems.append(f"the header Location ({location}) does not lead to the job {id}")
    return judged(problems, f"The job is {id}.", expected="201, OpenEO-Identifier, and Location with the job's URL")


@check("API-737", profile="L1B/L2", kind="token", source=OPENEO_API_PROFILE)
def new_jobs_are_created_only(node: Node) -> Verdict:
    """A new job has the status created"""
    status = answers.of(node.trial.drafts["described"]).get("status")
    problems = [] if status == "created" else [f"its status is {status!r}"]
    return judged(problems, "Nothing is computed yet.", expected="the status `created`")


@check("API-750", profile="L1B/L2", kind="token", source=OPENEO_API_PROFILE)
def describes_jobs(node: Node) -> Verdict:
    """GET /jobs/{id} describes a job, and only for its user"""
    drafts = node.trial.drafts
    problems = answers.status("GET of the job", drafts["described"], 200)
    problems += answers.refusal("GET of the job without a token", drafts["foreign"], (401, 403, 404))
    if "other" in drafts:
        problems += answers.refusal("GET of the job by another user", drafts["other"], (403, 404))
        return judged(problems, "It is described to its user only.", expected="200; 401 without a token; 403 or 404")
    holds = "It is described to its user. Nobody else tried: no second account is declared ([accounts] other)."
    return judged(problems, holds, expected="200 with the user's token, 401 without one")


@check("API-751", profile="L1B/L2", kind="token", source=OPENEO_API_PROFILE)
def described_jobs_have_their_members(node: Node) -> Verdict:
    """GET /jobs/{id} has id, process, status and created"""
    job = answers.of(node.trial.drafts["described"])
    problems = _invalid(job)
    process = job.get("process")
    if not isinstance(process, dict) or not isinstance(process.get("process_graph"), dict):
        problems.append("there is no `process` with a `process_graph`")
    return judged(problems, "All are there.", expected="id, process, status and created")


@check("API-754", profile="L1B/L2", kind="job", source=OPENEO_API_PROFILE)
def reports_progress(node: Node) -> Verdict:
    """GET /jobs/{id} reports status and progress"""
    polls = node.trial.finished.polls
    if not polls:
        return failed("No status was seen.", expected="a status at each request")
    node.trial.finished["described"]
    known = [progress for _, progress in polls if progress is not None]
    problems = [f"`progress` is {progress!r}" for progress in known if not _is_percent(progress)]
    if not problems:
        problems += [f"`progress` falls from {one} to {other}" for one, other in pairwise(known) if other < one]
    if not problems and known and polls[-1][0] == "finished" and polls[-1][1] not in (None, 100):
        problems.append(f"the job is finished, but its progress is {polls[-1][1]}")
    if polls[-1][0] != "finished":
        problems.append(f"the small job ends as {polls[-1][0]}")
    if not known and not problems:
        return passed("The status is reported; there is no progress, which is optional.")
    return judged(problems, f"{len(polls)} reports, the last one {polls[-1]}.", expected="0 to 100, never falling")


@check("API-780", profile="L1B/L2", kind="token", source=OPENEO_API_PROFILE)
def deletes_jobs(node: Node) -> Verdict:
    """DELETE /jobs/{id} is supported"""
    return judged(answers.status("DELETE", node.trial.drafts["deleted"], 204), "It is deleted.", expected="204")


@check("API-781", profile="L1B/L2", kind="token", source=OPENEO_API_PROFILE)
def deleted_jobs_are_gone(node: Node) -> Verdict:
    """DELETE /jobs/{id} deletes: afterwards there is no such job"""
    drafts = node.trial.drafts
    problems = answers.status("DELETE", drafts["deleted"], 204)
    problems += answers.refusal("GET of the deleted job", drafts["absent"], (404, 410), ("JobNotFound",))
    problems += answers.refusal("DELETE of the deleted job", drafts["deleted_again"], INVALID)
    return judged(problems, "It is gone.", expected="204, then JobNotFound")


@check("API-850", profile="L1B/L2", kind="job", source=OPENEO_API_PROFILE)
def starts_jobs(node: Node) -> Verdict:
    """POST /jobs/{id}/results starts a job"""
    return judged(answers.status("POST", node.trial.finished["started"], 202), "It is accepted.", expected="202")


@check("API-851", profile="L1B/L2", kind="job", source=OPENEO_API_PROFILE)
def starting_twice_does_nothing(node: Node) -> Verdict:
    """POST /jobs/{id}/results of a job under way is 202 and does nothing"""
    record = node.trial.stopped
    problems = answers.status("The first start", record["started 0"], 202)
    problems += answers.status("The second start", record["started_again"], 202)
    status = answers.of(record["described 0"]).get("status")
    if status not in ("queued", "running", "finished"):
        problems.append(f"after it was started twice the job has the status {status!r}")
    return judged(problems, f"Then its status is {status!r}.", expected="202 both times; queued, running or finished")


@check("API-890", profile="L1B/L2", kind="job", source=OPENEO_API_PROFILE)
def stops_jobs(node: Node) -> Verdict:
    """DELETE /jobs/{id}/results stops a job"""
    reply = node.trial.stopped["stopped 0"]
    problems = [] if 200 <= reply.status < 300 else answers.status("DELETE", reply, 204)
    return judged(problems, f"It is accepted with {reply.status}.", expected="2xx")


@check("API-891", profile="L1B/L2", kind="job", source=OPENEO_API_PROFILE)
def stopped_jobs_stop(node: Node) -> Verdict:
    """DELETE /jobs/{id}/results stops the computation, and is answered with 204"""
    record = node.trial.stopped
    problems = answers.status("DELETE", record["stopped 0"], 204)
    record["described"]
    statuses = [status for status, _ in record.polls]
    last = statuses[-1] if statuses else None
    if last == "finished" and not problems:
        return warned("The job was finished before it could be stopped.", expected="the status canceled or created")
    if last not in ("canceled", "created", "finished"):
        problems.append(f"its status stays {last!r}")
    expected = "204 (the profile says 202, the API and its clients 204), then the status canceled"
    return judged(problems, f"Then its status is {last!r}.", expected=expected)


@check("AUTH-5", profile="LP", kind="job", source=FEDERATION_API, level="recommended")
def limits_concurrent_jobs(node: Node) -> Verdict:
    """How many jobs of a user run at the same time is limited"""
    record = node.trial.stopped
    statuses = [answers.of(record[f"described {number}"]).get("status") for number in range(3)]
    refused = [number for number in range(3) if record[f"started {number}"].status >= 400]
    if "queued" in statuses or refused:
        return passed(f"Of three jobs started at once the statuses are {statuses}.")
    if "finished" in statuses or "error" in statuses:
        return not_applicable(f"The jobs of the review were too short to see it: {statuses}.")
    return failed(f"Three jobs run at once: {statuses}.", expected=f"some wait; the free tier has {CONCURRENT}")


@check("JOB-1", profile="LP", kind="token", source=JOB_OPTIONS, level="recommended")
def accepts_options_of_the_federation(node: Node) -> Verdict:
    """The job options of the federation's users do no harm"""
    drafts = node.trial.drafts
    problems = answers.status("A job with them", drafts["options"], 201)
    if not problems:
        found = answers.of(drafts["options_described"]).get("job_options")
        missing = [name for name in OPTIONS if not isinstance(found, dict) or name not in found]
        problems += [f"{len(missing)} of {len(OPTIONS)} options are not given back ({missing[0]})"] if missing else []
    return judged(problems, "They are kept.", expected="201, and the options in GET /jobs/{id}")


@check("JOB-2", profile="LP", kind="token", source=JOB_OPTIONS)
def accepts_options_at_the_top(node: Node) -> Verdict:
    """Job options are accepted in job_options and at the top of the request"""
    drafts = node.trial.drafts
    problems = answers.status("A job with job_options", drafts["options"], 201)
    problems += answers.status("A job with options at the top", drafts["top_level"], 201)
    return judged(problems, "Both are accepted.", expected="201 for both")


@check("JOB-3", profile="LP", kind="token", source=JOB_OPTIONS)
def ignores_unknown_options(node: Node) -> Verdict:
    """Unknown job options are ignored, also those of the aggregator"""
    problems = answers.status("A job with unknown options", node.trial.drafts["unknown_options"], 201)
    return judged(problems, "It is created.", expected=f"201 with {', '.join(UNKNOWN_OPTIONS)}")


@check("JOB-4", profile="LP", kind="job", source=JOB_OPTIONS, level="optional")
def installs_packages_of_functions(node: Node) -> Verdict:
    """User functions may name the packages that they need"""
    reply = node.get("/udf_runtimes")
    runtimes = [name for name in answers.of(reply) if str(name).lower() == "python"] if reply.status == 200 else []
    if not runtimes:
        return not_applicable("There is no runtime for functions in Python.")
    computed = node.trial.compute(graphs.function(node.trial.place, runtimes[0]))
    problems = answers.status("A function with a declaration of its packages", computed, 200)
    return judged(problems, "A declaration without packages does no harm; none was installed.", expected="200")


@check("ACC-3", profile="LP", kind="job", source=CREDIT_USAGE, level="recommended")
def tells_usage(node: Node) -> Verdict:
    """Finished jobs tell what they used"""
    usage = node.trial.ended.get("usage")
    wanted = {"cpu", "memory", "duration"}
    missing = sorted(wanted - set(usage)) if isinstance(usage, dict) else sorted(wanted)
    problems = [f"`usage` lacks {', '.join(missing)}"] if missing else []
    return judged(problems, f"`usage` has {', '.join(usage or ())}.", expected="cpu, memory and duration in `usage`")


def _echoed(node: Node) -> Verdict:
    job = answers.of(node.trial.drafts["described"])
    given = {"title": f"{node.trial.tag} draft", "description": "Made by a review of this back-end."}
    problems = [f"`{name}` is {job.get(name)!r}" for name, text in given.items() if job.get(name) != text]
    return judged(problems, "Both are as they were given.", expected="both as they were given")


def _invalid(job: dict[str, Any]) -> list[str]:
    """What is wrong with the members that each job must have."""
    problems = []
    if not isinstance(job.get("id"), str) or not job["id"]:
        problems.append(f"a job has the id {job.get('id')!r}")
    if job.get("status") not in STATUSES:
        problems.append(f"a job has the status {job.get('status')!r}")
    if not answers.is_instant(job.get("created")):
        problems.append(f"a job was created {job.get('created')!r}")
    return problems + answers.nulls(job, NULLABLE, f"the job {job.get('id')}")


def _is_percent(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 100
