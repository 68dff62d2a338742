"""Things that nobody waits for, done a moment later in one thread: not while an answer is on its way."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

from openeo_backend.observe.process import one_per_process

log = logging.getLogger(__name__)

#: Seconds for which things are left to lie: longer than several small requests take, whose logs are then written
#: together then.
DELAY = 0.1


class Later:
    """Calls functions in the order in which they were given."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._lock = threading.Lock()
        self._runs = False

    def do(self, action: Callable[[], object]) -> None:
        """Have a function called; what it raises is for the operator's log."""
        self._waiting.put(action)
        with self._lock:
            if not self._runs:
                self._runs = True
                threading.Thread(target=self._run, name="later", daemon=True).start()

    def finish(self, seconds: float) -> bool:
        """Wait until all that was given has been done, so many seconds at most; whether it was."""
        done = threading.Event()
        self.do(done.set)
        return done.wait(seconds)

    def _run(self) -> None:
        while True:
            action = self._waiting.get()
            time.sleep(DELAY)
            try:
                action()
            except Exception:  # noqa: BLE001 - the others have their turn whatever happens to one
                log.exception("something that nobody waits for failed")
            del action


later = one_per_process(Later)
"""That of this process."""
