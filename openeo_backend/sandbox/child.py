"""A short-lived child process that does one piece of work.

The child is forked from a server process that has the heavy imports done, gets its work as JSON, and answers with
JSON lines: nothing is unpickled from it. It ends with its parent, at the deadline, when cancelled, and when the parent
says so; a crash ends the child only.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

from openeo_backend.observe.aside import aside
from openeo_backend.sandbox.forkserver import Forks, own, pair, serve

#: How often a waiting parent looks at cancellation and the deadline, in seconds.
TICK = 0.25
#: Seconds from the start of a piece of work for which events that may wait are held.
HOLD_SECONDS = 0.1
#: How much children give way to the processes that answer requests.
NICENESS = 5
#: How often starting a child is tried.
STARTS = 3
#: Longest wait for the end of a process that was killed, in seconds.
END_SECONDS = 10.0
#: Longest wait for a process that is to be killed before it was seen, in seconds.
MEET_SECONDS = 1.0
#: Exit status of a child whose parent wants no more of it.
ORPHANED = 70
#: Exit status of a child where nobody tells: the server that it was forked from has died.
UNKNOWN = 255

Emit = Callable[[Mapping[str, Any]], None]
Target = Callable[[Mapping[str, Any], Emit], Mapping[str, Any]]


@dataclass(frozen=True)
class Ending:
    """How a piece of work ended."""

    kind: Literal["done", "cancelled", "deadline", "memory", "died"]
    answer: Mapping[str, Any] | None = None
    """What the work returned, for `done`."""
    exit_code: int | None = None
    """For `died`: the exit status, or minus the signal that killed it."""
    memory_mb: float = 0.0
    """The most memory that the child was seen to hold."""


class NotStartedError(OSError):
    """There is no child: the server that forks them died meanwhile."""


def run_child(
    target: str,
    payload: Mapping[str, Any],
    on_event: Emit,
    cancelled: Callable[[], bool] = lambda: False,
    seconds: float | None = None,
    memory_mb: float | None = None,
    server: Forks | None = None,
) -> Ending:
    """Do `target(payload, emit)` in a child and wait for it.

    :param server: where the child comes from; by default a fork server of this process.
    :param memory_mb: see :meth:`Child.work`, as for the other parameters.
    """
    for left in reversed(range(STARTS)):
        child = Child(server or own())
        try:
            return child.work(target, payload, on_event, cancelled, seconds, memory_mb)
        except NotStartedError:
            if not left:
                raise
        finally:
            child.end()
    raise AssertionError("unreachable")


class Child:
    """A child process, as its parent sees it."""

    def __init__(self, server: Forks) -> None:
        mine, theirs = socket.socketpair()
        self._status, told = pair()
        try:
            with theirs, told:
                server.fork(theirs, told)
        except BaseException:
            mine.close()
            self._status.close()
            raise
        self._channel = Connection(mine.detach())
        self._process: int | None = None
        """A descriptor of the process."""
        self.pid = 0
        self._is_idle = True

    @aside()
    def work(
        self,
        target: str,
        payload: Mapping[str, Any],
        on_event: Emit,
        cancelled: Callable[[], bool] = lambda: False,
        seconds: float | None = None,
        memory_mb: float | None = None,
    ) -> Ending:
        """Have `target(payload, emit)` done. After another ending than `done` the child is of no use any more.

        :param target: "module:function"; its answer and everything it emits must be JSON.
        :param on_event: called in this process with everything the child emits, in order.
        :param cancelled: looked at every :data:`TICK`; True ends the work.
        :param seconds: deadline.
        :param memory_mb: memory of its own (no files mapped) that the child may hold; looked at every :data:`TICK`.
        :raises NotStartedError: where the child was never there.
        """
        limit = None if seconds is None else time.monotonic() + seconds
        self._is_idle = False
        with suppress(OSError):  # what is wrong is found out below
            self._channel.send_bytes(json.dumps({"target": target, "payload": payload}).encode())
        peak, looked = 0.0, time.monotonic() if self.pid else 0.0  # that of a child which rested was looked at
        while True:
            if cancelled():
                return Ending("cancelled")
            if limit is not None and time.monotonic() > limit:
                return Ending("deadline")
            if self.pid and time.monotonic() - looked >= TICK:  # a child that tells much is looked at, too
                looked = time.monotonic()
                peak = max(peak, memory_of(self.pid))
                if memory_mb is not None and peak > memory_mb:
                    return Ending("memory", memory_mb=peak)
            if not _comes(self._channel if self.pid else self._status, TICK):
                continue
            if not self.pid:
                self._meet()
                continue
            try:
                message = json.loads(self._channel.recv_bytes())
            except (EOFError, OSError):
                return Ending("died", exit_code=self._exit_status(), memory_mb=peak)
            for event in message["events"]:
                on_event(event)
            if "answer" in message:
                self._is_idle = True
                return Ending("done", answer=message["answer"], memory_mb=peak)

    def is_alive(self) -> bool:
        """Whether it is there and waits for work."""
        return self._is_idle and self._process is not None and not _comes(self._process, 0)

    def end(self) -> None:
        """End the process, whatever it does; one that may be at work is waited for."""
        self._channel.close()
        if not self.pid and _comes(self._status, MEET_SECONDS):
            with suppress(NotStartedError):
                self._meet()
        if self._process is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._process, signal.SIGKILL)
            if not self._is_idle:
                _comes(self._process, END_SECONDS)
            os.close(self._process)
            self._process = None
        self._status.close()

    def _meet(self) -> None:
        """Learn which process it is."""
        try:
            message, files, _, _ = socket.recv_fds(self._status, 64, 1)
        except OSError:
            message, files = b"", []
        if not message:
            raise NotStartedError("the fork server died")
        self.pid, (self._process,) = int(message), files

    def _exit_status(self) -> int:
        assert self._process is not None
        if not _comes(self._process, END_SECONDS):  # it closed its side and goes on
            signal.pidfd_send_signal(self._process, signal.SIGKILL)
        self._status.settimeout(END_SECONDS)
        try:
            return int(self._status.recv(64) or UNKNOWN)
        except OSError:
            return UNKNOWN


def memory_of(pid: int) -> float:
    """Memory in MB that a process holds for itself, files mapped into it not counted; 0 where that is not told."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0.0
    kilobytes = (line.split()[1] for line in status.splitlines() if line.startswith(("RssAnon:", "RssShmem:")))
    return sum(map(int, kilobytes)) * 1024 / 1e6


def _comes(file: int | Connection | socket.socket, seconds: float) -> bool:
    """Whether there is something to read, or no more to come, within some time."""
    poll = select.poll()
    poll.register(file, select.POLLIN)
    return bool(poll.poll(1000 * seconds))


def live(end: socket.socket) -> None:
    """The life of a child: it does what comes, until its parent closes its end, by will or by death."""
    os.nice(NICENESS)
    channel = Connection(end.detach())
    threading.Thread(target=_watch, args=(channel.fileno(),), daemon=True).start()
    while True:
        try:
            task = json.loads(channel.recv_bytes())
        except (EOFError, OSError):
            os._exit(ORPHANED)
        module, _, name = task["target"].partition(":")
        target: Target = getattr(import_module(module), name)
        post = _Post(channel)
        post.answer(target(task["payload"], post.tell))


class _Post:
    """Tells the parent about one piece of work. Each message interrupts the work: who waits for it wants the processor.

    What may come later, of the first moments, goes with what follows.
    """

    def __init__(self, channel: Connection) -> None:
        self._channel, self._lock = channel, threading.Lock()
        self._held: list[Mapping[str, Any]] = []
        self._until = time.monotonic() + HOLD_SECONDS

    def tell(self, event: Mapping[str, Any]) -> None:
        """Send an event; one that is marked as `later` may wait for others."""
        with self._lock:
            self._held.append(event)
            if not event.get("later") or time.monotonic() >= self._until:
                self._send({"events": self._held})
                self._held = []

    def answer(self, answer: Mapping[str, Any]) -> None:
        with self._lock:
            self._send({"events": self._held, "answer": answer})

    def _send(self, message: Mapping[str, Any]) -> None:
        self._channel.send_bytes(json.dumps(message).encode())


def main(preload: str) -> None:
    """The fork server of one process, with its end as standard input; ends with that process."""
    end = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    module = import_module(preload)
    serve(end, live, getattr(module, "LATER", ()))


def _watch(file: int) -> None:
    """End at once, whatever is at work, when the parent has closed its end. What it sends is left to be read."""
    poll = select.poll()
    poll.register(file, 0)
    while not poll.poll():
        pass
    os._exit(ORPHANED)
