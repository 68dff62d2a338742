"""Providers on this machine, and what checks their tokens."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from token_issuer import CLIENT, Accepting, Clock, TokenIssuer, issuing

from openeo_backend.auth.issuer import Issuer
from openeo_backend.auth.oidc import Oidc, Provider
from openeo_backend.net.door import Door
from openeo_backend.sections.identity import ProviderSettings
from openeo_backend.settings import NetSettings


@pytest.fixture(scope="session")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="session")
def other_rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture
def issuer(rsa_key: rsa.RSAPrivateKey) -> Iterator[TokenIssuer]:
    with issuing(rsa_key) as issuer:
        yield issuer


@pytest.fixture
def other_issuer(other_rsa_key: rsa.RSAPrivateKey) -> Iterator[TokenIssuer]:
    with issuing(other_rsa_key) as issuer:
        yield issuer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def accepting(clock: Clock) -> Accepting:
    """What checks the tokens of issuers, by provider id; keyword arguments are settings of all of them."""

    def accepting(issuers: dict[str, TokenIssuer], **members: object) -> Oidc:
        door = Door(NetSettings(), tuple(issuer.url for issuer in issuers.values()))
        members = {"clients": [CLIENT], **members}
        settings = {id: ProviderSettings(issuer=issuer.url, **members) for id, issuer in issuers.items()}
        return Oidc({id: Provider(id, own, Issuer(id, own.issuer, door, clock), clock) for id, own in settings.items()})

    return accepting
