"""The server as its operator starts it, in processes of its own on a free port of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from openeo_backend.store.store import Store

_CONFIG = """
[server]
port = 0
[auth]
basic = true
[jobs]
poll_seconds = 0.1
workers = 1
[catalog]
sources = [{catalog!r}]
"""


@contextmanager
def serving(folder: Path, catalog: Path, user: str, password: str) -> Iterator[str]:
    """Serve a catalog, keep everything in `folder` and give the address of the server, without a path.

    Its log is `folder`/log.
    """
    (folder / "data").mkdir(parents=True)
    (folder / "config.toml").write_text(_CONFIG.format(catalog=str(catalog)), encoding="utf-8")
    store = Store.open(f"sqlite:///{folder / 'data' / 'openeo.sqlite'}")
    store.users.add(user, password)
    store.close()
    options = ["--config", str(folder / "config.toml"), "--data-dir", str(folder / "data")]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "openeo_backend.cli", "serve", *options],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
    try:
        assert process.stdout is not None
        announcement = process.stdout.readline()
        assert announcement.startswith("openEO back-end at "), (folder / "log").read_text()
        yield announcement.split()[3].removesuffix("/openeo/1.2/")
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert process.stdout is not None
        process.stdout.close()
