"""An end, and a limit on memory, for what runs in the process of the tests."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Seconds of the clock for running a graph (requests are stopped, too).
RUNNING = 20

#: Memory for running a graph, besides what the tests have.
MEMORY = 4 * 2**30


class Stopped(BaseException):
    """A run took as long as a request may."""


@contextmanager
def limited(memory: int = MEMORY) -> Iterator[None]:
    """What the child of a request has."""

    def stop(*_: object) -> None:
        raise Stopped

    before = signal.signal(signal.SIGALRM, stop)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + memory, hard))
    signal.alarm(RUNNING)
    try:
        yield
    finally:
        signal.alarm(0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.signal(signal.SIGALRM, before)
