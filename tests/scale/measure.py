"""One process graph in a process of its own, held to cores, memory and time: what it took."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import archive as tile
import rasterio

#: Most memory in bytes.
MEMORY = 4 * 2**30
CORES = 2
#: How often memory is looked at.
TICK = 0.1


@dataclass(frozen=True)
class Bounds:
    """What a run may use."""

    cores: int = CORES
    seconds: float = 1800


def run(
    graph: Mapping[str, Any], archive: tile.Archive, folder: Path, bounds: Bounds, user: str | None = None
) -> dict[str, Any]:
    """Evaluate a process graph; its result files come into `folder`/out, a bare value into `folder`/value.json.

    :param user: for whom, where it needs one; `openeo-backend run` evaluates for the operator, who has no files.
    :return: wall and CPU seconds, memory, samples read and written; `failed` where it failed.
    """
    out = folder / "out"
    out.mkdir()
    (folder / "graph.json").write_text(json.dumps(graph))
    (folder / "settings.toml").write_text(_settings(archive, bounds))
    command: list[Any] = [Path(sys.executable).with_name("openeo-backend"), "run"]
    if user is not None:
        command = [sys.executable, Path(__file__).with_name("as_user.py"), user]
    command += [folder / "graph.json", "-o", out, "--config", folder / "settings.toml"]
    with (folder / "value.json").open("w") as told, (folder / "log").open("w") as log:
        begin, peak, over = time.monotonic(), 0.0, ""
        process = subprocess.Popen(
            command, stdout=told, stderr=log, preexec_fn=partial(_bind, bounds.cores), env=_environment()
        )
        while True:
            pid, status, used = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            peak = max(peak, _held(process.pid))
            if peak * 1e6 > MEMORY:
                over = f"more than {MEMORY / 2**30:g} GB"
            elif time.monotonic() - begin > bounds.seconds:
                over = f"more than {bounds.seconds:g} seconds"
            if over:
                process.kill()
            time.sleep(TICK)
        wall = time.monotonic() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    found: dict[str, Any] = {
        "size": archive.size,
        "wall": round(wall, 2),
        "cpu": round(used.ru_utime + used.ru_stime, 2),
        "peak_mb": round(peak),
        "rss_mb": round(used.ru_maxrss * 1024 / 1e6),
        "load": round(os.getloadavg()[0], 1),
        "when": time.strftime("%Y-%m-%d", time.gmtime()),
    }
    if process.returncode:
        last = (folder / "log").read_text().strip().splitlines()[-1:]
        return found | {"failed": over or f"exit {process.returncode}: {' '.join(last)[:300]}"}
    usage = json.loads((out / "metadata.json").read_text())["usage"]
    (out / "metadata.json").unlink()
    found["samples"] = round(usage["input_pixel"]["value"] * 1e6) if "input_pixel" in usage else 0
    found["written"] = sum(map(_samples, out.glob("*.tif")))
    found["bytes"] = sum(path.stat().st_size for path in out.iterdir())
    return found


def _settings(archive: tile.Archive, bounds: Bounds) -> str:
    sources = ", ".join(json.dumps(str(path)) for path in archive.collections)
    return "\n".join(
        [
            f"[catalog]\nsources = [{sources}]",
            f"[compute]\nthreads = {bounds.cores}",
            f'[net]\nallow = ["{archive.url.partition("://")[2]}"]\nmax_file_mb = 4096',
            f"[files]\nenabled = true\ndir = {json.dumps(str(archive.folder / tile.FILES))}\n",
        ]
    )


def _bind(cores: int) -> None:
    """In the process to measure: its cores, and no more memory of its own than there may be."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])


def _environment() -> dict[str, str]:
    """Compiled modules are kept, as where a back-end is installed."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _held(pid: int) -> float:
    """MB that a process holds for itself, files mapped into it not counted."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith(("RssAnon", "RssShmem"))) * 1024 / 1e6


def _samples(path: Path) -> int:
    with rasterio.open(path) as file:
        return int(file.count * file.width * file.height)
