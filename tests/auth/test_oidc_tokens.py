"""Which JSON Web Tokens are accepted: a table of sound, forged, expired and misdirected ones."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from token_issuer import CLIENT, Accepting, Clock, TokenIssuer, base64url, joined, jwk, signed

from openeo_backend.errors import OpenEOError

Forge = Callable[[TokenIssuer, rsa.RSAPrivateKey, float], str]


def refusal(verify: Any, token: str, id: str = "test") -> str:
    """Why a token is refused."""
    with pytest.raises(OpenEOError) as caught:
        verify(id, token)
    assert (caught.value.code, caught.value.status) == ("TokenInvalid", 403)
    return caught.value.message


def test_a_sound_token_is_a_user(issuer: TokenIssuer, accepting: Accepting, clock: Clock) -> None:
    user = accepting({"test": issuer})("test", issuer.token(now=clock.now, name="Ada", aud=["x", "y"]))
    assert (user.subject, user.name, user.issuer) == ("u-1", "Ada", issuer.url)
    assert user.roles == frozenset()


@pytest.mark.parametrize("header", [{}, {"typ": "JWT"}, {"typ": "at+jwt"}, {"x-vendor": "1"}])
def test_headers_that_do_not_matter(issuer: TokenIssuer, accepting: Accepting, clock: Clock, header: Any) -> None:
    assert accepting({"test": issuer})("test", issuer.token(now=clock.now, header=header)).subject == "u-1"


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (ec.generate_private_key(ec.SECP256R1()), "ES256"),
        (ed25519.Ed25519PrivateKey.generate(), "EdDSA"),
        (ed25519.Ed25519PrivateKey.generate(), "Ed25519"),
    ],
)
def test_other_kinds_of_keys(issuer: TokenIssuer, accepting: Accepting, clock: Clock, key: Any, algorithm: str) -> None:
    issuer.keys["two"] = key
    token = issuer.token(kid="two", now=clock.now, header={"alg": algorithm})
    assert accepting({"test": issuer})("test", token).subject == "u-1"
    assert "algorithm" in refusal(accepting({"test": issuer}, algorithms=["RS256"]), token)


def test_a_token_without_key_id_is_tried_with_the_keys_that_fit(
    issuer: TokenIssuer, other_rsa_key: rsa.RSAPrivateKey, accepting: Accepting, clock: Clock
) -> None:
    issuer.keys["two"] = other_rsa_key
    verify = accepting({"test": issuer})
    for key in issuer.keys.values():
        assert verify("test", signed(key, {"alg": "RS256"}, issuer.claims(clock.now))).subject == "u-1"


def _unsigned(issuer: TokenIssuer, stranger: rsa.RSAPrivateKey, now: float) -> str:
    return f"{joined({'alg': 'none', 'kid': 'one'}, issuer.claims(now))}."


def _unsigned_in_disguise(issuer: TokenIssuer, stranger: rsa.RSAPrivateKey, now: float) -> str:
    return f"{joined({'alg': 'nOnE'}, issuer.claims(now))}."


def _without_signature(issuer: TokenIssuer, stranger: rsa.RSAPrivateKey, now: float) -> str:
    return issuer.token(now=now).rpartition(".")[0] + "."


def _confused(form: Callable[[rsa.RSAPublicKey], bytes]) -> Forge:
    """HMAC with the public key, which everybody knows, as its secret."""

    def forge(issuer: TokenIssuer, stranger: rsa.RSAPrivateKey, now: float) -> str:
        key = issuer.keys["one"]
        assert isinstance(key, rsa.RSAPrivateKey)
        text = joined({"alg": "HS256", "kid": "one"}, issuer.claims(now))
        return f"{text}.{base64url(hmac.digest(form(key.public_key()), text.encode(), hashlib.sha256))}"

    return forge


def _pem(key: rsa.RSAPublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _der(key: rsa.RSAPublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _of_a_stranger(issuer: TokenIssuer, stranger: rsa.RSAPrivateKey, now: float) -> str:
    return signed(stranger, {"alg": "RS256", "kid": "one"}, issuer.claims(now))


def _with_its_own_key(issuer: TokenIssuer, stranger: rsa.RSAPrivateKey, now: float) -> str:
    return signed(stranger, {"alg": "RS256", "kid": "one", "jwk": jwk(stranger, kid="one")}, issuer.claims(now))


def _pointing_at_its_key(issuer: TokenIssuer, stranger: rsa.RSAPrivateKey, now: float) -> str:
    header = {"alg": "RS256", "kid": "one", "jku": issuer.url.replace("/realms/test", "/evil/jwks")}
    return signed(stranger, header | {"x5u": header["jku"]}, issuer.claims(now))


def _with_other_claims(issuer: TokenIssuer, stranger: rsa.RSAPrivateKey, now: float) -> str:
    header, _, mark = issuer.token(now=now).split(".")
    return f"{header}.{base64url(json.dumps(issuer.claims(now, sub='root')).encode())}.{mark}"


def _critical(issuer: TokenIssuer, stranger: rsa.RSAPrivateKey, now: float) -> str:
    return issuer.token(now=now, header={"crit": ["exp"], "exp": now + 60})


def _unencoded(issuer: TokenIssuer, stranger: rsa.RSAPrivateKey, now: float) -> str:
    return issuer.token(now=now, header={"b64": False})


FORGED: dict[str, tuple[Forge, str]] = {
    "alg none": (_unsigned, "algorithm 'none'"),
    "alg none in disguise": (_unsigned_in_disguise, "algorithm 'nOnE'"),
    "signature cut off": (_without_signature, "signature"),
    "key confusion (PEM)": (_confused(_pem), "algorithm 'HS256'"),
    "key confusion (DER)": (_confused(_der), "algorithm 'HS256'"),
    "another key": (_of_a_stranger, "signature"),
    "key in the header": (_with_its_own_key, "signature"),
    "key behind a URL in the header": (_pointing_at_its_key, "signature"),
    "claims changed": (_with_other_claims, "signature"),
    "critical header": (_critical, "header"),
    "payload not encoded": (_unencoded, "header"),
}


@pytest.mark.parametrize(("forge", "why"), FORGED.values(), ids=FORGED)
def test_forged_tokens_are_refused(
    issuer: TokenIssuer, accepting: Accepting, clock: Clock, other_rsa_key: Any, forge: Forge, why: str
) -> None:
    assert why in refusal(accepting({"test": issuer}), forge(issuer, other_rsa_key, clock.now))
    assert issuer.count("/evil/jwks") == 0


DAY = 86_400


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"exp": -31}, "expired"),
        ({"exp": None}, "exp"),
        ({"nbf": 31}, "not valid yet"),
        ({"iat": 31}, "issued in the future"),
        ({"iat": DAY, "nbf": DAY, "exp": DAY}, "not valid yet"),
    ],
)
def test_tokens_are_refused_before_and_after_their_time(
    issuer: TokenIssuer, accepting: Accepting, clock: Clock, members: Any, why: str
) -> None:
    shifted = {name: None if value is None else clock.now + value for name, value in members.items()}
    token = signed(issuer.keys["one"], {"alg": "RS256", "kid": "one"}, issuer.claims(clock.now) | shifted)
    if members.get("exp", 0) is None:
        token = issuer.token(now=clock.now, exp=None)
    assert why in refusal(accepting({"test": issuer}), token)


@pytest.mark.parametrize("members", [{"exp": -29}, {"nbf": 29}, {"iat": 29}, {"iat": None}, {"nbf": -5.5}])
def test_clocks_may_differ_a_little(issuer: TokenIssuer, accepting: Accepting, clock: Clock, members: Any) -> None:
    shifted = {name: None if value is None else clock.now + value for name, value in members.items()}
    token = issuer.token(now=clock.now, **shifted)
    assert accepting({"test": issuer})("test", token).subject == "u-1"
    if "exp" in members:
        assert "expired" in refusal(accepting({"test": issuer}, leeway_seconds=0), token)


@pytest.mark.parametrize("value", ["soon", True, [1], 1e300, float("inf"), 10**400])
def test_times_that_are_none(issuer: TokenIssuer, accepting: Accepting, clock: Clock, value: Any) -> None:
    assert "exp" in refusal(accepting({"test": issuer}), issuer.token(now=clock.now, exp=value))


@pytest.mark.parametrize(
    ("settings", "members", "why"),
    [
        ({}, {"azp": "another-app"}, "another client (another-app)"),
        ({}, {"azp": None}, "another client"),
        ({}, {"azp": None, "client_id": "another-app"}, "another client"),
        ({}, {"azp": [CLIENT]}, "another client"),
        ({"clients": ["sh-*"]}, {"azp": "xsh-1"}, "another client"),
        ({"audiences": ["openeo"]}, {"aud": "account"}, "another service (account)"),
        ({"audiences": ["openeo"]}, {"aud": ["account", "openeo2"]}, "another service"),
        ({"audiences": ["openeo"]}, {"aud": None}, "another service"),
        ({"audiences": ["openeo"]}, {"aud": {"openeo": 1}}, "another service"),
        ({"audiences": ["openeo"]}, {"aud": "openeo", "azp": "another-app"}, "another client"),
        ({}, {"typ": "ID"}, "no access token"),
        ({}, {"typ": "Refresh"}, "no access token"),
        ({}, {"at_hash": "x"}, "no access token"),
        ({}, {"cnf": {"jkt": "x"}}, "bound to a key"),
        ({}, {"sub": None}, "sub"),
        ({}, {"sub": ""}, "sub"),
        ({}, {"sub": 7}, "sub"),
        ({}, {"sub": "a" * 256}, "sub"),
        ({}, {"sub": "a\nb"}, "sub"),
        ({}, {"iss": "https://elsewhere.example"}, "not issued by the provider 'test'"),
        ({}, {"iss": None}, "nobody"),
        ({}, {"iss": ["x"]}, "nobody"),
    ],
)
def test_tokens_for_others_are_refused(
    issuer: TokenIssuer, accepting: Accepting, clock: Clock, settings: Any, members: Any, why: str
) -> None:
    assert why in refusal(accepting({"test": issuer}, **settings), issuer.token(now=clock.now, **members))


@pytest.mark.parametrize(
    ("settings", "members"),
    [
        ({"clients": ["sh-*"]}, {"azp": "sh-0a1b"}),
        ({"clients": ["*"]}, {"azp": "any"}),
        ({}, {"azp": None, "client_id": CLIENT}),
        ({"clients": [], "audiences": ["openeo"]}, {"aud": ["account", "openeo"], "azp": "any"}),
        ({"clients": [], "default_clients": [{"id": "web"}]}, {"azp": "web"}),
    ],
)
def test_whose_tokens_are_accepted(
    issuer: TokenIssuer, accepting: Accepting, clock: Clock, settings: Any, members: Any
) -> None:
    assert accepting({"test": issuer}, **settings)("test", issuer.token(now=clock.now, **members)).subject == "u-1"


@pytest.mark.parametrize("kind", ["logout+jwt", "dpop+jwt", "token-introspection+jwt", 7])
def test_other_types_of_tokens(issuer: TokenIssuer, accepting: Accepting, clock: Clock, kind: Any) -> None:
    assert "no access token" in refusal(accepting({"test": issuer}), issuer.token(now=clock.now, header={"typ": kind}))


@pytest.mark.parametrize(
    "token",
    [
        "e30",
        "e30.",
        "e30.e30.",
        "e30.e30.e30",
        "e30.e30.e30.e30.e30",
        "eyJhbGciOiJSUzI1NiJ9.W10.eA",
        "eyJhbGciOiJSUzI1NiJ9.bm8.eA",
        "eyJhbGciOiJSUzI1NiJ9.eyJhIjo" + "x" * 40_000 + ".eA",
        base64url(b'{"a":' * 5000 + b"1" + b"}" * 5000) + ".e30.eA",
    ],
)
def test_what_is_no_token_is_refused_without_asking_anybody(
    issuer: TokenIssuer, accepting: Accepting, token: str
) -> None:
    refusal(accepting({"test": issuer}), token)
    assert issuer.asked == []


@pytest.mark.parametrize(
    "published",
    [
        [{"kty": "oct", "k": base64url(b"secret" * 8), "kid": "one"}],
        [{"kty": "RSA", "kid": "one"}, {"kid": "one"}, {"kty": "RSA", "n": 7, "e": "AQAB", "kid": "one"}],
        [],
    ],
)
def test_keys_of_no_use(issuer: TokenIssuer, accepting: Accepting, clock: Clock, published: Any) -> None:
    issuer.published = published
    assert "signature" in refusal(accepting({"test": issuer}), issuer.token(now=clock.now))


def test_keys_for_encryption_and_short_ones_sign_nothing(
    issuer: TokenIssuer, accepting: Accepting, clock: Clock, rsa_key: rsa.RSAPrivateKey
) -> None:
    issuer.published = [jwk(rsa_key, kid="one", use="enc")]
    assert "signature" in refusal(accepting({"test": issuer}), issuer.token(now=clock.now))
    short = rsa.generate_private_key(65537, 1024)
    issuer.keys["short"], issuer.published = short, [jwk(short, kid="short")]
    assert "signature" in refusal(accepting({"test": issuer}), issuer.token(kid="short", now=clock.now))


def test_an_octet_key_among_the_published_ones_does_not_allow_hmac(
    issuer: TokenIssuer, accepting: Accepting, clock: Clock
) -> None:
    issuer.published = [{"kty": "oct", "k": base64url(b"secret" * 8), "kid": "one", "alg": "HS256"}]
    text = joined({"alg": "HS256", "kid": "one"}, issuer.claims(clock.now))
    token = f"{text}.{base64url(hmac.digest(b'secret' * 8, text.encode(), hashlib.sha256))}"
    assert "algorithm" in refusal(accepting({"test": issuer}), token)
