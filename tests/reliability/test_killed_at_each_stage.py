"""Each process of a back-end is killed at each stage of a job, on each database.

Whatever it is, the job ends finished, once, with every log line that was acknowledged, and in the end the files are
those that the database knows.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
import stages
from servers import PostgreSQL
from sqlalchemy import insert, select, update
from stages import NAMES, STAGES, VICTIMS, Plan

from openeo_backend.store.schema import jobs, trash, users
from openeo_backend.store.store import Store

PROCESS: dict[str, Any] = {"process_graph": {"a": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}}
PRELOAD = [
    "openeo_backend.jobs.preload",
    "openeo_backend.api.app",
    "openeo_backend.backend",
    "openeo_backend.jobs.worker",
]
#: Seconds until something is taken not to happen; machines may be very busy.
PATIENCE = 120
#: Of each stage and each victim one is in the short run, too.
SHORT = {
    ("worker", "writing", "postgresql"),
    ("worker", "deleting", "sqlite"),
    ("child", "computing", "sqlite"),
    ("child", "loading", "postgresql"),
    ("api", "claimed", "sqlite"),
    ("api", "deleting", "postgresql"),
    ("database", "publishing", "postgresql"),
    ("database", "published", "sqlite"),
}
CELLS = [
    pytest.param(*cell, marks=() if cell in SHORT else pytest.mark.full)
    for cell in ((v, s, d) for v in VICTIMS for s in STAGES for d in ("sqlite", "postgresql"))
]


class Site:
    """A back-end in processes that can be killed, and its user."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.store = Store.open(plan.url)
        with self.store.database.write() as connection:  # nobody logs in with a password here
            connection.execute(insert(users).values(id="ada", password="", roles=[], created=0.0))
        self._token = self.store.tokens.issue("ada", timedelta(hours=1))
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOAD)
        self._running: dict[str, Any] = {}
        self.start("api", stages.run_api)

    def start(self, name: str, body: Callable[[Plan], None]) -> None:
        process = self._running[name] = self._context.Process(target=body, args=(self.plan,))
        process.start()

    def kill(self, name: str) -> None:
        self._running[name].kill()
        self._running[name].join()

    def close(self) -> None:
        self.go()
        for process in self._running.values():
            process.kill()
            process.join()
        self.store.close()

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        """Ask until there is an answer that is no failure of the server: it may be starting, or without database."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer basic//{self._token}", "Content-Type": "application/json"}
        end = time.monotonic() + PATIENCE
        while True:
            try:
                port = (self.plan.folder / "port").read_text(encoding="ascii")
                address = f"http://127.0.0.1:{port}/openeo/1.2{path}"
                request = urllib.request.Request(address, data, headers, method=method)
                with urllib.request.urlopen(request, timeout=35) as answer:
                    text = answer.read()
                    return json.loads(text) if text else answer.headers["OpenEO-Identifier"]
            except urllib.error.HTTPError as error:
                if error.code < 500 or time.monotonic() > end:
                    raise
            except OSError:
                if time.monotonic() > end:
                    raise
            time.sleep(0.05)

    def reached(self) -> int:
        """The process that has reached the stage of the plan."""
        mark = self.plan.folder / "reached"
        self.wait(mark.exists, f"stage {self.plan.stage}")
        return int(mark.read_text(encoding="ascii"))

    def go(self) -> None:
        """Let who has reached the stage go on."""
        (self.plan.folder / "go").touch()

    def delete(self, id: str) -> None:
        """Delete a job; it may be gone when the answer to an earlier request got lost."""
        try:
            self("DELETE", f"/jobs/{id}")
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise

    def empty_trash(self) -> None:
        """Have workers delete now what they would keep for a while, since lost processes may still write it."""
        with self.store.database.write() as connection:
            connection.execute(update(trash).values(due=1.0))

    def scratch(self) -> list[str]:
        """Folders of runs."""
        return [str(path) for path in (self.plan.folder / "data" / "work").glob("*/*") if path.name != "lock"]

    def create(self) -> str:
        options = {"plan": asdict(self.plan) | {"folder": str(self.plan.folder)}}
        return str(self("POST", "/jobs", {"process": PROCESS, "job_options": options}))

    def log(self, id: str) -> list[str]:
        return [entry["message"] for entry in self("GET", f"/jobs/{id}/logs")["logs"]]

    def files(self) -> list[str]:
        """All files there are, objects or not."""
        root = self.plan.folder / "data" / "files"
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())

    def published(self) -> list[str]:
        """The files that the database knows."""
        with self.store.database.read() as connection:
            rows = connection.execute(select(jobs.c.id, jobs.c.result_attempt, jobs.c.result)).all()
        return sorted(
            f"jobs/{row[0]}/{row[1]}/{file['name']}" for row in rows for file in (row[2] or {"files": []})["files"]
        )

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, f"did not happen: {what}"
            time.sleep(0.02)

    def finish(self, id: str) -> dict[str, Any]:
        self.wait(lambda: self("GET", f"/jobs/{id}")["status"] == "finished", f"{id} finished")
        document: dict[str, Any] = self("GET", f"/jobs/{id}")
        return document


@pytest.fixture
def site(victim: str, stage: str, migrated_url: str, tmp_path: Path) -> Iterator[Site]:
    site = Site(Plan(stage, victim, migrated_url, tmp_path))
    site.start("worker", stages.run_worker)
    yield site
    site.close()


@pytest.fixture
def crash(site: Site, victim: str, stage: str, request: pytest.FixtureRequest) -> Callable[[int], None]:
    """Kills the victim, given the process that has reached the stage, and lets the others go on."""

    def worker(reached: int) -> None:
        site.kill("worker")
        site.wait(lambda: not psutil.pid_exists(reached), "the end of the worker's child")
        site.start("worker", stages.run_worker)

    def child(reached: int) -> None:
        others = stage in ("publishing", "published", "deleting")
        server = (site.plan.folder / "forkserver").read_text(encoding="ascii")
        os.kill(int(server) if others else reached, signal.SIGKILL)

    def api(reached: int) -> None:
        site.kill("api")
        site.start("api", stages.run_api)

    def database(reached: int) -> None:
        server: PostgreSQL = request.getfixturevalue("postgresql_server")
        server.stop()
        site.go()
        time.sleep(0.7)
        server.start()

    def sqlite(reached: int) -> None:
        """There is no server: the process dies that is just changing everything."""
        file, told = site.plan.url.removeprefix("sqlite:///"), site.plan.folder / "held"
        holder = multiprocessing.get_context("forkserver").Process(target=stages.hold, args=(file, str(told)))
        holder.start()
        site.wait(told.exists, "the lock of the database")
        site.go()
        time.sleep(0.5)
        holder.kill()
        holder.join()

    kinds = {"worker": worker, "child": child, "api": api, "database": database}
    chosen = sqlite if victim == "database" and site.plan.url.startswith("sqlite") else kinds[victim]

    def crash(reached: int) -> None:
        chosen(reached)
        site.go()

    return crash


@pytest.mark.parametrize(("victim", "stage", "migrated_url"), CELLS, indirect=["migrated_url"])
def test_nothing_is_lost_or_done_twice(site: Site, crash: Callable[[int], None], victim: str, stage: str) -> None:
    id = site.create()
    site("POST", f"/jobs/{id}/results")
    doomed = ""
    if stage == "deleting":
        site.finish(id)
        doomed = site.create()
        site("POST", f"/jobs/{doomed}/results")
        site.finish(doomed)
        deleting = threading.Thread(target=site.delete, args=(doomed,))
        deleting.start()
        if victim != "api":
            deleting.join()
            site.empty_trash()
    reached = site.reached()
    acknowledged = site.log(id)
    other = site.create()
    site("POST", f"/jobs/{other}/results")
    crash(reached)
    for each in (id, other):
        job = site.finish(each)
        assert "title" not in job  # what was not committed is not there
        said = site.log(each)
        assert sum(message.startswith("The job finished") for message in said) == 1
        assert said[: len(acknowledged)] == acknowledged or each == other
        stored = site.store.jobs.get("ada", each)
        assert stored.result_attempt == stored.attempt
        assert stored.attempt <= 2
        assert [file["name"] for file in (stored.result or {})["files"]] == list(NAMES)
    again = victim == "worker" and stage not in ("published", "deleting")
    again |= victim == "child" and stage in ("claimed", "loading", "computing", "writing")
    if victim in ("worker", "child", "api"):
        assert site.store.jobs.get("ada", id).attempt == (2 if again else 1)
    if doomed:
        deleting.join()
        assert [job["id"] for job in site("GET", "/jobs")["jobs"]] == [other, id]
    site.empty_trash()
    site.wait(lambda: site.files() == site.published(), "no files but those that the database knows")
    assert len(site.files()) == 4
    site.wait(lambda: site.scratch() == [], "no folders of runs")
