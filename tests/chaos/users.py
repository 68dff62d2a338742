"""Users who go on until they are told to stop, as sane clients do, and write down what they were promised."""

from __future__ import annotations

import hashlib
import http.client
import json
import random
import re
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from dependencies import COLLECTION

#: Seconds that a client tries the same again before it gives up.
PATIENCE = 240.0
#: Codes of errors that tell that the source of the imagery is at fault.
SOURCE_CODES = {
    "UrlNotReachable",
    "FileContentInvalid",
    "AssetUnreadable",
    "NoDataAvailable",
    "CollectionNotFound",
    "ProcessParameterInvalid",
    "ProcessGraphInvalid",
}
#: What a log says of a result for which not all items were given.
HELD_BACK = "items match according to the STAC API, and it gave"
FINAL = ("finished", "error", "canceled")


def make_graphs(west: float, south: float, east: float, north: float) -> dict[str, dict[str, Any]]:
    """Small process graphs that have all kinds of results."""
    extent = {"west": west, "south": south, "east": east, "north": north}

    def load(bands: list[str], start: str = "2024-10-01", end: str = "2024-12-01") -> dict[str, Any]:
        arguments = {"id": COLLECTION, "spatial_extent": extent, "temporal_extent": [start, end], "bands": bands}
        return {"process_id": "load_collection", "arguments": arguments}

    def over(id: str, **arguments: Any) -> dict[str, Any]:
        return {"process_id": id, "arguments": arguments}

    def reduced(data: str, reducer: str) -> dict[str, Any]:
        inner = {"r": {**over(reducer, data={"from_parameter": "data"}), "result": True}}
        return over("reduce_dimension", data={"from_node": data}, dimension="t", reducer={"process_graph": inner})

    def saved(data: str, format: str) -> dict[str, Any]:
        return {**over("save_result", data={"from_node": data}, format=format), "result": True}

    return {
        "greenness": {
            "load": load(["B04", "B08"]),
            "ndvi": over("ndvi", data={"from_node": "load"}, nir="B08", red="B04"),
            "max": reduced("ndvi", "max"),
            "save": saved("max", "GTiff"),
        },
        "dates": {"load": load(["B02"]), "save": saved("load", "GTiff")},
        "file of all": {"load": load(["B03", "SCL"], "2024-10-10"), "save": saved("load", "netCDF")},
        "finer": {
            "load": load(["B04"], "2024-10-01", "2024-11-15"),
            "mean": reduced("load", "mean"),
            "fine": over("resample_spatial", data={"from_node": "mean"}, resolution=2, method="bilinear"),
            "save": saved("fine", "GTiff"),
        },
        "number": {"sum": {**over("add", x=1, y=2), "result": True}},
    }


#: Graphs with one file as their result, which synchronous requests may have.
SINGLE = ("greenness", "file of all", "number")


def digest(content: bytes, name: str, folder: Path) -> str:
    """What a file means: its pixels, and where they are; not how it is written."""
    if name.endswith(".json"):
        return hashlib.sha256(json.dumps(json.loads(content), sort_keys=True).encode()).hexdigest()
    path = folder / f"{uuid.uuid4().hex}-{Path(name).name}"
    path.write_bytes(content)
    try:
        return _digest_netcdf(path) if name.endswith(".nc") else _digest_raster(path)
    finally:
        path.unlink()


def _digest_raster(path: Path) -> str:
    import rasterio

    with rasterio.open(path) as file:
        pixels, told = file.read(), (str(file.crs), tuple(file.transform), file.nodatavals, file.dtypes)
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes() + repr((pixels.shape, told)).encode()).hexdigest()


def _digest_netcdf(path: Path) -> str:
    import xarray

    with xarray.open_dataset(path, engine="h5netcdf", decode_cf=False) as found:
        parts = [
            (name, str(found[name].dtype), found[name].shape, np.ascontiguousarray(found[name].values).tobytes())
            for name in sorted(map(str, found.variables))
            if found[name].dtype.kind in "iuf"
        ]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def plain(name: str) -> str:
    """The name of a file without what differs from run to run."""
    return re.sub(r"^[0-9a-f]{32}", "", name)


@dataclass
class Promise:
    """A job, and what its user was told about it."""

    id: str
    user: str
    graph: str
    created: float
    started: float | None = None
    canceled: float | None = None
    after_cancel: str | None = None
    """The state that was shown next to a cancelation."""
    deleted: float | None = None
    final: str | None = None
    """The state that was shown in the end."""
    downloaded: bool = False
    logs: dict[str, str] = field(default_factory=dict)
    """Messages that were shown, by id."""


@dataclass
class Ledger:
    """What all users were told."""

    promises: list[Promise] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What must not happen, as users see it."""
    counts: Counter[str] = field(default_factory=Counter)
    refusals: list[tuple[float, str, str]] = field(default_factory=list)
    """Answers that are errors and told so: when, code, message."""
    answers: list[float] = field(default_factory=list)
    """When requests began that were answered well."""


class GaveUp(Exception):
    """Nothing helped for :data:`PATIENCE` seconds, or the users are told to stop."""


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes
    tries: int
    """How often it was asked; who asked twice may have done it twice."""

    def json(self) -> Any:
        return json.loads(self.body)


class User(threading.Thread):
    """One user.

    :param token: a fresh access token of a user.
    :param reference: digests of the files of each graph, from the quiet run.
    """

    def __init__(
        self,
        name: str,
        root: str,
        token: Callable[[str], str],
        graphs: Mapping[str, Any],
        reference: Mapping[str, Mapping[str, str]],
        ledger: Ledger,
        folder: Path,
        seed: int,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.root, self.graphs, self.reference, self.ledger = root, graphs, reference, ledger
        self._token = token
        self._folder = folder
        self._random = random.Random(seed)
        self._bearer = ""
        self._since = 0.0
        self._digests: dict[tuple[str, str], str] = {}
        self.stopping = threading.Event()

    def run(self) -> None:
        while not self.stopping.is_set():
            act = self._random.choices([self.use_job, self.cancel_job, self.use_at_once], [6, 2, 2])[0]
            try:
                act()
            except GaveUp as error:
                self.ledger.problems.append(f"{self.name} gave up: {error}")
            except Exception as error:
                self.ledger.problems.append(f"{self.name}: what was answered cannot be used: {error!r}")
            self.stopping.wait(self._random.uniform(0.2, 1.5))

    # ---- requests

    def ask(self, method: str, path: str, body: Any = None, login: bool = True) -> Reply:
        """Ask until there is an answer that asking again would not change."""
        url = path if path.startswith("http") else self.root + path
        data = None if body is None else json.dumps(body).encode()
        end, tries, pause = time.monotonic() + PATIENCE, 0, 0.5
        while True:
            tries += 1
            began = time.time()
            reply, why = self._once(method, url, data, login, tries)
            if reply is not None and reply.status < 500 and reply.status not in (401, 403, 429):
                self.ledger.answers.append(began)
                return reply
            if reply is not None and reply.status in (401, 403):
                self._since = 0.0  # the next try has a new token
            code = _code(reply) if reply is not None else why
            self.ledger.counts[f"again: {code}"] += 1
            if reply is not None and (reply.status == 500 and code in SOURCE_CODES):
                return reply
            if time.monotonic() > end:
                raise GaveUp(f"{method} {urlsplit(url).path}: {code} {reply.body[:300] if reply else ''!r}")
            wait = float(reply.headers.get("retry-after", 0)) if reply is not None else 0.0
            time.sleep(min(10.0, max(wait, pause)) * self._random.uniform(0.8, 1.2))
            pause = min(pause * 2, 4.0)

    def _once(self, method: str, url: str, data: bytes | None, login: bool, tries: int) -> tuple[Reply | None, str]:
        headers = {"Content-Type": "application/json"} if data is not None else {}
        if login:
            headers["Authorization"] = f"Bearer {self._login()}"
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=90) as answer:
                found = {name.lower(): value for name, value in answer.headers.items()}
                return Reply(answer.status, found, answer.read(), tries), ""
        except urllib.error.HTTPError as error:
            with error:
                found = {name.lower(): value for name, value in error.headers.items()}
                try:
                    return Reply(error.code, found, error.read(), tries), ""
                except (OSError, http.client.HTTPException) as broken:
                    return None, type(broken).__name__
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            return None, type(reason).__name__

    def _login(self) -> str:
        if time.monotonic() - self._since > 45:
            self._bearer, self._since = self._token(self.name), time.monotonic()
        return self._bearer

    # ---- what users do

    def create(self, graph: str) -> Promise:
        body = {"title": uuid.uuid4().hex, "process": {"process_graph": self.graphs[graph]}}
        reply = self.ask("POST", "/jobs", body)
        if reply.status != 201:
            raise AssertionError(f"POST /jobs: {reply.status} {reply.body[:300]!r}")
        promise = Promise(reply.headers["openeo-identifier"], self.name, graph, time.time())
        self.ledger.promises.append(promise)
        self.ledger.counts["created"] += 1
        return promise

    def start_job(self, promise: Promise) -> bool:
        """Start a job; False where it is refused for a reason that the source gives."""
        end = time.monotonic() + PATIENCE
        while True:
            reply = self.ask("POST", f"/jobs/{promise.id}/results")
            if reply.status == 202:
                promise.started = time.time()
                self.ledger.counts["started"] += 1
                return True
            self._refused(reply, "start")
            if time.monotonic() > end:
                raise GaveUp(f"start of {promise.id}: {reply.body[:300]!r}")
            time.sleep(3)

    def _refused(self, reply: Reply, what: str) -> None:
        """An answer that is an error: one that the source explains, or a problem."""
        code = _code(reply)
        if code not in SOURCE_CODES:
            raise AssertionError(f"{what}: {reply.status} {reply.body[:400]!r}")
        self.ledger.refusals.append((time.time(), code, str(reply.json().get("message"))[:200]))

    def state(self, promise: Promise) -> str:
        reply = self.ask("GET", f"/jobs/{promise.id}")
        if reply.status != 200:
            raise AssertionError(f"GET of the job {promise.id}: {reply.status} {reply.body[:300]!r}")
        return str(reply.json()["status"])

    def read_log(self, promise: Promise) -> None:
        reply = self.ask("GET", f"/jobs/{promise.id}/logs")
        for entry in reply.json()["logs"]:
            promise.logs[entry["id"]] = entry["message"]

    def use_job(self) -> None:
        promise = self.create(self._random.choice(list(self.graphs)))
        self.start_job(promise)
        end = time.monotonic() + 2 * PATIENCE
        while (state := self.state(promise)) not in FINAL:
            if self._random.random() < 0.3:
                self.read_log(promise)
            if time.monotonic() > end:
                raise GaveUp(f"the job {promise.id} is {state}")
            time.sleep(self._random.uniform(0.7, 1.5))
        promise.final = state
        self.read_log(promise)
        if state == "finished":
            self.download(promise)
        if self._random.random() < 0.3:
            self.delete(promise)

    def cancel_job(self) -> None:
        promise = self.create(self._random.choice(list(self.graphs)))
        self.start_job(promise)
        time.sleep(self._random.uniform(0, 4))
        reply = self.ask("DELETE", f"/jobs/{promise.id}/results")
        if reply.status != 204:
            raise AssertionError(f"DELETE of the results of {promise.id}: {reply.status} {reply.body[:300]!r}")
        promise.canceled = time.time()
        self.ledger.counts["canceled"] += 1
        promise.after_cancel = self.state(promise)

    def delete(self, promise: Promise) -> None:
        reply = self.ask("DELETE", f"/jobs/{promise.id}")
        if reply.status != 204 and not (reply.status == 404 and reply.tries > 1):
            raise AssertionError(f"DELETE of {promise.id}: {reply.status} {reply.body[:300]!r}")
        promise.deleted = time.time()
        self.ledger.counts["deleted"] += 1

    def use_at_once(self) -> None:
        graph = self._random.choice(SINGLE)
        reply = self.ask("POST", "/result", {"process": {"process_graph": self.graphs[graph]}})
        if reply.status != 200:
            self._refused(reply, "synchronous request")
            return
        name = {"greenness": "a.tif", "file of all": "a.nc", "number": "a.json"}[graph]
        expected = self.reference.get(f"{graph} at once", {})
        if self._compare(graph, name, reply.body, set(expected.values())):
            self.ledger.counts["synchronous requests compared"] += 1
        elif self._was_told(reply.headers):
            self.ledger.counts["different, and told"] += 1
        else:
            self._is_wrong(f"a synchronous request ({graph})")

    def _was_told(self, headers: Mapping[str, str]) -> bool:
        """Whether the log of a synchronous request says that items are missing."""
        url = re.search(r'<([^>]+)>; rel="monitor"', headers.get("link", ""))
        if url is None:
            return False
        entries = self.ask("GET", url.group(1)).json()["logs"]
        return any(HELD_BACK in entry["message"] for entry in entries)

    def _is_wrong(self, what: str) -> None:
        self.ledger.problems.append(f"WRONG PIXELS: {what} at {time.time():.0f}")

    def download(self, promise: Promise) -> dict[str, bytes]:
        """All files of a job, which have the checksums that its metadata tell; compared with the quiet run."""
        reply = self.ask("GET", f"/jobs/{promise.id}/results")
        if reply.status != 200:
            raise AssertionError(f"results of {promise.id}: {reply.status} {reply.body[:300]!r}")
        found: dict[str, bytes] = {}
        for name, asset in reply.json()["assets"].items():
            found[name] = self._fetch(asset["href"], asset["file:checksum"].removeprefix("1220"))
        reference = self.reference.get(promise.graph)
        if reference is not None:
            same = [self._compare(promise.graph, n, found[n], {reference.get(plain(n), "")}) for n in found]
            if all(same) and sorted(map(plain, found)) == sorted(reference):
                self.ledger.counts["job results compared"] += 1
            elif any(HELD_BACK in message for message in promise.logs.values()):
                self.ledger.counts["different, and told"] += 1
            else:
                self._is_wrong(f"job {promise.id} ({promise.graph}, {sorted(map(plain, found))})")
        promise.downloaded = True
        return found

    def _fetch(self, url: str, checksum: str) -> bytes:
        end = time.monotonic() + PATIENCE
        while True:
            reply = self.ask("GET", url, login=False)
            if reply.status == 200 and hashlib.sha256(reply.body).hexdigest() == checksum:
                return reply.body
            what = "a download differs from its checksum" if reply.status == 200 else _code(reply)
            self.ledger.counts[f"again: {what}"] += 1
            if time.monotonic() > end:
                raise GaveUp(f"download of {urlsplit(url).path}: {what}")
            time.sleep(2)

    def _compare(self, graph: str, name: str, content: bytes, expected: set[str]) -> bool:
        """Whether a file means what it should."""
        key = (name, hashlib.sha256(content).hexdigest())
        if key not in self._digests:
            self._digests[key] = digest(content, name, self._folder)
        return self._digests[key] in expected


def _code(reply: Reply) -> str:
    try:
        return str(reply.json()["code"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {reply.status}"
