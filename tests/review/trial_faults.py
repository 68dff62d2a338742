"""A fault for each check that needs a user or runs something."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import rewritten
from fault import Answer, Change, Fault, edited
from tape import TAG

ROOT = r"/openeo/1\.2"
ME = f"{ROOT}/me"
OIDC = f"{ROOT}/credentials/oidc"
STORED = f"{ROOT}/process_graphs"
PROCESS = f"{STORED}/{TAG}_increment"
JOBS = f"{ROOT}/jobs"
JOB = f"{JOBS}/[^/]+"
RESULTS = f"{JOB}/results"
LOGS = f"{JOB}/logs"
FILE = rf"{ROOT}/results/[^?]+\.tif\?.*"
RESULT = f"{ROOT}/result"

#: What is declared while the answers are recorded.
DECLARED = {"trial": {"many": 4, "collections": ["SENTINEL2_L2A", "COPERNICUS_30"]}}
#: The variable that is to hold the token of a user without credits.
VARIABLE = "OPENEO_REVIEW_TEST_POOR"
POOR = {"accounts": {"without_credits": VARIABLE}}

EGI = {"id": "egi", "issuer": "https://aai.egi.eu/auth/realms/egi", "title": "EGI", "scopes": ["openid"]}
_CLAIMS = base64.urlsafe_b64encode(json.dumps({"sub": "somebody-else"}).encode()).decode().rstrip("=")

OF_PLACE = r'^\{"process": \{"process_graph": \{"load_collection1".*"SENTINEL2_L2A".*\}, "save_result2".*"netCDF"'
OF_HEIGHTS = r'"COPERNICUS_30".*"save_result2".*"netCDF"'


def is_(status: int) -> Change:
    """Another status; the body stays."""
    return lambda answer: answer.is_(status)


def says(body: Any, status: int = 200) -> Change:
    """Another body."""
    return lambda answer: Answer(status, {"content-type": "application/json"}, json.dumps(body).encode())


def error(status: int, code: str) -> Change:
    return says({"id": "1", "code": code, "message": "Something is wrong.", "links": []}, status)


def when(holds: Callable[[Answer], bool], change: Change) -> Change:
    """A change of some answers only."""
    return lambda answer: change(answer) if holds(answer) else answer


def answered(status: int, change: Change) -> Change:
    return when(lambda answer: answer.status == status, change)


def document(holds: Callable[[Any], Any], edit: Callable[[Any], None]) -> Change:
    """A change of the documents for which something holds."""

    def is_meant(answer: Answer) -> bool:
        return "json" in answer.headers.get("content-type", "") and bool(holds(answer.json))

    return when(is_meant, edited(edit))


def job(title: str, edit: Callable[[Any], None], status: str = "") -> Change:
    """A change of the description of a job of the trial, in one of its statuses."""
    return document(
        lambda body: str(body.get("title")).startswith(f"{TAG} {title}") and status in ("", body.get("status")), edit
    )


def results(edit: Callable[[Any], None]) -> Change:
    """A change of the results of the finished job."""
    return document(lambda body: body.get("openeo:status") == "finished", edit)


def put(name: str, value: Any) -> Callable[[Any], None]:
    return lambda body: body.__setitem__(name, value)


def drop(*names: str) -> Callable[[Any], None]:
    return lambda body: [body.pop(name, None) for name in names] and None


def unlinked(rel: str) -> Callable[[Any], None]:
    return lambda body: body.__setitem__("links", [link for link in body["links"] if link["rel"] != rel])


def first_again() -> Change:
    """The `expires` of the first answer in all of them."""
    seen: list[str] = []

    def change(answer: Answer) -> Answer:
        body = answer.json
        if "expires" not in body or body.get("openeo:status") != "finished":
            return answer
        seen.append(body["expires"])
        return answer.says({**body, "expires": seen[0]})

    return change


def file(edit: Callable[[bytes], bytes]) -> Change:
    """A change of a whole file that came."""
    return answered(200, lambda answer: Answer(200, answer.headers, edit(answer.content)))


def _last_asset(edit: Callable[[Any], None]) -> Callable[[Any], None]:
    return lambda body: edit(list(body["assets"].values())[-1])


def _without_last_asset(body: Any) -> None:
    body["assets"].popitem()


def _entry(edit: Callable[[Any], None]) -> Change:
    return edited(lambda body: edit(body["logs"][-1]))


def also(*ids: str) -> frozenset[str]:
    return frozenset(ids)


TRIAL_FAULTS: tuple[Fault, ...] = (
    # identity
    Fault("API-42", f"{ROOT}/file_formats", error(500, "Internal"), login=True),
    Fault("API-202", f"{ROOT}/processes", edited(drop("processes")), login=True),
    Fault("API-302", f"{ROOT}/collections", error(403, "TokenInvalid"), login=True),
    Fault("API-323", f"{ROOT}/collections/SENTINEL2_L2A", edited(put("id", "OTHER")), login=True),
    Fault("API-100", ME, says({"user_id": "ada"}), login=True),
    Fault("API-118", OIDC, says({"providers": [EGI]}), also=also("AUTH-7")),
    Fault("API-120", ME, says({"user_id": "anybody"}), login=False),
    Fault("API-121", ME, edited(put("user_id", 5)), login=True),
    Fault("AUTH-3", declaration={"accounts": {"jobs_outlive_tokens": False}}),
    Fault("AUTH-4", token=f"oidc/CDSE/e30.{_CLAIMS}.x"),
    Fault("AUTH-7", OIDC, says({"providers": [EGI | {"scopes": ["openid", "eduperson_entitlement"]}]})),
    # stored processes
    Fault("API-9", RESULT, error(400, "ProcessNamespaceInvalid"), method="POST", body='"namespace": "backend"'),
    Fault("API-11", RESULT, says(7), also("API-12"), method="POST", body='_increment", "arguments": {"x": 5}'),
    Fault("API-12", RESULT, says(6), also("API-9"), method="POST", body='_increment", "arguments": {"x": 5, "y": 10}'),
    Fault("API-400", STORED, says({"processes": [], "links": []}), login=False),
    Fault("API-401", STORED, edited(drop("links")), login=True),
    Fault("API-403", STORED, edited(lambda body: body["links"].append({"rel": "next", "href": "x"})), login=True),
    Fault("API-404", STORED, edited(lambda body: body["processes"].append({"summary": "?"})), login=True),
    Fault("API-405", STORED, edited(lambda body: body["processes"][0].update(deprecated=None)), login=True),
    Fault("API-410", PROCESS, is_(202), method="PUT", body="summary"),
    Fault("API-411", PROCESS, error(500, "Internal"), method="PUT", body=f"{TAG}_other"),
    Fault("API-412", f"{PROCESS}_3", says({}), method="PUT"),
    Fault("API-413", PROCESS, document(lambda body: "process_graph" in body and "summary" not in body,
                                       put("id", f"{TAG}_other"))),
    Fault("API-414", PROCESS, document(lambda body: "process_graph" in body, put("summary", "Adds a number."))),
    Fault("API-420", PROCESS, answered(200, is_(203))),
    Fault("API-421", PROCESS, document(lambda body: "process_graph" in body, put("process_graph", {}))),
    Fault("API-422", PROCESS, document(lambda body: "process_graph" in body, put("deprecated", None))),
    Fault("API-430", PROCESS, answered(204, is_(202)), also("API-431"), method="DELETE"),
    Fault("API-431", PROCESS, answered(404, error(404, "NotFound"))),
    # jobs
    Fault("API-700", JOB, job("stopped 0", put("status", "aborted"), "canceled"), also("API-891")),
    Fault("API-710", JOBS, says({"jobs": [], "links": []}), login=False),
    Fault("API-711", JOBS, edited(drop("links")), login=True),
    Fault("API-713", JOBS, edited(lambda body: body["links"].append({"rel": "next", "href": "x"})), login=True),
    Fault("API-714", JOBS, edited(lambda body: body["jobs"].append({"id": "x", "status": "created"})), login=True),
    Fault("API-715", JOBS, edited(lambda body: [drop("title")(job) for job in body["jobs"] if "draft" in job["title"]]),
          login=True),
    Fault("API-730", JOBS, says({}, 201), method="POST", login=False),
    Fault("API-731", JOBS, lambda answer: Answer(201, {"openeo-identifier": "x"}, b""), method="POST",
          body=f"{TAG} broken"),
    Fault("API-734", JOB, job("draft", drop("description")), also("API-752")),
    Fault("API-752", JOB, job("draft", put("title", f"{TAG} draft of a job")), also("API-734")),
    Fault("API-736", JOBS, lambda answer: answer.has(location="/jobs/1"), method="POST", body=f"{TAG} draft"),
    Fault("API-737", JOB, job("draft", put("status", "queued"))),
    Fault("API-750", JOB, says({"id": "x"}), login=False),
    Fault("API-751", JOB, job("draft", drop("process"))),
    Fault("API-754", JOB, job("finished", put("progress", 101), "finished")),
    Fault("API-780", JOB, answered(204, is_(202)), also("API-781"), method="DELETE"),
    Fault("API-781", JOB, answered(404, error(404, "NotFound"))),
    Fault("API-800", LOGS, is_(203)),
    Fault("API-801", rf"{LOGS}\?offset=.*", edited(lambda body: body["logs"].pop(0))),
    Fault("API-804", LOGS, edited(drop("links"))),
    Fault("API-805", rf"{LOGS}\?level=.*", edited(drop("level"))),
    Fault("API-806", LOGS, _entry(put("level", "fatal"))),
    Fault("API-807", LOGS, _entry(drop("time"))),
    Fault("API-808", LOGS, _entry(put("message", "Traceback (most recent call last):\n  File ..."))),
    Fault("API-850", RESULTS, answered(202, is_(200)), also("API-851"), method="POST"),
    Fault("API-851", RESULTS, answered(202, is_(200)), also("API-850"), method="POST"),
    Fault("API-890", RESULTS, error(501, "FeatureUnsupported"), also("API-891"), method="DELETE"),
    Fault("API-891", RESULTS, is_(202), method="DELETE"),
    Fault("AUTH-5", JOB, job("stopped", put("status", "running"), "queued")),
    Fault("JOB-1", JOB, job("options", drop("job_options"))),
    Fault("JOB-2", JOBS, error(400, "RequestInvalid"), method="POST", body=f"{TAG} top_level"),
    Fault("JOB-3", JOBS, error(400, "RequestInvalid"), method="POST", body=f"{TAG} unknown"),
    Fault("JOB-4", f"{ROOT}/udf_runtimes", says({"Python": {"type": "language"}})),
    # results
    Fault("API-860", RESULTS, answered(200, is_(203)), also("API-861")),
    Fault("API-861", RESULTS, answered(424, is_(500))),
    Fault("API-863", RESULTS, answered(400, says({"assets": {}}))),
    Fault("API-865", RESULTS, results(drop("license"))),
    Fault("API-866", RESULTS, results(put("stac_version", "0.6.0"))),
    Fault("API-869", RESULTS, results(_last_asset(drop("type"))), also("FF-1")),
    Fault("API-870", RESULTS, results(drop("cube:dimensions"))),
    Fault("API-871", RESULTS, results(unlinked("canonical"))),
    Fault("API-872", RESULTS, results(put("expires", "in a week")), also("API-873", "JOB-5")),
    Fault("API-873", RESULTS, results(put("expires", "2099-01-01T00:00:00Z")), also("JOB-5")),
    Fault("JOB-5", RESULTS, first_again()),
    Fault("CON-9", RESULTS, results(unlinked("derived_from"))),
    Fault("CON-10", FILE, answered(200, is_(403))),
    Fault("FF-1", RESULTS, results(_without_last_asset), also("API-871")),
    Fault("FF-2", FILE, file(lambda content: rewritten.tiff(content, bands=1))),
    Fault("FF-3", FILE, file(lambda content: rewritten.tiff(content, east=2000))),
    Fault("FF-4", RESULT, file(lambda content: rewritten.tiff(content, optimized=False)), method="POST",
          body='"resample_spatial.*"GTiff"'),
    Fault("FF-5", RESULT, file(lambda content: rewritten.netcdf(content, without=["B03"])),
          also("COL-9b", "API-326", "PROC-PAR"), method="POST", body=OF_PLACE),
    Fault("FF-6", RESULT, file(lambda content: rewritten.netcdf(content, attributes={"Conventions": "none"})),
          method="POST", body=OF_PLACE),
    Fault("FF-8", FILE, answered(206, is_(200))),
    # synchronous requests
    Fault("API-13", RESULT, error(500, "Internal"), method="POST", body="linear_scale_range"),
    Fault("API-46", RESULT, error(400, "FormatUnsupported"), method="POST", body="GTIFF"),
    Fault("API-900", RESULT, says(3), method="POST", login=False),
    Fault("API-901", RESULT, says(3), method="POST", body="no_such_process"),
    Fault("API-905", RESULT, answered(200, says(4)), method="POST", body=r'^\{"process": \{"process_graph": \{"sum"'),
    Fault("API-906", RESULT, answered(200, lambda answer: answer.has(content_type="application/octet-stream")),
          method="POST", body="PNG"),
    Fault("API-920", declaration={"limits": {"sync_seconds": 60}}),
    Fault("FF-9", RESULT, answered(400, is_(200)), method="POST", body="PNG"),
    Fault("PROC-PAR", RESULT, error(400, "ProcessUnsupported"), method="POST", body='"median"'),
    # loading
    Fault("API-310", RESULT, error(500, "Internal"), method="POST", body='"temporal_extent": ."2025-05-01T'),
    Fault("API-326", RESULT, file(lambda content: rewritten.netcdf(content, names={"t": "time"})), method="POST",
          body=OF_HEIGHTS),
    Fault("COL-9b", RESULT, file(lambda content: rewritten.netcdf(content, values=rewritten.missing)), also("API-310"),
          method="POST", body=OF_HEIGHTS),
    # credits
    Fault("API-14", f"{ROOT}/", edited(put("billing", {"currency": "EUR"}))),
    Fault("API-852", declaration=POOR, also=also("API-910", "ACC-5")),
    Fault("API-910", declaration=POOR, also=also("API-852", "ACC-5")),
    Fault("ACC-1", declaration={"credits": {"reporting": False}}),
    Fault("ACC-3", JOB, job("finished", lambda body: body["usage"].pop("cpu"), "finished")),
    Fault("ACC-5", declaration=POOR, also=also("API-852", "API-910")),
    Fault("ACC-6", JOB, job("finished", lambda body: body["usage"]["memory"].pop("unit"), "finished")),
)  # fmt: skip
