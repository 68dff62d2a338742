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
    issuer: str | None = None
    """Who vouches for them: the issuer of an OpenID Connect provider; None for an account of this back-end."""
    external_id: str | None = None
    """What the issuer calls them (`sub`), unique there only."""

    @property
    def subject(self) -> str:
        """What users know themselves by: `user_id` at `/me`."""
        return self.external_id if self.external_id is not None else self.id
