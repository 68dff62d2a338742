"""What one user's flood costs another: `python tests/load/fair_share.py`; docs/load.md records a run.

Starts `openeo-backend serve` and measures how long a quiet user waits for metadata, for a new job, for the validation
of a graph and for a small synchronous request: alone, and while another user, in a process of their own, sends as many
of these as they can over many connections. Both are measured in turns. Asked: at most twice as long. The exit status is
1 where that is not met.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from measure import PROCESS, Client, Report, milliseconds, serving

BODY = {"process": PROCESS}

#: A graph whose check takes a while.
LARGE = {
    "process_graph": {
        f"n{number}": {"process_id": "add", "arguments": {"x": number, "y": {"from_node": f"n{max(0, number - 1)}"}}}
        for number in range(1, 400)
    }
    | {"n0": {"process_id": "add", "arguments": {"x": 0, "y": 1}, "result": True}}
}

#: What the users do.
ACTIONS: dict[str, tuple[str, str, Any]] = {
    "list of jobs": ("GET", "/jobs?limit=20", None),
    "collections": ("GET", "/collections", None),
    "new job": ("POST", "/jobs", BODY),
    "validation": ("POST", "/validation", PROCESS),
    "synchronous": ("POST", "/result", BODY),
}

#: What the one who floods does.
FLOOD = (*ACTIONS.values(), ("POST", "/validation", LARGE))

#: Longest wait for a server that answers at all.
WARM_UP_SECONDS = 240


def flood(root: str, name: str, connections: int) -> None:
    """Ask over many connections, without waiting when told to, until the input ends; then tell what was answered."""
    client, stop, statuses = Client(root, name), threading.Event(), Counter[int]()

    def run(action: tuple[str, str, Any]) -> None:
        while not stop.is_set():
            try:
                client(*action)
                statuses[200] += 1
            except urllib.error.HTTPError as error:
                statuses[error.code] += 1

    threads = [threading.Thread(target=run, args=(FLOOD[n % len(FLOOD)],), daemon=True) for n in range(connections)]
    for thread in threads:
        thread.start()
    print("begun", flush=True)
    sys.stdin.read()
    stop.set()
    for thread in threads:
        thread.join(30)
    print(json.dumps(statuses))


@contextmanager
def flooded(root: str, connections: int, statuses: Counter[str]) -> Iterator[None]:
    command = [sys.executable, __file__, "--flood", root, "--connections", str(connections)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "begun\n"
        time.sleep(1)
        yield
        other.stdin.close()
        statuses.update(json.loads(other.stdout.read()))


def waits(client: Client, seconds: float, note: Callable[[str, float], None]) -> int:
    """Note waits for each action in turn; how many were refused."""
    refused = 0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, action in ACTIONS.items():
            before = time.perf_counter()
            try:
                client(*action)
                note(name, time.perf_counter() - before)
            except urllib.error.HTTPError as error:
                if error.code != 429:
                    raise
                refused += 1
    return refused


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
    waits(client, 2, lambda name, seconds: None)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--connections", type=int, default=20, help="of the user who floods")
    parser.add_argument("--seconds", type=float, default=8, help="length of each part")
    parser.add_argument("--rounds", type=int, default=3, help="parts alone and beside the flood, in turns")
    parser.add_argument("--flood", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.flood:
        flood(options.flood, "bob", options.connections)
        return 0
    report, statuses, refused = Report(), Counter[str](), 0
    alone: dict[str, list[float]] = {name: [] for name in ACTIONS}
    beside: dict[str, list[float]] = {name: [] for name in ACTIONS}
    with tempfile.TemporaryDirectory(prefix="openeo-share-") as folder, serving(Path(folder)) as root:
        quiet = Client(root, "ada")
        warm_up(quiet)
        for _ in range(options.rounds):
            waits(quiet, options.seconds, lambda name, seconds: alone[name].append(seconds))
            with flooded(root, options.connections, statuses):
                refused += waits(quiet, options.seconds, lambda name, seconds: beside[name].append(seconds))
    for name in ACTIONS:
        before, after = sorted(alone[name]), sorted(beside[name])
        factor = statistics.median(after) / statistics.median(before) if before and after else float("inf")
        report.add(f"{name}, alone", milliseconds(before), "", True)
        found = f"{milliseconds(after)}: {factor:.1f} times as long" if after else "none"
        report.add(f"{name}, beside a flood", found, "at most twice", factor <= 2)
    report.add("refused of the quiet user", str(refused), "none", refused == 0)
    report.add("answers to the flood", str(dict(statuses)), "", True)
    print(report.table())
    return 0 if all(met for *_, met in report.rows) else 1


if __name__ == "__main__":
    sys.exit(main())
