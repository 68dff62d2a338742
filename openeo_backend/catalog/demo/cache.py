"""The archive in the user's cache directory: written once, whole or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from openeo_backend.catalog.demo.archive import write_archive
from openeo_backend.catalog.demo.scenario import Scenario

#: Version of the archive's content, for people; the stamp's fingerprint notices every change.
VERSION = "1"
STAMP = "archive.json"


def cache_folder() -> Path:
    """Where the demo archive lies unless the setting `demo.dir` says otherwise."""
    if os.environ.get("XDG_CACHE_HOME"):
        base = Path(os.environ["XDG_CACHE_HOME"])
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path.home() / ".cache"
    return base / "openeo-backend" / "demo-archive"


def fingerprint(scenario: Scenario) -> str:
    """Hash of the generator's source and of its parameters."""
    digest = hashlib.sha256(repr((VERSION, scenario)).encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def ensure_archive(folder: Path | None, progress: Callable[[int, int], None], scenario: Scenario | None = None) -> Path:
    """Path of the catalog of a complete archive in `folder` (by default in the cache), written if need be.

    Of several processes one writes and the others wait. An archive of another version, or an incomplete one,
    is replaced in one step.
    :raises FileExistsError: `folder` holds something that is not a demo archive; it is left alone.
    """
    folder = (folder or cache_folder()).absolute()
    scenario = scenario or Scenario()
    wanted = fingerprint(scenario)
    if _complete(folder, wanted):
        return folder / "catalog.json"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_name(f".{folder.name}.lock")):
        if _complete(folder, wanted):
            return folder / "catalog.json"
        if folder.exists() and any(folder.iterdir()) and not (folder / STAMP).is_file():
            raise FileExistsError(f"{folder} is not empty and not a demo archive; choose another folder (demo.dir)")
        for remains in folder.parent.glob(f".{folder.name}-*"):  # of a writer that was killed
            shutil.rmtree(remains, ignore_errors=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            write_archive(fresh, progress, scenario)
            _stamp(fresh, wanted)
            _replace(folder, fresh)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return folder / "catalog.json"


def _content(folder: Path) -> dict[str, int]:
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.name != STAMP]
    return {"files": len(sizes), "bytes": sum(sizes)}


def _stamp(folder: Path, wanted: str) -> None:
    stamp = {"generator": "openeo-backend demo archive", "version": VERSION, "fingerprint": wanted}
    (folder / STAMP).write_text(json.dumps(stamp | _content(folder), indent=1) + "\n", encoding="utf-8")


def _complete(folder: Path, wanted: str) -> bool:
    try:
        stamp = json.loads((folder / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    if not isinstance(stamp, dict) or stamp.get("fingerprint") != wanted:
        return False
    return all(stamp.get(key) == value for key, value in _content(folder).items())


def _replace(folder: Path, fresh: Path) -> None:
    """Put `fresh` where `folder` was: readers see the old one or the new one."""
    fresh.chmod(0o755)
    if folder.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
        folder.rename(old / "archive")
        fresh.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    else:
        fresh.rename(folder)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that the system lets go when the process ends, however it ends."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)
