"""How much of a piece of work is done, while it is being done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class Share:
    """Of a piece of work: the tasks that are done, of those planned, and the part that is done of the task under way.

    Written by the thread that does the work, read by others.
    """

    def __init__(self) -> None:
        self._planned = self._done = 0
        self._part = 0.0

    @property
    def value(self) -> float:
        """From 0 to just below 1: who waits for the work knows when all of it is done."""
        return min((self._done + self._part) / self._planned, 0.99) if self._planned else 0.0

    def plan(self, tasks: int) -> None:
        """So many tasks are to be done."""
        self._planned = tasks

    def count(self) -> None:
        """A task is done."""
        self._done += 1
        self._part = 0.0

    @contextmanager
    def told(self) -> Iterator[None]:
        """Within, :func:`tell` tells this share."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def tell(self, part: float) -> None:
        self._part = min(max(part, 0.0), 1.0)


_current: ContextVar[Share | None] = ContextVar("openeo_share", default=None)


def tell(part: float) -> None:
    """Tell how much of the task under way is done, from 0 to 1, to whoever waits for it."""
    share = _current.get()
    if share is not None:
        share.tell(part)
