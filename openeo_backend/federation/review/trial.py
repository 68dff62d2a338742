"""What the checks need to have been done once: stored processes, jobs and requests of the review's own.

Each part happens when the first check asks for it, and what it made is deleted in the end.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from openeo_backend.errors import OpenEOError
from openeo_backend.federation.review import graphs
from openeo_backend.federation.review.check import Exchange
from openeo_backend.federation.review.place import Place, choose, interval, labels, place_of, written
from openeo_backend.federation.review.rasters import read_netcdf
from openeo_backend.federation.review.record import Record
from openeo_backend.net.door import Reply
from openeo_backend.observe.clock import now

if TYPE_CHECKING:
    from openeo_backend.federation.review.node import Node

#: Statuses in which a job stays.
ENDED = ("finished", "error", "canceled")
#: Processes and jobs made to see whether lists are whole.
MANY = 60
#: Pixels along a side of a file that is large enough for tiles and overviews.
MANY_PIXELS = 700
#: Collections that are loaded, where the declaration names none.
LOADED = 4
#: Longest wait for a job.
JOB_SECONDS = 1800
#: Longest wait for a synchronous request.
SYNC_SECONDS = 330
#: How often a request is sent again that the back-end is too busy for.
TRIES = 5

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


class Trial:
    """The review's own use of a back-end.

    :param tag: how everything that it makes is named, so that nothing of the user's is touched.
    :param pause: how it waits.
    """

    def __init__(self, node: Node, *, tag: str | None = None, pause: Callable[[float], None] = time.sleep) -> None:
        self._node = node
        self._pause = pause
        self.tag = tag or f"openeo_review_{secrets.token_hex(4)}"
        self._made: dict[str, None] = {}
        self._computed: dict[str, tuple[Reply, Exchange]] = {}

    @cached_property
    def place(self) -> Place:
        """Where the trial looks at data.

        :raises OpenEOError: CollectionNotFound.
        """
        return choose(self._node)

    @property
    def many(self) -> int:
        """How many processes and jobs are made to see whether lists are whole (declaration: `trial.many`)."""
        number = self._node.declares("trial", "many")
        return number if isinstance(number, int) and number > 0 else MANY

    # ------------------------------------------------------------------------------------------- synchronous requests

    def compute(self, graph: graphs.Graph, **members: Any) -> Reply:
        """What `/result` answers to a process graph; the same one is computed once.

        :raises OpenEOError: where no answer comes.
        """
        body = {"process": {"process_graph": graph}, **members}
        key = json.dumps(body, sort_keys=True)
        if key not in self._computed:
            for attempt in range(TRIES):
                reply = self._node.request("POST", "/result", body, auth=True, seconds=SYNC_SECONDS)
                if reply.status not in (429, 503) or attempt == TRIES - 1:
                    break
                self._pause(2.0 + 3 * attempt)
            self._computed[key] = reply, self._node.exchanges[-1]
        reply, exchange = self._computed[key]
        self._node.cite(exchange)
        return reply

    @property
    def netcdf(self) -> Reply:
        """The pixels of the place as netCDF."""
        return self.compute(graphs.chain(graphs.load(self.place), graphs.save("netCDF")))

    @cached_property
    def collections(self) -> list[str]:
        """Ids of the collections that are loaded (declaration: `trial.collections`)."""
        named = self._node.declares("trial", "collections")
        if isinstance(named, list) and named:
            return [str(id) for id in named]
        listed = sorted({str(entry["id"]) for entry in self._node.collections if entry.get("id")})
        first = self.place.collection
        return [first, *(id for id in listed if id != first)][:LOADED]

    def loaded(self, id: str) -> tuple[Place, Reply]:
        """Some pixels of a collection as netCDF: of some weeks, or of all its time where they have none.

        :raises OpenEOError: CollectionNotFound where its metadata do not say where and when there are data.
        """
        place = place_of(self._node, id)
        reply = self.compute(graphs.chain(graphs.load(place), graphs.save("netCDF")))
        start, end = interval(self._node.collection(id))
        if reply.status >= 400 and start is not None:
            place = replace(place, interval=(written(start), written((end or now()) + timedelta(seconds=1))))
            reply = self.compute(graphs.chain(graphs.load(place), graphs.save("netCDF")))
        return place, reply

    @property
    def five_bands(self) -> list[str]:
        """Five bands of the collection, where it has so many."""
        known = labels(self._node.collection(self.place.collection))
        return (
            [*self.place.bands, *(name for name in known if name not in self.place.bands)][:5] if len(known) > 4 else []
        )

    @property
    def large(self) -> Reply:
        """One band of the place as a GeoTIFF file with many small pixels."""
        place = self.place
        metres = (place.box[3] - place.box[1]) * 111_320 / MANY_PIXELS
        finer = {"projection": 3857, "resolution": round(metres, 3)}
        steps = graphs.flat(place, bands=place.bands[:1])
        return self.compute(graphs.chain(*steps, ("resample_spatial", finer), graphs.save("GTiff")))

    @property
    def dates(self) -> int:
        """How many dates the place has.

        :raises OpenEOError: FileContentInvalid, UnexpectedAnswer where nobody can know.
        """
        reply = self.netcdf
        if reply.status != 200:
            raise OpenEOError("UnexpectedAnswer", f"POST /result for netCDF answers with HTTP status {reply.status}.")
        return max((len(times) for times in read_netcdf(reply.content).times.values()), default=0)

    # ------------------------------------------------------------------------------------------------ stored processes

    @cached_property
    def stored(self) -> Record:
        """Stored processes from their making to their deletion."""
        with Record.kept(self._node) as record:
            self._store(record)
        return record

    def _store(self, record: Record) -> None:
        ask, id = record.ask, f"{self.tag}_increment"
        path = self._own(f"/process_graphs/{id}")
        graph = _increment()
        first = {
            "summary": "Adds a number to a number.",
            "description": "Made by a review of this back-end.",
            "parameters": _PARAMETERS,
            "returns": {"description": "The sum.", "schema": {"type": "number"}},
            "process_graph": graph,
        }
        ask("created", "PUT", path, {"id": id, **first})
        ask("described", "GET", path)
        for name, arguments, namespace in (("default", {"x": 5}, None), ("given", {"x": 5, "y": 10}, "user")):
            node = {"process_id": id, "arguments": arguments, "result": True}
            record.put(name, self._computing({"call": node | ({"namespace": namespace} if namespace else {})}))
        predefined = {**graphs.SUM["sum"], "namespace": "backend"}
        record.put("predefined", self._computing({"sum": predefined}))
        ask("without_graph", "PUT", self._own(f"{path}_2"), {"id": f"{id}_2", "summary": "Has no graph."})
        ask("broken", "PUT", self._own(f"{path}_3"), {"id": f"{id}_3", "process_graph": graphs.BROKEN})
        ask("updated", "PUT", path, {"id": f"{self.tag}_other", "parameters": _PARAMETERS, "process_graph": graph})
        ask("replaced", "GET", path)
        for number in range(self.many):
            other = {"id": f"{self.tag}_{number}", "process_graph": graphs.SUM}
            ask("further", "PUT", self._own(f"/process_graphs/{self.tag}_{number}"), other)
        ask("listed", "GET", "/process_graphs")
        record.put("anonymous", lambda: self._node.request("GET", "/process_graphs"))
        ask("deleted", "DELETE", path)
        self._made.pop(path, None)
        ask("absent", "GET", path)
        ask("deleted_again", "DELETE", path)

    # ---------------------------------------------------------------------------------------------------- batch jobs

    @cached_property
    def drafts(self) -> Record:
        """Jobs that are never started: made, listed, described, deleted."""
        with Record.kept(self._node) as record:
            self._draft(record)
        return record

    def _draft(self, record: Record) -> None:
        ask = record.ask
        body = self._job("draft") | {"process": {"process_graph": graphs.SUM}}
        path = self._create(record, "created", body)
        ask("described", "GET", path)
        record.put("foreign", lambda: self._node.request("GET", path))
        ask("unfinished", "GET", f"{path}/results")
        ask("partial", "GET", f"{path}/results?partial=true")
        self._create(record, "broken", self._job("broken") | {"process": {"process_graph": graphs.BROKEN}})
        self._create(record, "without_process", self._job("nothing"))
        for name, members in (
            ("options", {"job_options": OPTIONS}),
            ("top_level", OPTIONS),
            ("unknown_options", {"job_options": UNKNOWN_OPTIONS}),
        ):
            made = self._create(record, name, self._job(name) | {"process": body["process"], **members})
            if made:
                ask(f"{name}_described", "GET", made)
        for number in range(self.many):
            self._create(record, "further", self._job(f"number {number}") | {"process": body["process"]})
        ask("listed", "GET", "/jobs")
        ask("deleted", "DELETE", path)
        self._made.pop(path, None)
        ask("absent", "GET", path)
        ask("deleted_again", "DELETE", path)

    @cached_property
    def finished(self) -> Record:
        """A job that ends well, with its results and its log."""
        with Record.kept(self._node) as record:
            body = self._job("finished") | {"process": {"process_graph": self._pictures()}}
            path = self._create(record, "created", body)
            record.ask("started", "POST", f"{path}/results")
            if self._follow(record, path) == "finished":
                self._read_results(record, path)
            self._read_log(record, path)
        return record

    def _pictures(self) -> graphs.Graph:
        return graphs.chain(graphs.load(self.place), graphs.save("GTiff"))

    def _read_results(self, record: Record, path: str) -> None:
        results = _object(record.ask("results", "GET", f"{path}/results"))
        if canonical := _link(results, "canonical"):
            record.put("canonical", lambda: self._node.request("GET", canonical))
        if item := _link(results, "item"):
            record.put("item", lambda: self._node.request("GET", item))
        for number, href in enumerate(hrefs(results)):
            origin = {"Origin": "https://example.org"}
            if number == 0:
                some = origin | {"Range": "bytes=0-99"}
                record.put("range", lambda url=href, sent=some: self._node.request("GET", url, headers=sent))
            record.put(f"asset {number}", lambda url=href: self._node.request("GET", url))
        self._pause(1.5)
        record.ask("results_again", "GET", f"{path}/results")

    def _read_log(self, record: Record, path: str) -> None:
        log = _object(record.ask("logs", "GET", f"{path}/logs"))
        entries = [entry for entry in log.get("logs") or () if isinstance(entry, dict) and entry.get("id")]
        if len(entries) > 1:
            record.ask("logs_offset", "GET", f"{path}/logs?offset={entries[len(entries) // 2 - 1]['id']}")
        record.ask("logs_level", "GET", f"{path}/logs?level=warning")

    @cached_property
    def failing(self) -> Record:
        """A job that fails while it computes, or is refused at its start."""
        with Record.kept(self._node) as record:
            body = self._job("failing") | {"process": {"process_graph": graphs.failing(self.place)}}
            path = self._create(record, "created", body)
            if record.ask("started", "POST", f"{path}/results").status < 400:
                self._follow(record, path)
                record.ask("results", "GET", f"{path}/results")
                record.ask("logs", "GET", f"{path}/logs")
        return record

    @cached_property
    def stopped(self) -> Record:
        """Three larger jobs, started at the same time and stopped as soon as one of them runs."""
        with Record.kept(self._node) as record:
            wide = self.place.wider(12, 365)
            process = {"process_graph": graphs.chain(graphs.load(wide), graphs.save("netCDF"))}
            paths = [
                self._create(record, f"created {number}", self._job(f"stopped {number}") | {"process": process})
                for number in range(3)
            ]
            for number, path in enumerate(paths):
                record.ask(f"started {number}", "POST", f"{path}/results")
            self._follow(record, paths[0], until=("running", *ENDED))
            record.ask("started_again", "POST", f"{paths[0]}/results")
            for number, path in enumerate(paths):
                record.ask(f"described {number}", "GET", path)
            for number, path in enumerate(paths):
                record.ask(f"stopped {number}", "DELETE", f"{path}/results")
            self._follow(record, paths[0], until=(*ENDED, "created"))
        return record

    # ----------------------------------------------------------------------------------------------------- the end

    def close(self) -> list[str]:
        """Delete what is left of the trial; the paths of what could not be deleted."""
        left = []
        for path in reversed(self._made):
            try:
                if not self._delete(path):
                    left.append(path)
            except OpenEOError:
                left.append(path)
        self._made.clear()
        return left

    def _delete(self, path: str) -> bool:
        for attempt in range(TRIES):
            status = self._node.request("DELETE", path, auth=True).status
            if status < 300 or status == 404:
                return True
            if path.startswith("/jobs/"):
                self._node.request("DELETE", f"{path}/results", auth=True)
            self._pause(1.0 + attempt)
        return False

    # --------------------------------------------------------------------------------------------------------- parts

    def _own(self, path: str) -> str:
        """A path to delete in the end."""
        self._made[path] = None
        return path

    def _job(self, what: str) -> dict[str, Any]:
        return {"title": f"{self.tag} {what}", "description": "Made by a review of this back-end."}

    def _create(self, record: Record, name: str, body: Mapping[str, Any]) -> str:
        """The path of a new job; empty where it is refused.

        :raises OpenEOError: UnexpectedAnswer where it is accepted, but nobody can know its id.
        """
        reply = record.ask(name, "POST", "/jobs", dict(body))
        if reply.status >= 300:
            return ""
        id = reply.headers.get("openeo-identifier") or reply.headers.get("location", "").rstrip("/").rpartition("/")[2]
        if not id:
            raise OpenEOError("UnexpectedAnswer", "POST /jobs tells the id in neither OpenEO-Identifier nor Location.")
        return self._own(f"/jobs/{id}")

    def _follow(self, record: Record, path: str, until: tuple[str, ...] = ENDED) -> str:
        """The status in which a job ends; all statuses and progresses seen are kept."""
        waited, step = 0.0, 0.2
        limit = self._node.declares("trial", "job_seconds") or JOB_SECONDS
        while True:
            job = _object(record.ask("described", "GET", path))
            status = str(job.get("status"))
            record.polls.append((status, job.get("progress")))
            if status in until:
                return status
            if waited > limit:
                raise OpenEOError("RequestTimeout", f"The job of the review was still '{status}' after {limit:g} s.")
            self._pause(step)
            waited, step = waited + step, min(step * 1.3, 10.0)

    def _computing(self, graph: graphs.Graph) -> Callable[[], Reply]:
        return lambda: self.compute(graph)


_PARAMETERS = [
    {"name": "x", "description": "A number.", "schema": {"type": "number"}},
    {"name": "y", "description": "What is added.", "schema": {"type": "number"}, "optional": True, "default": 1},
]


def _increment() -> graphs.Graph:
    arguments = {"x": {"from_parameter": "x"}, "y": {"from_parameter": "y"}}
    return {"sum": {"process_id": "add", "arguments": arguments, "result": True}}


def hrefs(results: Mapping[str, Any], most: int = 2) -> Iterator[str]:
    """URLs of the first few assets that are GeoTIFF files, else of any."""
    assets = [asset for asset in (results.get("assets") or {}).values() if isinstance(asset, dict)]
    tiffs = [asset for asset in assets if "tiff" in str(asset.get("type"))] or assets
    for asset in tiffs[:most]:
        if isinstance(asset.get("href"), str):
            yield asset["href"]


def _link(document: Mapping[str, Any], rel: str) -> str | None:
    links = document.get("links")
    for link in links if isinstance(links, list) else ():
        if isinstance(link, dict) and link.get("rel") == rel and isinstance(link.get("href"), str):
            return str(link["href"])
    return None


def _object(reply: Reply) -> dict[str, Any]:
    """The JSON object of an answer; an empty one where it is none."""
    try:
        found = reply.json()
    except OpenEOError:
        return {}
    return found if isinstance(found, dict) else {}
