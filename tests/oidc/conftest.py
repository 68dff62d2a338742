"""A back-end and two providers, all on this machine."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from loopback import log_in, provider, providing
from werkzeug.serving import make_server

from openeo_backend import settings as settings_module
from openeo_backend.api.app import create_app
from openeo_backend.backend import Backend


@pytest.fixture(scope="session")
def issuers() -> Iterator[dict[str, str]]:
    """Issuers by the kind of their access tokens, which are the providers' ids, too."""
    with ExitStack() as stack:
        yield {tokens: stack.enter_context(providing(tokens)) for tokens in ("opaque", "jwt")}


@pytest.fixture
def stoppable() -> Callable[[str], Any]:
    """`with stoppable(kind) as issuer`: a provider that a test can stop."""
    return providing


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Callable[..., tuple[Backend, str]]]:
    """Serves a back-end with providers; gives it and its URL, without a path."""
    with ExitStack() as stack:

        def serve(**issuers: str) -> tuple[Backend, str]:
            oidc = {id: provider(issuer) for id, issuer in issuers.items()}
            overrides = {"data_dir": str(tmp_path / "data"), "auth": {"oidc": oidc}}
            backend = Backend.open(settings_module.read(overrides=overrides))
            stack.callback(backend.close)
            server = make_server("127.0.0.1", 0, create_app(backend), threaded=True)
            thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
            thread.start()
            stack.callback(server.server_close)
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            return backend, f"http://127.0.0.1:{server.server_port}"

        yield serve


@pytest.fixture
def person() -> Callable[[str], Callable[[str], None]]:
    """`person(name)` is what a client shows its instructions to: somebody who follows the link in them."""

    def person(name: str) -> Callable[[str], None]:
        def read(text: str) -> None:
            link = re.search(r"https?://[^\s\x1b)\]]+", text)
            if link:
                assert log_in(link[0], name).ok

        return read

    return person


@pytest.fixture(autouse=True)
def _clients_of_a_test(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Clients keep their tokens in the test's folder, and do not wait as long for people."""
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "OPENEO_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "client"))

    class Impatient:
        def __getattr__(self, name: str) -> Any:
            return getattr(time, name)

        def sleep(self, seconds: float) -> None:
            time.sleep(min(seconds, 0.02))

    def timer(*args: Any) -> Callable[[], float]:
        began = time.monotonic()
        return lambda: (time.monotonic() - began) * 50

    monkeypatch.setattr("openeo.rest.auth.oidc.time", Impatient())
    monkeypatch.setattr("openeo.rest.auth.oidc.create_timer", timer)
