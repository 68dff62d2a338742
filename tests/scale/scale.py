"""`make scale`: each process on a tile of 100 x 100 km at 10 m, on two cores within 4 GB; renews docs/scale.md.

python tests/scale/scale.py [--size 10980] [--only NAME,NAME] [--again] [--data FOLDER]

Each process runs by `openeo-backend run` in a process of its own. What was measured is kept as JSON lines in
build/scale, so that a run that was interrupted goes on where it was.
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
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import archive as tile
from cases import ARD, PIXELWISE, TEMPORAL, Case, named
from page import read, write_page
from spatial import OPTICAL_CASES, RADAR_CASES, SPATIAL
from web import served

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "build" / "scale"
MEMORY = 4 * 2**30
CORES = 2
SECONDS = 3600
#: How often memory is looked at.
TICK = 0.1

CASES = named([*PIXELWISE, *TEMPORAL, *SPATIAL, *ARD, *OPTICAL_CASES, *RADAR_CASES])


def limit() -> None:
    """In the process to measure: two cores, and no more than 4 GB of memory of its own."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])


def environment() -> dict[str, str]:
    """Compiled modules are kept, as where a back-end is installed."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def held(pid: int) -> float:
    """MB that a process holds for itself, files mapped into it not counted."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith(("RssAnon", "RssShmem"))) * 1024 / 1e6


def measure(case: Case, archive: tile.Archive, folder: Path) -> dict[str, Any]:
    """Run a case by the public command, and compare its result."""
    out = folder / "out"
    out.mkdir()
    (folder / "graph.json").write_text(json.dumps(case.graph(archive)))
    sources = ", ".join(json.dumps(str(path)) for path in archive.collections)
    config = f"[catalog]\nsources = [{sources}]\n[compute]\nthreads = {CORES}\n"
    config += f'[net]\nallow = ["{archive.url.partition("://")[2]}"]\n'
    (folder / "settings.toml").write_text(config)
    command = [Path(sys.executable).with_name("openeo-backend"), "run", folder / "graph.json", "-o", out]
    command += ["--config", folder / "settings.toml"]
    with (folder / "value.json").open("w") as told, (folder / "log").open("w") as log:
        begin = time.monotonic()
        process = subprocess.Popen(command, stdout=told, stderr=log, preexec_fn=limit, env=environment())
        peak = 0.0
        while True:
            pid, status, used = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            peak = max(peak, held(process.pid))
            if peak * 1e6 > MEMORY or time.monotonic() - begin > SECONDS:
                process.kill()
            time.sleep(TICK)
        wall = time.monotonic() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    found: dict[str, Any] = {
        "process": case.process,
        "about": case.about,
        "size": archive.size,
        "wall": round(wall, 2),
        "cpu": round(used.ru_utime + used.ru_stime, 2),
        "peak_mb": round(peak),
        "rss_mb": round(used.ru_maxrss * 1024 / 1e6),
        "when": time.strftime("%Y-%m-%d", time.gmtime()),
    }
    if process.returncode:
        last = (folder / "log").read_text().strip().splitlines()[-1:]
        return found | {"failed": f"exit {process.returncode}: {' '.join(last)[:300]}"}
    usage = json.loads((out / "metadata.json").read_text())["usage"]
    found["samples"] = round(usage["input_pixel"]["value"] * 1e6)
    found["bytes"] = sum(path.stat().st_size for path in out.iterdir())
    (out / "metadata.json").unlink()
    if not any(out.iterdir()):
        shutil.copy(folder / "value.json", out)
    try:
        found["compared"] = case.check(archive, out)
    except (AssertionError, ValueError, LookupError) as error:
        found["failed"] = "pixels: " + " ".join(str(error).split())[:400]
    return found


def show(found: Mapping[str, Any]) -> str:
    speed = found.get("samples", 0) / 1e6 / found["wall"]
    return (
        f"{found['process']:34} {found['wall']:7.1f} s wall {found['cpu']:7.1f} s CPU {found['peak_mb']:6.0f} MB "
        f"{speed:7.1f} Mpix/s  {found.get('failed', 'right')}"
    )


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=10_980)
    parser.add_argument("--only", default="")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--page", action="store_true", help="only write the page of what was measured")
    parser.add_argument("--data", type=Path, default=Path(tempfile.gettempdir()) / "openeo-scale")
    given = parser.parse_args()
    if given.page:
        write_page(RESULTS, CASES)
        return 0
    archive = tile.generate(given.data / str(given.size), given.size)
    with served(archive.folder) as url:
        return run(replace(archive, url=url), given)


def run(archive: tile.Archive, given: argparse.Namespace) -> int:
    """Measure what is asked for; 1 where something failed."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{given.size}.jsonl"
    names = given.only.split(",") if given.only else list(CASES)
    for name in names:
        if not given.again and "failed" not in read(path).get(name, {"failed": "not measured"}):
            continue
        with tempfile.TemporaryDirectory(dir=given.data, prefix="run-") as folder:
            found = measure(CASES[name], archive, Path(folder))
        with path.open("a") as lines:
            lines.write(json.dumps(found) + "\n")
        print(show(found), flush=True)
    write_page(RESULTS, CASES)
    return 1 if any("failed" in found for name, found in read(path).items() if name in names) else 0


if __name__ == "__main__":
    sys.exit(main())
