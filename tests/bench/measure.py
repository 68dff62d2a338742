"""One measurement in a process of its own; prints JSON.

python measure.py IMPLEMENTATION WORKLOAD SIZE DATA OUT LIKE
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import workload as work

from openeo_backend.sandbox.gdal import gdal_environment

WARM = 256


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


class Meter:
    """Wall and CPU seconds of this process, and how far its memory grew (MB, sampled every 10 ms)."""

    def __enter__(self) -> Meter:
        self.base = self.peak = _resident()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        self.wall, self.cpu = time.perf_counter(), time.process_time()
        return self

    def _sample(self) -> None:
        while not self._stop.wait(0.01):
            self.peak = max(self.peak, _resident())

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.wall, self.cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
        self._stop.set()
        self._thread.join()


def _ours(folder: Path) -> Callable[..., Path]:
    from openeo_backend.run.engine import Engine
    from openeo_backend.run.execute import execute
    from openeo_backend.run.request import RunRequest
    from openeo_backend.settings import Settings

    sources = {"catalog": {"sources": [str(folder / "collection.json")]}}
    engine = Engine.open(Settings.model_validate(sources))

    def run(name: str, folder: Path, size: int, out: Path, like: Path | None) -> Path:
        request = RunRequest(id="bench", process=work.graph(name, size), folder=out)
        outcome = execute(request, engine, lambda event: None)
        if outcome.error:
            raise RuntimeError(str(outcome.error))
        return next(path for path in sorted(out.iterdir()) if path.suffix in (".tif", ".nc"))

    return run


def main(implementation: str, name: str, size: int, folder: Path, out: Path, like: Path | None) -> dict[str, Any]:
    run = _ours(folder) if implementation == "ours" else importlib.import_module(implementation).run
    with tempfile.TemporaryDirectory() as spare:  # imports, compiled code; decoded blocks go with the files
        run(name, folder, WARM, Path(spare), like)
    with Meter() as meter:
        path = run(name, folder, size, out, like)
    return {"wall": meter.wall, "cpu": meter.cpu, "mb": meter.peak - meter.base, "path": str(path)}


if __name__ == "__main__":
    os.environ.update(gdal_environment())
    kind, task, side, data, target, grid = sys.argv[1:]
    Path(target).mkdir(parents=True, exist_ok=True)
    found = main(kind, task, int(side), Path(data), Path(target), Path(grid) if grid else None)
    sys.stdout.write(json.dumps(found) + "\n")
