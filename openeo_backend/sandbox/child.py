"""A short-lived child process that does one piece of work.

The child is forked from a server process that has the heavy imports done (forkserver), gets its work as JSON, and
answers with JSON lines: nothing is unpickled from it. It ends with its parent, at the deadline, when cancelled, and
when the parent says so; a crash ends the child only.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Literal

#: Modules imported once, in the fork server.
PRELOAD = "openeo_backend.jobs.preload"
#: How often a waiting parent looks at cancellation and the deadline, in seconds.
TICK = 0.25
#: How often starting a child is tried.
STARTS = 3

Emit = Callable[[Mapping[str, Any]], None]
Target = Callable[[Mapping[str, Any], Emit], Mapping[str, Any]]


@dataclass(frozen=True)
class Ending:
    """How a child ended."""

    kind: Literal["done", "cancelled", "deadline", "memory", "died"]
    answer: Mapping[str, Any] | None = None
    """What the work returned, for `done`."""
    exit_code: int | None = None
    """For `died`: the exit status, or minus the signal that killed it."""
    memory_mb: float = 0.0
    """The most memory that the child was seen to hold."""


def warm_up() -> None:
    """Start the fork server and its imports now, so that the first child is quick."""
    context = _context()
    process = context.Process(target=_nothing)
    with suppress(EOFError, OSError):  # the first child tries again
        process.start()
        process.join()


def run_child(
    target: str,
    payload: Mapping[str, Any],
    on_event: Emit,
    cancelled: Callable[[], bool] = lambda: False,
    seconds: float | None = None,
    memory_mb: float | None = None,
) -> Ending:
    """Do `target(payload, emit)` in a child and wait for it.

    :param target: "module:function"; its answer and everything it emits must be JSON.
    :param on_event: called in this process with everything the child emits, in order.
    :param cancelled: looked at every :data:`TICK`; True ends the child.
    :param seconds: deadline.
    :param memory_mb: memory of its own (no files mapped) that the child may hold; looked at every :data:`TICK`.
    """
    process, receiver, tether = _start(target, json.dumps(payload))
    limit = None if seconds is None else time.monotonic() + seconds
    try:
        return _follow(process, receiver, on_event, cancelled, limit, memory_mb)
    finally:
        tether.close()
        if process.is_alive():
            process.kill()
        process.join()
        process.close()
        receiver.close()


def _start(target: str, payload: str) -> tuple[Any, Connection, Connection]:
    """A child that works, where it answers, and what it is held by.

    The server that forks children may have just died; then another one is started.
    """
    context = _context()
    for left in reversed(range(STARTS)):
        receiver, sender = context.Pipe(duplex=False)
        tether_end, tether = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(target, payload, sender, tether_end))
        try:
            process.start()
            return process, receiver, tether
        except (EOFError, OSError):
            tether.close()  # the child may have been forked nevertheless, and ends then
            receiver.close()
            if not left:
                raise
        finally:
            sender.close()
            tether_end.close()
    raise AssertionError("unreachable")


def _follow(
    process: Any,
    receiver: Connection,
    on_event: Emit,
    cancelled: Callable[[], bool],
    limit: float | None,
    memory_mb: float | None,
) -> Ending:
    peak = looked = 0.0
    while True:
        if cancelled():
            return Ending("cancelled")
        if limit is not None and time.monotonic() > limit:
            return Ending("deadline")
        if time.monotonic() - looked >= TICK:  # a child that tells much is looked at, too
            looked = time.monotonic()
            peak = max(peak, memory_of(process.pid))
            if memory_mb is not None and peak > memory_mb:
                return Ending("memory", memory_mb=peak)
        if not wait([receiver], timeout=TICK):
            continue
        try:
            message = json.loads(receiver.recv_bytes())
        except (EOFError, OSError):
            process.join()
            return Ending("died", exit_code=process.exitcode, memory_mb=peak)
        if "answer" in message:
            return Ending("done", answer=message["answer"], memory_mb=peak)
        on_event(message["event"])


def memory_of(pid: int) -> float:
    """Memory in MB that a process holds for itself, files mapped into it not counted; 0 where that is not told."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0.0
    kilobytes = (line.split()[1] for line in status.splitlines() if line.startswith(("RssAnon:", "RssShmem:")))
    return sum(map(int, kilobytes)) * 1024 / 1e6


def _context() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([PRELOAD])
    return context


def _nothing() -> None:
    """The work of a child that only warms up."""


def _work(target: str, payload: str, sender: Connection, tether: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(tether,), daemon=True).start()
    lock = threading.Lock()

    def send(message: Mapping[str, Any]) -> None:
        with lock:
            sender.send_bytes(json.dumps(message).encode())

    module, _, name = target.partition(":")
    answer = getattr(import_module(module), name)(json.loads(payload), lambda event: send({"event": event}))
    send({"answer": answer})
    sender.close()


def _end_with_parent(tether: Connection) -> None:
    """Wait until the parent closes its end, by will or by death, and end at once."""
    try:
        tether.recv_bytes()
    except (EOFError, OSError):
        pass
    finally:
        os._exit(70)
