"""The processes of a back-end, each of which halts at a stage of a job, the first time it is reached, to be killed."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openeo_backend import settings as settings_module
from openeo_backend.errors import OpenEOError
from openeo_backend.files.objects import StoredObjects
from openeo_backend.settings import Settings

STAGES = ("claimed", "loading", "computing", "writing", "publishing", "published", "deleting")
VICTIMS = ("worker", "child", "api", "database")

NAMES = ("a.tif", "b.tif")


@dataclass(frozen=True)
class Plan:
    """Which process is to be killed at which stage."""

    stage: str
    victim: str
    url: str
    """Of the database."""
    folder: Path

    @property
    def settings(self) -> Settings:
        jobs = {"lease_seconds": 1.0, "poll_seconds": 0.02, "drain_seconds": 5, "per_user": 5}
        data = {"data_dir": str(self.folder / "data"), "auth": {"basic": True}, "jobs": jobs}
        return settings_module.read(overrides={**data, "store": {"url": self.url}})

    def reach(self, stage: str) -> None:
        """At the stage of this plan, the first time: tell the id of this process, and wait to be killed or let go."""
        if stage != self.stage:
            return
        draft = self.folder / f"reached-{os.getpid()}-{threading.get_ident()}"
        draft.write_text(str(os.getpid()), encoding="ascii")
        try:
            os.link(draft, self.folder / "reached")
        except FileExistsError:
            return
        while not (self.folder / "go").exists():
            time.sleep(0.01)


def work(payload: Mapping[str, Any], emit: Callable[[Mapping[str, Any]], None], *_: Any) -> dict[str, Any]:
    """What children do: log, tell progress, write two files, answer."""
    request = payload["request"]
    plan = Plan(**{**request["options"]["plan"], "folder": Path(request["options"]["plan"]["folder"])})
    is_victim = plan.victim == "child"
    if is_victim:
        plan.reach("claimed")
    emit({"kind": "log", "data": {"level": "info", "message": "Begun."}})
    plan.reach("loading")
    emit({"kind": "log", "data": {"level": "info", "message": "Loaded."}})
    emit({"kind": "progress", "data": {"percent": 40}})
    plan.reach("computing")
    for name in NAMES:
        Path(request["folder"], name).write_bytes(name.encode())
        if is_victim:
            plan.reach("writing")
    files = [{"name": name, "media_type": "image/tiff"} for name in NAMES]
    return {"files": files, "value": None, "has_value": False, "provenance": {}, "usage": {}, "error": None}


def run_worker(plan: Plan) -> None:
    """A worker that sweeps all the time."""
    from openeo_backend.files.objects import open_objects
    from openeo_backend.files.places import objects_place
    from openeo_backend.jobs import worker
    from openeo_backend.jobs.queue import Queue
    from openeo_backend.run.runner import ChildRunner
    from openeo_backend.sandbox import forkserver
    from openeo_backend.store.store import Store

    worker.SWEEP_SECONDS = 0.1
    # There is no child at some stages, but the process that all children are forked from: this worker gets a light one.
    is_light = plan.victim == "child" and plan.stage in ("publishing", "published", "deleting")
    server = forkserver.Spawned("stages" if is_light else forkserver.PRELOAD)
    server.start()
    claim, publish, put, delete = Queue.claim, Queue.publish, StoredObjects.put, StoredObjects.delete
    puts = iter(range(99))

    def claiming(*arguments: Any) -> Any:
        lease = claim(*arguments)
        if lease is not None and plan.victim != "child":
            plan.reach("claimed")
        return lease

    def putting(self: StoredObjects, key: str, file: Path) -> int:
        if next(puts) == 1 and plan.victim != "child":
            if plan.victim == "worker" and plan.stage == "writing" and not (plan.folder / "reached").exists():
                begun = plan.folder / "data" / "files" / f"{key}#1"  # as a killed upload leaves it
                begun.write_bytes(b"half")
            plan.reach("writing")
        return put(self, key, file)

    def publishing(*arguments: Any) -> bool:
        plan.reach("publishing")
        published = publish(*arguments)
        plan.reach("published")
        return published

    def deleting(*arguments: Any) -> int:
        deleted = delete(*arguments)
        if plan.victim != "api":
            plan.reach("deleting")
        return deleted

    Queue.claim, Queue.publish = claiming, publishing  # type: ignore[method-assign]
    StoredObjects.put, StoredObjects.delete = putting, deleting  # type: ignore[method-assign]
    settings = plan.settings
    (plan.folder / "forkserver").write_text(str(server.pid), encoding="ascii")
    runner = ChildRunner(settings, "stages:work", server)
    worker.Worker(Store.open(plan.url), open_objects(objects_place(settings)), runner, settings).run(threading.Event())


def run_api(plan: Plan) -> None:
    """The API, which leaves deleting files to the workers unless it is to be killed while it does so."""
    from werkzeug.serving import make_server

    from openeo_backend.api.app import create_app
    from openeo_backend.backend import Backend

    delete = StoredObjects.delete

    def deleting(*arguments: Any) -> int:
        if plan.victim != "api":
            raise OpenEOError("StorageFailure", "Not now.")
        plan.reach("deleting")
        return delete(*arguments)

    StoredObjects.delete = deleting  # type: ignore[method-assign]
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, create_app(Backend.open(plan.settings)), threaded=True)
    draft = plan.folder / f"port-{os.getpid()}"
    draft.write_text(str(server.server_port), encoding="ascii")
    draft.rename(plan.folder / "port")
    server.serve_forever()


def hold(file: str, told: str) -> None:
    """Keep SQLite's write lock with many changes that are in its log but not committed."""
    connection = sqlite3.connect(file, isolation_level=None, timeout=30)
    connection.execute("PRAGMA cache_size=1")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE jobs SET title = 'ghost' || hex(zeroblob(50000)), status = 'error'")
    connection.execute("DELETE FROM job_logs")
    Path(told).touch()
    time.sleep(60)
