"""The work of a child process: one request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from openeo_backend.observe import logs
from openeo_backend.run.engine import Engine
from openeo_backend.run.execute import execute
from openeo_backend.run.request import RunRequest
from openeo_backend.sandbox.child import Emit
from openeo_backend.settings import Settings


def work(payload: Mapping[str, Any], emit: Emit) -> dict[str, Any]:
    """Evaluate `payload["request"]` under `payload["settings"]`; the outcome as JSON."""
    settings = Settings.model_validate(payload["settings"])
    logs.configure(settings.log)
    request = RunRequest.from_json(payload["request"])
    outcome = execute(request, Engine.open(settings), lambda event: emit({"kind": event.kind, "data": event.data}))
    return asdict(outcome)
