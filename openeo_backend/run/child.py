"""The work of a child process: one request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from openeo_backend.catalog.own import Results
from openeo_backend.observe import logs
from openeo_backend.run.engine import Engine
from openeo_backend.run.execute import execute
from openeo_backend.run.request import RunRequest
from openeo_backend.sandbox.child import Emit
from openeo_backend.settings import Settings


def work(
    payload: Mapping[str, Any], emit: Emit, open_results: Callable[[Settings], Results] | None = None
) -> dict[str, Any]:
    """Evaluate `payload["request"]` under `payload["settings"]`; the outcome as JSON.

    :param open_results: makes the results of jobs loadable; without it there are none.
    """
    settings = Settings.model_validate(payload["settings"])
    logs.configure(settings.log)
    request = RunRequest.from_json(payload["request"])
    engine = Engine.open(settings, open_results(settings) if open_results else None)
    outcome = execute(request, engine, lambda event: emit({"kind": event.kind, "data": event.data}))
    return asdict(outcome)
