"""Job options: which there are, and what becomes of the others."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from openeo_backend.errors import OpenEOError
from openeo_backend.settings import Settings

#: Members of a job that are not options, wherever they come from.
MEMBERS = frozenset(
    {"id", "title", "description", "process", "plan", "budget", "log_level", "job_options", "links"}
    | {"status", "progress", "created", "updated", "queued", "started", "finished", "unpublished", "expires"}
    | {"usage", "costs", "user_id", "priority", "attempt", "lost", "worker", "lease_until", "result"}
)

_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")


def describe(settings: Settings) -> list[dict[str, Any]]:
    """The options as process parameters, as /processing_parameters lists them."""
    most = settings.jobs.max_runtime_seconds
    return [
        {
            "name": "max_runtime",
            "description": "Longest run of the job in seconds, or as an ISO 8601 duration such as `PT2H30M`. "
            f"At most, and by default, {most:g} seconds. A job that takes longer ends as `error`.",
            "optional": True,
            "default": most,
            "schema": [
                {"type": "number", "exclusiveMinimum": 0, "maximum": most},
                {"type": "string", "subtype": "duration"},
            ],
        }
    ]


def collect(body: Mapping[str, Any]) -> dict[str, Any]:
    """The options in a request: those in `job_options` and, as other clients send them, at its top level.

    :raises OpenEOError: RequestInvalid when `job_options` is no object.
    """
    nested = body.get("job_options")
    if nested is None or nested == []:  # R sends empty objects as arrays
        nested = {}
    if not isinstance(nested, Mapping):
        raise OpenEOError("RequestInvalid", "'job_options' is not an object.")
    return {name: value for name, value in body.items() if name not in MEMBERS} | dict(nested)


def check(options: Mapping[str, Any], settings: Settings) -> None:
    """:raises OpenEOError: RequestInvalid for a known option with a bad value or one above its maximum."""
    runtime(options, settings)


def runtime(options: Mapping[str, Any], settings: Settings) -> float:
    """The longest run of a job in seconds.

    :raises OpenEOError: RequestInvalid.
    """
    most = settings.jobs.max_runtime_seconds
    given = options.get("max_runtime")
    if given is None:
        return most
    seconds = _seconds(given)
    if seconds is None or not 0 < seconds <= most:
        raise OpenEOError(
            "RequestInvalid",
            f"The job option 'max_runtime' is {given!r}; it must be more than 0 and at most {most:g} seconds.",
            hint="Give seconds as a number, or an ISO 8601 duration such as 'PT2H'.",
        )
    return seconds


def unknown(options: Mapping[str, Any], settings: Settings) -> list[str]:
    """Names of options that are kept but have no effect here."""
    known = {option["name"] for option in describe(settings)}
    return sorted(name for name, value in options.items() if name not in known and value is not None)


def _seconds(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value) if math.isfinite(value) else None
    if not isinstance(value, str):
        return None
    found = _DURATION.fullmatch(value)
    if found is None or not any(found.groups()):
        return float(value) if value.isascii() and value.isdigit() else None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
