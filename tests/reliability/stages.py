"""The work of children that die at a stage of their run, the first time only."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

STAGES = ("loading", "computing", "writing", "answering")

NAMES = ("a.tif", "b.tif")


def work(payload: Mapping[str, Any], emit: Callable[[Mapping[str, Any]], None], *_: Any) -> dict[str, Any]:
    """Log, tell progress, write two files, answer; killed at the stage that the job's options name."""
    request = payload["request"]
    mark = Path(request["options"]["mark"])

    def reach(stage: str) -> None:
        if request["options"]["stage"] == stage and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    reach("loading")
    emit({"kind": "log", "data": {"level": "info", "message": "Loaded."}})
    emit({"kind": "progress", "data": {"percent": 40}})
    reach("computing")
    for name in NAMES:
        Path(request["folder"], name).write_bytes(name.encode())
        reach("writing")
    reach("answering")
    files = [{"name": name, "media_type": "image/tiff"} for name in NAMES]
    return {"files": files, "value": None, "has_value": False, "provenance": {}, "usage": {}, "error": None}
