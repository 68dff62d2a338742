"""Things to do at a time."""

from __future__ import annotations

import logging
import threading

import pytest

from openeo_backend.net.alarm import Alarms, alarms


def test_alarms_come_in_the_order_of_their_times() -> None:
    own, told, last = Alarms(), [], threading.Event()
    own.set(30, told.append, "never")
    own.set(0.1, last.set)
    own.set(0.05, told.append, "second")  # earlier than what the thread waits for
    own.set(0.0, told.append, "first")
    assert last.wait(10)
    assert told == ["first", "second"]


def test_what_is_cancelled_is_not_done() -> None:
    own, told, last = Alarms(), [], threading.Event()
    alarm = own.set(0.02, told.append, "no")
    own.set(0.06, last.set)
    alarm.cancel()
    alarm.cancel()
    assert last.wait(10)
    assert told == []


def test_cancelled_alarms_are_forgotten() -> None:
    own = Alarms()
    kept = own.set(60, print)
    for _ in range(5000):
        own.set(60, print).cancel()
    assert len(own._waiting) < 2000
    assert any(alarm is kept for _, _, alarm in own._waiting)


def test_one_that_fails_leaves_the_others(caplog: pytest.LogCaptureFixture) -> None:
    own, last = Alarms(), threading.Event()

    def fail() -> None:
        raise RuntimeError("not this one")

    with caplog.at_level(logging.CRITICAL, "openeo_backend.net.alarm"):
        own.set(0, fail)
        own.set(0.01, last.set)
        assert last.wait(10)


def test_a_process_has_its_own() -> None:
    assert alarms() is alarms()
