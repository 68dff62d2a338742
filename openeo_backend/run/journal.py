"""What a run tells while it runs: log entries, progress, usage."""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from openeo_backend.catalog.bound import refuse
from openeo_backend.errors import NodeRef, conceal_urls
from openeo_backend.graph import trace
from openeo_backend.net.alarm import alarms
from openeo_backend.net.traffic import Traffic
from openeo_backend.observe.clock import moment
from openeo_backend.processes.environment import Level
from openeo_backend.run.request import Event

#: Seconds between two signs of life of a run.
TELL_SECONDS = 2.0

LEVELS: tuple[Level, ...] = ("debug", "info", "warning", "error")


class Journal:
    """Turns what happens into events, in order.

    :param report: takes the events.
    :param level: least level of log entries to report.
    """

    def __init__(self, report: Callable[[Event], None], level: str = "info") -> None:
        self._report = report
        self._least = LEVELS.index(level) if level in LEVELS else 1
        self._lock = threading.Lock()
        self._percent = -1
        self._told = 0.0

    def log(self, level: Level, message: str, *, data: Any = None, node: str | None = None, code: str = "") -> None:
        """An entry of the user's log, at the node being evaluated."""
        if LEVELS.index(level) < self._least:
            return
        entry: dict[str, Any] = {"level": level, "message": conceal_urls(message), "time": moment()}
        path = [ref.json() for ref in reversed(trace.path())]  # logs name the origin first
        if path or node:
            entry["path"] = path or [{"node_id": node}]
        if code:
            entry["code"] = code
        if data is not None:
            entry["data"] = data
        self._send(Event("log", entry))

    def progress(self, done: float, planned: float) -> None:
        """Blocks finished of blocks planned; told when the percentage grows, or again after two seconds."""
        percent = int(100 * done / planned) if planned else 0
        with self._lock:
            before, now = self._percent, time.monotonic()
            if percent <= before and now - self._told < TELL_SECONDS:
                return
            self._percent, self._told = max(percent, before), now
            percent = self._percent
        self._send(Event("progress", {"percent": percent}))

    def place(self, node: NodeRef) -> None:
        """From now on the result of a node is computed."""
        self._send(Event("place", {"node_id": node.node_id, "process_id": node.process_id}))

    @contextmanager
    def alive(self, usage: Callable[[], Mapping[str, Any]]) -> Iterator[None]:
        """Within, tell every two seconds what the run has used: a sign of life, however long a step takes."""
        ended = threading.Event()

        def tell() -> None:
            while not ended.is_set():
                self._send(Event("usage", usage()))
                ended.wait(TELL_SECONDS)

        threads: list[threading.Thread] = []

        def begin() -> None:
            thread = threading.Thread(target=tell, name="usage", daemon=True)
            thread.start()
            threads.append(thread)

        start = alarms().set(TELL_SECONDS, begin)  # most runs end before
        try:
            yield
        finally:
            start.cancel()
            ended.set()
            for thread in threads:
                thread.join()

    def _send(self, event: Event) -> None:
        with self._lock:
            self._report(event)


class Meter:
    """What a run uses.

    :param limit: most input samples; None for no limit.
    :param traffic: counts what came over the network.
    """

    def __init__(self, limit: float | None, traffic: Traffic) -> None:
        self.limit = limit
        self._traffic, self._before = traffic, traffic.received
        self.samples = 0
        self._start, self._cpu = time.monotonic(), time.process_time()
        _forget_peak()

    def read(self, samples: int, what: str) -> None:
        """Count the samples (pixels x bands x dates) of a load.

        :raises OpenEOError: ProcessGraphComplexity, with the numbers, when the limit is passed.
        """
        self.samples += samples
        if self.limit is not None and self.samples > self.limit:
            raise refuse(self.samples, self.limit, what)

    @property
    def left(self) -> float | None:
        """Samples that may still be read; None for no limit."""
        return None if self.limit is None else max(self.limit - self.samples, 0)

    def usage(self) -> dict[str, Mapping[str, Any]]:
        """openEO usage metrics of this process since the start."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        seconds = time.monotonic() - self._start
        peak_mb = used.ru_maxrss / 1024
        return {
            "cpu": {"value": round(time.process_time() - self._cpu, 2), "unit": "cpu-seconds"},
            "memory": {"value": round(peak_mb * seconds, 1), "unit": "mb-seconds"},
            "max_memory": {"value": round(peak_mb, 1), "unit": "mb"},
            "duration": {"value": round(seconds, 2), "unit": "seconds"},
            "network": {"value": self._traffic.received - self._before, "unit": "b"},
            "input_pixel": {"value": round(self.samples / 1e6, 6), "unit": "mega-pixel"},
        }


def _forget_peak() -> None:
    """Have the most memory of this process counted from now on, where the system can."""
    with suppress(OSError), open("/proc/self/clear_refs", "wb", buffering=0) as file:
        file.write(b"5")
