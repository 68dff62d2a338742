"""The work of a child process: one request."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from openeo_backend.catalog.own import Results
from openeo_backend.errors import OpenEOError
from openeo_backend.observe import logs
from openeo_backend.run.engine import Engine
from openeo_backend.run.execute import execute
from openeo_backend.run.request import Outcome, RunRequest
from openeo_backend.sandbox.child import Emit
from openeo_backend.settings import Settings, SettingsError

#: Seconds for which catalogs that cannot be read are tried again, and between two tries: they could be at the start.
OPEN_SECONDS, AGAIN_SECONDS = 20.0, 1.0


def work(
    payload: Mapping[str, Any], emit: Emit, open_results: Callable[[Settings], Results] | None = None
) -> dict[str, Any]:
    """Evaluate `payload["request"]` under `payload["settings"]`; the outcome as JSON.

    :param open_results: makes the results of jobs loadable; without it there are none.
    """
    settings = Settings.model_validate(payload["settings"])
    logs.configure(settings.log)
    request = RunRequest.from_json(payload["request"])
    try:
        engine = _open(settings, open_results(settings) if open_results else None)
    except OpenEOError as error:
        return asdict(Outcome(error={**error.json(), "status": error.status}))
    outcome = execute(request, engine, lambda event: emit({"kind": event.kind, "data": event.data}))
    return asdict(outcome)


def _open(settings: Settings, results: Results | None) -> Engine:
    end = time.monotonic() + OPEN_SECONDS
    while True:
        try:
            return Engine.open(settings, results)
        except SettingsError as error:
            if time.monotonic() > end:
                raise OpenEOError(
                    "InfrastructureBusy",
                    f"The catalogs of this back-end cannot be used at the moment: {error}.",
                    hint="Try again later; if it stays so, tell the operator.",
                ) from error
        time.sleep(AGAIN_SECONDS)
