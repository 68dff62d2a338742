"""e: tiles of 256 pixels over HTTP, cold and warm, ours and those who serve or search, too."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import environments
import season
import tiler
import ways
import workload as work

HERE = Path(__file__).resolve().parent
#: Repetitions of one request that count as warm.
AGAIN = 60
#: Seconds between the start of a server and the first request that counts.
SETTLE = 10

Ask = Callable[[dict[str, Any]], float]


@contextmanager
def stac_api(folder: Path, *options: str) -> Iterator[str]:
    """The URL of a STAC API over a season."""
    command = [sys.executable, str(HERE / "stac_api.py"), str(folder), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.kill()


def tiles(folder: Path) -> list[dict[str, Any]]:
    """A tile of each date, each elsewhere."""
    found = []
    for index, moment in enumerate(season.dates(len(season.items(folder)))):
        day, after = f"{moment:%Y-%m-%d}", f"{moment + timedelta(days=1):%Y-%m-%d}"
        found.append(work.tile_of(day, after, index % 4, index // 4))
    return found


def measure(kind: str, folder: Path, scratch: Path) -> dict[str, Any]:
    """Milliseconds of an implementation, over a STAC API and files over HTTP; `disk` is ours with both on disk.

    The last date is for waking up; what servers load in the background after their start has its time. Then each date
    is asked for once: its files were not opened and its search was not made before (cold). Then one request is repeated
    (warm).
    """
    *fresh, first = tiles(folder)
    with stac_api(folder, "--files") as stac, asking(kind, stac, folder, scratch) as ask:
        for _ in range(3):
            ask(first)
        time.sleep(SETTLE)
        cold = [1000 * ask(process) for process in fresh]
        warm = [1000 * ask(fresh[0]) for _ in range(AGAIN)]
    return {
        "cold": statistics.median(cold),
        "cold_range": [min(cold), max(cold)],
        "warm": statistics.median(warm),
        "warm_range": [min(warm), max(warm)],
    }


def overheads(folder: Path, scratch: Path) -> dict[str, Any]:
    """Milliseconds that the ways in add to an evaluation, each the median of several requests.

    `sum` is all of POST /result for 1 + 2; `result` and `job` are what a client waits for beyond the evaluation of a on
    256 x 256 pixels, the download of a result that is no larger included.
    """
    small = work.process("a", 256, folder)
    add = {"process_graph": {"add": {**work.node("add", x=1, y=2), "result": True}}}
    with ways.node(scratch / "small", [str(folder / "collection.json")]) as node:
        for _ in range(3):
            node.result(small, scratch)
        told = [node.result(small, scratch) for _ in range(AGAIN)]
        jobs = [node.job(small, scratch) for _ in range(6)]
        sums = []
        for _ in range(AGAIN):
            start = time.perf_counter()
            node.post(add)
            sums.append(1000 * (time.perf_counter() - start))
    beyond = [[1000 * (each["waited"] - each["wall"]) for each in turns] for turns in (told, jobs)]
    return {
        key: statistics.median(values) for key, values in zip(("sum", "result", "job"), (sums, *beyond), strict=True)
    }


@contextmanager
def asking(kind: str, stac: str, folder: Path, scratch: Path) -> Iterator[Ask]:
    """How an implementation is asked for a tile: it returns the seconds that this took."""
    if kind == "result":
        with ways.node(scratch / "tiles", [stac], [stac.removeprefix("http://")]) as node:
            yield lambda process: timed(lambda: node.post(process))
    elif kind == "disk":
        with ways.node(scratch / "tiles", [str(folder / "collection.json")]) as node:
            yield lambda process: timed(lambda: node.post(process))
    elif kind == "titiler":
        with tiler.serving(scratch / "tiler", stac) as server:
            yield lambda process: timed(lambda: server.post(tiler.adapted(process, 256)))
    elif kind in ("opd-own", "opd-good"):
        with library(kind.removeprefix("opd-"), stac, scratch) as ask:
            yield ask
    else:
        raise RuntimeError(f"{kind} serves no tiles")


def timed(action: Callable[[], bytes]) -> float:
    start = time.perf_counter()
    content = action()
    taken = time.perf_counter() - start
    if not content.startswith(b"\x89PNG"):
        raise RuntimeError("the answer is no PNG")
    return taken


@contextmanager
def library(kind: str, stac: str, scratch: Path) -> Iterator[Ask]:
    """openeo-processes-dask in a process that stays; search included, HTTP not."""
    command = [environments.python("opd"), str(HERE / "peers" / "opd.py"), kind, str(scratch)]
    environment = environments.variables(BENCH_STAC=stac, PYTHONPATH=str(HERE))
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as own:
        assert own.stdin is not None
        assert own.stdout is not None

        def ask(process: dict[str, Any]) -> float:
            own.stdin.write(json.dumps(process) + "\n")
            own.stdin.flush()
            told = json.loads(own.stdout.readline() or '{"failed": "it ended"}')
            if "failed" in told:
                raise RuntimeError(told["failed"])
            return float(told["wall"])

        try:
            yield ask
        finally:
            own.stdin.close()
            own.wait(60)
