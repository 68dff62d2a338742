"""The API process is killed right after it said yes: what it acknowledged is done, once."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from openeo_backend.store.store import Store

pytestmark = pytest.mark.full

PROCESS: dict[str, Any] = {"process_graph": {"a": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}}


class Server:
    """`openeo-backend serve` with one user."""

    def __init__(self, folder: Path, database: str) -> None:
        store = Store.open(database)
        store.users.add("ada", "secret")
        store.close()
        command = [sys.executable, "-m", "openeo_backend.cli", "serve", "--data-dir", str(folder)]
        settings = {
            "OPENEO_BACKEND__SERVER__PORT": "0",
            "OPENEO_BACKEND__AUTH__BASIC": "true",
            "OPENEO_BACKEND__STORE__URL": database,
        }
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, **settings}
        )
        assert self._process.stdout is not None
        self._root = self._process.stdout.readline().split()[3].rstrip("/")
        basic = base64.b64encode(b"ada:secret").decode()
        self._authorization = f"Basic {basic}"
        token = json.loads(self("GET", "/credentials/basic")[1])["access_token"]
        self._authorization = f"Bearer basic//{token}"

    def __call__(self, method: str, path: str, body: Any = None) -> tuple[dict[str, str], bytes]:
        """Ask until there is an answer: the server may be starting."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": self._authorization, "Content-Type": "application/json"}
        request = urllib.request.Request(self._root + path, data, headers, method=method)
        end = time.monotonic() + 90
        while True:
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    return {name.lower(): value for name, value in answer.headers.items()}, answer.read()
            except OSError as error:
                if isinstance(error, urllib.error.HTTPError) or time.monotonic() > end:
                    raise
                time.sleep(0.2)

    def kill_api(self) -> None:
        """Kill who listens, all generations of them."""
        for child in psutil.Process(self._process.pid).children():
            if child.net_connections("tcp") or any(grand.net_connections("tcp") for grand in child.children()):
                for process in (*child.children(recursive=True), child):
                    process.kill()
                child.wait(10)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture
def server(tmp_path: Path, migrated_url: str) -> Iterator[Server]:
    server = Server(tmp_path / "data", migrated_url)
    yield server
    server.stop()


def test_what_was_acknowledged_is_done(server: Server) -> None:
    ids = []
    for _ in range(3):
        headers, _ = server("POST", "/jobs", {"process": PROCESS})
        ids.append(headers["openeo-identifier"])
        server("POST", f"/jobs/{ids[-1]}/results")
        server.kill_api()
    end = time.monotonic() + 60
    for id in ids:
        while (job := json.loads(server("GET", f"/jobs/{id}")[1]))["status"] != "finished":
            assert time.monotonic() < end, job
            time.sleep(0.2)
        log = json.loads(server("GET", f"/jobs/{id}/logs")[1])["logs"]
        assert sum(entry["message"].startswith("The job finished") for entry in log) == 1
    assert len(json.loads(server("GET", "/jobs")[1])["jobs"]) == 3
