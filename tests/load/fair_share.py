"""What one user's flood costs another: `python tests/load/fair_share.py`; docs/load.md records a run.

Starts `openeo-backend serve` and measures how long a quiet user waits for metadata and for small synchronous
requests: alone, and while another user sends as many of both as they can over many connections. Asked: at most twice
as long. The exit status is 1 where that is not met.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
import urllib.error
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from measure import PROCESS, Client, Report, milliseconds, serving

BODY = {"process": PROCESS}

#: Longest wait for a server that answers at all.
WARM_UP_SECONDS = 240


class Flood:
    """A user who asks over many connections, and does not wait when told to."""

    def __init__(self, client: Client, connections: int) -> None:
        self._client, self._stop = client, threading.Event()
        self.statuses: Counter[int] = Counter()
        actions = (lambda: client("GET", "/jobs?limit=20"), lambda: client("POST", "/result", BODY))
        self._threads = [
            threading.Thread(target=self._run, args=(actions[number % 2],), daemon=True)
            for number in range(connections)
        ]

    def __enter__(self) -> Flood:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, action: Callable[[], object]) -> None:
        while not self._stop.is_set():
            try:
                action()
                self.statuses[200] += 1
            except urllib.error.HTTPError as error:
                self.statuses[error.code] += 1


def waits(client: Client, seconds: float) -> tuple[list[float], list[float], int]:
    """Sorted waits for metadata and for synchronous requests, and how many of these were refused."""
    metadata, computed, refused = [], [], 0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        before = time.perf_counter()
        client("GET", "/jobs?limit=20")
        metadata.append(time.perf_counter() - before)
        before = time.perf_counter()
        try:
            client("POST", "/result", BODY)
            computed.append(time.perf_counter() - before)
        except urllib.error.HTTPError as error:
            if error.code != 429:
                raise
            refused += 1
    return sorted(metadata), sorted(computed), refused


def warm_up(client: Client) -> None:
    """Wait for the first answers, for which the server imports what computes: minutes on a busy machine."""
    end = time.monotonic() + WARM_UP_SECONDS
    while True:
        try:
            client("POST", "/result", BODY)
            break
        except OSError as error:
            if time.monotonic() > end or (isinstance(error, urllib.error.HTTPError) and error.code != 429):
                raise
        time.sleep(1)
    waits(client, 2)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--connections", type=int, default=20, help="of the user who floods")
    parser.add_argument("--seconds", type=float, default=20, help="length of each part")
    options = parser.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory(prefix="openeo-share-") as folder, serving(Path(folder)) as root:
        quiet, loud = Client(root, "ada"), Client(root, "bob")
        warm_up(quiet)
        alone = waits(quiet, options.seconds)
        with Flood(loud, options.connections) as flood:
            time.sleep(1)
            beside = waits(quiet, options.seconds)
    for name, before, after in (("metadata", alone[0], beside[0]), ("synchronous", alone[1], beside[1])):
        factor = statistics.median(after) / statistics.median(before) if before and after else float("inf")
        report.add(f"{name}, alone", milliseconds(before), "", True)
        found = f"{milliseconds(after)}: {factor:.1f} times as long" if after else "none"
        report.add(f"{name}, beside a flood", found, "at most twice", factor <= 2)
    report.add("refused of the quiet user", str(beside[2]), "none", beside[2] == 0)
    report.add("answers to the flood", str(dict(flood.statuses)), "", True)
    print(report.table())
    return 0 if all(met for *_, met in report.rows) else 1


if __name__ == "__main__":
    sys.exit(main())
