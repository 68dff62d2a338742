"""The worker: claims jobs, keeps their leases, clears away what is not needed any more."""

from __future__ import annotations

import fcntl
import logging
import os
import random
import shutil
import socket
import threading
import time
import uuid
from pathlib import Path
from typing import IO

from sqlalchemy.exc import SQLAlchemyError

from openeo_backend.errors import OpenEOError
from openeo_backend.files.objects import Objects
from openeo_backend.jobs.accounts import Accounts
from openeo_backend.jobs.attempt import Attempt, StoredProcesses
from openeo_backend.jobs.outbox import Outbox
from openeo_backend.jobs.queue import Queue
from openeo_backend.jobs.sweep import sweep
from openeo_backend.jobs.waiting import look
from openeo_backend.net.door import Door
from openeo_backend.run.runner import Runner
from openeo_backend.settings import Settings
from openeo_backend.store.store import Store

log = logging.getLogger(__name__)

#: Seconds between two sweeps.
SWEEP_SECONDS = 60.0
#: Seconds until a resting worker sees that it is to stop.
STOP_SECONDS = 0.1
#: Seconds a stopped run has to end its child.
END_SECONDS = 10.0


class Worker:
    """Works on up to `jobs.workers` jobs at the same time.

    :param runner: evaluates a process; its children must end when this process does.
    :param stored: the stored processes of a user.
    """

    def __init__(
        self,
        store: Store,
        objects: Objects,
        runner: Runner,
        settings: Settings,
        stored: StoredProcesses = lambda user: {},
    ) -> None:
        self.id = f"{socket.gethostname()[:60]}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._store = store
        self._accounts = Accounts.open(settings)
        self._outbox = Outbox(store.reports, self._accounts.service, settings.billing.accounting)
        self._queue = Queue(store.database, settings.jobs, self._accounts.close)
        self._objects = objects
        self._runner = runner
        self._settings = settings
        self._stored = stored
        self._attempts: list[Attempt] = []
        self._swept = float("-inf")
        self._emptied: set[str] = set()
        self._ended = threading.Event()
        self._door = Door(settings.net, tuple(settings.catalog.sources))
        self._looking: threading.Thread | None = None
        self._delivering: threading.Thread | None = None

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; then let running jobs end for `jobs.drain_seconds` and give back the others."""
        with _scratch(self._settings.data_dir / "work", self.id) as folder:
            while not stop.is_set():
                self._step(folder)
                self._rest(stop, self._pause())
            self._drain()

    def wake(self) -> None:
        """Look for jobs now: there is a new one."""
        self._ended.set()

    def run_once(self) -> bool:
        """Work on one job, if there is one, until it has ended; whether there was one."""
        with _scratch(self._settings.data_dir / "work", self.id) as folder:
            found = self._claim(folder)
            while self._attempts:
                self._attempts[0].join(self._beat_seconds() / 4)
                self._beat()
            return found

    def _step(self, folder: Path) -> None:
        """One round of the loop. The database may be away: then the next round tries again."""
        self._beat()
        try:
            while len(self._attempts) < self._settings.jobs.workers and self._claim(folder):
                pass
            if time.monotonic() - self._swept > SWEEP_SECONDS:
                self._swept = time.monotonic()
                sweep(self._store, self._objects, self._settings.jobs, self._emptied)
            if self._looking is None or not self._looking.is_alive():
                self._looking = threading.Thread(target=self._look, name="waiting-jobs", daemon=True)
                self._looking.start()
            if self._delivering is None or not self._delivering.is_alive():
                self._delivering = threading.Thread(target=self._deliver, name="usage-reports", daemon=True)
                self._delivering.start()
        except (SQLAlchemyError, OpenEOError) as error:
            log.warning("worker %s: trying again: %s", self.id, error)

    def _look(self) -> None:
        """Look for what waiting jobs wait for; in a thread, because other servers may be slow."""
        try:
            look(self._store, self._queue, self._door, self._settings.jobs.wait_seconds)
        except (SQLAlchemyError, OpenEOError) as error:
            log.warning("worker %s: cannot look for what jobs wait for: %s", self.id, error)

    def _deliver(self) -> None:
        """Deliver reports of usage; in a thread, because the accounting service may be slow."""
        try:
            self._outbox.deliver()
        except SQLAlchemyError as error:
            log.warning("worker %s: cannot deliver reports of usage: %s", self.id, error)

    def _claim(self, folder: Path) -> bool:
        lease = self._queue.claim(self.id)
        if lease is None:
            return False
        log.info("worker %s: job %s, attempt %d", self.id, lease.job.id, lease.attempt)
        place = folder / f"{lease.job.id}-{lease.attempt}"
        attempt = Attempt(
            lease,
            self._queue,
            self._objects,
            self._runner,
            self._settings,
            place,
            self._stored,
            self._accounts,
            self._ended.set,
        )
        self._attempts.append(attempt)
        attempt.start()
        return True

    def _beat(self) -> None:
        self._attempts = [attempt for attempt in self._attempts if attempt.is_alive()]
        for attempt in self._attempts:
            attempt.beat()

    def _drain(self) -> None:
        self._beat_until(time.monotonic() + self._settings.jobs.drain_seconds)
        for attempt in self._attempts:
            attempt.stop()
        self._beat_until(time.monotonic() + END_SECONDS)
        for attempt in self._attempts:
            log.warning("worker %s: job %s did not end; its lease will expire", self.id, attempt.lease.job.id)

    def _beat_until(self, end: float) -> None:
        while self._attempts and time.monotonic() < end:
            self._attempts[0].join(min(self._beat_seconds(), max(0.01, end - time.monotonic())))
            self._beat()

    def _rest(self, stop: threading.Event, seconds: float) -> None:
        """Wait; not longer than until there is a new job, or one ends, whose place another one can take."""
        end = time.monotonic() + seconds
        while not stop.is_set() and (left := end - time.monotonic()) > 0:
            if self._ended.wait(min(left, STOP_SECONDS)):
                break
        self._ended.clear()

    def _beat_seconds(self) -> float:
        return min(2.0, self._settings.jobs.lease_seconds / 4)

    def _pause(self) -> float:
        """Waiting times differ a little, so that workers do not ask in step."""
        pause = self._settings.jobs.poll_seconds * random.uniform(0.8, 1.2)  # noqa: S311
        return min(pause, self._beat_seconds()) if self._attempts else pause


class _scratch:  # noqa: N801 - a context manager, used like a function
    """A folder for a worker's runs. Folders of workers that died on this machine are removed.

    A living worker holds a lock on its folder, which ends with its process, however that ends.
    """

    def __init__(self, parent: Path, worker: str) -> None:
        self._folder = parent / worker

    def __enter__(self) -> Path:
        draft = self._folder.with_name(f".{self._folder.name}")  # not seen by others before it is locked
        draft.mkdir(parents=True)
        self._lock = _lock(draft / "lock")
        draft.rename(self._folder)
        for other in self._folder.parent.iterdir():
            if other.name.startswith(".") or other == self._folder or not (other / "lock").is_file():
                continue
            if lock := _lock(other / "lock"):
                shutil.rmtree(other, ignore_errors=True)
                lock.close()
        return self._folder

    def __exit__(self, *failure: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._lock is not None:
            self._lock.close()


def _lock(file: Path) -> IO[bytes] | None:
    """The open file if nobody holds its lock, else None."""
    try:
        stream = file.open("ab")
    except OSError:
        return None  # removed meanwhile
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        stream.close()
        return None
    return stream
