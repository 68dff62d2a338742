"""`make bench`: compare this back-end with the floor and with an odc-stac script, in turns; writes docs/benchmarks.md.

python tests/bench/bench.py [--size 2048] [--rounds 5] [--workloads abcd] [--data FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import workload as work
import xarray as xr

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs" / "benchmarks.md"
IMPLEMENTATIONS = ("floor", "ours", "peer")
TITLES = {
    "a": "NDVI, median over time, GeoTIFF",
    "b": "clouds masked by SCL, monthly medians of four bands, netCDF",
    "c": "one date of four bands to EPSG:3857 (bilinear), 5 x 5 kernel, GeoTIFF",
    "d": "10, 50 and 90 % quantiles over time of four bands, GeoTIFF",
}
Results = dict[str, list[dict[str, Any]]]


def measure(kind: str, name: str, size: int, data: Path, out: Path, like: str) -> dict[str, Any]:
    """One run in a process of its own."""
    command = [sys.executable, str(HERE / "measure.py"), kind, name, str(size), str(data), str(out), like]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def rounds(name: str, size: int, data: Path, count: int, out: Path) -> Results:
    """All implementations in turns, another one first in each round; pixels are compared in the last one."""
    found: Results = {kind: [] for kind in IMPLEMENTATIONS}
    like = measure("ours", name, size, data, out / "grid", "")["path"]
    for number in range(count):
        for turn in range(len(IMPLEMENTATIONS)):
            kind = IMPLEMENTATIONS[(turn + number) % len(IMPLEMENTATIONS)]
            result = measure(kind, name, size, data, out / kind, like)
            found[kind].append(result)
            sys.stderr.write(f"{name} {size} {kind}: {result['cpu']:.2f} s CPU, {result['wall']:.2f} s wall\n")
    return found


def planes(path: Path, edge: int) -> np.ndarray:
    """All planes of a result, without `edge` pixels around."""
    if path.suffix == ".nc":
        with xr.open_dataset(path, decode_times=False) as file:
            found = np.concatenate([np.asarray(file[band].values) for band in work.BANDS])
    else:
        with rasterio.open(path) as raster:
            found = raster.read()
    return np.asarray(found[:, edge : found.shape[1] - edge, edge : found.shape[2] - edge])


def difference(ours: Path, other: Path, name: str) -> str:
    """How far pixels are from each other, in words."""
    edge = 16 if name == "c" else 0
    one, two = planes(ours, edge), planes(other, edge)
    if one.shape != two.shape:
        return "other grid"
    if name == "d" and not np.allclose(one[0], two[0], equal_nan=True):
        return "differ"
    gaps = int(np.count_nonzero(np.isnan(one) != np.isnan(two)))
    fine = ~np.isnan(one) & ~np.isnan(two)
    apart = np.abs(one[fine] - two[fine])
    if not gaps and not apart.any():
        return "equal"
    half, most, top = np.percentile(apart, [50, 99, 100]) if apart.size else (0, 0, 0)
    return f"median {half:.2g}, 99 % {most:.2g}, largest {top:.2g}" + (f", {gaps} gaps differ" if gaps else "")


def ratios(found: Results, kind: str, key: str) -> tuple[float, float, float]:
    """Median, smallest and largest ratio to the floor of the same round."""
    values = [mine[key] / floor[key] for mine, floor in zip(found[kind], found["floor"], strict=True)]
    return statistics.median(values), min(values), max(values)


def table(name: str, found: Results) -> list[str]:
    """The section of a workload."""
    ours = Path(found["ours"][-1]["path"])
    lines = [
        f"## {name}: {TITLES[name]}",
        "",
        "| | CPU s | wall s | memory MB | CPU to floor | wall to floor | pixels against ours |",
    ]
    lines.append("|---|---|---|---|---|---|---|")
    bars = []
    for kind in IMPLEMENTATIONS:
        cpu, wall, memory = (statistics.median(run[key] for run in found[kind]) for key in ("cpu", "wall", "mb"))
        (mid, low, high), (slow, *_) = ratios(found, kind, "cpu"), ratios(found, kind, "wall")
        same = "" if kind == "ours" else difference(ours, Path(found[kind][-1]["path"]), name)
        spread = f"{mid:.2f} ({low:.2f} to {high:.2f})"
        lines.append(f"| {kind} | {cpu:.2f} | {wall:.2f} | {memory:.0f} | {spread} | {slow:.2f} | {same} |")
        bars.append(f"{kind:>5} {'█' * max(1, round(mid * 8))} {mid:.2f}")
    return [*lines, "", "```text", *bars, "```", ""]


PAGE_TEXT = """# Benchmarks

Measured on {today} by `make bench`: {size} x {size} pixels, 12 dates, {count} rounds, {cores} processor cores, a load
of {load:.1f} by this and other work.

Each figure is a median over rounds in which the implementations take turns, each in a process of its own, after a
warm-up on 256 x 256 pixels; imports are not counted, files are in the page cache. Ratios are those to the floor of
the same round, with the smallest and the largest. On a machine that others use, CPU seconds and their ratios say more
than wall seconds. Memory is the growth of the process above what it held before.

- **floor**: what reading, computing and writing cost at least with GDAL, numba and HDF5 written out for the workload:
  stored blocks read in two threads, one compiled kernel, files written as they come.
- **ours**: the process graph, evaluated by the engine that `openeo-backend run` and the jobs use.
- **peer**: what a practitioner writes with odc-stac and xarray, two threads.

In c the largest differences are some hundred of 16 million pixels along the slanted edge of the source, where a
hundredth of a pixel decides whether there are data; GDAL itself gives others there when it warps the image whole.

The data are made up by tests/bench/workload.py: a Sentinel-2 tile of four bands and SCL as COGs, with texture, fields,
clouds, shadows and edges of the swath. Nothing in the product knows them.

{sections}"""


def page(size: int, count: int, sections: list[str]) -> str:
    """The whole page."""
    load, cores = os.getloadavg()[2], os.cpu_count()
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    text = "\n".join(sections)
    return PAGE_TEXT.format(today=today, size=size, count=count, cores=cores, load=load, sections=text)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workloads", default="abcd")
    parser.add_argument("--data", type=Path, default=Path(tempfile.gettempdir()) / "openeo-bench")
    given = parser.parse_args()
    data = given.data / str(given.size)
    data.mkdir(parents=True, exist_ok=True)
    work.generate(data, given.size)
    sections: list[str] = []
    for name in given.workloads:
        with tempfile.TemporaryDirectory(dir=given.data) as out:
            sections += table(name, rounds(name, given.size, data, given.rounds, Path(out)))
    PAGE.write_text(page(given.size, given.rounds, sections))


if __name__ == "__main__":
    main()
