"""Servers of other makers that tests start on this machine."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest


class PostgreSQL:
    """A PostgreSQL server of this machine's own installation, in a folder that is removed with it.

    :raises pytest.skip.Exception: where there is none.
    """

    def __init__(self) -> None:
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or [Path(shutil.which("initdb") or "/")]
        if not programs[-1].is_file():
            pytest.skip("PostgreSQL is not installed on this machine")
        if os.geteuid() == 0 and shutil.which("su") is None:
            pytest.skip("PostgreSQL does not run as root, and there is no su")
        self._programs = programs[-1].parent
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._home = Path(tempfile.mkdtemp(prefix="pg-"))
        self._data = self._home / "data"
        if os.geteuid() == 0:
            shutil.chown(self._home, "postgres")
        self._run(f"initdb -D {self._data} -A trust -U tests --no-sync -E UTF8")

    @property
    def url(self) -> str:
        """Where it is, without a database."""
        return f"postgresql://tests@127.0.0.1:{self._port}"

    def start(self) -> None:
        options = f"-p {self._port} -k {self._home} -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=60"
        self._run(f"pg_ctl -D {self._data} -w -l {self._home}/log -o '{options}' start")

    def stop(self) -> None:
        """At once, as if it had crashed."""
        self._run(f"pg_ctl -D {self._data} -m immediate stop")

    def remove(self) -> None:
        """Stop it, if it runs, and delete its files."""
        if (self._data / "postmaster.pid").is_file():
            self.stop()
        shutil.rmtree(self._home, ignore_errors=True)

    def _run(self, command: str) -> None:
        line = f"{self._programs}/{command}"
        arguments = ["su", "postgres", "-s", "/bin/sh", "-c", line] if os.geteuid() == 0 else ["sh", "-c", line]
        subprocess.run(arguments, check=True, cwd=self._home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
