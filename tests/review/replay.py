"""A back-end whose answers are kept, so that it can be reviewed many times, each time with one fault."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from fault import Answer, Fault

from openeo_backend.errors import OpenEOError
from openeo_backend.federation.review.check import Check
from openeo_backend.federation.review.node import Node
from openeo_backend.federation.review.review import Finding, examine
from openeo_backend.net.door import Door, Reply

Key = tuple[str, str, bytes | None, tuple[tuple[str, str], ...]]


def path_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


@dataclass
class Good:
    """The good back-end and what it answered so far."""

    url: str
    token: str
    declaration: Mapping[str, Any]
    better: list[Fault] = field(default_factory=list)
    """What makes its answers better than they are, so that every check has something to lose."""
    answers: dict[Key, Reply] = field(default_factory=dict)
    used: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    found: dict[str, Finding] = field(default_factory=dict)
    """Method and path of the requests that each check made."""

    def review(self, checks: list[Check], fault: Fault | None = None) -> dict[str, Finding]:
        """The findings by id; under a fault, of the checks that may see it."""
        declaration = {**self.declaration, **(fault.declaration if fault else {})}
        node = Kept(self, fault, declaration)
        found = {}
        for check in checks:
            node.asked = set()
            if fault is None or self._may_see(check, fault):
                found[check.id] = examine(check, node)
            if fault is None:
                self.used[check.id] = node.asked
        return found

    def _may_see(self, check: Check, fault: Fault) -> bool:
        """A check is a function of its answers, the declaration, and where the back-end is."""
        reads = "node.declares" in _code(check) or "_at_least" in _code(check)
        if fault.public or (fault.declaration and reads) or check.id == fault.id:
            return True
        return any(fault.hits(method, path) for method, path in self.used[check.id])


class Kept(Node):
    """A node whose requests are answered from what is kept, else by the good back-end, with the fault put in."""

    def __init__(self, good: Good, fault: Fault | None, declaration: Mapping[str, Any]) -> None:
        self.good, self.fault = good, fault
        self.asked: set[tuple[str, str]] = set()
        super().__init__(good.url, token=good.token, declaration=declaration)
        self._root = good.url
        if fault is not None and fault.public:
            self.__dict__["is_local"] = False

    def get(self, path: str, *, auth: bool = False, headers: Mapping[str, str] | None = None) -> Reply:
        self.asked.add(("GET", path_of(path if "://" in path else f"{self.root}{path}")))
        return super().get(path, auth=auth, headers=headers)

    def _opened(self) -> Any:
        return KeptDoor(self, super()._opened())


class KeptDoor:
    def __init__(self, node: Kept, door: Door) -> None:
        self._node, self._door = node, door

    def request(
        self,
        method: str,
        url: str,
        body: bytes | None = None,
        *,
        headers: Mapping[str, str],
        seconds: float,
        **rest: Any,
    ) -> Reply:
        good, fault, path = self._node.good, self._node.fault, path_of(url)
        self._node.asked.add((method, path))
        key = (method, url, body, tuple(sorted(headers.items())))
        if key not in good.answers:
            good.answers[key] = self._door.request(method, url, body, headers=headers, seconds=seconds, **rest)
        reply = good.answers[key]
        has_token = "Authorization" in headers
        answer = Answer(reply.status, reply.headers, reply.content, has_token=has_token, asked=body or b"")
        changed = answer
        for change in [*good.better, *([fault] if fault else [])]:
            if change.change is not None and change.hits(method, path):
                changed = change.change(changed)
        if changed is answer:
            return reply
        if changed.seconds > seconds:
            raise OpenEOError("UrlNotReachable", f"The server of '{url}' does not answer (ReadTimeoutError).")
        return Reply(reply.url, changed.status, changed.headers, changed.content)


def _code(check: Check) -> str:
    import inspect

    return inspect.getsource(check.function)
