"""The work of a child process: one request."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

from openeo_backend.catalog.own import Results
from openeo_backend.errors import OpenEOError
from openeo_backend.observe import logs
from openeo_backend.run.engine import Engine
from openeo_backend.run.execute import execute
from openeo_backend.run.request import Event, Outcome, RunRequest
from openeo_backend.sandbox.child import Emit
from openeo_backend.settings import Settings, SettingsError

OpenResults = Callable[[Settings], Results]

#: Seconds for which catalogs that cannot be read are tried again, and between two tries: they could be at the start.
OPEN_SECONDS, AGAIN_SECONDS = 20.0, 1.0


def work(payload: Mapping[str, Any], emit: Emit, open_results: OpenResults | None = None) -> dict[str, Any]:
    """Evaluate `payload["request"]` under `payload["settings"]` (a text); the outcome as JSON.

    :param open_results: makes the results of jobs loadable; without it there are none.
    """
    request = RunRequest.from_json(payload["request"])
    try:
        engine = _engine(payload["settings"], open_results)
    except OpenEOError as error:
        return Outcome(error={**error.json(), "status": error.status}).json()

    def report(event: Event) -> None:
        emit({"kind": event.kind, "data": event.data, "later": event.kind in ("log", "progress")})

    outcome = execute(request, engine, report)
    return outcome.json()


def prepare(payload: Mapping[str, Any], emit: Emit, open_results: OpenResults | None = None) -> dict[str, Any]:
    """Open what :func:`work` will need under the same settings."""
    with suppress(OpenEOError):  # the work tells
        _engine(payload["settings"], open_results)
    # what it has now stays: looking for garbage in the catalogs takes longer than a small request
    gc.collect()
    gc.freeze()
    return {}


@lru_cache(maxsize=1)
def _engine(settings: str, open_results: OpenResults | None) -> Engine:
    """The engine under some settings (JSON); a child that works several times opens it once."""
    read = Settings.model_validate_json(settings)
    logs.configure(read.log)
    return _open(read, open_results(read) if open_results else None)


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
