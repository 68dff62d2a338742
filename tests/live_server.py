"""The server as its operator starts it, in processes of its own on a free port of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from openeo_backend.store.store import Store

_CONFIG = """
[server]
port = 0
[auth]
basic = true
[jobs]
poll_seconds = 0.1
workers = {workers}
[catalog]
sources = {sources!r}
"""


@dataclass(frozen=True)
class Server:
    """A running back-end."""

    url: str
    """Its address, without a path."""
    pid: int
    """Of the supervisor, whose children are the API and the worker."""

    @property
    def root(self) -> str:
        """The root of its API."""
        return f"{self.url}/openeo/1.2"


@contextmanager
def serving(
    folder: Path,
    catalog: Path | None,
    user: str,
    password: str,
    *,
    workers: int = 1,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Serve a catalog to one user and keep everything in `folder`; its log is `folder`/log.

    :param settings: more settings, as names (`STORE__URL`) and values of the environment.
    """
    settings = settings or {}
    (folder / "data").mkdir(parents=True)
    sources = [str(catalog)] if catalog else []
    (folder / "config.toml").write_text(_CONFIG.format(workers=workers, sources=sources), encoding="utf-8")
    store = Store.open(settings.get("STORE__URL", f"sqlite:///{folder / 'data' / 'openeo.sqlite'}"))
    store.users.add(user, password)
    store.close()
    options = ["--config", str(folder / "config.toml"), "--data-dir", str(folder / "data")]
    environment = {f"OPENEO_BACKEND__{name}": value for name, value in settings.items()}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "openeo_backend.cli", "serve", *options],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
            env=os.environ | environment | {"PYTHONUNBUFFERED": "1"},
        )
    try:
        assert process.stdout is not None
        announcement = process.stdout.readline()
        assert announcement.startswith("openEO back-end at "), (folder / "log").read_text()
        yield Server(announcement.split()[3].removesuffix("/openeo/1.2/"), process.pid)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert process.stdout is not None
        process.stdout.close()
