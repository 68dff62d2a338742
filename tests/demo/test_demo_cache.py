"""The archive in the cache: whole or not at all, written once."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from openeo_backend.catalog.demo import Scenario, cache, cache_folder, ensure_archive

SMALL = Scenario(width=48, height=48, days=(0,), radar_days=(), bands=("B04", "SCL"), neighbour=None)


class Count:
    """Counts how often an archive was begun."""

    def __init__(self) -> None:
        self.begun = 0

    def __call__(self, done: int, planned: int) -> None:
        self.begun += done == 0


def test_written_once(tmp_path: Path) -> None:
    folder, count = tmp_path / "cache" / "demo", Count()
    first = ensure_archive(folder, count, SMALL)
    assert first == folder / "catalog.json"
    assert first.is_file()
    assert ensure_archive(folder, count, SMALL) == first
    assert count.begun == 1
    assert sorted(path.name for path in folder.parent.iterdir()) == [".demo.lock", "demo"]
    stamp = json.loads((folder / "archive.json").read_text())
    assert stamp["version"] == cache.VERSION


def test_incomplete_or_other_archive_is_replaced(tmp_path: Path) -> None:
    folder, count = tmp_path / "demo", Count()
    ensure_archive(folder, count, SMALL)
    image = next(folder.rglob("B04.tif"))
    image.unlink()
    ensure_archive(folder, count, SMALL)
    assert image.is_file()
    assert count.begun == 2
    ensure_archive(folder, count, Scenario(**{**vars(SMALL), "seed": 99}))
    assert count.begun == 3
    (folder / "archive.json").write_text("{")
    ensure_archive(folder, count, SMALL)
    assert count.begun == 4


def test_version_and_source_belong_to_the_stamp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, count = tmp_path / "demo", Count()
    ensure_archive(folder, count, SMALL)
    monkeypatch.setattr(cache, "VERSION", "next")
    ensure_archive(folder, count, SMALL)
    assert count.begun == 2


def test_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="not a demo archive"):
        ensure_archive(tmp_path, Count(), SMALL)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_failure_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "demo"

    def fail(done: int, planned: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ensure_archive(folder, fail, SMALL)
    assert [path.name for path in tmp_path.iterdir()] == [".demo.lock"]
    assert ensure_archive(folder, Count(), SMALL).is_file()


def test_remains_of_a_killed_writer_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".demo-abc").mkdir()
    (tmp_path / ".demo-abc" / "half.tif").write_bytes(b"half")
    ensure_archive(tmp_path / "demo", Count(), SMALL)
    assert not (tmp_path / ".demo-abc").exists()


def test_of_two_one_writes(tmp_path: Path) -> None:
    folder, count = tmp_path / "demo", Count()
    with ThreadPoolExecutor(max_workers=3) as threads:
        paths = {future.result() for future in [threads.submit(ensure_archive, folder, count, SMALL) for _ in "abc"]}
    assert paths == {folder / "catalog.json"}
    assert count.begun == 1


def test_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "openeo-backend" / "demo-archive"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert tmp_path in cache_folder().parents
