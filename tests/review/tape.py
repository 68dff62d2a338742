"""The answers of a good back-end to the trial, recorded once and given again, each time with one of them changed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from fault import Answer, Fault

from openeo_backend.errors import OpenEOError
from openeo_backend.federation.review.check import Check, Verdict
from openeo_backend.federation.review.node import Node
from openeo_backend.federation.review.review import examine
from openeo_backend.federation.review.trial import Trial
from openeo_backend.net.door import Door, Reply

#: Names what the trial makes, so that it asks the same each time.
TAG = "openeo_review_tape"
NOT_TAPED = Answer(404, {"content-type": "application/json"}, b'{"code": "NotFound", "message": "Not taped."}')

#: Method, URL, headers and body of a request.
Key = tuple[str, str, tuple[tuple[str, str], ...], bytes]


class Tape:
    """Answers in the order in which they came, by request; after the last one it comes again."""

    def __init__(self, url: str, declaration: Mapping[str, Any], better: Sequence[Fault] = ()) -> None:
        self.url = url
        self.declaration = declaration
        self.better = better
        """Changes of all answers, so that every check has something to lose."""
        self.token: str | None = None
        self.answers: dict[Key, list[Answer]] = {}

    def record(self, user: str, password: str, checks: list[Check]) -> None:
        """Let the checks review the back-end, and keep all of its answers."""
        node = TapedNode(Recorder(self, Node(self.url)._opened()), self.url, declaration=self.declaration)
        node.login(user, password)
        self.token = node.token
        node.__dict__["trial"] = Trial(node, tag=TAG)
        try:
            for check in checks:
                examine(check, node)
        finally:
            assert node.close() == []

    def play(self, fault: Fault | None = None) -> TapedNode:
        """A node that answers from the tape, with a fault."""
        token = fault.token if fault and fault.token else self.token
        declared = {**self.declaration, **(fault.declaration if fault else {})}
        node = TapedNode(Player(self, fault), self.url, token=token, declaration=declared)
        node.__dict__["trial"] = Trial(node, tag=TAG, pause=lambda seconds: None)
        if fault is not None and fault.public:
            node.__dict__["is_local"] = False
        return node

    def verdicts(self, checks: list[Check], fault: Fault | None = None) -> dict[str, Verdict]:
        """What the checks say about the back-end with a fault."""
        return self.judge(checks, self.play(fault))

    def judge(self, checks: list[Check], node: TapedNode) -> dict[str, Verdict]:
        """What the checks say about a node."""
        return {check.id: examine(check, node).verdict for check in checks}

    def asked(self, check: Check) -> set[Key]:
        """The requests that a check needs."""
        node = self.play()
        examine(check, node)
        assert isinstance(node.door, Player)
        return node.door.asked


class Recorder:
    """A door that keeps what comes through."""

    def hang_up(self) -> None:
        self._door.hang_up()

    def __init__(self, tape: Tape, door: Door) -> None:
        self._tape = tape
        self._door = door

    def request(self, method: str, url: str, body: bytes | None = None, **options: Any) -> Reply:
        reply = self._door.request(method, url, body, **options)
        answer = Answer(reply.status, reply.headers, reply.content)
        self._tape.answers.setdefault(key_of(method, url, body, options), []).append(answer)
        return reply


class Player:
    """A door behind which the tape answers."""

    def hang_up(self) -> None:
        pass

    def __init__(self, tape: Tape, fault: Fault | None) -> None:
        self._tape = tape
        self._fault = fault
        self._place: dict[Key, int] = {}
        self.asked: set[Key] = set()
        self.count = 0

    def request(self, method: str, url: str, body: bytes | None = None, **options: Any) -> Reply:
        key = key_of(method, url, body, self._as_recorded(options))
        self.asked.add(key)
        self.count += 1
        known = self._tape.answers.get(key, [NOT_TAPED])
        number = self._place.get(key, 0)
        self._place[key] = number + 1
        answer = known[min(number, len(known) - 1)]
        for fault in (*self._tape.better, self._fault):
            if fault is not None and fault.change is not None and concerns(fault, key):
                answer = fault.change(answer)
        if answer.seconds > options.get("seconds", answer.seconds):
            raise OpenEOError("UrlNotReachable", f"The server of '{url}' does not answer (ReadTimeoutError).")
        if answer.status == 0:
            raise OpenEOError("UrlNotReachable", f"The server of '{url}' does not answer.")
        return Reply(url, answer.status, dict(answer.headers), answer.content)

    def _as_recorded(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Another token of the user is as good as the one that was recorded."""
        headers = dict(options.get("headers") or {})
        if self._fault is not None and self._fault.token and "Authorization" in headers:
            wanted = (self._tape.token or "").rpartition("/"), self._fault.token.rpartition("/")
            for recorded, given in zip(*wanted, strict=True):
                headers["Authorization"] = headers["Authorization"].replace(given, recorded)
        return {"headers": headers}


class TapedNode(Node):
    """A node with another door."""

    def __init__(self, door: Recorder | Player, url: str, **options: Any) -> None:
        self.door = door
        super().__init__(url, **options)

    def _opened(self) -> Any:
        return self.door


def key_of(method: str, url: str, body: bytes | None, options: Mapping[str, Any]) -> Key:
    return method, url, tuple(sorted((options.get("headers") or {}).items())), body or b""


def concerns(fault: Fault, key: Key) -> bool:
    """Whether a fault changes the answer to a request."""
    method, url, headers, body = key
    parts = urlsplit(url)
    if not fault.hits(method, f"{parts.path}?{parts.query}" if parts.query else parts.path):
        return False
    if fault.body and not re.search(fault.body, body.decode()):
        return False
    return fault.login is None or fault.login == any(name == "Authorization" for name, _ in headers)


def seen_by(fault: Fault, asked: Mapping[str, set[Key]]) -> Iterator[str]:
    """The ids of the checks that ask for what a fault changes."""
    for id, keys in asked.items():
        if any(concerns(fault, key) for key in keys):
            yield id
