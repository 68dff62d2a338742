"""How the time of processes grows with area, dates and bands: an estimate from small runs, checked on larger ones."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from archive import BANDS, OPTICAL, WIDE, WIDE_BANDS, WIDE_DATES, Archive
from cases import Case
from graphs import Graph
from measure import Bounds, run
from page import days, fill, read
from scipy.optimize import nnls

#: A process of each kind: copying, by pixel, with another resolution, along time, neighbours, another grid, zones.
NAMES = (
    "load_collection",
    "ndvi",
    "mask",
    "reduce_dimension",
    "apply_kernel",
    "resample_spatial",
    "aggregate_spatial",
)
#: Pixels of a side of a stored tile, which is unpacked whole.
TILE = 1024


@dataclass(frozen=True)
class Point:
    """A part of the tile: a side as a share of the tile's, dates, bands."""

    share: int
    dates: int
    bands: int

    def told(self, size: int) -> str:
        return f"{size // self.share:,}² x {self.dates} x {self.bands}"


#: What the estimate is made of, and where it is checked: four times the area, twice the dates, twice the bands.
SMALL = (Point(4, 2, 2), Point(4, 4, 2), Point(2, 2, 2), Point(2, 4, 2))
LARGE = (Point(1, 4, 2), Point(2, 8, 2), Point(2, 4, 4))
KEYS = ("process", "share", "dates", "bands")


def measure_all(archive: Archive, cases: Mapping[str, Case], results: Path, given: argparse.Namespace) -> bool:
    """Run what was not run yet; whether all of it went well."""
    path, fine = _file(results, archive.size), True
    wanted = given.only.split(",") if given.only else NAMES
    for name in filter(wanted.__contains__, NAMES):
        for point in (*SMALL, *LARGE):
            key = (name, point.share, point.dates, point.bands)
            if not given.again and "failed" not in read(path, *KEYS).get(key, {"failed": "not measured"}):
                continue
            part = replace(archive, size=archive.size // point.share)
            graph = widened(cases[name].graph(part), point)
            with tempfile.TemporaryDirectory(dir=given.data, prefix="run-") as folder:
                found = run(graph, part, Path(folder), Bounds(seconds=given.seconds))
            found |= dict(zip(KEYS, key, strict=True))
            with path.open("a") as lines:
                lines.write(json.dumps(found) + "\n")
            fine &= "failed" not in found
            print(
                f"{name:20} {point.told(archive.size):20} {found['cpu']:6.1f} s CPU {found['wall']:6.1f} s wall "
                f"{found['peak_mb']:5} MB {found.get('failed', '')}",
                flush=True,
            )
    return fine


def widened(graph: Graph, point: Point) -> Graph:
    """A graph on so many dates and bands."""
    nodes = {}
    until = WIDE_DATES[point.dates][:10] if point.dates < len(WIDE_DATES) else "2025-09-01"
    for id, node in graph["process_graph"].items():
        arguments = dict(node["arguments"])
        if arguments.get("id") == OPTICAL:
            arguments |= {"id": WIDE, "temporal_extent": ["2025-06-01", until]}
            if tuple(arguments["bands"]) == BANDS:
                arguments["bands"] = list(WIDE_BANDS)[: point.bands]
        nodes[id] = {**node, "arguments": arguments}
    return {"process_graph": nodes}


def unpacked(entry: Mapping[str, Any]) -> float:
    """Samples that are unpacked: whole stored tiles."""
    side = entry["size"]
    return float(entry["samples"] * (-(-side // TILE) * TILE / side) ** 2)


def terms(entry: Mapping[str, Any]) -> np.ndarray:
    """What time is made of: the start, samples unpacked, samples written (in thousand millions)."""
    return np.array([1.0, unpacked(entry) / 1e9, entry["written"] / 1e9])


def fit(entries: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Seconds of CPU of each term, none below 0; each run counts alike, however long it is."""
    seconds = np.array([entry["cpu"] for entry in entries])
    found, _ = nnls(np.stack([terms(entry) for entry in entries]) / seconds[:, None], np.ones(len(entries)))
    return np.asarray(found)


def write(results: Path, size: int) -> None:
    """Put the estimates and what came of them into the page."""
    known = read(_file(results, size), *KEYS)
    entries = {key: entry for key, entry in known.items() if "failed" not in entry}
    rows = [_row(name, entries) for name in NAMES]
    if not any(rows):
        return
    large = " | ".join(point.told(size) for point in LARGE)
    lines = [
        f"Seconds of CPU, {days(list(entries.values()))}; in brackets the estimate, and how far off it is:",
        "",
        f"| process | start s | ns per sample unpacked | ns per sample written | {large} |",
        "|---|---|---|---|" + "---|" * len(LARGE),
        *filter(None, rows),
    ]
    fill("growth", lines)


def _row(name: str, entries: Mapping[Any, Mapping[str, Any]]) -> str:
    """The row of a process; empty where its runs are not all there."""
    small = [entries.get((name, point.share, point.dates, point.bands)) for point in SMALL]
    large = [entries.get((name, point.share, point.dates, point.bands)) for point in LARGE]
    if None in small or None in large:
        return ""
    costs = fit([entry for entry in small if entry])
    cells = [f"`{name}`", f"{costs[0]:.1f}", f"{costs[1]:.1f}", f"{costs[2]:.1f}"]
    for entry in large:
        assert entry is not None
        expected = float(terms(entry) @ costs)
        cells.append(f"{entry['cpu']:.1f} ({expected:.1f}, {100 * (expected / entry['cpu'] - 1):+.0f} %)")
    return "| " + " | ".join(cells) + " |"


def _file(results: Path, size: int) -> Path:
    return results / f"growth-{size}.jsonl"
