"""Results of searches, kept for a short while."""

from __future__ import annotations

import gc
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

from openeo_backend.catalog.item import Item

#: Most searches that are kept.
_MOST = 64


@dataclass(frozen=True, eq=False)
class Found:
    """What a search found."""

    items: Sequence[Item]
    told: Sequence[str]
    """What seemed to be wrong with it."""

    until: float = 0.0


class Searches:
    """The latest searches, by what was asked.

    :param seconds: how long they are kept; 0 keeps none.
    :param most: items that they may have together.
    """

    def __init__(self, seconds: float, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._most, self._clock = seconds, most, clock
        self._kept: OrderedDict[str, Found] = OrderedDict()
        self._lock = Lock()

    def get(self, asked: str, search: Callable[[], Found]) -> Found:
        """What was found when the same was asked a short while ago, else what `search` finds now."""
        with self._lock:
            known = self._kept.get(asked)
            if known is not None and self._clock() < known.until:
                return known
        found = search()
        if self._seconds > 0 and len(found.items) <= self._most and not found.told:
            with self._lock:
                self._kept.pop(asked, None)
                self._kept[asked] = Found(found.items, found.told, self._clock() + self._seconds)
                while len(self._kept) > _MOST or sum(len(kept.items) for kept in self._kept.values()) > self._most:
                    self._kept.popitem(last=False)
        return found


@contextmanager
def uncollected() -> Iterator[None]:
    """Within, Python does not look for cycles of objects that nobody needs: in very many documents, where there are
    none, looking takes as long as reading them."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
