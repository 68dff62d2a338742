"""Settings of what one user may hold at a time."""

from __future__ import annotations

from pydantic import Field

from openeo_backend.sections.section import Section


class QuotaSettings(Section):
    jobs: int = Field(default=10_000, ge=1)
    """Stored jobs of a user, whatever their state."""
    results_gb: float | None = Field(default=None, gt=0)
    """GB (10^9 bytes) of results that a user may have stored when a job is started; by default any."""
    processes: int = Field(default=1_000, ge=1)
    """Stored processes of a user."""
    sync_slots: int | None = Field(default=None, ge=1)
    """Synchronous requests of a user computed at the same time; by default one fewer than `limits.sync_slots`, so that
    one user cannot take them all."""
    requests: int | None = Field(default=None, ge=1)
    """Requests of a user answered at the same time; by default two fewer than `server.threads`, so that one user
    cannot take them all."""
