"""An identity provider on this machine that says and signs whatever a test wants.

Tokens are made with `cryptography` alone, not with the library that checks them.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

CLIENT = "openeo-client"

#: What checks the tokens of issuers, made of them by provider id.
Accepting = Callable[..., Any]


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def number(value: int, size: int | None = None) -> str:
    return base64url(value.to_bytes(size or (value.bit_length() + 7) // 8))


def jwk(key: PrivateKey, **members: str) -> dict[str, str]:
    """The public half of a key as JWK."""
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.public_key().public_numbers()
        return {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e), **members}
    if isinstance(key, ec.EllipticCurvePrivateKey):
        point = key.public_key().public_numbers()
        return {"kty": "EC", "crv": "P-256", "x": number(point.x, 32), "y": number(point.y, 32), **members}
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return {"kty": "OKP", "crv": "Ed25519", "x": base64url(raw), **members}


def signature(key: PrivateKey, content: bytes) -> bytes:
    """RS256, ES256 or Ed25519, as the key is."""
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(content, padding.PKCS1v15(), hashes.SHA256())
    if isinstance(key, ec.EllipticCurvePrivateKey):
        r, s = decode_dss_signature(key.sign(content, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32) + s.to_bytes(32)
    return key.sign(content)


def joined(header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    return ".".join(base64url(json.dumps(part).encode()) for part in (header, claims))


def signed(key: PrivateKey, header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    text = joined(header, claims)
    return f"{text}.{base64url(signature(key, text.encode()))}"


class TokenIssuer:
    """A provider with an RSA key `one`; `asked` lists the paths that were requested."""

    def __init__(self, url: str, key: rsa.RSAPrivateKey) -> None:
        self.url = url
        self.keys: dict[str, PrivateKey] = {"one": key}
        self.published: list[dict[str, str]] | None = None
        """What is published instead of `keys`."""
        self.people: dict[str, dict[str, Any]] = {}
        """Claims by opaque token."""
        self.discovery: dict[str, Any] = {}
        """Members of the discovery document that are different."""
        self.status = 200
        self.seconds = 0.0
        """How long each answer takes."""
        self.asked: list[str] = []

    def claims(self, now: float | None = None, **members: Any) -> dict[str, Any]:
        """The claims of a sound token; members that are None are left out."""
        now = time.time() if now is None else now
        usual = {"iss": self.url, "sub": "u-1", "azp": CLIENT, "aud": "account", "iat": now, "exp": now + 600}
        return {name: value for name, value in {**usual, **members}.items() if value is not None}

    def token(self, *, kid: str = "one", header: Mapping[str, Any] | None = None, **members: Any) -> str:
        """A sound token, with other claims where `members` say so."""
        return signed(self.keys[kid], {"alg": "RS256", "kid": kid, **(header or {})}, self.claims(**members))

    def count(self, end: str) -> int:
        """How often a path was asked for that ends so."""
        return sum(path.endswith(end) for path in self.asked)

    def answer(self, path: str, authorization: str | None) -> tuple[int, Any]:
        if self.status != 200:
            return self.status, {"error": "unavailable"}
        if path.endswith("/.well-known/openid-configuration"):
            ends = {"jwks_uri": f"{self.url}/jwks", "userinfo_endpoint": f"{self.url}/userinfo"}
            return 200, {"issuer": self.url, **ends, **self.discovery}
        if path.endswith("/jwks"):
            usual = [jwk(key, kid=kid, use="sig") for kid, key in self.keys.items()]
            return 200, {"keys": usual if self.published is None else self.published}
        if path.endswith("/userinfo"):
            claims = self.people.get((authorization or "").removeprefix("Bearer "))
            return (200, claims) if claims else (401, {"error": "invalid_token"})
        return 404, {}


@contextmanager
def issuing(key: rsa.RSAPrivateKey, port: int = 0) -> Iterator[TokenIssuer]:
    """Run a provider on this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked.append(self.path)
            time.sleep(issuer.seconds)
            status, document = issuer.answer(self.path, self.headers.get("Authorization"))
            content = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    issuer = TokenIssuer(f"http://127.0.0.1:{server.server_port}/realms/test", key)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
