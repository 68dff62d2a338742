"""Serving: one supervisor, the API and the workers as its children."""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import click

from openeo_backend.cli.options import DEMO_USER
from openeo_backend.sandbox import forkserver
from openeo_backend.sandbox.child import live
from openeo_backend.settings import Settings, SettingsError

logger = logging.getLogger(__name__)

#: `prctl` option: the signal a process gets when its parent dies (Linux).
PR_SET_PDEATHSIG = 1
#: The same: the name of the process.
PR_SET_NAME = 15
#: A child that lives shorter than this is not restarted at once.
SHORT_LIFE = 5.0


@dataclass
class Role:
    """One kind of process under the supervisor."""

    name: str
    body: Callable[[], int]
    is_last: bool = False
    """Whether it goes on until the others have stopped."""
    pid: int = 0
    started: float = 0.0
    starts: int = 0


def supervise(settings: Settings, workers: int) -> int:
    """Run the API and `workers` worker processes until a signal says stop; the exit status.

    All of them are forked from this process, which has the imports done, and so is the server that forks the children
    that compute. What dies is started again until it goes on; when the API cannot start at first, everything stops.
    """
    from openeo_backend.api.gunicorn import bind

    listener = bind(settings)
    port = listener.getsockname()[1]
    settings = settings.model_copy(update={"server": settings.server.model_copy(update={"port": port})})
    try:
        from openeo_backend.backend import Backend
        from openeo_backend.jobs.preload import LATER

        backend = Backend.open(settings)  # mistakes in the settings end here, in one line
        if settings.demo.enabled:
            backend.store.users.add(DEMO_USER, DEMO_USER, replace=True)
        backend.close()
    except BaseException:
        listener.close()
        raise
    ours, theirs = forkserver.pair()
    forks = forkserver.Inherited(ours)
    bell, hammer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)  # by which the api tells of new jobs

    def serve_forks() -> int:
        listener.close()
        ours.close()
        forkserver.serve(theirs, live, LATER)
        return 0

    def run_jobs() -> int:
        listener.close()
        theirs.close()
        return work(settings, forks, bell)

    def serve_api() -> int:
        theirs.close()
        return _serve_api(settings, listener, forks, hammer)

    roles = [Role("fork server", serve_forks, is_last=True), Role("api", serve_api)]
    roles += [Role("worker", run_jobs) for _ in range(workers)]
    _announce(settings, workers)
    return _watch(roles)


def _announce(settings: Settings, workers: int) -> None:
    root = (settings.server.public_url or f"http://{settings.server.host}:{settings.server.port}").rstrip("/")
    click.echo(f"openEO back-end at {root}/openeo/1.2/ (also {root}/openeo/1.3/)")
    click.echo(f'  Python:      openeo.connect("{root}")')
    click.echo(f"  Web Editor:  https://editor.openeo.org/?server={root}/openeo/1.2/")
    if settings.demo.enabled:
        click.echo(f"  Log in with the user {DEMO_USER} and the password {DEMO_USER}.")
    if not workers:
        click.echo("  Batch jobs wait for `openeo-backend worker`.")
    click.echo(f"  Data in {settings.data_dir.absolute()}; stop with Ctrl+C.")


def _serve_api(settings: Settings, listener: socket.socket, forks: forkserver.Forks, hammer: socket.socket) -> int:
    from openeo_backend.api.gunicorn import serve
    from openeo_backend.backend import Backend

    def ring() -> None:
        with suppress(BlockingIOError):  # it has rung often enough
            hammer.send(b"!", socket.MSG_DONTWAIT)

    def open_backend() -> Backend:
        backend = Backend.open(settings, forks, settings.limits.sync_slots)
        # what is loaded by now stays: collecting it again and again took half the time of planning a large graph
        gc.freeze()
        return replace(backend, ring=ring)

    serve(open_backend, settings, listener)
    return 0


def work(settings: Settings, forks: forkserver.Forks | None = None, bell: socket.socket | None = None) -> int:
    """Run batch jobs until SIGTERM or SIGINT; the exit status.

    :param forks: where children come from; by default a fork server of this process.
    :param bell: where messages tell of new jobs.
    """
    from openeo_backend.backend import Backend
    from openeo_backend.jobs.worker import Worker
    from openeo_backend.observe import logs

    logs.configure(settings.log)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if forks is None:
        forkserver.own().start()
    backend = Backend.open(settings, forks)
    worker = Worker(backend.store, backend.objects, backend.runner, settings, backend.stored)
    if bell is not None:
        threading.Thread(target=_listen, args=(bell, worker.wake), name="bell", daemon=True).start()
    worker.run(stop)
    backend.close()
    return 0


def _listen(bell: socket.socket, wake: Callable[[], None]) -> None:
    while bell.recv(16):
        wake()


def _watch(roles: list[Role]) -> int:
    stopping = 0.0  # since when

    def stop(*_: object) -> None:
        nonlocal stopping
        # terminals and wrappers may both pass on one Ctrl+C
        again = stopping and time.monotonic() - stopping > 1
        for role in roles:
            if role.pid and (again or not role.is_last):
                _kill(role, signal.SIGKILL if again else signal.SIGTERM)
        if not stopping:
            stopping = time.monotonic()
            with suppress(OSError):  # nobody may be reading any more
                click.echo("Stopping; running jobs get some seconds and are given back then. Once more stops at once.")
        _end(roles)

    for role in roles:
        _start(role)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    status = 0
    while any(role.pid for role in roles):
        pid, wait_status = os.wait()
        ended = [role for role in roles if role.pid == pid]
        if not ended:
            continue
        role = ended[0]
        role.pid = 0
        if stopping:
            _end(roles)
            continue
        code = os.waitstatus_to_exitcode(wait_status)
        logger.error("the %s process ended with status %s", role.name, code)
        # later ones may find a database or a catalog away that comes back
        is_first = role.starts == 1 and time.monotonic() - role.started < SHORT_LIFE
        if role.name == "api" and code > 0 and is_first:
            status = code
            stop()
        else:
            time.sleep(1 if time.monotonic() - role.started < SHORT_LIFE else 0)
            if not stopping:  # a signal may have come meanwhile
                _start(role)
    return status


def _end(roles: list[Role]) -> None:
    """Stop those that go on until the others have stopped, where they have."""
    left = [role for role in roles if role.pid]
    if all(role.is_last for role in left):
        for role in left:
            _kill(role, signal.SIGTERM)


def _kill(role: Role, number: int) -> None:
    with suppress(ProcessLookupError):  # it has just ended
        os.kill(role.pid, number)


def _start(role: Role) -> None:
    role.started = time.monotonic()
    role.starts += 1
    parent = os.getpid()
    role.pid = os.fork()
    if role.pid:
        return
    status = 1
    try:
        libc = ctypes.CDLL(None)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        libc.prctl(PR_SET_NAME, f"openeo {role.name}".encode())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C reaches the supervisor, which passes it on
        if os.getppid() == parent:
            status = role.body()
    except SettingsError as error:
        click.echo(f"openeo-backend: {error}", err=True)
        status = 2
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else 1
    except Exception:
        logger.exception("the %s process failed", role.name)
    finally:
        os._exit(status)
