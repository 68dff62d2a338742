"""Threads are taken in turns by who asks."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from openeo_backend.api.askers import Askers
from openeo_backend.api.turns import FairPool


@dataclass
class Connection:
    sock: socket.socket
    client: socket.socket

    def say(self, user: str) -> None:
        self.client.sendall(f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {user}\r\n\r\n".encode())


@pytest.fixture
def sockets() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def connect(sockets: ExitStack, user: str | None = None) -> Connection:
    ours, theirs = socket.socketpair()
    connection = Connection(sockets.enter_context(ours), sockets.enter_context(theirs))
    if user is not None:
        connection.say(user)
    return connection


@pytest.fixture
def askers() -> Askers:
    made = Askers()
    for name in ("ada", "bob"):
        made.learn(f"Bearer {name}", name)
    return made


def test_a_flood_waits_behind_itself_and_nobody_is_forgotten(sockets: ExitStack, askers: Askers) -> None:
    """Of four threads ada gets two; bob, who comes last, is served at once and ada's others after him."""
    gate, served, lock = threading.Event(), [], threading.Lock()

    def serve(connection: Connection, name: str) -> str:
        with lock:
            served.append(name)
        if name == "ada":
            assert gate.wait(20)
        return name

    with FairPool(4, 2, askers) as pool:
        flood = [pool.submit(serve, connect(sockets, "ada"), "ada") for _ in range(30)]
        bob = pool.submit(serve, connect(sockets, "bob"), "bob")
        assert bob.result(20) == "bob"
        assert served.count("ada") == 2
        gate.set()
        assert [call.result(20) for call in flood] == ["ada"] * 30
    assert served.count("ada") == 30


def test_turns_are_taken(sockets: ExitStack, askers: Askers) -> None:
    """With one thread, two users are served by turns, whoever came first and however much."""
    gate, served = threading.Event(), []

    def serve(connection: Connection, name: str) -> None:
        gate.wait(20)
        served.append(name)

    with FairPool(1, 1, askers) as pool:
        calls = [pool.submit(serve, connect(sockets, name), name) for name in ["ada"] * 5 + ["bob"] * 2]
        gate.set()
        for call in calls:
            call.result(20)
    assert served[:4] in (["ada", "bob", "ada", "bob"], ["ada", "ada", "bob", "ada"])
    assert served.count("ada") == 5


def test_silent_connections_do_not_keep_users_out(sockets: ExitStack, askers: Askers) -> None:
    stop = threading.Event()

    def serve(connection: Connection) -> bool:
        return connection.client.fileno() < 0 or stop.wait(20)

    with FairPool(3, 2, askers) as pool:
        silent = [pool.submit(serve, connect(sockets)) for _ in range(10)]
        time.sleep(0.1)
        assert pool.submit(lambda connection: "ada", connect(sockets, "ada")).result(20) == "ada"
        assert not any(call.done() for call in silent)
        stop.set()
        assert all(call.result(20) for call in silent)


def test_failures_reach_who_waits(sockets: ExitStack, askers: Askers) -> None:
    def fail(connection: Connection) -> None:
        raise ValueError("no")

    with FairPool(1, 1, askers) as pool, pytest.raises(ValueError, match="no"):
        pool.submit(fail, connect(sockets, "ada")).result(20)


def test_what_was_read_already_gets_its_turn_beside_a_flood(sockets: ExitStack, askers: Askers) -> None:
    """Requests that came together with the one before them leave nothing on the connection to be seen."""
    stop = threading.Event()

    def serve(connection: Connection) -> str:
        stop.wait(0.01)
        return "done"

    with FairPool(1, 1, askers) as pool:
        flood = [pool.submit(serve, connect(sockets, "ada")) for _ in range(60)]
        assert pool.submit(serve, connect(sockets)).result(20) == "done"
        assert not flood[-1].done()
        stop.set()


def test_the_thread_that_rested_last_goes_on(sockets: ExitStack, askers: Askers) -> None:
    """Its memory is warm, and no other thread is woken beside it."""

    def serve(connection: Connection, meeting: threading.Barrier) -> int:
        meeting.wait(20)
        return threading.get_ident()

    with FairPool(3, 3, askers) as pool:
        two, one = threading.Barrier(2), threading.Barrier(1)
        both = [pool.submit(serve, connect(sockets, name), two) for name in ("ada", "bob")]
        assert len({call.result(20) for call in both}) == 2
        ones = set()
        for _ in range(20):
            while len(pool._resting) < len(pool._threads):
                time.sleep(0.001)
            ones.add(pool.submit(serve, connect(sockets, "ada"), one).result(20))
        assert len(ones) == 1


def test_what_waits_when_a_pool_is_shut_down_is_done(sockets: ExitStack, askers: Askers) -> None:
    gate = threading.Event()
    pool = FairPool(1, 1, askers)
    calls = [pool.submit(lambda connection: gate.wait(20), connect(sockets, "ada")) for _ in range(3)]
    pool.shutdown(wait=False)
    with pytest.raises(RuntimeError):
        pool.submit(print, connect(sockets, "ada"))
    gate.set()
    pool.shutdown()
    assert all(call.done() and call.result() for call in calls)
