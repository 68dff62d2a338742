"""A job from its request to the download of its result, on a server of its own, before users try."""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from werkzeug.serving import WSGIRequestHandler, make_server

from openeo_backend.api.app import create_app
from openeo_backend.backend import Backend
from openeo_backend.errors import OpenEOError
from openeo_backend.jobs.worker import Worker
from openeo_backend.net.door import Door, Reply
from openeo_backend.sections.identity import AuthSettings
from openeo_backend.settings import CatalogSettings, Settings
from openeo_backend.store import trash

USER = "check"
#: Its result is the file of one number, 3.
PROCESS = {
    "sum": {"process_id": "add", "arguments": {"x": 1, "y": 2}},
    "save": {
        "process_id": "save_result",
        "arguments": {"data": {"from_node": "sum"}, "format": "JSON"},
        "result": True,
    },
}


def fetch_signed(settings: Settings) -> str:
    """Run a small job in a child, keep its result where `settings` say, fetch it by its signed link; what was seen.

    The user, the job and its log are in a folder that is deleted; the server is at a free loopback port.

    :raises OpenEOError: where a step fails.
    """
    with tempfile.TemporaryDirectory() as folder, _trial(settings, Path(folder)) as trial:
        worker = Worker(trial.store, trial.objects, trial.runner, trial.settings)
        trial.store.users.add(USER, USER)
        token = trial.store.tokens.issue(USER, timedelta(minutes=10))
        with _served(trial) as root:
            door = Door(settings.net, (root,))
            return _run(door, f"{root}/openeo/1.2/jobs", {"Authorization": f"Bearer basic//{token}"}, worker, trial)


def _run(door: Door, jobs: str, login: dict[str, str], worker: Worker, trial: Backend) -> str:
    body = json.dumps({"process": {"process_graph": PROCESS}}).encode()
    made = _good(door.request("POST", jobs, body, headers={**login, "Content-Type": "application/json"}))
    id = made.headers["openeo-identifier"]
    try:
        _good(door.request("POST", f"{jobs}/{id}/results", headers=login))
        worker.run_once()
        results = _good(door.request("GET", f"{jobs}/{id}/results", headers=login)).json()
        (link,) = (asset["href"] for asset in results["assets"].values() if "data" in asset["roles"])
        content = _good(door.request("GET", link)).content
    finally:
        trial.objects.delete(trash.prefix(id))
    if content.strip() != b"3":
        raise OpenEOError("StorageFailure", f"The file of a result came back changed: {content[:80]!r}.")
    return f"a job ran, and its result came back from {urlsplit(link).path.rpartition('/')[2]} by a signed link"


def _good(reply: Reply) -> Reply:
    """The reply, unless it is an error."""
    if reply.status < 400:
        return reply
    told = reply.json()
    raise OpenEOError(told["code"], told["message"])


@contextmanager
def _trial(settings: Settings, folder: Path) -> Iterator[Backend]:
    """A back-end with the files and the keys of `settings`, and all else of its own."""
    real = Backend.open(settings)
    changed: dict[str, Any] = {
        "data_dir": folder,
        "store": settings.store.model_copy(update={"url": None}),
        "server": settings.server.model_copy(update={"public_url": None}),
        "auth": AuthSettings(basic=True),
        "catalog": CatalogSettings(),
    }
    own = Backend.open(settings.model_copy(update=changed))
    try:
        yield replace(own, objects=real.objects, signer=real.signer)
    finally:
        own.close()
        real.close()


@contextmanager
def _served(backend: Backend) -> Iterator[str]:
    """The URL at which `backend` is served meanwhile."""
    server = make_server("127.0.0.1", 0, create_app(backend), threaded=True, request_handler=_Silent)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Silent(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        """Nothing: the application logs its requests."""
