"""Children that are there, and prepared, before there is work for them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from openeo_backend.sandbox.child import Child, Emit, Ending, NotStartedError, memory_of
from openeo_backend.sandbox.forkserver import Forks

log = logging.getLogger(__name__)

#: Seconds after which a child is replaced: what it learned of catalogs and files is no longer fresh then.
OLDEST = 600.0
#: Pieces of work after which a child is replaced.
MOST_USES = 1000
#: MB that a resting child may hold; one that holds more is replaced.
MOST_MB = 700.0
#: Seconds for which a child that was small enough counts as such: small requests would spend more on looking.
MEMORY_SECONDS = 1.0
#: Seconds between two looks for children that are too old or have died.
LOOK_SECONDS = 30.0


@dataclass
class Ready:
    """A child that waits for work."""

    child: Child
    is_prepared: bool = False
    born: float = field(default_factory=time.monotonic)
    uses: int = 0
    looked: float = 0.0
    """When its memory was looked at last."""

    def is_small(self) -> bool:
        """Whether it holds no more memory than a resting child may, as it was in the last second."""
        if time.monotonic() - self.looked < MEMORY_SECONDS:
            return True
        self.looked = time.monotonic()
        return memory_of(self.child.pid) < MOST_MB

    def is_good(self) -> bool:
        """Whether it may be given work."""
        return self.uses < MOST_USES and time.monotonic() - self.born < OLDEST and self.child.is_alive()


class Pool:
    """Keeps children ready, some of which do one piece of work after the other.

    :param prepare: the first work of each child ("module:function") and its payload.
    :param size: how many are kept ready or at work; one more has never done any.
    """

    def __init__(self, server: Forks, prepare: tuple[str, Mapping[str, Any]], size: int) -> None:
        self._server, self._prepare, self._size = server, prepare, size
        self._lock = threading.Lock()
        self._resting: list[Ready] = []
        self._busy = 0
        self._wanted = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._keep, name="child-pool", daemon=True)

    def start(self) -> None:
        """Begin to prepare children, in a thread."""
        self._wanted.set()
        self._thread.start()

    def close(self) -> None:
        """End all children that rest."""
        self._closed = True
        self._wanted.set()
        if self._thread.is_alive():
            self._thread.join()
        with self._lock:
            resting, self._resting = self._resting, []
        for ready in resting:
            ready.child.end()

    def run(
        self,
        target: str,
        payload: Mapping[str, Any],
        on_event: Emit,
        cancelled: Callable[[], bool] = lambda: False,
        seconds: float | None = None,
        memory_mb: float | None = None,
        *,
        goes_on: bool,
    ) -> Ending:
        """Do work in a child, as :meth:`openeo_backend.sandbox.child.Child.work` does.

        A child that rested and died before it told anything had died of something else: another one does the work.

        :param goes_on: whether the child may have worked before, and may afterwards. Otherwise this is its only work.
        :raises NotStartedError: where no child can be had.
        """
        told = False

        def tell(event: Mapping[str, Any]) -> None:
            nonlocal told
            told = True
            on_event(event)

        for is_last in (False, True):
            ready = self._take(used=goes_on, anew=is_last)
            rested, goes_well = ready.is_prepared or ready.uses > 0, False
            try:
                ending = ready.child.work(target, payload, tell, cancelled, seconds, memory_mb)
                goes_well = ending.kind == "done"
                if ending.kind != "died" or told or not rested or is_last:
                    return ending
            finally:
                self._return(ready, goes_on and goes_well)
        raise AssertionError("unreachable")

    def _take(self, used: bool, anew: bool) -> Ready:
        """A child: a new one, or the last used, if it may be, since its memory is warm; else one without a past."""
        with self._lock:
            self._busy += 1
            fit = [r for r in self._resting if not anew and r.is_good() and (used or not r.uses)]
            chosen = max(fit, key=lambda ready: (ready.uses > 0, ready.born), default=None)
            if chosen is not None:
                self._resting.remove(chosen)
        try:
            return chosen or Ready(Child(self._server))
        except OSError as error:
            with self._lock:
                self._busy -= 1
            raise NotStartedError(str(error)) from error

    def _return(self, ready: Ready, goes_on: bool) -> None:
        ready.uses += 1
        keep = goes_on and ready.is_good() and ready.is_small()
        with self._lock:
            self._busy -= 1
            keep = keep and not self._closed and sum(other.uses > 0 for other in self._resting) < self._size
            if keep:
                self._resting.append(ready)
        if not keep:
            ready.child.end()
        if self._lacks():
            self._wanted.set()

    def _keep(self) -> None:
        """Replace what has gone, until the pool is closed."""
        while not self._closed:
            self._wanted.wait(LOOK_SECONDS)
            self._wanted.clear()
            self._clear()
            while not self._closed and self._lacks():
                if not self._add():
                    self._wanted.wait(1.0)  # a fork server that died is replaced meanwhile
                    break

    def _clear(self) -> None:
        with self._lock:
            gone = [ready for ready in self._resting if not (ready.is_good() and ready.is_small())]
            self._resting = [ready for ready in self._resting if ready not in gone]
        for ready in gone:
            ready.child.end()

    def _lacks(self) -> bool:
        with self._lock:
            fresh = sum(not ready.uses for ready in self._resting)
            return not fresh or len(self._resting) + self._busy < self._size

    def _add(self) -> bool:
        """Prepare one more child; whether that went well."""
        try:
            child = Child(self._server)
        except OSError as error:
            log.warning("no child can be prepared: %s", error)
            return False
        try:
            ending = child.work(*self._prepare, lambda event: None, lambda: self._closed, OLDEST)
        except NotStartedError as error:
            log.warning("no child can be prepared: %s", error)
            ending = Ending("died")
        if ending.kind != "done":
            child.end()
            return False
        with self._lock:
            self._resting.append(Ready(child, is_prepared=True))
        return True
