"""Shares of what all users have together: nobody gets all of it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from openeo_backend.errors import OpenEOError


class Shares:
    """Counts what each user holds.

    :param what: what is shared, for messages.
    :param total: how many there are for all; None for no limit.
    :param each: how many one user may hold.
    :param hint: what to do when they are taken.
    """

    def __init__(self, what: str, total: int | None, each: int, hint: str) -> None:
        self._what, self._total, self._each, self._hint = what, total, each, hint
        self._held: Counter[str] = Counter()
        self._lock = threading.Lock()

    def take(self, user: str, each: int | None = None) -> None:
        """Take one.

        :param each: what this user may hold, instead of what others may.
        :raises OpenEOError: TooManyRequests at once where all are taken: a request that waits would take a thread
            from those who only want to look.
        """
        each = self._each if each is None else each
        with self._lock:
            if self._total is not None and self._held.total() >= self._total:
                raise self._taken(f"All {self._total} {self._what} are taken.")
            if self._held[user] >= each:
                who = "one user" if user else "all who have not logged in"
                raise self._taken(f"All {each} {self._what} that {who} may hold at a time are taken.")
            self._held[user] += 1

    def give_back(self, user: str) -> None:
        with self._lock:
            self._held[user] -= 1
            if self._held[user] <= 0:
                del self._held[user]

    @contextmanager
    def hold(self, user: str, each: int | None = None) -> Iterator[None]:
        """Hold one within; :raises OpenEOError: as `take`."""
        self.take(user, each)
        try:
            yield
        finally:
            self.give_back(user)

    def _taken(self, message: str) -> OpenEOError:
        return OpenEOError("TooManyRequests", message, hint=self._hint, data={"retry_after": 10})
