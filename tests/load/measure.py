"""Measures a back-end under load, on this machine: `python tests/load/measure.py` (`make load`).

Starts `openeo-backend serve` on SQLite with two workers, keeps them busy with small jobs, and meanwhile measures what
clients wait for. Writes the figures as a table for docs/load.md. What is asked of them stands beside; the exit status
is 1 where one is not met.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from openeo_backend.store.schema import jobs
from openeo_backend.store.store import Store

USERS = ("ada", "bob", "eve", "joe")
PROCESS = {"process_graph": {"add": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}}
METADATA = (
    "/",
    "/collections",
    "/processes",
    "/file_formats",
    "/jobs?limit=20",
    "/me",
    "/conformance",
    "/udf_runtimes",
)


@dataclass
class Report:
    """Figures, and whether they are as good as asked."""

    rows: list[tuple[str, str, str, bool]] = field(default_factory=list)

    def add(self, what: str, found: str, asked: str, is_met: bool) -> None:
        self.rows.append((what, found, asked, is_met))
        print(f"{what}: {found} (asked: {asked}){'' if is_met else '  NOT MET'}", flush=True)

    def table(self) -> str:
        lines = ["| what | measured | asked | met |", "|---|---|---|---|"]
        lines += [f"| {what} | {found} | {asked} | {'yes' if met else 'no'} |" for what, found, asked, met in self.rows]
        return "\n".join(lines)


class Client:
    """Requests of one user."""

    def __init__(self, root: str, name: str) -> None:
        self._root = root
        basic = base64.b64encode(f"{name}:secret-{name}".encode()).decode()
        answer = self._send("GET", "/credentials/basic", {"Authorization": f"Basic {basic}"})
        self._headers = {"Authorization": f"Bearer basic//{json.loads(answer[1])['access_token']}"}

    def __call__(self, method: str, path: str, body: Any = None) -> tuple[dict[str, str], bytes]:
        return self._send(method, path, self._headers, body)

    def _send(self, method: str, path: str, headers: dict[str, str], body: Any = None) -> tuple[dict[str, str], bytes]:
        data = None if body is None else json.dumps(body).encode()
        sent = {**headers, "Content-Type": "application/json"}
        request = urllib.request.Request(self._root + path, data, sent, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return {name.lower(): value for name, value in answer.headers.items()}, answer.read()


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """A server with two workers and a few users; its API root."""
    store = Store.open(f"sqlite:///{folder / 'openeo.sqlite'}")
    for name in USERS:
        store.users.add(name, f"secret-{name}")
    store.close()
    command = [sys.executable, "-m", "openeo_backend.cli", "serve", "--data-dir", str(folder)]
    settings = {
        "SERVER__PORT": "0",
        "AUTH__BASIC": "true",
        "JOBS__PER_USER": "8",
        "JOBS__WORKERS": "2",
        "LOG__LEVEL": "warning",
    }
    settings = {"QUOTAS__JOBS": "1000000", **settings}  # one user makes more jobs here than a node lets a user keep
    environment = {**os.environ, **{f"OPENEO_BACKEND__{name}": value for name, value in settings.items()}}
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
    try:
        assert server.stdout is not None
        root = server.stdout.readline().split()[3].rstrip("/")
        _wait(lambda: urllib.request.urlopen(f"{root}/health", timeout=5).close() is None, 60)
        yield root
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()


def at_rate(per_second: float, seconds: float, action: Callable[[int], Any]) -> list[float]:
    """Seconds from when each call was due to its end: a server that falls behind is not spared."""
    count = int(per_second * seconds)
    start = time.perf_counter() + 0.1

    def call(number: int) -> float:
        due = start + number / per_second
        time.sleep(max(0.0, due - time.perf_counter()))
        action(number)
        return time.perf_counter() - due

    with ThreadPoolExecutor(64) as pool:
        return sorted(pool.map(call, range(count)))


def p99(times: list[float]) -> float:
    return times[min(len(times) - 1, int(len(times) * 0.99))]


def milliseconds(times: list[float]) -> str:
    return (
        f"p50 {statistics.median(times) * 1000:.0f} ms, p99 {p99(times) * 1000:.0f} ms, most {times[-1] * 1000:.0f} ms"
    )


def measure(options: argparse.Namespace, folder: Path, report: Report) -> None:
    with serving(folder) as root:
        clients = [Client(root, name) for name in USERS]
        _list_jobs(folder, clients[0], options.listed, report)
        ids = _create(clients, options, report)
        started = time.perf_counter()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda pair: pair[0]("POST", f"/jobs/{pair[1]}/results"), ids))
        times = at_rate(50, options.seconds, lambda n: clients[n % 4]("GET", METADATA[n % len(METADATA)]))
        busy = Counter(_states(folder)).get("queued", 0)
        what = f"metadata at 50 requests/s for {options.seconds:g} s, {busy} jobs still queued at the end"
        report.add(what, milliseconds(times), "p99 < 250 ms", p99(times) < 0.25)
        _wait(lambda: not {"queued", "running"} & set(_states(folder)), options.patience)
        found = Counter(state for state in _states(folder) if state != "created")
        seconds = time.perf_counter() - started
        report.add(
            f"{len(ids)} small jobs through 2 workers",
            f"{found.get('finished', 0)} finished in {seconds:.0f} s ({len(ids) / seconds:.1f}/s)",
            "none lost",
            found == {"finished": len(ids)},
        )


def _list_jobs(folder: Path, client: Client, count: int, report: Report) -> None:
    store = Store.open(f"sqlite:///{folder / 'openeo.sqlite'}")
    row = {"user_id": USERS[0], "process": PROCESS, "log_level": "info", "options": {}, "status": "created"}
    row |= {"progress": 0, "priority": 0, "attempt": 0, "lost": 0, "log_count": 0, "title": "A job to be listed"}
    with store.database.write() as connection:
        made = ({**row, "id": f"j-{n:032x}", "created": float(n), "updated": float(n)} for n in range(count))
        connection.execute(insert(jobs), list(made))
    store.close()
    path: str | None = "/jobs?limit=100"
    times, seen = [], 0
    while path:
        before = time.perf_counter()
        page = json.loads(client("GET", path)[1])
        times.append(time.perf_counter() - before)
        seen += len(page["jobs"])
        links = [link["href"] for link in page["links"] if link["rel"] == "next"]
        path = "/jobs?" + links[0].partition("?")[2] if links else None
    times.sort()
    report.add(f"{seen} jobs listed in pages of 100", milliseconds(times), "< 100 ms a page", p99(times) < 0.1)


def _create(clients: list[Client], options: argparse.Namespace, report: Report) -> list[tuple[Client, str]]:
    ids: list[tuple[Client, str]] = []

    def create(number: int) -> None:
        client = clients[number % len(clients)]
        headers, _ = client("POST", "/jobs", {"process": PROCESS, "title": f"Job {number}"})
        ids.append((client, headers["openeo-identifier"]))

    seconds = options.jobs / 20
    times = at_rate(20, seconds, create)
    report.add(f"jobs created at 20/s for {seconds:g} s", milliseconds(times), "20/s sustained", p99(times) < 1.0)
    return ids


def _states(folder: Path) -> list[str]:
    store = Store.open(f"sqlite:///{folder / 'openeo.sqlite'}")
    try:
        with store.database.read() as connection:
            return list(connection.execute(jobs.select().with_only_columns(jobs.c.status)).scalars())
    finally:
        store.close()


def _wait(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if condition():
                return
        except (urllib.error.URLError, OSError):
            pass
        time.sleep(0.5)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--jobs", type=int, default=1000, help="small jobs to run")
    parser.add_argument("--listed", type=int, default=10_000, help="jobs to list")
    parser.add_argument("--seconds", type=float, default=30, help="how long metadata are asked for")
    parser.add_argument("--patience", type=float, default=1800, help="longest wait for all jobs, in seconds")
    parser.add_argument("--output", type=Path, help="file for the table")
    options = parser.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory(prefix="openeo-load-") as folder:
        measure(options, Path(folder), report)
    if options.output:
        options.output.write_text(report.table() + "\n", encoding="utf-8")
    return 0 if all(met for *_, met in report.rows) else 1


if __name__ == "__main__":
    sys.exit(main())
