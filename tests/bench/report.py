"""docs/benchmarks.md from the turns there are."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import chart
import workload as work

Turn = dict[str, Any]

NAMES = {
    "floor": "floor",
    "result": "ours, `POST /result`",
    "job": "ours, batch job",
    "run": "ours, `openeo-backend run`",
    "disk": "ours, `POST /result`, catalog and files on disk",
    "odc": "odc-stac script",
    "stackstac": "stackstac script",
    "opd-own": "openeo-processes-dask, its own `load_stac`",
    "opd-good": "openeo-processes-dask, a good `load_stac`",
    "titiler": "titiler-openeo",
}
OURS, PEERS = ("result", "job", "run"), ("odc", "stackstac", "opd-own", "opd-good", "titiler")


@dataclass(frozen=True)
class Target:
    """What issue 4 asks of a workload: at most so many times the floor's CPU, and peers at least so many times ours."""

    floor: float
    cpu: float
    wall: float


TARGETS = {
    "a": Target(1.10, 2.5, 2.5),
    "b": Target(1.00, 4.0, 4.0),
    "c": Target(0.80, 1.5, 1.5),
    "d": Target(1.00, 2.0, 3.0),
}
#: Most memory above the base in MB, and where it is asked.
MEMORY, BOUNDED = 250, "abd"
#: Most milliseconds of a tile, cold and warm, and how many times a peer takes.
COLD, WARM, COLD_TIMES, WARM_TIMES = 55, 15, 2.5, 10
#: Most milliseconds that the ways in may add.
ADDED = {
    "sum": ("`POST /result` for 1 + 2", 60),
    "result": ("added by `POST /result` to an evaluation", 150),
    "job": ("added by a batch job to an evaluation", 2000),
}


class Results:
    """The turns of one size."""

    def __init__(self, turns: Iterable[Turn], size: int) -> None:
        own = [turn for turn in turns if turn["size"] == size]
        self.size = size
        self.turns = [turn for turn in own if "round" in turn and "failed" not in turn]
        self.failed = {(t["name"], t["kind"]): t["failed"] for t in own if "failed" in t}
        self.pixels = {(t["name"], t["kind"]): t["pixels"] for t in own if "pixels" in t}

    def of(self, name: str, kind: str) -> list[Turn]:
        return [turn for turn in self.turns if (turn["name"], turn["kind"]) == (name, kind)]

    def median(self, name: str, kind: str, key: str) -> float:
        return statistics.median(turn[key] for turn in self.of(name, kind))

    def ratios(self, name: str, kind: str, other: str, key: str) -> list[float]:
        """Of a kind to another, in each round in which both took their turns."""
        theirs = {turn["pair"]: turn[key] for turn in self.of(name, other)}
        return [turn[key] / theirs[turn["pair"]] for turn in self.of(name, kind) if turn["pair"] in theirs]

    def times(self, name: str, kind: str, key: str) -> float | None:
        """How many times ours a peer takes: of rounds with both, else of their ratios to the floor."""
        if direct := self.ratios(name, kind, "result", key):
            return statistics.median(direct)
        mine, theirs = (self.ratios(name, each, "floor", key) for each in ("result", kind))
        return statistics.median(theirs) / statistics.median(mine) if mine and theirs else None

    def best(self, name: str, key: str) -> tuple[str, float] | None:
        """The peer that comes closest to ours with the right pixels, and how many times it takes."""
        right = [kind for kind in PEERS if self.is_right(name, kind)]
        found = [(times, kind) for kind in right if (times := self.times(name, kind, key)) is not None]
        return (min(found)[1], min(found)[0]) if found else None

    def is_right(self, name: str, kind: str) -> bool:
        """Whether the pixels are as they should be, but for rounding and the grid that somebody chose."""
        told = self.pixels.get((name, kind), "")
        if "classes equal" in told:
            return float(told.split()[0]) > 90
        if "median" in told:
            return float(told.split("median ")[1].split(",")[0]) < (1 if name in "cd" else 1e-4)
        return "largest" in told or told.startswith("equal") or "grid" in told


def spread(values: list[float]) -> str:
    if not values:
        return ""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def section(results: Results, name: str) -> list[str]:
    """The table of a workload."""
    lines = [f"## {name}: {work.TITLES[name]}", ""]
    lines.append("| | rounds | CPU s | wall s | memory MB | CPU to the floor | wall to the floor | pixels |")
    lines.append("|---|---|---|---|---|---|---|---|")
    for kind, shown in NAMES.items():
        if kind != "floor" and (name, kind) in results.failed and not results.of(name, kind):
            lines.append(f"| {shown} | | | | | | | {results.failed[name, kind]} |")
        if not (turns := results.of(name, kind)):
            continue
        cpu, wall, memory = (results.median(name, kind, key) for key in ("cpu", "wall", "mb"))
        ratios = [spread(results.ratios(name, kind, "floor", key)) for key in ("cpu", "wall")]
        same = "" if kind == "floor" else results.pixels.get((name, kind), "")
        lines.append(
            f"| {shown} | {len(turns)} | {cpu:.2f} | {wall:.2f} | {memory:.0f} | {' | '.join(ratios)} | {same} |"
        )
    return [*lines, ""]


def tiles(results: Results) -> list[str]:
    """The table of e."""
    lines = [f"## e: {work.TITLES['e']}", "", "| | rounds | cold ms | warm ms |", "|---|---|---|---|"]
    for kind, shown in NAMES.items():
        if kind != "ways" and (turns := results.of("e", kind)):
            cells = []
            for key in ("cold", "warm"):
                low = min(turn[f"{key}_range"][0] for turn in turns)
                high = max(turn[f"{key}_range"][1] for turn in turns)
                cells.append(f"{results.median('e', kind, key):.0f} ({low:.0f} to {high:.0f})")
            lines.append(f"| {shown} | {len(turns)} | {' | '.join(cells)} |")
        elif ("e", kind) in results.failed:
            lines.append(f"| {shown} | | {results.failed['e', kind]} | |")
    return [*lines, ""]


def targets(results: Results) -> list[str]:
    """Every target with what was measured, and whether it is met."""
    rows: list[tuple[str, str, str, bool]] = []
    for name, target in TARGETS.items():
        for key, shown in (("cpu", "CPU"), ("wall", "wall")):
            if ratios := results.ratios(name, "result", "floor", key):
                middle, most = statistics.median(ratios), f"at most {target.floor:.2f}"
                rows.append((f"{name}: {shown} to the floor", spread(ratios), most, middle <= target.floor))
        for key, shown, asked in (("cpu", "CPU", target.cpu), ("wall", "wall", target.wall)):
            if best := results.best(name, key):
                found = f"{best[1]:.1f} ({NAMES[best[0]]})"
                rows.append(
                    (f"{name}: {shown} of the best correct peer to ours", found, f"at least {asked}", best[1] >= asked)
                )
        if name in BOUNDED and results.of(name, "result"):
            memory = results.median(name, "result", "mb")
            rows.append((f"{name}: memory above base", f"{memory:.0f} MB", f"at most {MEMORY} MB", memory <= MEMORY))
    for key, (what, most) in ADDED.items():
        if results.of("e", "ways"):
            added = results.median("e", "ways", key)
            rows.append((what, f"{added:.0f} ms", f"at most {most} ms", added <= most))
    rows += _tile_targets(results)
    lines = ["| target | measured | asked | met |", "|---|---|---|---|"]
    lines += [f"| {what} | {found} | {asked} | {'yes' if met else '**no**'} |" for what, found, asked, met in rows]
    return [*lines, ""]


def _tile_targets(results: Results) -> list[tuple[str, str, str, bool]]:
    rows: list[tuple[str, str, str, bool]] = []
    if not results.of("e", "result"):
        return rows
    for key, most, asked in (("cold", COLD, COLD_TIMES), ("warm", WARM, WARM_TIMES)):
        mine = results.median("e", "result", key)
        for kind, where in (("disk", "catalog and files on disk"), ("result", "STAC API and files over HTTP")):
            if results.of("e", kind):
                taken = results.median("e", kind, key)
                rows.append((f"e: {key}, {where}", f"{taken:.0f} ms", f"at most {most} ms", taken <= most))
        peers = [(results.median("e", kind, key), kind) for kind in PEERS if results.of("e", kind)]
        if peers:
            theirs, kind = min(peers)
            found = f"{theirs / mine:.1f} ({NAMES[kind]})"
            rows.append(
                (f"e: {key} of the best peer to ours, over HTTP", found, f"at least {asked:g}", theirs / mine >= asked)
            )
    return rows


def write(page: Path, turns: list[Turn], size: int, smaller: int) -> None:
    """Write the page on a size, and its chart; on a smaller one what some could not do at the larger."""
    results = Results(turns, size)
    names = [name for name in work.TITLES if any(turn["name"] == name for turn in results.turns)]
    picture = page.parent / "images" / "benchmarks.svg"
    bars = {name: _bars(results, name) for name in names if name != "e"}
    picture.write_text(chart.draw(bars))
    sections: list[str] = []
    for name in names:
        sections += tiles(results) if name == "e" else section(results, name)
    if smaller != size and (less := Results(turns, smaller)).of("a", "titiler"):
        sections += [section(less, "a")[0] + f", {smaller} x {smaller} pixels", *section(less, "a")[1:]]
    days = sorted({turn["time"][:10] for turn in results.turns})
    commits = sorted({turn["commit"] for turn in results.turns if turn["kind"] in OURS})
    load = statistics.median(turn["load"] for turn in results.turns)
    text = HEAD.read_text().format(
        days=" to ".join(sorted({days[0], days[-1]})),
        size=size,
        cores=os.cpu_count(),
        load=load,
        commits=", ".join(commits),
    )
    page.write_text("\n".join([text, *targets(results), PICTURE, "", *sections]).rstrip() + "\n")


def _bars(results: Results, name: str) -> list[tuple[str, float]]:
    found = []
    for kind in ("floor", "result", *PEERS):
        if ratios := results.ratios(name, kind, "floor", "cpu"):
            found.append((NAMES[kind].replace("`", ""), statistics.median(ratios)))
    return found


PICTURE = "![CPU seconds of each implementation as multiples of the floor's](images/benchmarks.svg)"
#: The page before its tables.
HEAD = Path(__file__).with_name("page.md")
