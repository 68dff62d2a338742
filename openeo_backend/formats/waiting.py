"""What becomes of a window while others come first: results of windows come in order, but are not made in order."""

from __future__ import annotations

import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryFile
from typing import IO, Generic, TypeVar

from openeo_backend.formats.asset import Progress
from openeo_backend.observe.share import Share

T = TypeVar("T")

#: Seconds after which whoever waits is told so.
TELL_SECONDS = 1.0


class Waiting(Generic[T]):
    """The results of a window on their way from the thread that makes them to the one that takes them.

    Those that are made before it is the window's turn wait in a file: how many there are depends on chance, and so
    would the memory that they take.

    :param folder: where the file is; None: they wait in memory.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._found = SimpleQueue[T | _Stored | None]()
        self._file: IO[bytes] | None = None
        self._lock = threading.Lock()
        self._is_due = False

    def put(self, result: T) -> None:
        """Hand on a result."""
        self._found.put(result if self._folder is None or self._is_due else self._store(result, self._folder))

    def end(self) -> None:
        """Tell that nothing more comes."""
        self._found.put(None)

    def taken(self, tell: Callable[[], None]) -> Iterator[T]:
        """All results in their order. It is the window's turn now.

        :param tell: called every second of waiting.
        """
        self._is_due = True
        while True:
            try:
                found = self._found.get(timeout=TELL_SECONDS)
            except Empty:
                tell()
                continue
            if found is None:
                return
            if isinstance(found, _Stored):
                found = self._load(found)
            yield found
            del found

    def close(self) -> None:
        """Let go of what nobody took; nothing may be put any more."""
        if self._file is not None:
            self._file.close()

    def _store(self, result: T, folder: Path) -> _Stored:
        with self._lock:
            if self._file is None:
                self._file = TemporaryFile(dir=folder)  # noqa: SIM115 - closed by `close`
            place = self._file.seek(0, os.SEEK_END)
            pickle.dump(result, self._file, pickle.HIGHEST_PROTOCOL)
        return _Stored(place)

    def _load(self, stored: _Stored) -> T:
        with self._lock:
            assert self._file is not None
            self._file.seek(stored)
            result: T = pickle.load(self._file)  # noqa: S301 - its own, in a file that nobody else can open
        return result


class _Stored(int):
    """Where a result begins in the file."""


class Told(Share):
    """Of an only window that the caller's thread computes: `progress` is told there, every second at most."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress, self._since = progress, time.monotonic()

    def tell(self, part: float) -> None:
        super().tell(part)
        if time.monotonic() - self._since >= TELL_SECONDS:
            self._since = time.monotonic()
            self._progress(self.value, 1)
