"""Ours, by the public ways in only: a served node (POST /result, batch jobs) and `openeo-backend run`."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from turn import Held, anonymous, look_seconds

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))

from live_server import serving  # noqa: E402 - lies in tests/

USER, PASSWORD = "bench", "bench-password"
#: A node for large requests: all else is as it comes.
SETTINGS = {"LIMITS__SYNC_SAMPLES": "1e12", "LIMITS__SYNC_SECONDS": "3600", "JOBS__POLL_SECONDS": "1.0"}
#: A node has prepared itself when what it holds has changed by no more than so many MB for so many seconds.
CALM_MB, CALM_SECONDS = 0.5, 4.0


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    for each in found:
        try:
            for thread in os.listdir(f"/proc/{each}/task"):
                text = Path(f"/proc/{each}/task/{thread}/children").read_text()
                found += [int(word) for word in text.split()]
        except OSError:
            continue
    return found


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Watch:
    """How far the memory of a family of processes grew: each from what it held when it was first seen.

    It shares the processor with them: who belongs to the family, which takes a millisecond, is looked at seldom.
    """

    def __init__(self, pid: int) -> None:
        self._pid, self._stop, self.mb = pid, threading.Event(), 0.0
        self._base: dict[int, float] = {}
        self._family: dict[int, Held] = {}
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Watch:
        self._look()
        self._thread.start()
        return self

    def _sample(self) -> None:
        looks = 0
        while not self._stop.wait(look_seconds()):
            looks += 1
            self._look(is_new=looks % 10 == 0)

    def _look(self, is_new: bool = True) -> None:
        if is_new:
            self._family = {pid: self._family.get(pid) or Held(pid) for pid in family(self._pid)}
        held = {pid: of_it.mb() for pid, of_it in self._family.items()}
        grown = sum(mb - self._base.setdefault(pid, mb) for pid, mb in held.items() if mb)
        self.mb = max(self.mb, grown)

    def __exit__(self, *failure: object) -> None:
        self._stop.set()
        self._thread.join()


class Node:
    """A served back-end and its one user."""

    def __init__(self, root: str, pid: int) -> None:
        self._root, self.pid = root, pid
        basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        _, body = self.send("GET", "/credentials/basic", authorization=f"Basic {basic}")
        self._bearer = f"Bearer basic//{json.loads(body)['access_token']}"

    def settle(self, *warm: Mapping[str, Any]) -> None:
        """Have it prepare itself, which it goes on with while nobody asks it: from then on, what it holds is the base.

        :param warm: processes that are computed before, and again by children that had everything prepared.
        """
        for _ in range(2):
            for process in warm:
                self.post(process)
            held, since = -1.0, time.monotonic()
            while time.monotonic() - since < CALM_SECONDS:
                time.sleep(0.1)
                now = sum(map(anonymous, family(self.pid)))
                if abs(now - held) > CALM_MB:
                    held, since = now, time.monotonic()

    def send(
        self, method: str, path: str, body: Any = None, authorization: str = ""
    ) -> tuple[Mapping[str, str], bytes]:
        """Headers and content of an answer; failures are told with the server's words."""
        url = path if path.startswith("http") else self._root + path
        headers = {"Authorization": authorization or self._bearer, "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method)) as answer:
                return answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{method} {path}: {error.code} {error.read()[:1000].decode()}") from None

    def post(self, process: Mapping[str, Any]) -> bytes:
        """What POST /result answers."""
        return self.send("POST", "/result", {"process": process})[1]

    def result(self, process: Mapping[str, Any], out: Path) -> dict[str, Any]:
        """POST /result, the file saved; what the server says it used, and what the client waited for."""
        with Watch(self.pid) as watch:
            start = time.perf_counter()
            headers, content = self.send("POST", "/result", {"process": process})
            waited = time.perf_counter() - start
        path = out / _name(headers)
        path.write_bytes(content)
        logs = json.loads(self.send("GET", f"/result/logs/{headers['OpenEO-Identifier']}")[1])["logs"]
        usage = next(entry["usage"] for entry in logs if "usage" in entry)
        return _figures(usage, waited, watch, path)

    def job(self, process: Mapping[str, Any], out: Path) -> dict[str, Any]:
        """A batch job from its creation to `finished`; the first file of it is fetched then."""
        with Watch(self.pid) as watch:
            start = time.perf_counter()
            headers, _ = self.send("POST", "/jobs", {"process": process, "title": "bench"})
            job = f"/jobs/{headers['OpenEO-Identifier']}"
            self.send("POST", f"{job}/results")
            while (told := json.loads(self.send("GET", job)[1]))["status"] in ("created", "queued", "running"):
                time.sleep(0.02)
            waited = time.perf_counter() - start
        if told["status"] != "finished":
            raise RuntimeError(f"the job ended as {told['status']}: {self.send('GET', f'{job}/logs')[1][-1000:]!r}")
        assets = json.loads(self.send("GET", f"{job}/results")[1])["assets"]
        asset = next(each for each in assets.values() if "data" in each["roles"])
        path = out / ("job.nc" if "netcdf" in asset["type"] else "job.tif")
        path.write_bytes(self.send("GET", asset["href"])[1])
        self.send("DELETE", job)
        return _figures(told["usage"], waited, watch, path)


def _name(headers: Mapping[str, str]) -> str:
    kind = headers["Content-Type"]
    return "result.nc" if "netcdf" in kind else "result.png" if "png" in kind else "result.tif"


def _figures(usage: Mapping[str, Any], waited: float, watch: Watch, path: Path) -> dict[str, Any]:
    return {
        "cpu": usage["cpu"]["value"],
        "wall": usage["duration"]["value"],
        "waited": waited,
        "mb": watch.mb,
        "path": str(path),
    }


@contextmanager
def node(
    folder: Path, catalogs: Sequence[str], allowed: Sequence[str] = (), settings: Mapping[str, str] | None = None
) -> Iterator[Node]:
    """A node that serves catalogs; what it keeps lies in `folder`.

    :param allowed: hosts with ports that it may reach though they are on this machine.
    :param settings: more settings, as names of the environment.
    """
    settings = {
        **SETTINGS,
        **(settings or {}),
        "CATALOG__SOURCES": json.dumps(list(catalogs)),
        "NET__ALLOW": json.dumps(list(allowed)),
    }
    with serving(folder, None, USER, PASSWORD, settings=settings) as server:
        yield Node(server.root, server.pid)


def run(process: Mapping[str, Any], catalog: Path, out: Path) -> dict[str, Any]:
    """`openeo-backend run`: what it tells in metadata.json, and what the whole command took."""
    graph = out / "graph.json"
    graph.write_text(json.dumps(process))
    command = [sys.executable, "-m", "openeo_backend.cli", "run", str(graph), "-o", str(out), "--stac", str(catalog)]
    start = time.perf_counter()
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stderr=pipe, stdout=pipe, text=True) as child, Watch(child.pid) as watch:
        _, told = child.communicate()
    waited = time.perf_counter() - start
    if child.returncode:
        raise RuntimeError(f"openeo-backend run ended with {child.returncode}: {told[-1000:]}")
    usage = json.loads((out / "metadata.json").read_text())["usage"]
    path = next(path for path in sorted(out.iterdir()) if path.suffix in (".tif", ".nc"))
    return _figures(usage, waited, watch, path)
