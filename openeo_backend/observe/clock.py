"""The one clock."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """The current instant, aware, in UTC."""
    return datetime.now(UTC)


def timestamp(instant: datetime | None = None) -> str:
    """An instant (default: now) as RFC 3339 text with whole seconds, as openEO metadata carry it."""
    return (instant or now()).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
