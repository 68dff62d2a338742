"""Single faults in the answers of a good back-end, or in what its provider declares."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What the good back-end answered."""

    status: int
    headers: Mapping[str, str]
    """By lower-case name."""
    content: bytes
    seconds: float = 0
    """How long it takes to come."""

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    def says(self, body: Any) -> Answer:
        """The answer with another JSON body."""
        return replace(self, content=json.dumps(body).encode())

    def has(self, **headers: str | None) -> Answer:
        """The answer with other headers; underscores stand for dashes, None removes one."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        merged = {**self.headers, **named}
        return replace(self, headers={name: value for name, value in merged.items() if value is not None})

    def is_(self, status: int) -> Answer:
        """The answer with another status."""
        return replace(self, status=status)

    def late(self, seconds: float) -> Answer:
        """The answer after a while."""
        return replace(self, seconds=seconds)


Change = Callable[[Answer], Answer]


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong, and the checks that see it."""

    id: str
    """The check that must not pass any more."""
    path: str = ""
    """Regular expression for the whole path with its query, below the host; all answers that match are changed."""
    change: Change | None = None
    also: frozenset[str] = frozenset()
    """Other checks that this very fault makes fail, too, and no more than these."""
    readers: bool = False
    """The document cannot be read at all: whatever reads it may fail, too."""
    method: str = "GET"
    """Regular expression for the method."""
    body: str = ""
    """Regular expression to be found in the body of the request; all bodies where it is empty."""
    login: bool | None = None
    """Only requests with (without) an Authorization header; all where it is None."""
    declaration: Mapping[str, Any] = field(default_factory=dict)
    """Sections that the provider declares in the place of those it declared."""
    token: str | None = None
    """The token of the user, instead of the one that the good back-end gave."""
    public: bool = False
    """The back-end is at a public address."""

    def hits(self, method: str, path: str) -> bool:
        """Whether the answer to a request is changed."""
        return bool(self.path and re.fullmatch(self.path, path) and re.fullmatch(self.method, method))


def edited(edit: Callable[[Any], Any]) -> Change:
    """A change of the JSON body in place."""

    def change(answer: Answer) -> Answer:
        body = answer.json
        edit(body)
        return answer.says(body)

    return change
