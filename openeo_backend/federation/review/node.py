"""The back-end under review: requests to it, and the exchanges as evidence."""

from __future__ import annotations

import base64
import ipaddress
import json
import re
import socket
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from openeo_backend.errors import OpenEOError
from openeo_backend.federation.review.check import Exchange
from openeo_backend.federation.review.trial import Trial
from openeo_backend.net.door import Door, Reply
from openeo_backend.net.policy import DEFAULT_PORTS, is_public
from openeo_backend.settings import NetSettings

#: Characters of a body that evidence shows.
_SHOWN = 700
#: Longest time in seconds in which an answer that has begun must have come whole.
_WHOLE_SECONDS = 60
#: Requests in a row without an answer after which no more are sent.
_MOST_SILENCES = 8
#: Exchanges that the evidence of a check holds.
_MOST_EXCHANGES = 12

_SECRETS = re.compile(
    r"""(?ix) (?P<before> (?: access_token|refresh_token|id_token|password|client_secret ) "? \s* [:=] \s* "?
    | [?&] (?: sig|signature|token|x-amz-signature|x-amz-credential|x-amz-security-token ) = )
    (?P<secret> [^"&\s]+ )"""
)


class Node:
    """A back-end, reached at the URL that the operator named.

    :param base_url: the URL as given: a host, or the root of one version of the API.
    :param token: what follows `Bearer` in the Authorization header, such as `basic//abc` or `oidc/CDSE/abc`.
    :param declaration: what the provider declares (the TOML file), see docs/review.md.
    :param seconds: longest wait for an answer, except for those that compute.
    """

    def __init__(
        self,
        base_url: str,
        *,
        token: str | None = None,
        declaration: Mapping[str, Any] | None = None,
        seconds: float = 30,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.token = token.removeprefix("Bearer ").strip() if token else None
        self.declaration: Mapping[str, Any] = declaration or {}
        self.seconds = seconds
        self.exchanges: list[Exchange] = []
        self._root = self.base_url
        self._kept: dict[str, Any] = {}
        self._silences = 0
        self._named: set[str] = {self.base_url}
        self._door = self._opened()
        self._cache: dict[tuple[Any, ...], tuple[Reply, Exchange]] = {}

    @classmethod
    def open(cls, url: str, **options: Any) -> Node:
        """The node at a URL, which is looked at first.

        :raises OpenEOError: UrlNotAllowed, UrlNotReachable, NotOpenEO where there is no openEO back-end.
        """
        node = cls(url, **options)
        node._root = node._found()
        return node

    def login(self, user: str, password: str) -> None:
        """Get a token by HTTP Basic authentication.

        :raises OpenEOError: CredentialsInvalid where the back-end gives none.
        """
        secret = base64.b64encode(f"{user}:{password}".encode()).decode()
        reply = self.request("GET", "/credentials/basic", headers={"Authorization": f"Basic {secret}"})
        answer = decoded(reply) if reply.status == 200 else None
        token = answer.get("access_token") if isinstance(answer, dict) else None
        if not isinstance(token, str):
            raise OpenEOError(
                "CredentialsInvalid", f"{self.root}/credentials/basic gives no token to {user!r} (HTTP {reply.status})."
            )
        self.token = f"basic//{token}"

    @property
    def host(self) -> str:
        """Scheme and host of the root."""
        parts = urlsplit(self.root)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def root(self) -> str:
        """The root of one version of the API, without a slash at the end."""
        return self._root

    def _found(self) -> str:
        """The URL itself where that answers with capabilities, else the newest production version it lists."""
        reply = self.get(f"{self.base_url}/")
        direct = decoded(reply) if reply.status == 200 else None
        if isinstance(direct, dict) and "api_version" in direct and "endpoints" in direct:
            return reply.url.rstrip("/")
        listed = self._try(f"{self.base_url}/.well-known/openeo")
        versions = listed.get("versions") if isinstance(listed, dict) else None
        found = [
            version
            for version in (versions if isinstance(versions, list) else [])
            if isinstance(version, dict) and isinstance(version.get("url"), str)
        ]
        for version in sorted(found, key=newest, reverse=True):
            root: str = version["url"].rstrip("/")
            if isinstance(self._try(f"{root}/"), dict):
                return root
        raise OpenEOError(
            "NotOpenEO",
            f"There is no openEO back-end at '{self.base_url}': neither it nor the versions that its "
            "/.well-known/openeo lists answer with capabilities.",
        )

    @cached_property
    def well_known(self) -> str:
        """URL of the well-known document: under the URL given, at the host's root, or inside of a version."""
        places = [self.base_url, self.host, self.root]
        if self.base_url == self.root:
            del places[0]
        found = [f"{place}/.well-known/openeo" for place in places]
        return next((url for url in found if isinstance(self._try(url), dict)), found[0])

    @cached_property
    def capabilities(self) -> dict[str, Any]:
        """The document at `/`."""
        return self.get_document("/")

    @property
    def endpoints(self) -> dict[str, set[str]]:
        """Methods by advertised path; parameters of paths are written `{}`."""
        found: dict[str, set[str]] = {}
        for entry in items(self.get_document("/"), "endpoints"):
            path = re.sub(r"\{[^}]*\}", "{}", str(entry.get("path")))
            found.setdefault(path, set()).update(str(method).upper() for method in entry.get("methods") or ())
        return found

    @property
    def collections(self) -> list[dict[str, Any]]:
        """The collections as `/collections` lists them."""
        return items(self.get_document("/collections"), "collections")

    @property
    def processes(self) -> list[dict[str, Any]]:
        """The processes as `/processes` lists them."""
        return items(self.get_document("/processes"), "processes")

    def collection(self, id: str) -> dict[str, Any]:
        """The full metadata of a collection."""
        return self.get_document(f"/collections/{id}")

    def get(self, path: str, *, auth: bool = False, headers: Mapping[str, str] | None = None) -> Reply:
        """The answer to a GET request; the same one again is not sent again.

        :param path: a path below the root, or an absolute URL.
        :raises OpenEOError: where no answer comes.
        """
        key = (path, auth, tuple(sorted((headers or {}).items())))
        if key in self._cache:
            reply, exchange = self._cache[key]
            self._note(exchange)
            return reply
        reply = self.request("GET", path, auth=auth, headers=headers)
        self._cache[key] = reply, self.exchanges[-1]
        return reply

    def request(
        self,
        method: str,
        path: str,
        json: Any = None,
        *,
        auth: bool = False,
        headers: Mapping[str, str] | None = None,
        seconds: float | None = None,
    ) -> Reply:
        """The answer to a request, whatever its status.

        :param json: the body; none is sent for None.
        :param auth: send the token of the user.
        :param headers: more headers; they win over those sent by default.
        :raises OpenEOError: where no answer comes.
        """
        url = path if "://" in path else f"{self.root}{path}"
        self._trust(url)
        if self._silences >= _MOST_SILENCES:
            raise OpenEOError(
                "UnexpectedAnswer", f"{_MOST_SILENCES} requests in a row had no answer; no more are sent."
            )
        # a connection for each request: servers may drop one after an error that a check provoked
        sent = {"Accept": "application/json, */*;q=0.5", "Connection": "close"}
        body = None
        if json is not None:
            sent["Content-Type"] = "application/json"
            body = _encoded(json)
        if auth and self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        sent.update(headers or {})
        started = time.monotonic()
        try:
            reply = self._door.request(
                method,
                url,
                body,
                headers=sent,
                limit_mb=256,
                seconds=seconds or self.seconds,
                again=False,
                within=(seconds or self.seconds) + _WHOLE_SECONDS,
            )
            self._silences = 0
        except OpenEOError as error:
            self._silences += error.code == "UrlNotReachable"
            self._note(Exchange(method, self._masked(url), None, self._masked(error.message), _since(started)))
            raise
        finally:
            self._door.hang_up()  # many servers close as they were asked to, without saying so
        shown = self._masked(_excerpt(method, url, sent, body, reply))
        self._note(Exchange(method, self._masked(url), reply.status, shown, _since(started)))
        return reply

    def get_document(self, path: str, *, auth: bool = False) -> dict[str, Any]:
        """The JSON object behind a GET request that must succeed.

        :raises OpenEOError: UnexpectedAnswer for another status, or where it is no JSON object.
        """
        reply = self.get(path, auth=auth)
        if reply.status != 200:
            raise OpenEOError("UnexpectedAnswer", f"GET {path} answers with HTTP status {reply.status}, not 200.")
        found = decoded(reply)
        if not isinstance(found, dict):
            raise OpenEOError("UnexpectedAnswer", f"GET {path} does not answer with a JSON object.")
        return found

    def once(self, name: str, compute: Callable[[], Any]) -> Any:
        """What several checks need, computed by the first of them."""
        if name not in self._kept:
            self._kept[name] = compute()
        return self._kept[name]

    def begin(self) -> None:
        """Forget the exchanges of the check before."""
        self.exchanges = []

    def evidence(self) -> tuple[Exchange, ...]:
        """The exchanges of this check; of many, the first and the last."""
        half = _MOST_EXCHANGES // 2
        if len(self.exchanges) <= _MOST_EXCHANGES:
            return tuple(self.exchanges)
        return (*self.exchanges[:half], *self.exchanges[-half:])

    def declares(self, *names: str) -> Any:
        """A value of the declaration by section and name, None where it is not there."""
        found: Any = self.declaration
        for name in names:
            found = found.get(name) if isinstance(found, Mapping) else None
        return found

    def cite(self, exchange: Exchange) -> None:
        """Make an earlier exchange evidence of this check."""
        self._note(exchange)

    @cached_property
    def trial(self) -> Trial:
        """What the review does itself with the back-end."""
        return Trial(self)

    def close(self) -> list[str]:
        """Delete what the trial made; the paths of what could not be deleted."""
        self._silences = 0
        return self.trial.close() if "trial" in self.__dict__ else []

    def _note(self, exchange: Exchange) -> None:
        if exchange not in self.exchanges:
            self.exchanges.append(exchange)

    def _try(self, url: str) -> Any:
        """The JSON behind a URL, None where there is none."""
        try:
            reply = self.get(url)
        except OpenEOError:
            return None
        return decoded(reply) if reply.status == 200 else None

    def _trust(self, url: str) -> None:
        """Allow the host of a link of this node that has no public address, if the node itself has none.

        A back-end on the open internet must not send the reviewer's machine to addresses inside its network.
        """
        parts = urlsplit(url)
        host = f"{parts.scheme}://{parts.netloc}"
        if host not in self._named and self.is_local:
            self._named.add(host)
            self._door = self._opened()

    @cached_property
    def is_local(self) -> bool:
        """Whether the URL named leads to an address that is not public."""
        parts = urlsplit(self.base_url)
        try:
            found = socket.getaddrinfo(parts.hostname, parts.port or DEFAULT_PORTS.get(parts.scheme, 443))
            return not all(is_public(ipaddress.ip_address(str(entry[4][0]).partition("%")[0])) for entry in found)
        except (OSError, ValueError):
            return False

    def _opened(self) -> Door:
        return Door(NetSettings(timeout_seconds=self.seconds), tuple(self._named))

    def _masked(self, text: str) -> str:
        for secret in (self.token, (self.token or "").rpartition("/")[2]):
            if secret:
                text = text.replace(secret, "***")
        return _SECRETS.sub(r"\g<before>***", text)


def decoded(reply: Reply) -> Any:
    """The JSON of an answer, None where it is none."""
    try:
        return reply.json()
    except OpenEOError:
        return None


def items(document: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """The objects of a list in a document; what is no object is left out.

    :raises OpenEOError: UnexpectedAnswer where there is no such list.
    """
    found = document.get(name)
    if not isinstance(found, list):
        raise OpenEOError("UnexpectedAnswer", f"`{name}` is no array.")
    return [entry for entry in found if isinstance(entry, dict)]


def newest(version: Mapping[str, Any]) -> tuple[bool, list[int]]:
    """By what versions of a well-known document are sorted: production first, then by number."""
    numbers = [int(part) for part in re.findall(r"\d+", str(version.get("api_version")))[:3]]
    return version.get("production", True) is not False, numbers


def _encoded(body: Any) -> bytes:
    return json.dumps(body).encode()


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)


def _excerpt(method: str, url: str, sent: Mapping[str, str], body: bytes | None, reply: Reply) -> str:
    lines = [f"{method} {url}"]
    lines += [f"{name}: {_header(name, value)}" for name, value in sent.items() if name not in ("Accept", "Connection")]
    if body is not None:
        lines += ["", _text(body)]
    lines += ["", f"HTTP {reply.status}"]
    lines += [f"{name}: {_header(name, value)[:200]}" for name, value in sorted(reply.headers.items())]
    lines += ["", _text(reply.content)]
    return "\n".join(lines)


def _header(name: str, value: str) -> str:
    return "***" if name.lower() in ("authorization", "set-cookie", "cookie") else value


def _text(content: bytes) -> str:
    try:
        text = content[: _SHOWN * 4].decode("utf-8", errors="strict" if len(content) <= _SHOWN * 4 else "ignore")
    except UnicodeDecodeError:
        return f"({len(content)} bytes)"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ... ({len(content)} bytes)"
