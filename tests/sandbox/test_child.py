"""Children end, one way or another, and their parents notice."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from openeo_backend.sandbox import forkserver
from openeo_backend.sandbox.child import UNKNOWN, Child, run_child


@pytest.fixture
def server() -> Iterator[forkserver.Spawned]:
    server = forkserver.Spawned("child_targets")
    yield server
    server.close()


def ignore(event: Any) -> None:
    """Take no notice."""


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition: Any, seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_a_child_answers_and_tells_its_news_in_order() -> None:
    events: list[Any] = []
    ending = run_child("child_targets:echo", {"events": 100, "text": "é"}, events.append)
    assert ending.kind == "done"
    assert ending.answer is not None
    assert ending.answer["payload"] == {"events": 100, "text": "é"}
    assert ending.answer["pid"] != os.getpid()
    assert [event["number"] for event in events] == list(range(100))


@pytest.mark.parametrize(("dies", "told"), [(False, [0, 1, 2, 3, 4, 5]), (True, [0, 1, 2])])
def test_news_that_may_wait_come_with_others_in_order(dies: bool, told: list[int]) -> None:
    events: list[Any] = []
    ending = run_child("child_targets:tell_some_later", {"dies": dies}, events.append)
    assert ending.kind == ("died" if dies else "done")
    assert [event["number"] for event in events] == told


def test_a_killed_child_ends_only_itself() -> None:
    events: list[Any] = []
    ending = run_child("child_targets:kill_itself", {}, events.append)
    assert (ending.kind, ending.exit_code) == ("died", -9)
    assert events == [{"about": "to die"}]


def test_a_crash_is_told_by_the_exit_status() -> None:
    ending = run_child("child_targets:crash", {}, ignore)
    assert (ending.kind, ending.exit_code) == ("died", 1)


def test_cancelling_and_deadlines_end_the_child(tmp_path: Path) -> None:
    for name, options in (("cancelled", {"cancelled": None}), ("deadline", {"seconds": 1.0})):
        file = tmp_path / name
        started = time.monotonic()
        if name == "cancelled":
            options = {"cancelled": file.exists}
        ending = run_child("child_targets:sleep", {"pid_file": str(file)}, ignore, **options)
        assert ending.kind == name
        assert time.monotonic() - started < 20
        if file.exists() and file.read_text():
            assert not is_running(int(file.read_text()))


def test_a_child_ends_with_its_parent(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from openeo_backend.sandbox.child import run_child\n"
        "if __name__ == '__main__':\n"
        "    run_child('child_targets:sleep', {'pid_file': sys.argv[2]}, lambda event: None)\n"
    )
    script = tmp_path / "parent.py"
    script.write_text(code)
    parent = subprocess.Popen([sys.executable, str(script), str(Path(__file__).parent), str(file)])
    try:
        assert wait_for(lambda: file.exists() and file.read_text(), 60)
        pid = int(file.read_text())
        assert is_running(pid)
        parent.kill()
        parent.wait()
        assert wait_for(lambda: not is_running(pid))
    finally:
        parent.kill()
        parent.wait()


def test_a_child_that_takes_too_much_memory_is_ended() -> None:
    ending = run_child("child_targets:grow", {}, ignore, memory_mb=400)
    assert ending.kind == "memory"
    assert 400 < ending.memory_mb < 650
    ending = run_child("child_targets:grow", {}, ignore, memory_mb=4000)
    assert ending.kind == "done"
    assert ending.memory_mb > 500


def test_a_fork_server_that_dies_is_replaced(server: forkserver.Spawned) -> None:
    work = ("child_targets:echo", {"events": 1, "text": "e"}, ignore)
    assert run_child(*work, server=server).kind == "done"
    first = server.pid
    os.kill(first, signal.SIGKILL)
    assert run_child(*work, server=server).kind == "done"
    assert server.pid != first


def test_a_fork_server_that_dies_while_it_is_asked_is_asked_again(server: forkserver.Spawned) -> None:

    class Dying:
        """The first request is lost with the server that took it."""

        asked = 0

        def fork(self, channel: socket.socket, status: socket.socket) -> None:
            self.asked += 1
            if self.asked > 1:
                server.fork(channel, status)

    dying = Dying()
    assert run_child("child_targets:echo", {"events": 1, "text": "e"}, ignore, server=dying).kind == "done"
    assert dying.asked == 2


def test_children_outlive_their_fork_server(server: forkserver.Spawned) -> None:
    events: list[Any] = []

    def kill_server(event: Any) -> None:
        events.append(event)
        if len(events) == 1:
            os.kill(server.pid, signal.SIGKILL)

    ending = run_child("child_targets:echo", {"events": 3, "text": "e"}, kill_server, server=server)
    assert (ending.kind, len(events)) == ("done", 3)
    events.clear()
    ending = run_child("child_targets:kill_itself", {}, kill_server, server=server)
    assert (ending.kind, ending.exit_code) in (("died", -9), ("died", UNKNOWN))


def test_a_child_does_one_thing_after_the_other() -> None:
    child = Child(forkserver.own())
    try:
        answers = [child.work("child_targets:echo", {"events": 0, "text": str(n)}, ignore).answer for n in range(3)]
        assert [answer["payload"]["text"] for answer in answers if answer] == ["0", "1", "2"]
        assert len({answer["pid"] for answer in answers if answer}) == 1
        pid = child.pid
    finally:
        child.end()
    assert wait_for(lambda: not is_running(pid))


def test_what_is_prepared_for_later_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that are there go first; preparations follow when there are none."""
    monkeypatch.setattr(forkserver, "IDLE_SECONDS", 0.0)
    done: list[str] = []
    monkeypatch.setattr(forkserver, "_answer", lambda *_: done.append("asked") or end.recv(9) == b"again")
    ours, end = forkserver.pair()
    ours.send(b"again")

    def later() -> None:
        done.append("prepared")
        ours.send(b"stop")

    forkserver.serve(end, lambda channel: None, [later])
    assert done == ["asked", "prepared", "asked"]
    ours.close()
    end.close()
