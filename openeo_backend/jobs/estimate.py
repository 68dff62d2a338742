"""What a job will take, from the size of its plan and what earlier jobs took."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from openeo_backend.observe.clock import timestamp

#: Samples (pixels x bands x dates) that a job reads per second, while there are no jobs to learn it from.
SAMPLES_PER_SECOND = 5e6
#: Seconds that every job takes, whatever it computes.
START_SECONDS = 2.0
#: Jobs that read less than this do not tell how fast reading is.
LEAST_SAMPLES = 1e6
#: How long an estimate holds.
VALID = timedelta(days=1)


def estimate(size: Mapping[str, Any], usages: Iterable[Mapping[str, Any]], now: datetime) -> dict[str, Any]:
    """An openEO estimate; downloads are not limited, which is what leaving `downloads_included` out means.

    :param size: the value of a run in the mode `estimate`.
    :param usages: what earlier jobs used.
    """
    seconds = START_SECONDS + size["samples"] / throughput(usages)
    return {
        "costs": 0,
        "duration": duration(seconds),
        "size": size["bytes"],
        "expires": timestamp(now + VALID),
        "usage": {
            "input_pixel": {"value": round(size["samples"] / 1e6, 6), "unit": "mega-pixel"},
            "input_items": {"value": size["items"], "unit": "items"},
        },
    }


def throughput(usages: Iterable[Mapping[str, Any]]) -> float:
    """Samples per second: the median of the jobs that read enough to tell, else a usual value."""
    speeds = []
    for usage in usages:
        samples = _value(usage, "input_pixel") * 1e6
        seconds = _value(usage, "duration") - START_SECONDS
        if samples >= LEAST_SAMPLES:
            speeds.append(samples / max(seconds, 0.1))
    return median(speeds) if speeds else SAMPLES_PER_SECOND


def duration(seconds: float) -> str:
    """Seconds as an ISO 8601 duration, rounded up."""
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "H"), (minutes, "M"), (rest, "S"))
    return "PT" + ("".join(f"{number}{unit}" for number, unit in parts if number) or "0S")


def _value(usage: Mapping[str, Any], name: str) -> float:
    metric = usage.get(name)
    value = metric.get("value") if isinstance(metric, Mapping) else None
    return float(value) if isinstance(value, int | float) else 0.0
