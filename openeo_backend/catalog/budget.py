"""What reading a catalog may take."""

from __future__ import annotations

import time
from threading import Lock

from openeo_backend.errors import OpenEOError

#: Most documents (catalogs, collections, pages; not items, which have a limit of their own) of one reading.
MOST_DOCUMENTS = 10_000

#: Most levels of catalogs below each other.
MOST_LEVELS = 50


class Budget:
    """Documents and seconds that may be spent on one search or one walk along links.

    :param where: what is read, for messages.
    :param seconds: longest time.
    """

    def __init__(self, where: str, seconds: float, documents: int = MOST_DOCUMENTS) -> None:
        self._where, self._seconds, self._documents = where, seconds, documents
        self._end = time.monotonic() + seconds
        self._read = 0
        self._lock = Lock()
        self._seen: set[object] = set()

    def spend(self) -> None:
        """Count one more document.

        :raises OpenEOError: ProcessGraphComplexity where it is one too many, or the time is up.
        """
        with self._lock:
            self._read += 1
        if self._read > self._documents:
            raise self._refuse(f"it has more than {self._documents:,} documents")
        self.check()

    def check(self) -> None:
        """:raises OpenEOError: ProcessGraphComplexity where the time is up."""
        if time.monotonic() > self._end:
            raise self._refuse(f"it takes longer than {self._seconds:g} s")

    def go(self, place: object) -> None:
        """Count one more document, at a place that must be new.

        :raises OpenEOError: as `spend`, and FileContentInvalid where the place was read before.
        """
        if place in self._seen:
            raise OpenEOError("FileContentInvalid", f"The pages of {self._where} lead back to each other.")
        self._seen.add(place)
        self.spend()

    def _refuse(self, reason: str) -> OpenEOError:
        return OpenEOError(
            "ProcessGraphComplexity",
            f"Reading {self._where} was given up: {reason}.",
            hint="Narrow the extents, or give the address of a smaller catalog.",
        )
