"""What users may take, by their roles."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from openeo_backend.sections.identity import RoleSettings
from openeo_backend.settings import Settings


@dataclass(frozen=True)
class Limits:
    """The limits of one user."""

    priority: int
    """Jobs of higher priorities go first."""
    per_user: int
    """Running jobs."""
    runtime: float
    """Longest run of a job in seconds."""
    memory_mb: int
    """Most memory of a job in MB."""
    threads: int | None
    """Threads (cores) of one computation; None for all that the machine has."""
    sync_samples: float
    """Most input samples of a synchronous request."""
    sync_slots: int
    """Synchronous requests at the same time."""
    stored_jobs: int
    """Jobs, whatever their state."""
    results_gb: float | None
    """GB of stored results when a job is started; None for any."""


def limits_of(settings: Settings, roles: Iterable[str] = ()) -> Limits:
    """The limits for who has `roles`: of several roles the largest value each, without any the general ones."""
    own = [settings.roles[role] for role in sorted(roles) if role in settings.roles]
    jobs = settings.jobs
    return Limits(
        priority=max((role.priority for role in own), default=0),
        per_user=_largest(own, lambda role: role.per_user, jobs.per_user),
        runtime=_largest(own, lambda role: role.max_runtime_seconds, jobs.max_runtime_seconds),
        memory_mb=_largest(own, lambda role: role.max_memory_mb, jobs.max_memory_mb),
        threads=_largest(own, lambda role: role.threads, settings.compute.threads),
        sync_samples=_largest(own, lambda role: role.sync_samples, settings.limits.sync_samples),
        sync_slots=_largest(own, lambda role: role.sync_slots, _slots(settings)),
        stored_jobs=_largest(own, lambda role: role.stored_jobs, settings.quotas.jobs),
        results_gb=_largest(own, lambda role: role.results_gb, settings.quotas.results_gb),
    )


def _slots(settings: Settings) -> int:
    """The slots of one user: all but one, which is for others."""
    return settings.quotas.sync_slots or max(1, settings.limits.sync_slots - 1)


def _largest(roles: list[RoleSettings], value: Callable[[RoleSettings], Any], general: Any) -> Any:
    return max((found for role in roles if (found := value(role)) is not None), default=general)
