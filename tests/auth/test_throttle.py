"""The brake on guessing."""

from __future__ import annotations

import pytest

from openeo_backend.auth.throttle import Throttle
from openeo_backend.errors import OpenEOError


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def refused(throttle: Throttle, key: str) -> int | None:
    """For how long a key is refused."""
    try:
        throttle.check(key)
    except OpenEOError as error:
        return error.data["retry_after"] if error.code == "TooManyRequests" else -1
    return None


def test_failures_age_out() -> None:
    clock = Clock()
    throttle = Throttle(3, 60, clock=clock)
    for second in (0, 10, 20):
        clock.now = second
        assert refused(throttle, "ada") is None
        throttle.fail("ada")
    assert refused(throttle, "ada") == 40
    assert refused(throttle, "bob") is None
    clock.now = 59.5
    assert refused(throttle, "ada") == 1
    clock.now = 60
    assert refused(throttle, "ada") is None
    throttle.fail("ada")
    assert refused(throttle, "ada") == 10


def test_success_forgets() -> None:
    throttle = Throttle(1, 60)
    throttle.fail("ada")
    throttle.succeed("ada")
    assert refused(throttle, "ada") is None


def test_memory_is_bounded() -> None:
    throttle = Throttle(1, 60, keys=2)
    for name in ("a", "b", "c"):
        throttle.fail(name)
    assert refused(throttle, "a") is None
    with pytest.raises(OpenEOError):
        throttle.check("b")
    with pytest.raises(OpenEOError):
        throttle.check("c")
