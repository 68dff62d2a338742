"""Who may see and load which collections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openeo_backend.auth.user import User
from openeo_backend.catalog.hrefs import is_url
from openeo_backend.catalog.item import Item
from openeo_backend.catalog.sources import ItemQuery, Source
from openeo_backend.errors import OpenEOError
from openeo_backend.net.policy import split
from openeo_backend.settings import CollectionSettings


@dataclass(frozen=True)
class Viewer:
    """Somebody who looks at the catalog; by default somebody unknown."""

    roles: frozenset[str] = frozenset()
    is_known: bool = False
    """Whether they have logged in."""
    is_operator: bool = False
    """Whether they may see everything, as who runs the commands of this program."""

    @classmethod
    def of(cls, user: User | None) -> Viewer:
        """A user, or somebody who has not logged in."""
        return cls() if user is None else cls(user.roles, is_known=True)

    def may(self, settings: CollectionSettings) -> bool:
        """Whether a collection with these settings may be seen and loaded."""
        return self.is_operator or not settings.roles or not self.roles.isdisjoint(settings.roles)

    def refuse(self, id: str, settings: CollectionSettings | None) -> OpenEOError:
        """The error for naming a collection that may not be loaded, or that does not exist (None).

        Users who have logged in learn which role they lack, unless the collection is hidden; strangers learn nothing.
        """
        if settings is None or settings.hidden or not self.is_known:
            return not_found(id)
        roles = " or ".join(f"'{role}'" for role in settings.roles)
        terms = f" Its terms: {settings.terms}." if settings.terms else ""
        return OpenEOError(
            "PermissionsInsufficient",
            f"The collection '{id}' needs the role {roles}, which you do not have.{terms}",
            hint="Ask the operator of this back-end for it; log in again once you have it.",
        )


#: Who runs the commands of this program.
OPERATOR = Viewer(is_operator=True)


def not_found(id: str) -> OpenEOError:
    return OpenEOError("CollectionNotFound", f"Collection '{id}' does not exist.", hint="See GET /collections.")


def place_of(address: str) -> str | None:
    """The server that a URL leads to, however it is written; None for what is no URL."""
    if not is_url(address):
        return None
    parts = split(address)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"{(parts.hostname or '').rstrip('.')}:{port}"


class Withheld:
    """A source that a user named, without what it has of collections that the user may not load.

    :param refused: errors by server (see `place_of`) and id of the collections.
    :param url: what the user named.
    """

    def __init__(self, source: Source, refused: Mapping[tuple[str | None, str], OpenEOError], url: str) -> None:
        self._source = source
        self._refused = refused
        self._url = url

    @property
    def root(self) -> Path | None:
        return self._source.root

    def ids(self) -> list[str]:
        return self._source.ids()

    def collection(self, id: str) -> Mapping[str, Any]:
        self._check(self._url, id)
        return self._source.collection(id)

    def items(self, id: str, query: ItemQuery) -> list[Item]:
        return self._checked(id, self._source.items(id, query))

    def sample(self, id: str) -> list[Item]:
        return self._checked(id, self._source.sample(id))

    def complete(self) -> bool:
        return self._source.complete()

    def queryables(self, id: str) -> Mapping[str, Any] | None:
        return self._source.queryables(id)

    def _checked(self, id: str, items: list[Item]) -> list[Item]:
        self._check(self._url, id)
        for host, collection in {(item.href, item.collection) for item in items}:
            self._check(host, collection)
        return items

    def _check(self, address: str, collection: str) -> None:
        error = self._refused.get((place_of(address), collection))
        if error is not None:
            raise error
