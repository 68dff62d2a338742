"""Children that are prepared in advance: who shares them, and who gets one without a past."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from openeo_backend.sandbox import forkserver, pool
from openeo_backend.sandbox.pool import Pool


def ignore(event: Any) -> None:
    """Take no notice."""


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture(scope="module")
def server() -> Iterator[forkserver.Spawned]:
    server = forkserver.Spawned("child_targets")
    yield server
    server.close()


@pytest.fixture
def children(server: forkserver.Spawned) -> Iterator[Pool]:
    """Two children that are prepared."""
    children = Pool(server, ("child_targets:prepare", {"mark": "prepared"}), 2)
    children.start()
    wait_for(lambda: len(children._resting) == 2)
    yield children
    children.close()


def tell(children: Pool, goes_on: bool) -> tuple[int, str]:
    ending = children.run("child_targets:tell", {}, ignore, goes_on=goes_on)
    assert ending.kind == "done"
    assert ending.answer is not None
    return ending.answer["pid"], ending.answer["mark"]


def test_plain_work_is_done_by_one_child_after_the_other_gave_it_back(children: Pool) -> None:
    found = [tell(children, True) for _ in range(5)]
    assert len(set(found)) == 1
    assert found[0][1] == "prepared"


def test_other_work_gets_a_child_without_a_past_that_ends_with_it(children: Pool) -> None:
    shared, _ = tell(children, True)
    alone = []
    for _ in range(3):
        alone.append(tell(children, False)[0])
        wait_for(lambda: not all(ready.uses for ready in children._resting))
    assert len({shared, *alone}) == 4
    assert tell(children, True)[0] == shared


def test_a_child_that_fails_is_of_no_use_any_more(children: Pool) -> None:
    first, _ = tell(children, True)
    assert children.run("child_targets:kill_itself", {}, ignore, goes_on=True).kind == "died"
    late = children.run("child_targets:sleep", {"pid_file": os.devnull}, ignore, seconds=0.5, goes_on=True)
    assert late.kind == "deadline"
    wait_for(lambda: len(children._resting) >= 1)
    assert tell(children, True)[0] != first


def test_resting_children_that_died_or_grew_old_are_replaced(children: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {ready.child.pid for ready in children._resting}
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not any(ready.is_good() for ready in children._resting))
    second, mark = tell(children, True)
    assert second not in before
    wait_for(lambda: len(children._resting) == 2)
    old = {ready.child.pid for ready in children._resting}
    monkeypatch.setattr(pool, "OLDEST", 0.0)
    assert tell(children, True)[0] not in old


def test_work_for_a_child_that_had_just_died_is_done_by_another(
    children: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its death is not seen yet when it is chosen."""
    monkeypatch.setattr(pool.Ready, "is_good", lambda self: True)
    for ready in children._resting:
        os.kill(ready.child.pid, signal.SIGKILL)
    assert tell(children, True)[0]


def test_work_that_kills_its_child_is_not_done_again_and_again(children: Pool) -> None:
    events: list[Any] = []
    assert children.run("child_targets:kill_itself", {}, events.append, goes_on=True).kind == "died"
    assert events == [{"about": "to die"}]
    endings = [children.run("child_targets:crash", {}, ignore, goes_on=True).kind for _ in range(2)]
    assert endings == ["died", "died"]


def test_without_a_prepared_child_work_is_done_nevertheless(server: forkserver.Spawned) -> None:
    children = Pool(server, ("child_targets:prepare", {"mark": "prepared"}), 2)
    assert children.run("child_targets:tell", {}, ignore, goes_on=True).kind == "done"
    for ready in children._resting:
        ready.child.end()
