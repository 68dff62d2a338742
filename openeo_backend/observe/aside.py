"""Waiting for something else: whoever takes turns lets others go on meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol


class Turn(Protocol):
    """What may be held while working."""

    @property
    def is_held(self) -> bool: ...
    def take(self) -> None:
        """Wait for it, and hold it."""

    def leave(self) -> None:
        """Let others have it."""


#: The turn of the work under way, set by who gives turns.
current: ContextVar[Turn | None] = ContextVar("openeo_turn", default=None)


@contextmanager
def aside() -> Iterator[None]:
    """Within, this work only waits: its turn is another's, and taken again afterwards."""
    turn = current.get()
    if turn is None or not turn.is_held:
        yield
        return
    turn.leave()
    try:
        yield
    finally:
        turn.take()
