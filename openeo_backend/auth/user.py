"""The user of a request."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class User:
    """Someone who proved who they are."""

    id: str
    """Unique and stable; what the store files everything under."""
    name: str
    """What people call them; for display only."""
    roles: frozenset[str] = frozenset()
    """Names of the roles that decide what the user may do."""
