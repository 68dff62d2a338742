"""What a view may know of its request: the back-end, the user, and who may call it.

Every view needs a user unless it is marked with :func:`public`: a forgotten mark refuses, it never opens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from flask import current_app, g, request

from openeo_backend.api.askers import ASKERS, Askers
from openeo_backend.api.share import Shares
from openeo_backend.auth.user import User
from openeo_backend.catalog.viewer import Viewer
from openeo_backend.settings import Settings

if TYPE_CHECKING:
    from openeo_backend.backend import Backend
    from openeo_backend.catalog.catalog import Catalog

#: Key of the back-end in `app.extensions`.
BACKEND = "openeo_backend"
#: Key of the function that turns an Authorization header into a User in `app.extensions`.
AUTHENTICATE = "openeo_backend.authenticate"

#: Key of the Shares of requests being answered in `app.extensions`.
FLIGHTS = "openeo_backend.flights"

#: Who holds the flights of requests with a body and without a user: they leave threads for users, too.
STRANGERS = ""

View = TypeVar("View", bound=Callable[..., Any])


def public(view: View) -> View:
    """Mark a view that needs no user."""
    view.is_public = True  # type: ignore[attr-defined]
    return view


def listed_when(offered: Callable[[Settings], bool]) -> Callable[[View], View]:
    """Mark a view that the capabilities list only under settings that offer it."""

    def mark(view: View) -> View:
        view.listed_when = offered  # type: ignore[attr-defined]
        return view

    return mark


def unlisted(view: View) -> View:
    """Mark a view that the capabilities do not list: no endpoint of the openEO API, or one with nothing to offer."""
    return listed_when(lambda settings: False)(view)


def is_public(view: Callable[..., Any] | None) -> bool:
    return bool(getattr(view, "is_public", False))


def is_listed(view: Callable[..., Any] | None) -> bool:
    """Whether the capabilities list a view."""
    offered = getattr(view, "listed_when", None)
    return offered is None or offered(backend().settings)


def backend() -> Backend:
    """The back-end that serves this request."""
    found: Backend = current_app.extensions[BACKEND]
    return found


def current_user() -> User:
    """The user of this request, once they have proved who they are.

    :raises OpenEOError: AuthenticationRequired, AuthenticationSchemeInvalid or TokenInvalid; TooManyRequests where
        too many requests of the same user are being answered.
    """
    if "user" not in g:
        authenticate: Callable[[str | None], User] = current_app.extensions[AUTHENTICATE]
        authorization = request.headers.get("Authorization")
        user = authenticate(authorization)
        askers: Askers | None = current_app.extensions.get(ASKERS)
        if askers is not None and authorization is not None:
            askers.learn(authorization, user.id)
        land(None)
        current_app.extensions[FLIGHTS].take(user.id)
        g.flight, g.user = user.id, user
    found: User = g.user
    return found


def optional_user() -> User | None:
    """The user of this request, or None where nobody tried to be one.

    :raises OpenEOError: for credentials that are wrong.
    """
    return current_user() if request.headers.get("Authorization") else None


def visible_catalog() -> Catalog:
    """The catalog as the user of this request may see it; credentials count where it differs between users only.

    :raises OpenEOError: for credentials that are wrong.
    """
    catalog = backend().catalog
    return catalog.seen_by(Viewer.of(optional_user())) if catalog.differs else catalog


def flights_of(settings: Settings) -> Shares:
    """How many requests of one user may be answered at the same time; some threads are left for others."""
    each = settings.quotas.requests or max(1, settings.server.threads - 2)
    return Shares("requests", None, each, "Wait for the answers of earlier requests.")


def land(error: BaseException | None) -> None:
    """Run after every request: another one of its user may come."""
    if "flight" in g:
        current_app.extensions[FLIGHTS].give_back(g.pop("flight"))


def require_user() -> None:
    """Run before every request: default deny.

    :raises OpenEOError: where the view is not public and there is no valid token.
    """
    if request.method == "OPTIONS" or request.url_rule is None:
        return
    if not is_public(current_app.view_functions.get(request.endpoint or "")):
        current_user()
    elif _has_body() and not request.headers.get("Authorization"):
        current_app.extensions[FLIGHTS].take(STRANGERS)
        g.flight = STRANGERS


def _has_body() -> bool:
    return bool(request.content_length) or "Transfer-Encoding" in request.headers
