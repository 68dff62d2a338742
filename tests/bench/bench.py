"""`make bench`: this back-end beside the floor and its peers, in turns; docs/benchmarks.md tells the result.

Each turn is added to build/bench/turns.jsonl, and a turn that is there is not run again: the whole can be run in
parts, and `--page` writes the page from what there is.

python tests/bench/bench.py [--size 4096] [--rounds 5] [--workloads abcdefg] [--only floor,result] [--minutes 9]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import compare
import environments
import interactive
import report
import season
import tiler
import ways
import workload as work

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs" / "benchmarks.md"
BUILD = HERE.parents[1] / "build" / "bench"
#: Ours by its three ways in.
OURS = ("result", "job", "run")

#: Those whose ratio is the figure, and that take part in all rounds; the others do in `--peer-rounds`.
OFTEN = ("floor", "result")
ALL = ("floor", *OURS, *environments.PEERS)
#: Who takes part, where not all do.
PARTS = {
    "e": ("result", "disk", "ways", "opd-own", "opd-good", "titiler"),
    **dict.fromkeys("fg", ("floor", "result", "odc")),
}
#: Most memory of a peer in bytes: beyond that it counts as not runnable, and the machine is spared.
ROOM = 12 * 10**9

#: Processes that titiler-openeo does not have, by workload.
LACKS = {"b": "aggregate_temporal_period", "c": "apply_kernel", "d": "forests"}
#: What a peer cannot do, and why.
REFUSED = {("titiler", name): f"not runnable: titiler-openeo has no {lacks}" for name, lacks in LACKS.items()}

Turn = dict[str, Any]


class Bench:
    """The turns of one call.

    :param data: where the seasons lie, or are written.
    :param turns: the file of all turns.
    """

    def __init__(self, options: argparse.Namespace, turns: Path, stack: ExitStack) -> None:
        self.options, self.turns, self._stack = options, turns, stack
        self.scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="openeo-bench-")))
        self.end, self.compared = time.monotonic() + 60 * options.minutes, set[tuple[str, str]]()
        turns.parent.mkdir(parents=True, exist_ok=True)

    def known(self) -> list[Turn]:
        return read(self.turns)

    def season(self, name: str) -> Path:
        """The folder of the season of a workload, made if absent."""
        kind = work.SEASONS[name]
        folder = self.options.data / f"{kind}-{self.options.size}"
        if not (folder / "collection.json").exists():
            say(f"writing the season {folder.name}")
            getattr(season, kind)(folder, self.options.size)
        return folder

    @cached_property
    def node(self) -> ways.Node:
        """A served node, warm: each kind of child has been started once."""
        names = [name for name in self.options.workloads if name != "e"]
        catalogs = sorted({str(self.season(name) / "collection.json") for name in names})
        node = self._stack.enter_context(ways.node(self.scratch / "node", catalogs))
        node.settle(*(work.process(name, 256, self.season(name)) for name in names))
        return node

    def rounds(self, name: str, kinds: list[str]) -> None:
        """All rounds of a workload that are not there yet; the floor is run again with what is missing."""
        for number in range(self.options.rounds):
            size, kinds = self.options.size, [k for k in kinds if k in OFTEN or number < self.options.peer_rounds]
            there = {t["kind"] for t in self.known() if (t["name"], t["size"], t.get("round")) == (name, size, number)}
            missing = [kind for kind in kinds if kind not in there]
            if not missing or time.monotonic() > self.end:
                continue
            turns = [kind for kind in kinds if kind in missing or kind == "floor"]
            first = number % len(turns)
            pair, made = uuid.uuid4().hex[:8], {}
            for kind in turns[first:] + turns[:first]:
                made[kind] = self.turn(name, kind, number, pair)
            self.compare(name, made)

    def turn(self, name: str, kind: str, number: int, pair: str) -> Path | None:
        """One implementation once, and its file; a failure is told and noted, and the rest goes on."""
        out = self.scratch / f"{name}-{kind}"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        turn: Turn = {"name": name, "size": self.options.size, "round": number, "kind": kind, "pair": pair}
        turn |= {"time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", "load": os.getloadavg()[0], "commit": commit()}
        try:
            turn |= self.measure(name, kind, out)
            say(f"{name} {kind}: {told(turn)}")
        except (RuntimeError, subprocess.CalledProcessError, subprocess.TimeoutExpired, OSError) as error:
            turn["failed"] = reason(error)
            say(f"{name} {kind}: {turn['failed']}")
        path = turn.pop("path", None)
        self.note(turn)
        return Path(path) if path else None

    def note(self, entry: dict[str, Any]) -> None:
        with self.turns.open("a") as file:
            file.write(json.dumps(entry) + "\n")

    def compare(self, name: str, made: Mapping[str, Path | None]) -> None:
        """Note how the pixels of all differ from the floor's, once in a call; the files go."""
        floor = made.get("floor")
        for kind, path in made.items():
            if path is None or floor is None or kind == "floor" or (name, kind) in self.compared:
                continue
            self.compared.add((name, kind))
            found = compare.difference(path, floor, name)
            self.note({"name": name, "size": self.options.size, "kind": kind, "pixels": found})
            say(f"{name} {kind}: pixels {found}")
        for kind in made:
            shutil.rmtree(self.scratch / f"{name}-{kind}")

    def measure(self, name: str, kind: str, out: Path) -> dict[str, Any]:
        folder, size = self.season(name), self.options.size
        if kind == "ways":
            return interactive.overheads(folder, out)
        if name == "e":
            return interactive.measure(kind, folder, out)
        process = work.process(name, size, folder)
        if kind == "run":
            return ways.run(process, folder / "collection.json", out)
        if kind in OURS:
            return dict(getattr(self.node, kind)(process, out))
        if refusal := REFUSED.get((kind, name)) or (kind == "titiler" and size > tiler.MOST and "holds all dates"):
            raise RuntimeError(refusal)
        if kind == "titiler":
            return self.tiler.result(tiler.adapted(process, size), out)
        where, function = environments.PEERS.get(kind, ("", "floor:run"))
        python = environments.python(where) if where else sys.executable
        variables = environments.variables(BENCH_STAC=self.stac if where == "opd" else "")
        command = [python, str(HERE / "turn.py"), function, name, str(size), str(folder), str(out)]
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, env=variables, timeout=1800, preexec_fn=bound
        )
        return dict(json.loads(done.stdout.splitlines()[-1]))

    @cached_property
    def stac(self) -> str:
        """A STAC API over the first season."""
        return self._stack.enter_context(interactive.stac_api(self.season("a")))

    @cached_property
    def tiler(self) -> tiler.Tiler:
        server = self._stack.enter_context(tiler.serving(self.scratch / "tiler", self.stac))
        server.post(tiler.adapted(work.process("a", 256, self.season("a")), 256))
        return server


def bound() -> None:
    """Bound the memory of this process, which becomes a peer or the floor."""
    resource.setrlimit(resource.RLIMIT_DATA, (ROOM, ROOM))


def read(path: Path) -> list[Turn]:
    """All turns of a file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def told(turn: Turn) -> str:
    if "sum" in turn:
        return f"{turn['sum']:.0f} ms for 1 + 2, {turn['result']:.0f} ms and {turn['job']:.0f} ms added"
    if "cold" in turn:
        return f"{turn['cold']:.0f} ms cold, {turn['warm']:.0f} ms warm"
    return f"{turn['cpu']:.2f} s CPU, {turn['wall']:.2f} s wall, {turn['mb']:.0f} MB"


def reason(error: Exception) -> str:
    """Why a turn failed, in one line."""
    text = error.stderr if isinstance(error, subprocess.CalledProcessError) else str(error)
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__


def commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE, check=False
    )
    return done.stdout.strip()


def say(text: str) -> None:
    sys.stderr.write(f"{datetime.now():%H:%M:%S} {text}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=4096, help="pixels along the image")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of floor and ours that there are in the end")
    parser.add_argument("--peer-rounds", type=int, default=1, help="of these, rounds in which all take part")
    parser.add_argument("--workloads", default="abcdefg")
    parser.add_argument("--only", help="implementations, the floor among them, instead of all")
    parser.add_argument("--data", type=Path, default=Path(tempfile.gettempdir()) / "openeo-bench")
    parser.add_argument("--minutes", type=float, default=600, help="no turn begins after so many minutes")
    parser.add_argument("--turns", type=Path, default=BUILD / "turns.jsonl", help="where all turns are kept")
    parser.add_argument("--page", action="store_true", help="only write the page")
    parser.add_argument("--fresh", action="store_true", help="forget the turns there are")
    options = parser.parse_args()
    if options.fresh:
        options.turns.unlink(missing_ok=True)
    if not options.page:
        run(options, options.workloads)
        if options.size > tiler.MOST and "a" in options.workloads and not options.only:
            smaller = argparse.Namespace(**{**vars(options), "size": tiler.MOST, "rounds": options.peer_rounds})
            smaller.only, smaller.workloads = "floor,result,titiler", "a"
            run(smaller, "a")
    if options.page or not options.only:
        report.write(PAGE, read(options.turns), options.size, tiler.MOST)


def run(options: argparse.Namespace, names: str) -> None:
    """The turns of some workloads that are not there yet."""
    with ExitStack() as stack:
        bench = Bench(options, options.turns, stack)
        for name in names:
            bench.rounds(name, options.only.split(",") if options.only else list(PARTS.get(name, ALL)))


if __name__ == "__main__":
    main()
