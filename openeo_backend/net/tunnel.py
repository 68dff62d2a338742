"""The policy for libraries that open connections themselves, such as the HTTP client inside GDAL.

They look up hosts again after an address was checked, and follow redirects without asking. Behind this SOCKS proxy
they name the host, and the address that the policy allowed is the one that is connected to, each time.
"""

from __future__ import annotations

import hmac
import secrets
import socket
import threading
from collections.abc import Callable
from contextlib import closing, suppress

from openeo_backend.errors import OpenEOError
from openeo_backend.net.policy import Policy
from openeo_backend.net.traffic import Traffic

_GRANTED, _REFUSED, _UNREACHABLE = 0, 2, 4
_PIECE = 2**18


class Tunnel:
    """A SOCKS 5 proxy on this machine, for this process only, that connects where the policy allows.

    It lives as long as the process.

    :param seconds: longest wait for a connection, and for the next bytes over one.
    :param traffic: counts what servers send.
    """

    def __init__(self, policy: Policy, seconds: float, traffic: Traffic | None = None) -> None:
        self._policy, self._seconds = policy, seconds
        self._traffic = traffic or Traffic()
        self._secret = secrets.token_hex(16)
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, name="tunnel", daemon=True).start()

    @property
    def url(self) -> str:
        """Its address with the password that only this process knows, as curl takes it."""
        return f"socks5h://gdal:{self._secret}@127.0.0.1:{self._listener.getsockname()[1]}"

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            threading.Thread(target=self._serve, args=(client,), name="tunnelled", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with closing(client), suppress(OSError, ValueError):
            client.settimeout(self._seconds)
            self._authenticate(client)
            host, port = _target(client)
            try:
                server = self._connect(host, port)
            except OpenEOError:
                _answer(client, _REFUSED)
                return
            except OSError:
                _answer(client, _UNREACHABLE)
                return
            with closing(server):
                _answer(client, _GRANTED)
                server.settimeout(None)
                client.settimeout(None)
                back = threading.Thread(
                    target=_copy, args=(server, client, self._traffic.add), name="tunnelled back", daemon=True
                )
                back.start()
                _copy(client, server)
                back.join()

    def _authenticate(self, client: socket.socket) -> None:
        version, count = _receive(client, 2)
        if version != 5 or 2 not in _receive(client, count):
            client.sendall(b"\x05\xff")
            raise ValueError("not SOCKS 5 with a password")
        client.sendall(b"\x05\x02")
        user = _receive(client, _receive(client, 2)[1])
        password = _receive(client, _receive(client, 1)[0])
        known = user == b"gdal" and hmac.compare_digest(password, self._secret.encode())
        client.sendall(b"\x01\x00" if known else b"\x01\x01")
        if not known:
            raise ValueError("wrong password")

    def _connect(self, host: str, port: int) -> socket.socket:
        problem = OSError(f"{host} has no address")
        for address in self._policy.addresses(f"//{host}:{port}", host, port):
            try:
                server = socket.create_connection((address, port), self._seconds)
            except OSError as error:
                problem = error
                continue
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return server
        raise problem


def _target(client: socket.socket) -> tuple[str, int]:
    version, command, _, kind = _receive(client, 4)
    if version != 5 or command != 1:
        raise ValueError("not a request to connect")
    if kind == 1:
        host = socket.inet_ntop(socket.AF_INET, _receive(client, 4))
    elif kind == 4:
        host = socket.inet_ntop(socket.AF_INET6, _receive(client, 16))
    else:
        host = _receive(client, _receive(client, 1)[0]).decode("ascii")
    return host, int.from_bytes(_receive(client, 2), "big")


def _answer(client: socket.socket, status: int) -> None:
    client.sendall(bytes([5, status, 0, 1, 0, 0, 0, 0, 0, 0]))


def _receive(source: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        part = source.recv(count - len(found))
        if not part:
            raise ValueError("the connection ended")
        found += part
    return found


def _copy(source: socket.socket, target: socket.socket, count: Callable[[int], None] = lambda size: None) -> None:
    with suppress(OSError):
        while part := source.recv(_PIECE):
            count(len(part))
            target.sendall(part)
    # Either end: the other direction is to stop, too.
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
