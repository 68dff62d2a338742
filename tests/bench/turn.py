"""One turn of an implementation in a process of its own; prints JSON. Runs in the environment of a peer, too.

python turn.py MODULE:FUNCTION WORKLOAD SIZE DATA OUT: calls the function with (workload, data, size, out) twice, the
first time on few pixels. The module lies in this folder or in peers/.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

WARM = 256


def anonymous(pid: int | str = "self") -> float:
    """Memory in MB that a process holds for itself, without files that are mapped; 0 when it has gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0.0
    lines = (line.split()[1] for line in status.splitlines() if line.startswith(("RssAnon:", "RssShmem:")))
    return sum(map(int, lines)) * 1024 / 1e6


class Meter:
    """Wall and CPU seconds of this process, and how far its memory grew (MB, sampled every 10 ms)."""

    def __enter__(self) -> Meter:
        self.base = self.peak = anonymous()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        self.wall, self.cpu = time.perf_counter(), time.process_time()
        return self

    def _sample(self) -> None:
        while not self._stop.wait(0.01):
            self.peak = max(self.peak, anonymous())

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
