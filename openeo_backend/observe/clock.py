"""The one clock."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """The current instant, aware, in UTC."""
    return datetime.now(UTC)


def moment() -> str:
    """Now as RFC 3339 text with milliseconds, as log entries carry it: in the order in which they were written."""
    return now().isoformat(timespec="milliseconds").replace("+00:00", "Z")


def timestamp(instant: datetime | None = None) -> str:
    """An instant (default: now) as RFC 3339 text with whole seconds, as openEO metadata carry it."""
    return (instant or now()).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
