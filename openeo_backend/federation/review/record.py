"""The answers of one part of a trial, by the names under which the checks read them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from openeo_backend.errors import OpenEOError
from openeo_backend.federation.review.check import HOSTILE, Exchange, unexpected
from openeo_backend.net.door import Reply

if TYPE_CHECKING:
    from openeo_backend.federation.review.node import Node


class Record:
    """Answers by name; reading one makes it evidence of the check that reads it."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._seen: dict[str, tuple[Reply, Exchange]] = {}
        self._end: OpenEOError | None = None
        self.polls: list[tuple[str, Any]] = []
        """Status and progress of a job as they were seen one after the other."""

    @classmethod
    @contextmanager
    def kept(cls, node: Node) -> Iterator[Record]:
        """A record of what happens within; a failure ends that part, and checks that need what follows fail."""
        record = cls(node)
        before = list(node.exchanges)
        try:
            yield record
        except HOSTILE as error:
            # kept, too: a part that broke off is not begun again
            record._end = unexpected(error)
        node.exchanges[:] = before

    def ask(self, name: str, method: str, path: str, json: Any = None) -> Reply:
        """Send a request as the user, and keep the answer.

        :raises OpenEOError: where no answer comes.
        """
        return self.put(name, lambda: self._node.request(method, path, json, auth=True))

    def put(self, name: str, send: Callable[[], Reply]) -> Reply:
        """Keep the answer to a request that is sent in another way; of several with one name, the last."""
        reply = send()
        self._seen[name] = reply, self._node.exchanges[-1]
        return reply

    def __contains__(self, name: object) -> bool:
        return name in self._seen

    def __getitem__(self, name: str) -> Reply:
        """An answer.

        :raises OpenEOError: UnexpectedAnswer where the trial did not come to it.
        """
        if name not in self._seen:
            reason = self._end.describe() if self._end else "an earlier step did not answer as expected."
            raise OpenEOError("UnexpectedAnswer", f"The trial did not come to this: {reason}")
        reply, exchange = self._seen[name]
        self._node.cite(exchange)
        return reply
