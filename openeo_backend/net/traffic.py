"""How much came over the network."""

from __future__ import annotations

import threading


class Traffic:
    """Counts bytes received, for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._received = 0

    @property
    def received(self) -> int:
        return self._received

    def add(self, count: int) -> None:
        with self._lock:
            self._received += count
