"""The parts of a trial that make something: stored processes and batch jobs, from their making to their end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from openeo_backend.errors import OpenEOError
from openeo_backend.federation.review import graphs
from openeo_backend.federation.review.record import Record
from openeo_backend.net.door import Reply

if TYPE_CHECKING:
    from openeo_backend.federation.review.trial import Trial

#: Statuses in which a job stays.
ENDED = ("finished", "error", "canceled")
#: Pixels along a side of what a job computes that is to be stopped before it ends.
LONG_PIXELS = 3000
#: Longest wait for a job.
JOB_SECONDS = 1800

#: Options that users of the federation send, and some that nobody knows.
OPTIONS: dict[str, Any] = {
    "executor-memory": "1G",
    "executor-memoryOverhead": "500m",
    "python-memory": "1G",
    "executor-cores": 1,
    "executor-request-cores": "500m",
    "task-cpus": 1,
    "max-executors": 2,
    "driver-memory": "1G",
    "driver-memoryOverhead": "500m",
    "driver-cores": 1,
    "udf-dependency-archives": [],
    "logging-threshold": "info",
}
UNKNOWN_OPTIONS: dict[str, Any] = {
    "split_strategy": "crossbackend",
    "tile_grid": "utm-20km",
    "federation:openeo_review": "x",
    "_agg_openeo_review": 1,
    "openeo-review-unknown": True,
}
#: Given to everything that is made.
DESCRIPTION = "Made by a review of this back-end."

_PARAMETERS = [
    {"name": "x", "description": "A number.", "schema": {"type": "number"}},
    {"name": "y", "description": "What is added.", "schema": {"type": "number"}, "optional": True, "default": 1},
]


def stored(trial: Trial) -> Record:
    """Keep processes, describe, call, replace, list and delete them."""
    with Record.kept(trial.node) as record:
        ask, id = record.ask, f"{trial.tag}_increment"
        path = trial.own(f"/process_graphs/{id}")
        arguments = {"x": {"from_parameter": "x"}, "y": {"from_parameter": "y"}}
        kept = {
            "parameters": _PARAMETERS,
            "returns": {"description": "The sum.", "schema": {"type": "number"}},
            "process_graph": {"sum": {"process_id": "add", "arguments": arguments, "result": True}},
        }
        ask("created", "PUT", path, {"id": id, "summary": "Adds a number.", "description": DESCRIPTION, **kept})
        ask("described", "GET", path)
        _call(trial, record, "default", id, {"x": 5})
        _call(trial, record, "given", id, {"x": 5, "y": 10}, namespace="user")
        _call(trial, record, "predefined", "add", {"x": 1, "y": 2}, namespace="backend")
        ask("without_graph", "PUT", trial.own(f"{path}_2"), {"id": f"{id}_2", "summary": "Has no graph."})
        ask("broken", "PUT", trial.own(f"{path}_3"), {"id": f"{id}_3", "process_graph": graphs.BROKEN})
        ask("updated", "PUT", path, {"id": f"{trial.tag}_other", **kept})
        ask("replaced", "GET", path)
        for number in range(trial.many):
            other = {"id": f"{trial.tag}_{number}", "process_graph": graphs.SUM}
            ask("further", "PUT", trial.own(f"/process_graphs/{trial.tag}_{number}"), other)
        ask("listed", "GET", "/process_graphs")
        record.put("anonymous", lambda: trial.node.request("GET", "/process_graphs"))
        _delete(trial, record, path)
    return record


def drafts(trial: Trial) -> Record:
    """Make jobs that are never started, describe, list and delete them."""
    with Record.kept(trial.node) as record:
        ask = record.ask
        process = {"process_graph": graphs.SUM}
        path = _create(trial, record, "created", _job(trial, "draft", process))
        ask("described", "GET", path)
        record.put("foreign", lambda: trial.node.request("GET", path))
        if token := trial.account("other"):
            other = {"Authorization": f"Bearer {token}"}
            record.put("other", lambda: trial.node.request("GET", path, headers=other))
        ask("unfinished", "GET", f"{path}/results")
        ask("partial", "GET", f"{path}/results?partial=true")
        for name, body in (
            ("broken", _job(trial, "broken", {"process_graph": graphs.BROKEN})),
            ("without_process", _job(trial, "nothing")),
            ("options", _job(trial, "options", process) | {"job_options": OPTIONS}),
            ("top_level", _job(trial, "top_level", process) | OPTIONS),
            ("unknown_options", _job(trial, "unknown", process) | {"job_options": UNKNOWN_OPTIONS}),
        ):
            if ask(name, "POST", "/jobs", body).status < 300:
                ask(f"{name}_described", "GET", trial.own(f"/jobs/{identifier(record[name])}"))
        for number in range(trial.many):
            _create(trial, record, "further", _job(trial, f"number {number}", process))
        ask("listed", "GET", "/jobs")
        _delete(trial, record, path)
    return record


def finished(trial: Trial) -> Record:
    """Run a job, read its results as its user and as anybody, and its log."""
    with Record.kept(trial.node) as record:
        graph = graphs.chain(graphs.load(trial.place), graphs.save("GTiff"))
        path = _create(trial, record, "created", _job(trial, "finished", {"process_graph": graph}))
        record.ask("started", "POST", f"{path}/results")
        if _follow(trial, record, path) == "finished":
            _read_results(trial, record, path)
        _read_log(record, path)
    return record


def _read_results(trial: Trial, record: Record, path: str) -> None:
    results = opened(record.ask("results", "GET", f"{path}/results"))
    get = trial.node.request
    if canonical := _link(results, "canonical"):
        record.put("canonical", lambda: get("GET", canonical))
    if item := _link(results, "item"):
        record.put("item", lambda: get("GET", item))
    if href := next(_hrefs(results), None):
        part = {"Origin": "https://example.org", "Range": "bytes=0-99"}
        record.put("range", lambda: get("GET", href, headers=part))
        record.put("asset", lambda: get("GET", href))
    trial.pause(1.5)
    record.ask("results_again", "GET", f"{path}/results")


def _read_log(record: Record, path: str) -> None:
    log = opened(record.ask("logs", "GET", f"{path}/logs")).get("logs")
    ids = [entry.get("id") for entry in log if isinstance(entry, dict)] if isinstance(log, list) else []
    if len(ids) > 1:
        record.ask("logs_offset", "GET", f"{path}/logs?offset={ids[len(ids) // 2 - 1]}")
    record.ask("logs_level", "GET", f"{path}/logs?level=warning")


def failing(trial: Trial) -> Record:
    """Run a job that fails while it computes, unless it is refused at its start."""
    with Record.kept(trial.node) as record:
        process = {"process_graph": graphs.failing(trial.place)}
        path = _create(trial, record, "created", _job(trial, "failing", process))
        if record.ask("started", "POST", f"{path}/results").status < 400:
            _follow(trial, record, path)
            record.ask("results", "GET", f"{path}/results")
            record.ask("logs", "GET", f"{path}/logs")
    return record


def stopped(trial: Trial) -> Record:
    """Start three larger jobs at once, and stop them as soon as one of them runs."""
    with Record.kept(trial.node) as record:
        wide = trial.place.wider(12, 365)
        finer = {"projection": 3857, "resolution": round((wide.box[3] - wide.box[1]) * 111_320 / LONG_PIXELS, 3)}
        graph = graphs.chain(graphs.load(wide), ("resample_spatial", finer), graphs.save("netCDF"))
        process = {"process_graph": graph}
        paths = [_create(trial, record, f"created {n}", _job(trial, f"stopped {n}", process)) for n in range(3)]
        for number, path in enumerate(paths):
            record.ask(f"started {number}", "POST", f"{path}/results")
        _follow(trial, record, paths[0], until=("running", *ENDED))
        record.ask("started_again", "POST", f"{paths[0]}/results")
        for number, path in enumerate(paths):
            record.ask(f"described {number}", "GET", path)
        for number, path in enumerate(paths):
            record.ask(f"stopped {number}", "DELETE", f"{path}/results")
        _follow(trial, record, paths[0], until=(*ENDED, "created"))
    return record


def unpaid(trial: Trial) -> Record:
    """Make and start a job as a user who has no credits."""
    with Record.kept(trial.node) as record:
        login = {"Authorization": f"Bearer {trial.account('without_credits')}"}
        send, body = trial.node.request, _job(trial, "unpaid", {"process_graph": graphs.SUM})
        path = f"/jobs/{identifier(record.put('created', lambda: send('POST', '/jobs', body, headers=login)))}"
        try:
            record.put("started", lambda: send("POST", f"{path}/results", headers=login))
        finally:
            send("DELETE", path, headers=login)
    return record


def identifier(reply: Reply) -> str:
    """The id of the job that a request made.

    :raises OpenEOError: UnexpectedAnswer where the answer does not tell it.
    """
    id = reply.headers.get("openeo-identifier") or reply.headers.get("location", "").rstrip("/").rpartition("/")[2]
    if reply.status >= 300 or not id:
        raise OpenEOError("UnexpectedAnswer", f"POST /jobs ({reply.status}) tells the id of no job.")
    return id


def _job(trial: Trial, what: str, process: Mapping[str, Any] | None = None) -> dict[str, Any]:
    body: dict[str, Any] = {"title": f"{trial.tag} {what}", "description": DESCRIPTION}
    return body | {"process": process} if process else body


def _create(trial: Trial, record: Record, name: str, body: Mapping[str, Any]) -> str:
    """The path of a new job."""
    return trial.own(f"/jobs/{identifier(record.ask(name, 'POST', '/jobs', dict(body)))}")


def _call(
    trial: Trial, record: Record, name: str, process: str, arguments: Mapping[str, Any], namespace: str | None = None
) -> None:
    node = {"process_id": process, "arguments": arguments, "result": True}
    call = {"call": node | ({"namespace": namespace} if namespace else {})}
    record.put(name, lambda: trial.compute(call))


def _delete(trial: Trial, record: Record, path: str) -> None:
    """Delete it, and look whether it is gone."""
    record.ask("deleted", "DELETE", path)
    trial.forget(path)
    if record.ask("absent", "GET", path).status < 300:
        trial.own(path)
    record.ask("deleted_again", "DELETE", path)


def _follow(trial: Trial, record: Record, path: str, until: tuple[str, ...] = ENDED) -> str:
    """The status in which a job ends; all statuses and progresses seen are kept."""
    waited, step = 0.0, 0.2
    limit = trial.node.declares("trial", "job_seconds") or JOB_SECONDS
    while True:
        job = opened(record.ask("described", "GET", path))
        status = str(job.get("status"))
        record.polls.append((status, job.get("progress")))
        if status in until:
            return status
        if waited > limit:
            raise OpenEOError("RequestTimeout", f"A job of the review was still '{status}' after {limit:g} s.")
        trial.pause(step)
        waited, step = waited + step, min(step * 1.3, 10.0)


def _hrefs(results: Mapping[str, Any]) -> Iterator[str]:
    """URLs of the assets: those that are GeoTIFF files where there are any."""
    found = results.get("assets")
    assets = [asset for asset in found.values() if isinstance(asset, dict)] if isinstance(found, dict) else []
    tiffs = [asset for asset in assets if "tiff" in str(asset.get("type"))] or assets
    return (asset["href"] for asset in tiffs if isinstance(asset.get("href"), str))


def _link(document: Mapping[str, Any], rel: str) -> str | None:
    links = document.get("links")
    for link in links if isinstance(links, list) else ():
        if isinstance(link, dict) and link.get("rel") == rel and isinstance(link.get("href"), str):
            return str(link["href"])
    return None


def opened(reply: Reply) -> dict[str, Any]:
    """The JSON object of an answer; an empty one where it is none."""
    try:
        found = reply.json()
    except OpenEOError:
        return {}
    return found if isinstance(found, dict) else {}
