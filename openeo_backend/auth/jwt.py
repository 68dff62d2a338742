"""JSON Web Tokens: reading them, and checking who signed them, for whom and for how long."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwk import ECKey, JWKRegistry, Key, OKPKey, RSAKey

from openeo_backend.auth.entitlements import matches
from openeo_backend.errors import OpenEOError
from openeo_backend.sections.identity import ProviderSettings

#: Longest token that is looked at.
LONGEST = 32_768

#: Keys that are tried for a token that does not say which one signed it.
MOST_KEYS = 10

#: The kind of key that an algorithm takes, by the first letters of its name.
_KINDS = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}

#: Members of a published key that are used: the rest is not needed, and what is private should not be there.
_PUBLIC = ("kty", "n", "e", "crv", "x", "y")

#: What tokens may call themselves: others (logout, DPoP proofs, responses) have a meaning of their own.
_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})

#: How Keycloak marks tokens that are no access tokens.
_OTHER_USES = frozenset({"id", "refresh", "offline", "logout"})

#: No instant is further away, in seconds.
_FAR = 1e12

_SUBJECT = re.compile(r"[\x20-\x7e]{1,255}")


def refuse(message: str, hint: str | None = "Log in again for a new token.") -> OpenEOError:
    """The error for a token that is not accepted."""
    return OpenEOError("TokenInvalid", message, hint=hint)


@dataclass(frozen=True)
class Unverified:
    """What a JWT says, believed by nobody yet."""

    text: str
    header: Mapping[str, Any]
    claims: Mapping[str, Any]

    @property
    def issuer(self) -> str:
        """The claim `iss` without slashes at its end; empty without a usable one."""
        issuer = self.claims.get("iss")
        return issuer.rstrip("/") if isinstance(issuer, str) else ""


def looks_like_jwt(token: str) -> bool:
    """Whether a token begins with the JSON object that every JWT begins with, be the rest valid or not."""
    try:
        return _decoded(token.partition(".")[0]).lstrip()[:1] == b"{"
    except ValueError:
        return False


def read(token: str) -> Unverified:
    """What a JWT says.

    :raises OpenEOError: TokenInvalid.
    """
    parts = token.split(".")
    if len(token) > LONGEST or len(parts) != 3 or not token.isascii():
        raise refuse("The token is not a signed JWT.")
    try:
        header, claims = (json.loads(_decoded(part)) for part in parts[:2])
    except (ValueError, RecursionError):
        raise refuse("The token cannot be read.") from None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise refuse("The token cannot be read.")
    return Unverified(token, header, claims)


@dataclass(frozen=True)
class PublishedKey:
    """A public key of a provider."""

    id: str | None
    kind: str
    algorithm: str | None
    key: Key


def read_keys(document: Any) -> list[PublishedKey]:
    """The usable signature keys of a JWKS document; others are left out.

    :raises ValueError: where it is no such document.
    """
    if not isinstance(document, Mapping) or not isinstance(document.get("keys"), list):
        raise ValueError("it is not a list of keys")
    return [key for raw in document["keys"] if isinstance(raw, dict) and (key := _published(raw)) is not None]


def _published(raw: Mapping[str, Any]) -> PublishedKey | None:
    kind, id, algorithm = raw.get("kty"), raw.get("kid"), raw.get("alg")
    if kind not in ("RSA", "EC", "OKP") or raw.get("use", "sig") != "sig":
        return None
    if kind == "RSA" and not _is_long(raw.get("n")):
        return None
    try:
        key = JWKRegistry.import_key({name: raw[name] for name in _PUBLIC if name in raw})
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    if not isinstance(key, RSAKey | ECKey | OKPKey):
        return None
    return PublishedKey(
        id if isinstance(id, str) else None, kind, algorithm if isinstance(algorithm, str) else None, key
    )


def _is_long(modulus: Any) -> bool:
    """Whether an RSA key has the 2048 bits that no computer breaks."""
    try:
        return isinstance(modulus, str) and int.from_bytes(_decoded(modulus)).bit_length() >= 2048
    except ValueError:
        return False


class _Algorithms(jws.JWSRegistry):
    """The algorithms that are allowed; without warnings about names that providers will use for years."""

    def get_alg(self, name: str) -> Any:
        if name not in (self.allowed or ()):
            raise UnsupportedAlgorithmError()
        return self.algorithms[name]


def check_algorithm(token: Unverified, allowed: Sequence[str]) -> str:
    """The algorithm of a token.

    :raises OpenEOError: TokenInvalid for one that is not allowed, `none` among them, and for headers that change
        how a token is to be read.
    """
    algorithm = token.header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in allowed:
        raise refuse(f"Tokens signed with the algorithm {str(algorithm)[:20]!r} are not accepted.", hint=None)
    kind = token.header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise refuse(f"The token is no access token but of the type {str(kind)[:40]!r}.", hint=None)
    if "crit" in token.header or "b64" in token.header:
        raise refuse("The token has a header that is not understood here.", hint=None)
    return algorithm


def candidates(token: Unverified, algorithm: str, keys: Iterable[PublishedKey]) -> list[PublishedKey]:
    """The keys that can have signed a token: those of its key id, or, where it names none, all that fit."""
    id = token.header.get("kid")
    fitting = [
        key
        for key in keys
        if key.kind == _KINDS[algorithm[:2]] and key.algorithm in (None, algorithm) and (id is None or key.id == id)
    ]
    return fitting[:MOST_KEYS]


def is_signed(token: Unverified, algorithm: str, keys: Iterable[PublishedKey]) -> bool:
    """Whether one of the keys signed a token. Keys that the token itself carries or points at do not count."""
    registry = _Algorithms(algorithms=[algorithm], strict_check_header=False)
    registry.max_header_length = registry.max_signature_length = LONGEST
    for key in keys:
        try:
            jws.deserialize_compact(token.text, key.key, registry=registry)
        except (JoseError, ValueError, TypeError):
            continue
        return True
    return False


def check_claims(claims: Mapping[str, Any], settings: ProviderSettings, now: float) -> None:
    """Look whether a token of a provider is an access token for us, and valid now.

    :param now: seconds since the epoch.
    :raises OpenEOError: TokenInvalid, saying what is wrong.
    """
    _check_times(claims, now, settings.leeway_seconds)
    subject = claims.get("sub")
    if not isinstance(subject, str) or not _SUBJECT.fullmatch(subject):
        raise refuse("The token does not say whom it belongs to (sub).", hint=None)
    use = claims.get("typ")
    if (isinstance(use, str) and use.lower() in _OTHER_USES) or "at_hash" in claims or "c_hash" in claims:
        raise refuse("The token is no access token.", hint="Send the access token, not the ID or refresh token.")
    if "cnf" in claims:
        raise refuse("The token is bound to a key of its client, which is not supported here.", hint=None)
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if settings.audiences and not any(named in settings.audiences for named in audiences):
        raise refuse(
            f"The token is meant for another service ({_listed(audiences)}).",
            hint=f"Accepted audiences: {', '.join(settings.audiences)}.",
        )
    _check_client(claims, settings)


def _check_client(claims: Mapping[str, Any], settings: ProviderSettings) -> None:
    clients = settings.clients
    if not clients and not settings.audiences:
        clients = [client.id for client in settings.default_clients]
    party = claims.get("azp", claims.get("client_id"))
    if clients and not (isinstance(party, str) and any(matches(pattern, party) for pattern in clients)):
        raise refuse(
            f"The token was issued to another client ({_listed([party])}), whose tokens are not accepted here.",
            hint="Log in with one of the clients that /credentials/oidc lists.",
        )


def _check_times(claims: Mapping[str, Any], now: float, leeway: float) -> None:
    expires, begins, issued = (_instant(claims, name) for name in ("exp", "nbf", "iat"))
    if expires is None:
        raise refuse("The token does not say until when it is valid (exp).", hint=None)
    if now >= expires + leeway:
        raise refuse("The token has expired.")
    for name, instant in (("is not valid yet (nbf)", begins), ("was issued in the future (iat)", issued)):
        if instant is not None and now < instant - leeway:
            raise refuse(
                f"The token {name}: it is {instant - now:.0f} s ahead of the clock here.",
                hint="Try again later; if that happens often, one of the two clocks is wrong.",
            )


def _instant(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_FAR < value < _FAR:
        raise refuse(f"The claim {name} of the token is no instant.", hint=None)
    return float(value)


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(value[:80] for value in values if isinstance(value, str)) or "none is named"


def _decoded(part: str) -> bytes:
    """The bytes behind base64url without padding.

    :raises ValueError: for anything else.
    """
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise ValueError("not base64url") from None
