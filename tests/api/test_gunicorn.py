"""The server process: its address, and how it ends."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import requests

from openeo_backend import settings as settings_module
from openeo_backend.api.gunicorn import GRACE_SECONDS, Stop, bind
from openeo_backend.settings import SettingsError

SERVER = """
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
import time
from types import SimpleNamespace
from openeo_backend import settings as settings_module
from openeo_backend.api.gunicorn import bind, serve
from openeo_backend.jobs.accounts import Accounts
from openeo_backend.run.request import Outcome
from openeo_backend.store.store import Store

folder = Path(sys.argv[1])
overrides = {"data_dir": str(folder), "auth": {"basic": True}, "server": {"port": 0}}
settings = settings_module.read(overrides=overrides)

@dataclass
class StandIn:
    settings: Any
    store: Any
    engine = SimpleNamespace(pinned=lambda: SimpleNamespace(pins=list))
    @property
    def accounts(self) -> Accounts:
        return Accounts.open(self.settings)

    def stored(self, user):
        return {}
    def plan(self, *given):
        return SimpleNamespace(graph=()), []
    def runner(self, run, on_event, is_cancelled):
        (folder / "started").touch()
        while not is_cancelled():
            time.sleep(0.05)
        (folder / "cancelled").touch()
        return Outcome(cancelled=True)

def open_backend():
    store = Store.open(f"sqlite:///{folder / 'store.sqlite'}")
    store.users.add("ada", "lovelace", replace=True)
    return StandIn(settings, store)

listener = bind(settings)
print(listener.getsockname()[1], flush=True)
serve(open_backend, settings, listener)
"""


def overridden(**server: Any) -> settings_module.Settings:
    return settings_module.read(overrides={"server": server})


def test_a_port_in_use_is_one_line() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(SettingsError, match=f"^port {port} on 127.0.0.1 is in use; .*$"):
            bind(overridden(port=port))


@pytest.mark.parametrize(("host", "port"), [("192.0.2.1", 8080), ("127.0.0.1", 70_000)])
def test_addresses_that_cannot_be(host: str, port: int) -> None:
    with pytest.raises(SettingsError, match=f"{port}"):
        bind(overridden(host=host, port=port))


def test_running_requests_get_their_grace() -> None:
    alive, now = True, 100.0
    stop = Stop(lambda: alive, clock=lambda: now)
    assert not stop()
    alive = False
    assert not stop()
    now += GRACE_SECONDS - 0.1
    assert not stop()
    now += 0.2
    assert stop()


def _get(url: str, **options: Any) -> Any:
    with urllib.request.urlopen(urllib.request.Request(url, **options), timeout=30) as response:
        return json.loads(response.read())


def test_it_serves_and_stops_with_everything_it_started(tmp_path: Path) -> None:
    program = [sys.executable, "-c", SERVER, str(tmp_path)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        root = f"http://127.0.0.1:{server.stdout.readline().strip()}/openeo/1.2"
        assert _get(f"{root}/health") == {"status": "ok", "store": "ok"}
        children = _children(server.pid)
        _expect_openeo_errors(root)
        assert children
        # A client that hangs up ends its computation, through gunicorn too.
        body = json.dumps({"process": {"process_graph": {}}}).encode()
        headers = {"Authorization": _login(root), "Content-Type": "application/json"}
        with pytest.raises(TimeoutError):
            urllib.request.urlopen(urllib.request.Request(f"{root}/result", data=body, headers=headers), timeout=1)
        _wait(lambda: (tmp_path / "cancelled").exists())
        server.send_signal(signal.SIGTERM)
        _, errors = server.communicate(timeout=30)
    assert server.returncode == 0, errors
    assert "Traceback" not in errors
    assert all(not Path(f"/proc/{child}").exists() for child in children)


def _expect_openeo_errors(root: str) -> None:
    """What gunicorn refuses by itself is an openEO error too, and so is a body above the limit."""
    host, port = root.split("/")[2].split(":")
    sent = {
        b"GARBAGE\r\n\r\n": 400,
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n": 414,
    }
    for request, status in sent.items():
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(request)
            head, _, body = connection.makefile("rb").read().partition(b"\r\n\r\n")
        assert head.startswith(f"HTTP/1.1 {status} ".encode())
        assert b"Access-Control-Allow-Origin: *" in head
        assert json.loads(body)["code"] == "RequestInvalid"
    chunks = iter([b'{"a": "', *[b"x" * 1_000_000] * 33, b'"}'])
    headers = {"Content-Type": "application/json"}
    for data in (chunks, b'{"a": "' + b"x" * 33_000_000 + b'"}'):
        answer = requests.post(f"{root}/validation", data=data, headers=headers, timeout=30)
        assert (answer.status_code, answer.json()["code"]) == (413, "RequestTooLarge")


def _login(root: str) -> str:
    token = _get(f"{root}/credentials/basic", headers={"Authorization": "Basic YWRhOmxvdmVsYWNl"})
    return f"Bearer {token['access_token']}"


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(child) for child in text.split()]


def _wait(condition: Any, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
