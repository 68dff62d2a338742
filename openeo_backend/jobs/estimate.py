"""What a job will take, from the size of its plan and what earlier jobs took."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from openeo_backend.jobs.tariff import Tariff, amount
from openeo_backend.observe.clock import timestamp

#: Samples (pixels x bands x dates) that a job reads per second, while there are no jobs to learn it from: see
#: docs/scale.md.
SAMPLES_PER_SECOND = 2.5e7
#: Seconds that every job takes, whatever it computes.
START_SECONDS = 2.0
#: Cores that a job keeps busy, and MB that it holds, while there are no jobs to learn it from.
CPU_PER_SECOND, MB_PER_SECOND = 1.5, 800.0
#: Jobs that read less than this do not tell how fast reading is.
LEAST_SAMPLES = 1e6
#: How long an estimate holds.
VALID = timedelta(days=1)


def estimate(
    size: Mapping[str, Any], usages: Iterable[Mapping[str, Any]], now: datetime, tariff: Tariff, plan: str | None
) -> dict[str, Any]:
    """An openEO estimate. Downloads are not limited; costs are left out where only the accounting service knows them.

    :param size: the value of a run in the mode `estimate`.
    :param usages: what earlier jobs used.
    :param plan: what the job is charged to.
    """
    usages = tuple(usages)
    seconds = START_SECONDS + size["samples"] / throughput(usages)
    usage = {
        "cpu": {"value": round(seconds * per_second(usages, "cpu", CPU_PER_SECOND), 2), "unit": "cpu-seconds"},
        "memory": {"value": round(seconds * per_second(usages, "memory", MB_PER_SECOND), 1), "unit": "mb-seconds"},
        "duration": {"value": round(seconds, 2), "unit": "seconds"},
        "storage": {"value": size["bytes"], "unit": "b"},
        "input_pixel": {"value": round(size["samples"] / 1e6, 6), "unit": "mega-pixel"},
        "input_items": {"value": size["items"], "unit": "items"},
    }
    document = {
        "duration": duration(seconds),
        "size": size["bytes"],
        "expires": timestamp(now + VALID),
        "usage": usage,
    }
    if tariff.has_prices or not tariff.is_paid(plan):
        document["costs"] = tariff.costs(plan, "job", usage)
    return document


def per_second(usages: Iterable[Mapping[str, Any]], metric: str, usual: float) -> float:
    """Of a metric, what jobs use per second of their run: the median, or the usual amount without any."""
    ratios = [
        amount(usage, metric) / amount(usage, "duration")
        for usage in usages
        if metric in usage and amount(usage, "duration") > 0
    ]
    return median(ratios) if ratios else usual


def throughput(usages: Iterable[Mapping[str, Any]]) -> float:
    """Samples per second: the median of the jobs that read enough to tell, else a usual value."""
    speeds = []
    for usage in usages:
        samples = amount(usage, "input_pixel") * 1e6
        seconds = amount(usage, "duration") - START_SECONDS
        if samples >= LEAST_SAMPLES:
            speeds.append(samples / max(seconds, 0.1))
    return median(speeds) if speeds else SAMPLES_PER_SECOND


def duration(seconds: float) -> str:
    """Seconds as an ISO 8601 duration, rounded up."""
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "H"), (minutes, "M"), (rest, "S"))
    return "PT" + ("".join(f"{number}{unit}" for number, unit in parts if number) or "0S")
