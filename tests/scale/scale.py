"""`make scale`: each process on a tile of 100 x 100 km at 10 m, on two cores within 4 GB; renews docs/scale.md.

python tests/scale/scale.py [--size 10980] [--only NAME,NAME] [--again] [--seconds 1800] [--data FOLDER]

Each process runs by `openeo-backend run` in a process of its own; one that fails is noted, and the rest goes on. Then
some of them run on parts of the tile, more dates and more bands, for how time grows (`--growth` for these only). What
was measured is kept as JSON lines in build/scale, so that a run that was interrupted goes on where it was; `--again`
measures anew.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import archive as tile
import cores
import growth
from cases import ARD, PIXELWISE, TEMPORAL, Case, named
from measure import Bounds, run
from page import read, write_processes
from spatial import OPTICAL_CASES, RADAR_CASES, SPATIAL
from uploads import FILE_CASES, write_files
from web import served

RESULTS = Path(__file__).resolve().parents[2] / "build" / "scale"

CASES = named([*PIXELWISE, *TEMPORAL, *SPATIAL, *ARD, *OPTICAL_CASES, *FILE_CASES, *RADAR_CASES])


def measure(case: Case, archive: tile.Archive, folder: Path, bounds: Bounds) -> dict[str, Any]:
    """Run a case, and compare its result."""
    known = {"process": case.process, "about": case.about}
    found = known | run(case.graph(archive), archive, folder, bounds, case.user)
    if "failed" in found:
        return found
    out = folder / "out"
    if not any(out.iterdir()):
        shutil.copy(folder / "value.json", out)
    try:
        found["compared"] = case.check(archive, out)
    except Exception as error:  # noqa: BLE001 - whatever a wrong result makes of a comparison: the other cases go on
        found["failed"] = f"pixels: {type(error).__name__} " + " ".join(str(error).split())[:400]
    return found


def show(found: Mapping[str, Any]) -> str:
    speed = found.get("samples", 0) / 1e6 / found["wall"]
    return (
        f"{found['process']:34} {found['wall']:7.1f} s wall {found['cpu']:7.1f} s CPU {found['peak_mb']:6.0f} MB "
        f"{speed:7.1f} Mpix/s  {found.get('failed', 'right')}"
    )


def measure_all(archive: tile.Archive, given: argparse.Namespace) -> bool:
    """Measure what is asked for; whether all of it is right."""
    path = RESULTS / f"{given.size}.jsonl"
    names = given.only.split(",") if given.only else list(CASES)
    for name in names:
        if not given.again and "failed" not in read(path).get(name, {"failed": "not measured"}):
            continue
        with tempfile.TemporaryDirectory(dir=given.data, prefix="run-") as folder:
            found = measure(CASES[name], archive, Path(folder), Bounds(seconds=given.seconds))
        with path.open("a") as lines:
            lines.write(json.dumps(found) + "\n")
        print(show(found), flush=True)
    return all("failed" not in found for name, found in read(path).items() if name in names)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=10_980)
    parser.add_argument("--only", default="", help="these processes")
    parser.add_argument("--growth", action="store_true", help="only how time grows")
    parser.add_argument("--again", action="store_true", help="also what was measured before")
    parser.add_argument("--seconds", type=float, default=Bounds.seconds, help="longest time of a process")
    parser.add_argument("--page", action="store_true", help="only write the page of what was measured")
    parser.add_argument("--data", type=Path, default=Path(tempfile.gettempdir()) / "openeo-scale")
    given = parser.parse_args()
    if unknown := {*filter(None, given.only.split(","))} - {*CASES}:
        parser.error(f"no cases for {', '.join(sorted(unknown))}")
    RESULTS.mkdir(parents=True, exist_ok=True)
    fine = True
    if not given.page:
        archive = tile.generate(given.data / str(given.size), given.size)
        write_files(archive)
        with served(archive.folder) as url:
            archive = replace(archive, url=url)
            if not given.growth:
                fine = measure_all(archive, given)
            if given.growth or not given.only:
                fine &= growth.measure_all(archive, CASES, RESULTS, given)
    write_processes(RESULTS / f"{given.size}.jsonl", CASES)
    growth.write(RESULTS, given.size)
    cores.write()
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
