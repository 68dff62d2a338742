"""One turn of an implementation in a process of its own; prints JSON. Runs in the environment of a peer, too.

python turn.py MODULE:FUNCTION WORKLOAD SIZE DATA OUT: calls the function with (workload, data, size, out) twice, the
first time on few pixels. The module lies in this folder or in peers/.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

WARM = 256

#: The variable that tells how many seconds lie between two looks at memory: looking takes time from what is measured.
LOOKS = "BENCH_LOOK_SECONDS"


class Held:
    """Memory in MB that a process holds for itself, without files that are mapped; 0 when it has gone.

    Looking costs some microseconds: what is measured shares the processor with it.
    """

    def __init__(self, pid: int | str = "self") -> None:
        try:
            self._file = open(f"/proc/{pid}/status", "rb", buffering=0)  # noqa: SIM115 - open as long as it is looked at
        except OSError:
            self._file = None

    def mb(self) -> float:
        try:
            text = b"" if self._file is None else os.pread(self._file.fileno(), 4096, 0)
        except OSError:
            return 0.0
        return sum(map(int, re.findall(rb"Rss(?:Anon|Shmem):\s*(\d+)", text))) * 1024 / 1e6


def anonymous(pid: int | str = "self") -> float:
    """What a process holds now."""
    return Held(pid).mb()


def look_seconds() -> float:
    """Seconds between two looks at memory."""
    return float(os.environ.get(LOOKS, "0.01"))


class Meter:
    """Wall and CPU seconds of this process, and how far its memory grew (MB)."""

    def __enter__(self) -> Meter:
        self._held = Held()
        self.base = self.peak = self._held.mb()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        self.wall, self.cpu = time.perf_counter(), time.process_time()
        return self

    def _sample(self) -> None:
        while not self._stop.wait(look_seconds()):
            self.peak = max(self.peak, self._held.mb())

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.wall, self.cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
        self._stop.set()
        self._thread.join()


def main(function: str, name: str, size: int, data: Path, out: Path) -> dict[str, Any]:
    module, _, called = function.partition(":")
    run = getattr(importlib.import_module(module), called)
    with tempfile.TemporaryDirectory(dir=out) as spare:  # imports, compiled code; decoded blocks go with the files
        run(name, data, min(WARM, size), Path(spare))
    with Meter() as meter:
        path = run(name, data, size, out)
    return {"wall": meter.wall, "cpu": meter.cpu, "mb": meter.peak - meter.base, "path": str(path)}


if __name__ == "__main__":
    _, kind, task, side, folder, target = sys.argv
    sys.path.append(str(Path(__file__).parent / "peers"))
    Path(target).mkdir(parents=True, exist_ok=True)
    sys.stdout.write(json.dumps(main(kind, task, int(side), Path(folder), Path(target))) + "\n")
