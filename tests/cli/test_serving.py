"""Serving: children that die are started again, and nothing stays behind."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live_server import serving as serving_node

from openeo_backend.cli import serving


def children(pid: int) -> list[int]:
    """Processes below a process, all generations."""
    found: list[int] = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            child = int(stat.parent.name)
            found += [child, *children(child)]
    return found


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer)


def wait_healthy(port: int, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            assert get(f"http://127.0.0.1:{port}/openeo/1.2/health")["status"] == "ok"
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    command = [sys.executable, "-m", "openeo_backend.cli", "serve", "--data-dir", str(tmp_path / "data")]
    environment = {**os.environ, "OPENEO_BACKEND__SERVER__PORT": "0"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    assert process.stdout is not None
    line = process.stdout.readline()
    port = int(line.split("http://127.0.0.1:")[1].split("/")[0])
    try:
        yield process, port
    finally:
        process.stdout.close()
        for child in children(process.pid):
            os.kill(child, signal.SIGKILL)
        process.kill()
        process.wait()


def test_a_killed_child_is_replaced_and_a_stop_leaves_nothing(server: tuple[subprocess.Popen[str], int]) -> None:
    process, port = server
    wait_healthy(port)
    everything = children(process.pid)
    direct = [pid for pid in everything if os.path.exists(f"/proc/{pid}") and _parent(pid) == process.pid]
    names = sorted(Path(f"/proc/{pid}/comm").read_text().strip() for pid in direct)
    assert names == ["openeo api", "openeo fork ser", "openeo worker"]
    for pid in direct:
        os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + 60
    while not (now := [pid for pid in children(process.pid) if _parent(pid) == process.pid and pid not in direct]):
        assert time.monotonic() < end
        time.sleep(0.1)
    wait_healthy(port)
    assert now
    everything = children(process.pid)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    end = time.monotonic() + 20
    while left := [pid for pid in everything if _alive(pid)]:
        assert time.monotonic() < end, left
        time.sleep(0.1)


@pytest.mark.parametrize(("starts", "goes_on"), [(1, False), (2, True)])
def test_an_api_that_cannot_start_again_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, starts: int, goes_on: bool
) -> None:
    """A database that is away when the api is started again comes back; settings that are wrong at first do not."""
    begun: list[int] = []

    def start(role: serving.Role) -> None:
        begun.append(role.starts)
        role.starts += 1
        role.started = time.monotonic()
        words = "exit 3" if len(begun) < 3 else "kill $PPID; exit 3"
        role.pid = os.posix_spawn("/bin/sh", ["sh", "-c", words], os.environ)

    monkeypatch.setattr(serving, "_start", start)
    role = serving.Role("api", lambda: 0, starts=starts - 1)
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        status = serving._watch([role])
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
    assert (len(begun) > 1) == goes_on
    assert status == (0 if goes_on else 3)


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_worker_beside_the_api_starts_a_job_at_once(tmp_path: Path) -> None:
    """It looks for jobs once an hour, and is told of new ones."""
    settings = {"JOBS__POLL_SECONDS": "3600"}
    process = {"process_graph": {"a": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}}
    with serving_node(tmp_path, None, "ada", "lovelace", settings=settings) as node:
        basic = base64.b64encode(b"ada:lovelace").decode()
        token = ask(f"{node.root}/credentials/basic", f"Basic {basic}")["access_token"]
        jobs = f"{node.root}/jobs"
        for _ in range(2):
            id = ask(jobs, f"Bearer basic//{token}", {"process": process})
            ask(f"{jobs}/{id}/results", f"Bearer basic//{token}", {})
            end = time.monotonic() + 60
            while ask(f"{jobs}/{id}", f"Bearer basic//{token}")["status"] != "finished":
                assert time.monotonic() < end
                time.sleep(0.05)


def test_requests_are_answered_after_the_fork_server_and_its_children_were_killed(tmp_path: Path) -> None:
    process = {"process_graph": {"a": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}}
    with serving_node(tmp_path, None, "ada", "lovelace") as node:
        basic = base64.b64encode(b"ada:lovelace").decode()
        token = ask(f"{node.root}/credentials/basic", f"Basic {basic}")["access_token"]
        for _ in range(2):
            assert ask(f"{node.root}/result", f"Bearer basic//{token}", {"process": process}) == 3
            forks = [pid for pid in children(node.pid) if _name(pid) == "openeo fork ser"]
            assert len(forks) >= 2  # the server, and a child that goes on
            for pid in forks:
                os.kill(pid, signal.SIGKILL)
        assert ask(f"{node.root}/result", f"Bearer basic//{token}", {"process": process}) == 3


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def ask(url: str, authorization: str, body: Any = None) -> Any:
    """The JSON document at a URL, or the id of what a body made there."""
    headers = {"Authorization": authorization, "Content-Type": "application/json"}
    request = urllib.request.Request(url, None if body is None else json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        text = answer.read()
        return json.loads(text) if text else answer.headers["OpenEO-Identifier"]
