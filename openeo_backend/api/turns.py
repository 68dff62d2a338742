"""Threads for requests, taken in turns by who asks: one who asks a lot waits behind themselves only."""

from __future__ import annotations

import hashlib
import re
import socket
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

#: Bytes of a head that are looked at.
HEAD = 8192

_AUTHORIZATION = re.compile(rb"(?im)^authorization:\s*(\S.*?)\s*$")


@dataclass
class _Call:
    action: Callable[..., Any]
    arguments: tuple[Any, ...]
    future: Future[Any] = field(default_factory=Future)


class FairPool(ThreadPoolExecutor):
    """A pool whose calls are about connections, the first argument of each.

    Connections of one user are those whose requests have the same Authorization; all without one are another user's.
    Nobody's calls run on more threads at a time than `each`; further ones wait.
    """

    def __init__(self, threads: int, each: int) -> None:
        super().__init__(threads)
        self._each = each
        self._turn = threading.Lock()
        self._waiting: OrderedDict[bytes, deque[_Call]] = OrderedDict()
        self._running: Counter[bytes] = Counter()
        self._silent: list[_Call] = []
        """Calls about connections on which nothing has come yet."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        call = _Call(fn, args)
        with self._turn:
            self._silent.append(call)
        super().submit(self._serve)
        return call.future

    def _listen(self) -> None:
        """Let those whose heads have come by now wait where they belong."""
        still = []
        for call in self._silent:
            who = who_asks(call.arguments[0].sock)
            if who is None:
                still.append(call)
            else:
                self._waiting.setdefault(who, deque()).append(call)
        self._silent = still
        if still and b"" not in self._waiting and self._running[b""] < self._each:
            # it may have been read already, with the request before it
            self._waiting[b""] = deque([still.pop(0)])

    def _serve(self) -> None:
        """Run the call whose turn it is; where all who wait run enough, one of theirs goes on with the next."""
        with self._turn:
            self._listen()
            who = next((who for who in self._waiting if self._running[who] < self._each), None)
            if who is None:
                return
            call = self._waiting[who].popleft()
            self._waiting.move_to_end(who)
            if not self._waiting[who]:
                del self._waiting[who]
            self._running[who] += 1
        try:
            if call.future.set_running_or_notify_cancel():
                call.future.set_result(call.action(*call.arguments))
        except BaseException as error:  # noqa: BLE001 - handed on to who asks for the result
            call.future.set_exception(error)
        finally:
            with self._turn:
                self._running[who] -= 1
                self._running += Counter()  # forgets who runs nothing
                goes_on = bool(self._waiting or self._silent)
            if goes_on:
                with suppress(RuntimeError):  # the pool is shut down
                    super().submit(self._serve)


def who_asks(client: socket.socket) -> bytes | None:
    """What tells users apart before their request is read; empty where nothing does, None before anything came."""
    try:
        head = client.recv(HEAD, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return None
    except OSError:
        return b""
    found = _AUTHORIZATION.search(head.partition(b"\r\n\r\n")[0])
    return hashlib.blake2b(found[1], digest_size=16).digest() if found else b""
