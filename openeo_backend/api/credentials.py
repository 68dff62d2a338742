"""`/credentials/...`: how to become a user."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from flask import Blueprint, Response, current_app, jsonify, request

from openeo_backend.api.access import backend, listed_when, public
from openeo_backend.api.documents import document
from openeo_backend.auth.basic import read_basic
from openeo_backend.auth.bearer import offers_basic, offers_oidc
from openeo_backend.auth.oidc import describe, providers_of
from openeo_backend.auth.throttle import Throttle
from openeo_backend.errors import OpenEOError

blueprint = Blueprint("credentials", __name__)

#: Key of the Brakes in `app.extensions`.
BRAKES = "openeo_backend.brakes"


class Brakes(NamedTuple):
    """What slows down guessing: few failures per name from one address, more from an address for all names."""

    name: Throttle
    address: Throttle

    @classmethod
    def new(cls) -> Brakes:
        return cls(Throttle(10, 60), Throttle(60, 60))


@blueprint.get("/credentials/basic")
@public
@listed_when(offers_basic)
def basic() -> Response:
    """A token for a name and a password."""
    settings = backend().settings
    if not offers_basic(settings):
        raise OpenEOError("FeatureUnsupported", "Logging in with a name and a password is not offered here.")
    name, password = read_basic(request.headers.get("Authorization"))
    brakes: Brakes = current_app.extensions[BRAKES]
    address = request.remote_addr
    brakes.address.check(address)
    brakes.name.check((address, name))
    account = backend().store.users.check(name, password)
    if account is None:
        brakes.address.fail(address)
        brakes.name.fail((address, name))
        raise OpenEOError("CredentialsInvalid", "The name or the password is wrong.")
    brakes.name.succeed((address, name))
    token = backend().store.tokens.issue(account.id, timedelta(hours=settings.auth.token_hours))
    return jsonify({"access_token": token})


@blueprint.get("/credentials/oidc")
@public
@listed_when(offers_oidc)
def oidc() -> Response:
    """The OpenID Connect providers, the default one first; without any, an empty list that nothing points to."""
    providers = providers_of(backend().settings)
    return document({"providers": [describe(id, provider) for id, provider in providers.items()]})
