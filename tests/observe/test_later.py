"""What nobody waits for is done, in order, whatever happens to one."""

from __future__ import annotations

import logging
import threading

import pytest

from openeo_backend.observe.later import Later


def test_all_is_done_in_order_in_another_thread(caplog: pytest.LogCaptureFixture) -> None:
    done: list[tuple[int, bool]] = []
    later = Later()

    def note(number: int) -> None:
        if number == 1:
            raise RuntimeError("the second fails")
        done.append((number, threading.current_thread() is threading.main_thread()))

    with caplog.at_level(logging.ERROR):
        for number in range(4):
            later.do(lambda number=number: note(number))
        assert later.finish(10)
    assert done == [(0, False), (2, False), (3, False)]
    assert "the second fails" in caplog.text


def test_who_waits_for_something_slow_is_told_that_it_is_not_done() -> None:
    later, go = Later(), threading.Event()
    later.do(lambda: go.wait(10))
    assert not later.finish(0.05)
    go.set()
    assert later.finish(10)
