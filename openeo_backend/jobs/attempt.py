"""One attempt at a job: run, keep the files, publish."""

from __future__ import annotations

import json
import logging
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from openeo_backend.auth.policy import limits_of
from openeo_backend.errors import OpenEOError
from openeo_backend.files.objects import Objects
from openeo_backend.jobs import options
from openeo_backend.jobs.accounts import Accounts, is_charged
from openeo_backend.jobs.queue import Lease, Queue
from openeo_backend.jobs.waiting import name, overdue, waited
from openeo_backend.observe import clock
from openeo_backend.run.remote import told
from openeo_backend.run.request import Event, Outcome, RunRequest
from openeo_backend.run.results import checksum, describe
from openeo_backend.run.runner import Runner
from openeo_backend.settings import Settings
from openeo_backend.store import trash
from openeo_backend.store.types import finite

log = logging.getLogger(__name__)

StoredProcesses = Callable[[str], Mapping[str, Any]]
"""The stored processes of a user, by id."""

#: Seconds between tries to reach the database at the end of an attempt.
RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)

#: Seconds for which a file of a result is tried to be stored in a storage elsewhere.
STORE_SECONDS = 60.0


class Attempt:
    """A claimed job on its way to its end. `beat` is called from outside while it runs."""

    def __init__(
        self,
        lease: Lease,
        queue: Queue,
        objects: Objects,
        runner: Runner,
        settings: Settings,
        folder: Path,
        stored: StoredProcesses,
        accounts: Accounts,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._accounts = accounts
        self._overrun: str | None = None
        self._on_end = on_end
        self._thread = threading.Thread(target=self.run, name=f"job-{lease.job.id}-{lease.attempt}")
        self.lease = lease
        self._queue = queue
        self._objects = objects
        self._runner = runner
        self._settings = settings
        self._folder = folder
        self._stored = stored
        self._started = time.monotonic()
        self._news = threading.Lock()
        self._sending = threading.Lock()
        self._entries: list[Mapping[str, Any]] = []
        self._progress = 0
        self._usage: dict[str, Any] = {}
        self._is_lost = False
        self._is_stopped = False
        self._has_ended = False
        self._is_over = False

    def start(self) -> None:
        """Run in a thread of its own."""
        self._thread.start()

    def join(self, seconds: float) -> None:
        """Wait for the end, at most so long."""
        self._thread.join(seconds)

    def is_alive(self) -> bool:
        return self._thread.is_alive() and not self._is_over

    def stop(self) -> None:
        """End soon and give the job back: the worker stops."""
        self._is_stopped = True

    def beat(self) -> None:
        """Keep the lease and pass the news on; learn whether the job is still ours.

        A database that cannot be reached changes nothing: news are kept, and the run goes on.
        """
        with self._sending:
            if self._has_ended:
                return
            with self._news:
                entries, progress, usage = list(self._entries), self._progress, dict(self._usage)
            try:
                self._is_lost = not self._queue.beat(self.lease, entries, progress, usage or None)
            except SQLAlchemyError as error:
                log.warning("job %s: no sign of life, the database failed: %s", self.lease.job.id, error)
                return
            with self._news:
                del self._entries[: len(entries)]

    def run(self) -> None:
        """Never raises: whatever happens becomes the end of the job or, if it is not ours any more, nothing."""
        try:
            outcome = self._evaluate()
            if self._is_lost:
                self._retried(self._abandon)
            elif outcome.cancelled and self._overrun:
                self._fail({"code": "PaymentRequired", "message": self._overrun})
            elif outcome.cancelled and self._is_stopped:
                self._end(lambda entries: self._queue.release(self.lease, entries))
            elif outcome.waiting_for is not None:
                self._wait(outcome.waiting_for)
            elif outcome.error is not None:
                self._fail(outcome.error, outcome.lost, outcome.usage)
            elif outcome.cancelled:
                self._fail(
                    {"code": "Internal", "message": "The computation was stopped without anybody asking for it."}
                )
            else:
                self._publish(outcome)
        except OpenEOError as error:
            self._fail(error.json())
        except Exception:  # noqa: BLE001 - the border of a job: one job's failure must not end the worker
            id = uuid.uuid4().hex[:12]
            log.exception("job %s failed inside the worker (error id %s)", self.lease.job.id, id)
            self._fail({"code": "Internal", "message": internal(id)})
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._is_over = True
            self._on_end()

    def _evaluate(self) -> Outcome:
        job = self.lease.job
        self._folder.mkdir(parents=True)
        again = f" (attempt {job.attempt})" if job.attempt > 1 and not job.waiting_since else ""
        what = "goes on: the results that it waited for are there" if job.waiting_since else "started"
        self._tell("info", f"The job {what}{again}.")
        allowed: Mapping[str, Any] = job.limits or options.resolve({}, limits_of(self._settings), self._settings.jobs)
        request = RunRequest(
            id=job.id,
            process=job.process,
            folder=self._folder,
            user=job.user_id,
            roles=allowed.get("roles", ()),
            title=job.title,
            processes=self._stored_processes(),
            remote=job.remote or (),
            options=job.options,
            log_level=job.log_level,
            limit_samples=self._settings.limits.job_samples,
            seconds=allowed["runtime"],
            memory_mb=allowed["memory_mb"],
            threads=allowed.get("threads"),
            previews=True,
        )
        return self._runner(request, self._hear, lambda: self._is_lost or self._is_stopped or bool(self._overrun))

    def _stored_processes(self) -> Mapping[str, Any]:
        found: dict[str, Any] = {}

        def read() -> bool:
            found.update(self._stored(self.lease.job.user_id))
            return True

        if not self._retried(read):
            raise OpenEOError("InfrastructureBusy", "The server cannot use its database at the moment.")
        return found

    def _hear(self, event: Event) -> None:
        if event.kind == "log":
            with self._news:
                self._entries.append({"time": clock.moment(), **event.data})
        elif event.kind == "usage":
            with self._news:
                self._usage |= event.data
            job = self.lease.job
            self._overrun = self._accounts.overrun(job.plan, "job", job.budget, self._usage)
        elif event.kind == "progress":
            # 100 is for jobs that are finished.
            self._progress = max(self._progress, min(99, int(event.data["percent"])))

    def _publish(self, outcome: Outcome) -> None:
        files = [self._keep(file) for file in self._files(outcome)]
        if not files:
            self._tell("warning", "The process ended without a file or value: there is nothing to download.")
        result = describe(files, outcome.provenance)
        if self.lease.job.remote:
            result["remote_processes"] = told(self.lease.job.remote)
        size = sum(file["size"] for file in files)
        message = f"The job finished: {len(files)} file(s), {size} bytes, {self._seconds():.1f} seconds."
        # not among the news, which may be sent although publishing fails then
        entry = {"level": "info", "time": clock.moment(), "message": message}
        usage = {"storage": {"value": size, "unit": "b"}, **self._usage, **outcome.usage}
        if self._objects.is_remote:
            received = usage.get("network", {}).get("value", 0)
            usage["network"] = {"value": received + size, "unit": "b"}
        self._end(lambda entries: self._queue.publish(self.lease, result, self._used(usage), [*entries, entry]))

    def _fail(self, error: Mapping[str, Any], lost: str | None = None, usage: Mapping[str, Any] | None = None) -> None:
        """End as error; after the loss of the child, which another attempt may survive, perhaps not yet."""
        entry: dict[str, Any] = {"level": "error", "time": clock.moment(), "code": error["code"]}
        entry["message"] = error["message"]
        # Errors name nodes from the outermost graph inwards, log entries the other way round.
        entry["path"] = list(reversed(error.get("path") or []))
        entry |= {name: error[name] for name in ("data", "links", "stacktrace") if error.get(name)}
        used = self._used({**self._usage, **(usage or {})})
        if lost:
            self._end(lambda entries: self._queue.retry(self.lease, used, entries, entry))
        else:
            charged = is_charged(error)
            self._end(lambda entries: self._queue.fail(self.lease, used, [*entries, entry], charged))

    def _wait(self, results: str) -> None:
        """Give the job back until the results are there that it loads.

        Who holds them may say that they are there, and not give them: that does not go on for ever either.
        """
        job = self.lease.job
        if (seconds := waited(job)) > self._settings.jobs.wait_seconds:
            self._fail(overdue(job, results, seconds, ""))
            return
        if results == job.id:
            message = "The job loads its own results, which are not there before it has finished."
            self._fail({"code": "ProcessParameterInvalid", "message": message})
            return
        message = f"The job waits for the results of {name(results)}, which are not there yet."
        entry = {"level": "info", "time": clock.moment(), "message": message}
        self._end(lambda entries: self._queue.wait(self.lease, results, [*entries, entry]))

    def _files(self, outcome: Outcome) -> list[dict[str, Any]]:
        files = [dict(file) for file in outcome.files]
        if outcome.has_value and not files:
            (self._folder / "result.json").write_text(json.dumps(finite(outcome.value)), encoding="utf-8")
            files = [{"name": "result.json", "media_type": "application/json", "roles": ["data"]}]
        return files

    def _keep(self, file: dict[str, Any]) -> dict[str, Any]:
        """Store a file of the run; returns its description with size and checksum."""
        path = self._folder / file["name"]
        if path.parent != self._folder or path.is_symlink() or not path.is_file():
            raise RuntimeError(f"the run names a file {file['name']!r} that it did not write")
        key = trash.prefix(self.lease.job.id, self.lease.attempt) + file["name"]
        file["checksum"] = checksum(path)
        file["size"] = self._store(key, path)
        return file

    def _store(self, key: str, path: Path) -> int:
        """Store a file and see that it is there; its size. A storage elsewhere may be away, or forgetful, for a moment.

        :raises OpenEOError: StorageFailure.
        """
        end = time.monotonic() + (STORE_SECONDS if self._objects.is_remote else 0.0)
        tries = 0
        while True:
            try:
                size = self._objects.put(key, path)
                if not self._objects.is_remote or self._objects.size(key) == size:
                    return size
                problem = OpenEOError("StorageFailure", f"The storage does not have the file '{path.name}' put there.")
            except OpenEOError as error:
                problem = error
            if time.monotonic() > end or self._is_lost:
                raise problem
            log.warning("job %s: trying to store again: %s", self.lease.job.id, problem)
            time.sleep(RETRY_SECONDS[min(tries, len(RETRY_SECONDS) - 1)])
            tries += 1

    def _end(self, action: Callable[[list[Mapping[str, Any]]], bool]) -> None:
        """End the job with the news that are left; when it is not ours any more, clear away what was made."""

        def end() -> bool:
            with self._sending:
                with self._news:
                    entries = list(self._entries)
                self._has_ended = action(entries)
                return self._has_ended

        if not self._retried(end):
            log.info("job %s: attempt %d is in vain", self.lease.job.id, self.lease.attempt)
            self._retried(self._abandon)

    def _abandon(self) -> bool:
        self._queue.abandon(self.lease)
        return True

    def _retried(self, action: Callable[[], bool]) -> bool:
        """Do what must reach the database, waiting for it for about as long as the lease lasts."""
        end = time.monotonic() + max(self._settings.jobs.lease_seconds, 5.0)
        tries = 0
        while True:
            try:
                return action()
            except SQLAlchemyError as error:
                if time.monotonic() > end:
                    log.error("job %s: the database stays away: %s", self.lease.job.id, error)
                    return False
                time.sleep(RETRY_SECONDS[min(tries, len(RETRY_SECONDS) - 1)])
                tries += 1

    def _tell(self, level: str, message: str) -> None:
        with self._news:
            self._entries.append({"level": level, "time": clock.moment(), "message": message})

    def _used(self, usage: Mapping[str, Any]) -> dict[str, Any]:
        return {**usage, "duration": {"value": round(self._seconds(), 3), "unit": "seconds"}}

    def _seconds(self) -> float:
        return time.monotonic() - self._started


def internal(id: str) -> str:
    """What users are told of a failure that is not theirs."""
    return f"The server failed for a reason that is not yours. Please report the id {id} to its operator."
