"""Fetching what is read next while other threads compute."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future

Release = Callable[[], None]
Submit = Callable[[Callable[[], Release]], Future[Release]]


class ReadAhead:
    """Runs the first jobs of a list before their turn.

    :param submit: runs a job in another thread.
    :param jobs: each fetches what one step needs, and returns how to let it go.
    :param most: how many of them run ahead of the step that is done.
    """

    def __init__(
        self,
        submit: Callable[[Callable[[], Release]], Future[Release]],
        jobs: Sequence[Callable[[], Release]],
        most: int,
    ) -> None:
        self._submit, self._jobs, self._most = submit, jobs, most
        self._started: list[Future[Release]] = []
        self._done = 0

    def __enter__(self) -> ReadAhead:
        self._start(self._most)
        return self

    def __exit__(self, *error: object) -> None:
        """Let everything go. Jobs that run come to their end."""
        for future in self._started[self._done :]:
            future.cancel()
        self._release(len(self._started))

    def reach(self, number: int) -> None:
        """Wait for what a step needs, let go what those before needed."""
        if not self._jobs:
            return
        self._release(number)
        self._start(number + self._most)
        self._started[number].result()

    def _start(self, until: int) -> None:
        while len(self._started) < min(until, len(self._jobs)):
            self._started.append(self._submit(self._jobs[len(self._started)]))

    def _release(self, until: int) -> None:
        for future in self._started[self._done : until]:
            if not future.cancelled() and future.exception() is None:
                future.result()()
        self._done = max(self._done, until)
