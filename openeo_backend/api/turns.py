"""Threads for requests, taken in turns by who asks: one who asks a lot waits behind themselves only."""

from __future__ import annotations

import socket
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any

from openeo_backend.api.askers import Askers

#: Bytes of a head that are looked at.
HEAD = 8192


@dataclass
class _Call:
    action: Callable[..., Any]
    arguments: tuple[Any, ...]
    future: Future[Any] = field(default_factory=Future)


class _Thread(threading.Thread):
    """A thread of a pool, which rests until it is woken: it alone, and before those that have rested longer."""

    def __init__(self, run: Callable[[_Thread], None], number: int) -> None:
        super().__init__(target=run, args=(self,), name=f"request-{number}", daemon=True)
        self.woken = threading.Semaphore(0)


class FairPool(Executor):
    """A pool whose calls are about connections, the first argument of each.

    Nobody's calls run on more threads at a time than `each`; further ones wait.

    :param askers: tells whose connection one is.
    """

    def __init__(self, threads: int, each: int, askers: Askers) -> None:
        self._most, self._each, self._askers = threads, each, askers
        self._turn = threading.Lock()
        self._threads: list[_Thread] = []
        self._resting: list[_Thread] = []
        self._turns, self._is_closed = 0, False
        self._waiting: OrderedDict[bytes, deque[_Call]] = OrderedDict()
        self._running: Counter[bytes] = Counter()
        self._silent: list[_Call] = []
        """Calls about connections on which nothing has come yet."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        call = _Call(fn, args)
        with self._turn:
            if self._is_closed:
                raise RuntimeError("the pool is shut down")
            self._silent.append(call)
            self._go_on()
        return call.future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        with self._turn:
            self._is_closed = True
            threads = list(self._threads)
            for thread in self._resting:
                thread.woken.release()
        if wait:
            for thread in threads:
                thread.join()

    def _go_on(self) -> None:
        """Have a thread look whose turn it is: the one that rested last, whose memory is warm, or a new one."""
        self._turns += 1
        if self._resting:
            self._resting.pop().woken.release()
        elif len(self._threads) < self._most:
            thread = _Thread(self._run, len(self._threads))
            self._threads.append(thread)
            thread.start()

    def _run(self, own: _Thread) -> None:
        while True:
            with self._turn:
                is_due = self._turns > 0
                if is_due:
                    self._turns -= 1
                elif self._is_closed:
                    return
                else:
                    self._resting.append(own)
            if is_due:
                self._serve()
            else:
                own.woken.acquire()

    def _listen(self) -> None:
        """Let those whose heads have come by now wait where they belong."""
        still = []
        for call in self._silent:
            who = self._who(call.arguments[0])
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
                if self._waiting or self._silent:
                    self._go_on()

    def _who(self, connection: Any) -> bytes | None:
        """Whose connection one is; None before anything came."""
        head = _peek(connection.sock)
        return None if head is None else self._askers.of_head(head, _address(connection))


def _peek(client: socket.socket) -> bytes | None:
    try:
        return client.recv(HEAD, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return None
    except OSError:
        return b""


def _address(connection: Any) -> str:
    """The address of a client; empty for one without (a socket in the file system)."""
    client = connection.client
    return str(client[0]) if isinstance(client, tuple) else ""
