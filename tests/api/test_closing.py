"""Connections are closed without waiting for clients that keep theirs open."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import pytest

from openeo_backend.api import gunicorn


@pytest.mark.parametrize("unread", [b"", b"more"])
def test_a_client_that_stays_gets_its_answer_and_keeps_nobody_waiting(
    unread: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float | None] = []
    listener = socket.create_server(("127.0.0.1", 0))
    with listener, socket.create_connection(listener.getsockname()) as client:
        server, _ = listener.accept()
        client.sendall(unread)
        server.sendall(b"answer")
        monkeypatch.setattr(socket.socket, "settimeout", lambda self, seconds: waited.append(seconds))
        gunicorn.close(SimpleNamespace(sock=server), graceful=True)
        monkeypatch.undo()
        assert client.recv(100) == b"answer"
        assert client.recv(100) == b""
        assert server.fileno() == -1
    assert not waited
