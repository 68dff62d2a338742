"""One user's requests are computed one after the other, and leave time to others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from openeo_backend.api import pace
from openeo_backend.api.pace import PAUSE, Pace
from openeo_backend.observe.aside import aside


class World:
    """An application under a pace: what its requests do is handed in, and when they began is noted."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self.began: dict[str, float] = {}
        self._pool = pool
        self._paced = Pace().around(self._answer, lambda environ: environ["user"])

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.began[environ["name"]] = time.monotonic()
        environ["action"]()
        return []

    def ask(self, user: bytes, name: str, action: Callable[[], object]) -> Future[Any]:
        return self._pool.submit(self._paced, {"user": user, "name": name, "action": action}, None)

    def wait(self, name: str) -> None:
        end = time.monotonic() + 20
        while name not in self.began:
            assert time.monotonic() < end, f"{name} did not begin"
            time.sleep(0.001)


@pytest.fixture
def world() -> Any:
    with ThreadPoolExecutor(8) as pool:
        yield World(pool)


def working_until(done: threading.Event) -> Callable[[], object]:
    def work() -> None:
        end = time.monotonic() + 20
        while not done.is_set():
            assert time.monotonic() < end

    return work


def working(seconds: float) -> Callable[[], object]:
    def work() -> None:
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            pass

    return work


def test_t16_requests_of_a_user_are_computed_one_by_one_and_others_beside_them(world: World) -> None:
    done = threading.Event()
    first = world.ask(b"ada", "first", working_until(done))
    world.wait("first")
    second = world.ask(b"ada", "second", lambda: None)
    world.ask(b"bob", "other", lambda: None).result(20)
    time.sleep(0.5)
    assert "second" not in world.began
    done.set()
    first.result(20)
    second.result(20)


def test_what_waits_lets_the_next_one_go_on(world: World) -> None:
    done = threading.Event()

    def wait() -> None:
        with aside():
            assert done.wait(20)

    first = world.ask(b"ada", "first", wait)
    world.wait("first")
    world.ask(b"ada", "second", lambda: None).result(20)
    done.set()
    first.result(20)


def test_what_waits_without_saying_so_is_overtaken(world: World) -> None:
    done = threading.Event()
    first = world.ask(b"ada", "first", lambda: done.wait(20))
    world.wait("first")
    rest = [world.ask(b"ada", f"next {number}", lambda: None) for number in range(3)]
    for call in rest:
        call.result(20)
    done.set()
    first.result(20)


@pytest.mark.parametrize("others", [True, False])
def test_t16_a_flood_leaves_time_to_others(world: World, others: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "RECENT", 60.0)
    if others:
        world.ask(b"bob", "other", lambda: None).result(20)
    gate = threading.Event()

    def work() -> None:
        working_until(gate)()
        working(0.2)()

    first = world.ask(b"ada", "first", work)
    world.wait("first")
    second = world.ask(b"ada", "second", lambda: None)
    time.sleep(0.05)  # it waits by now
    gate.set()
    first.result(20)
    ended = time.monotonic()
    second.result(20)
    paused = world.began["second"] - ended
    assert paused > 0.2 * PAUSE * 0.9 if others else paused < 0.2 * PAUSE * 0.9


def test_failures_end_turns(world: World) -> None:
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        world.ask(b"ada", "first", fail).result(20)
    world.ask(b"ada", "second", lambda: None).result(20)
