"""Job options: which there are, and what becomes of the others."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from openeo_backend.auth.policy import Limits
from openeo_backend.errors import OpenEOError
from openeo_backend.settings import JobsSettings

#: Members of a job that are not options, wherever they come from.
MEMBERS = frozenset(
    {"id", "title", "description", "process", "plan", "budget", "log_level", "job_options", "links"}
    | {"status", "progress", "created", "updated", "queued", "started", "finished", "unpublished", "expires"}
    | {"usage", "costs", "user_id", "priority", "attempt", "lost", "worker", "lease_until", "result"}
)

#: Options that have an effect.
KNOWN = frozenset({"max_runtime", "memory", "soft_errors", "log_level"})

#: Options that are for a federation, which chooses and splits by them and sends them on.
FEDERATED = frozenset({"split_strategy", "tile_grid"})
FEDERATED_PREFIXES = ("_agg_", "federation:")

_DURATION = re.compile(r"P(?:(\d{1,9})D)?(?:T(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,9})S)?)?", re.ASCII)


#: Megabytes of the units that amounts of memory are given in; a bare number is in MB.
_UNITS = {"": 1.0, "m": 1.0, "mb": 1.0, "mi": 1.048576, "mib": 1.048576}
_UNITS |= {"g": 1000.0, "gb": 1000.0, "gi": 1073.741824, "gib": 1073.741824}

#: No amount is larger.
_FAR = 1e15

_AMOUNT = re.compile(r"(\d+(?:\.\d+)?) ?([A-Za-z]{0,3})", re.ASCII)

LOG_LEVELS = ("debug", "info", "warning", "error")


def describe(limits: Limits, settings: JobsSettings) -> list[dict[str, Any]]:
    """The options as process parameters, as /processing_parameters lists them."""
    runtime, memory = limits.runtime, limits.memory_mb
    usual = min(settings.memory_mb, memory)
    return [
        {
            "name": "max_runtime",
            "description": "Longest run of the job in seconds, or as an ISO 8601 duration such as `PT2H30M`. "
            f"At most, and by default, {runtime:g} seconds. A job that takes longer ends as `error`.",
            "optional": True,
            "default": runtime,
            "schema": [
                {"type": "number", "exclusiveMinimum": 0, "maximum": runtime},
                {"type": "string", "subtype": "duration"},
            ],
        },
        {
            "name": "memory",
            "description": "Memory that the job may take, in MB or with a unit such as `4GB`. "
            f"At most {memory} MB, by default {usual} MB. A job that takes more ends as `error`.",
            "optional": True,
            "default": usual,
            "schema": [
                {"type": "number", "exclusiveMinimum": 0, "maximum": memory},
                {"type": "string", "pattern": "^[0-9]+(\\.[0-9]+)? ?([MmGg][Ii]?[Bb]?)?$"},
            ],
        },
        {
            "name": "soft_errors",
            "description": "Whether files of the input that cannot be read are left out, with a warning in the log, "
            "instead of ending the job.",
            "optional": True,
            "default": False,
            "schema": {"type": "boolean"},
        },
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


def check(options: Mapping[str, Any], limits: Limits, settings: JobsSettings) -> None:
    """:raises OpenEOError: RequestInvalid for a known option with a bad value or one above its maximum."""
    runtime(options, limits)
    memory(options, limits, settings)
    soft = options.get("soft_errors")
    if soft is not None and not isinstance(soft, bool):
        raise OpenEOError("RequestInvalid", f"The job option 'soft_errors' is {soft!r}; it must be true or false.")


def resolve(options: Mapping[str, Any], limits: Limits, settings: JobsSettings) -> dict[str, float]:
    """What a run may take in the end: `runtime` in seconds, `memory_mb`, and `threads` where they are limited."""
    threads = {} if limits.threads is None else {"threads": limits.threads}
    return {"runtime": runtime(options, limits), "memory_mb": memory(options, limits, settings), **threads}


def runtime(options: Mapping[str, Any], limits: Limits) -> float:
    """The longest run of a job in seconds.

    :raises OpenEOError: RequestInvalid.
    """
    given = options.get("max_runtime")
    if given is None:
        return limits.runtime
    seconds = _seconds(given)
    if seconds is None or not 0 < seconds <= limits.runtime:
        raise OpenEOError(
            "RequestInvalid",
            f"The job option 'max_runtime' is {given!r}; it must be more than 0 and at most {limits.runtime:g} "
            "seconds.",
            hint="Give seconds as a number, or an ISO 8601 duration such as 'PT2H'.",
        )
    return seconds


def memory(options: Mapping[str, Any], limits: Limits, settings: JobsSettings) -> float:
    """The most memory of a job in MB.

    :raises OpenEOError: RequestInvalid.
    """
    given = options.get("memory")
    if given is None:
        return min(settings.memory_mb, limits.memory_mb)
    amount = _megabytes(given)
    if amount is None or not 0 < amount <= limits.memory_mb:
        raise OpenEOError(
            "RequestInvalid",
            f"The job option 'memory' is {given!r}; it must be more than 0 and at most {limits.memory_mb} MB.",
            hint="Give MB as a number, or an amount with a unit such as '4GB'.",
        )
    return amount


def log_level(options: Mapping[str, Any]) -> str | None:
    """The level of the log among the options, where clients also put it; None where it is not there.

    :raises OpenEOError: RequestInvalid.
    """
    level = options.get("log_level")
    if level is not None and level not in LOG_LEVELS:
        raise OpenEOError("RequestInvalid", f"The log_level {level!r} is none of {', '.join(LOG_LEVELS)}.")
    return level


def unknown(options: Mapping[str, Any]) -> list[str]:
    """Names of options that are kept but have no effect here, without those that are for a federation."""
    return sorted(
        name
        for name, value in options.items()
        if value is not None and name not in KNOWN | FEDERATED and not name.startswith(FEDERATED_PREFIXES)
    )


def _megabytes(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _moderate(value)
    found = _AMOUNT.fullmatch(value.strip()) if isinstance(value, str) else None
    unit = _UNITS.get(found[2].lower()) if found else None
    return float(found[1]) * unit if found and unit else None


def _moderate(value: float) -> float | None:
    """A number, or None for one that is no amount of anything; integers may be larger than floats can be."""
    return float(value) if -_FAR < value < _FAR else None


def _seconds(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _moderate(value)
    if not isinstance(value, str):
        return None
    found = _DURATION.fullmatch(value)
    if found is None or not any(found.groups()):
        return float(value) if value.isascii() and value.isdigit() else None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
