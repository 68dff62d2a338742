"""Single faults in the answers of a good back-end, or in what its provider declares."""

from __future__ import annotations

import json
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
    method: str = "GET"
    """Regular expression for the method."""
    declaration: Mapping[str, Any] = field(default_factory=dict)
    """What the provider declares in the place of what it declared."""


def edited(edit: Callable[[Any], Any]) -> Change:
    """A change of the JSON body in place."""

    def change(answer: Answer) -> Answer:
        body = answer.json
        edit(body)
        return answer.says(body)

    return change
