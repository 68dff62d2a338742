"""What the jobs of a user may take, by the user's roles."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from openeo_backend.settings import JobRoleSettings, JobsSettings


@dataclass(frozen=True)
class JobLimits:
    """The limits of one user's jobs."""

    priority: int
    """Higher ones go first."""
    per_user: int
    """Running jobs."""
    runtime: float
    """Longest run in seconds."""
    memory_mb: int
    """Most memory in MB."""


def limits_of(settings: JobsSettings, roles: Iterable[str] = ()) -> JobLimits:
    """The limits for who has `roles`: of several roles the largest value each, without any the general ones."""
    own = [settings.roles[role] for role in sorted(roles) if role in settings.roles]
    return JobLimits(
        priority=max((role.priority for role in own), default=0),
        per_user=_largest(own, lambda role: role.per_user, settings.per_user),
        runtime=_largest(own, lambda role: role.max_runtime_seconds, settings.max_runtime_seconds),
        memory_mb=_largest(own, lambda role: role.max_memory_mb, settings.max_memory_mb),
    )


def _largest(roles: list[JobRoleSettings], value: Callable[[JobRoleSettings], Any], general: Any) -> Any:
    return max((found for role in roles if (found := value(role)) is not None), default=general)
