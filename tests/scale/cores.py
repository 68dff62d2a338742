"""How much faster two cores are than one: ours and the floor of tests/bench, in turns; renews a part of docs/scale.md.

python tests/scale/cores.py [--size 4096] [--rounds 5] [--workloads abd] [--data FOLDER] [--page]

Efficiency is the wall seconds on one core over twice those on two cores, of runs of the same round. Memory is not
looked at meanwhile, which would take time on the second core. Wants a machine that nobody else uses. Turns are added
to build/scale/cores-SIZE.jsonl; the page tells all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from page import days, fill

BENCH = Path(__file__).resolve().parents[1] / "bench"
sys.path.append(str(BENCH))

import environments  # noqa: E402 - lies in tests/bench
import season  # noqa: E402
import ways  # noqa: E402
import workload as work  # noqa: E402
from turn import LOOKS  # noqa: E402

RESULTS = Path(__file__).resolve().parents[2] / "build" / "scale"
CORES = (1, 2)
KINDS = ("floor", "ours")
SIZE = 4096

Turn = dict[str, Any]


@contextmanager
def pinned(cores: int) -> Iterator[None]:
    """Processes that are started within have so many cores."""
    all_of_them = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(all_of_them)[:cores])
    try:
        yield
    finally:
        os.sched_setaffinity(0, all_of_them)


def floor(name: str, folder: Path, size: int, out: Path, cores: int) -> Mapping[str, Any]:
    command = [sys.executable, str(BENCH / "turn.py"), "floor:run", name, str(size), str(folder), str(out)]
    variables = environments.variables()
    with pinned(cores):
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=variables, timeout=1800)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure(given: argparse.Namespace, path: Path) -> None:
    folders = {name: _season(given, name) for name in given.workloads}
    catalogs = sorted({str(folder / "collection.json") for folder in folders.values()})
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="openeo-cores-")))
        nodes = {}
        for cores in CORES:
            with pinned(cores):
                settings = {"COMPUTE__THREADS": str(cores)}
                nodes[cores] = stack.enter_context(ways.node(scratch / f"node-{cores}", catalogs, settings=settings))
            for name, folder in folders.items():
                nodes[cores].result(work.process(name, 256, folder), scratch)
        for number in range(given.rounds):
            for name, folder in folders.items():
                entry: Turn = {"name": name, "when": time.strftime("%Y-%m-%d", time.gmtime())}
                entry["load"] = round(os.getloadavg()[0], 1)
                turns = [(kind, cores) for kind in KINDS for cores in CORES]
                for kind, cores in turns[number % 4 :] + turns[: number % 4]:
                    with tempfile.TemporaryDirectory(dir=scratch) as out:
                        if kind == "floor":
                            found = floor(name, folder, given.size, Path(out), cores)
                        else:
                            found = nodes[cores].result(work.process(name, given.size, folder), Path(out))
                    entry[f"{kind}-{cores}"] = {key: round(found[key], 3) for key in ("wall", "cpu")}
                with path.open("a") as lines:
                    lines.write(json.dumps(entry) + "\n")
                print(_told(entry), flush=True)


def _season(given: argparse.Namespace, name: str) -> Path:
    kind = work.SEASONS[name]
    folder = Path(given.data) / f"{kind}-{given.size}"
    if not (folder / "collection.json").exists():
        getattr(season, kind)(folder, given.size)
    return folder


def efficiency(turn: Turn, kind: str) -> float:
    return float(turn[f"{kind}-1"]["wall"] / turn[f"{kind}-2"]["wall"] / 2)


def _told(turn: Turn) -> str:
    parts = [f"{kind} {efficiency(turn, kind):.2f} ({turn[f'{kind}-1']}, {turn[f'{kind}-2']})" for kind in KINDS]
    return f"{turn['name']}: {'; '.join(parts)}"


def turns_of(size: int) -> Path:
    """The file of all turns."""
    return RESULTS / f"cores-{size}.jsonl"


def write(size: int = SIZE) -> None:
    """Put what was measured into the page."""
    path = turns_of(size)
    turns = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    if not turns:
        return
    lines = [
        f"{size:,} x {size:,} pixels, 12 dates, {days(turns)}; medians of the wall seconds of the evaluation on one",
        "and on two cores. Efficiency is the first over twice the second, in turns of the same round (median, smallest",
        "to largest):",
        "",
        "| workload | floor, 1 core | 2 cores | efficiency | ours, 1 core | 2 cores | efficiency | to the floor's |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in sorted({turn["name"] for turn in turns}):
        own = [turn for turn in turns if turn["name"] == name]
        cells = [f"{name}: {work.TITLES[name]}"]
        for kind in KINDS:
            cells += [f"{median(turn[f'{kind}-{cores}']['wall'] for turn in own):.2f} s" for cores in CORES]
            cells.append(_range([efficiency(turn, kind) for turn in own]))
        cells.append(_range([efficiency(turn, "ours") / efficiency(turn, "floor") for turn in own]))
        lines.append("| " + " | ".join(cells) + " |")
    fill("cores", lines)


def _range(values: Sequence[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=SIZE)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workloads", default="abd")
    parser.add_argument("--data", type=Path, default=Path(tempfile.gettempdir()) / "openeo-bench")
    parser.add_argument("--fresh", action="store_true", help="forget the turns there are")
    parser.add_argument("--page", action="store_true", help="only write the page of what was measured")
    given = parser.parse_args()
    path = turns_of(given.size)
    path.parent.mkdir(parents=True, exist_ok=True)
    if given.fresh:
        path.unlink(missing_ok=True)
    os.environ[LOOKS] = "3600"
    if not given.page:
        measure(given, path)
    write(given.size)


if __name__ == "__main__":
    main()
