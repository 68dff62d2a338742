"""The process that children are forked from: it has the heavy imports done, and nothing else runs in it.

Who wants a child sends two sockets: one is what the child works for; on the other the server tells which process it
is and, in the end, its exit status. The server is asked through a pair of sockets that its users inherit: nobody else
can ask it, and requests wait there while a server that died is replaced.
"""

from __future__ import annotations

import functools
import json
import os
import selectors
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Protocol

#: Module imported by the fork server of a process that inherited none.
PRELOAD = "openeo_backend.jobs.preload"

#: Seconds without a request before something is prepared: who asks now does not wait for that.
IDLE_SECONDS = 1.0

#: Bytes of a request: the folders that modules are imported from.
_MOST = 1 << 16

#: What a fork server that is started by itself runs; its end of the pair is its standard input.
_PROGRAM = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from openeo_backend.sandbox.child import main  # the fork server
main(sys.argv[2])
"""

Body = Callable[[socket.socket], object]


class Forks(Protocol):
    """Where children come from."""

    def fork(self, channel: socket.socket, status: socket.socket) -> None:
        """Have a child forked that works for whoever has the other end of `channel`.

        What comes to the other end of `status`, a socket of packets: the process id with a descriptor of the process,
        then the exit status (minus the signal that killed it). It ends early where the server dies.

        :raises OSError: where there is no server.
        """


class Inherited:
    """A fork server that a parent of this process keeps running."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def close(self) -> None:
        self._end.close()

    def fork(self, channel: socket.socket, status: socket.socket) -> None:
        """See :class:`Forks`."""
        socket.send_fds(self._end, [json.dumps(sys.path).encode()], [channel.fileno(), status.fileno()])


class Spawned:
    """A fork server of this process, started when it is needed first, and again where it has died.

    :param preload: the module that is imported in it.
    """

    def __init__(self, preload: str = PRELOAD) -> None:
        self._preload = preload
        self._lock = threading.Lock()
        self._server: Inherited | None = None
        self.pid = 0

    def start(self) -> None:
        """Start it and its imports now, so that the first child is quick."""
        with self._lock:
            self._running()

    def fork(self, channel: socket.socket, status: socket.socket) -> None:
        """See :class:`Forks`."""
        with self._lock:
            try:
                self._running().fork(channel, status)
            except OSError:
                self._close()
                self._running().fork(channel, status)

    def close(self) -> None:
        """Let it end."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _running(self) -> Inherited:
        if self._server is None:
            if self.pid:
                with suppress(ChildProcessError):
                    os.waitpid(self.pid, 0)
            ours, theirs = pair()
            words = [sys.executable, "-c", _PROGRAM, json.dumps(sys.path), self._preload]
            actions = [(os.POSIX_SPAWN_DUP2, theirs.fileno(), 0)]
            self.pid = os.posix_spawn(sys.executable, words, os.environ, file_actions=actions)
            theirs.close()
            self._server = Inherited(ours)
        return self._server


@functools.cache
def own() -> Spawned:
    """The fork server of a process that inherited none."""
    return Spawned()


def pair() -> tuple[socket.socket, socket.socket]:
    """The two ends between a fork server and its users."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def serve(end: socket.socket, body: Body, later: Iterable[Callable[[], object]] = ()) -> None:
    """Fork a child for each request, until nobody is left who could ask.

    :param body: what children do.
    :param later: what is prepared for them while nobody asks, once there was one.
    """
    with selectors.DefaultSelector() as selector:
        selector.register(end, selectors.EVENT_READ)
        waiting, is_known = list(later), False
        while True:
            ready = selector.select(IDLE_SECONDS if waiting and is_known else None)
            if not ready:
                waiting.pop(0)()
            for key, _ in ready:
                if key.data is not None:
                    _bury(selector, key)
                elif not _answer(end, selector, body):
                    return
                else:
                    is_known = True


def _answer(end: socket.socket, selector: selectors.BaseSelector, body: Body) -> bool:
    """Fork a child; False where nobody can ask any more."""
    message, files, _, _ = socket.recv_fds(end, _MOST, 2)
    if not message:
        return False
    channel, status = (socket.socket(fileno=file) for file in files)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    pid = os.fork()
    if not pid:
        _become(message, channel, [status, *(key.fileobj for key in selector.get_map().values())], selector, body)
    channel.close()
    process = os.pidfd_open(pid)
    with suppress(OSError):  # who asked is gone; the child will notice, too
        socket.send_fds(status, [str(pid).encode()], [process])
    selector.register(process, selectors.EVENT_READ, (pid, status))
    return True


def _become(
    message: bytes, channel: socket.socket, others: list[Any], selector: selectors.BaseSelector, body: Body
) -> None:
    """The child, to its end. It keeps nothing of the server but its imports."""
    status = 1
    try:
        selector.close()
        for other in others:
            os.close(other) if isinstance(other, int) else other.close()
        sys.path[:] = json.loads(message)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        body(channel)
        status = 0
    except BaseException:  # noqa: BLE001 - the end of a process: it is told, and nothing of the server goes on here
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(status)


def _bury(selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    """Tell how a child ended."""
    pid, status = key.data
    selector.unregister(key.fileobj)
    os.close(key.fd)
    _, waited = os.waitpid(pid, 0)
    with suppress(OSError), status:
        status.send(str(os.waitstatus_to_exitcode(waited)).encode())
