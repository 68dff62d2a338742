"""Writers of one SQLite file do not starve each other."""

from __future__ import annotations

import multiprocessing
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from openeo_backend.store import database as databases
from openeo_backend.store.store import Store


def keep_writing(file: str, stop: Any) -> None:
    """Hold the write lock nine tenths of the time, in turns of ten milliseconds."""
    connection = sqlite3.connect(file, isolation_level=None, timeout=30)
    while not stop.is_set():
        connection.execute("BEGIN IMMEDIATE")
        time.sleep(0.009)
        connection.execute("ROLLBACK")
        time.sleep(0.001)
    connection.close()


def test_a_writer_finds_its_turn_beside_busy_ones(tmp_path: Path, migrated_sqlite: Path) -> None:
    file = tmp_path / "store.sqlite"
    file.write_bytes(migrated_sqlite.read_bytes())
    store = Store.open(f"sqlite:///{file}")
    context = multiprocessing.get_context("forkserver")
    stop = context.Event()
    busy = [context.Process(target=keep_writing, args=(str(file), stop)) for _ in range(2)]
    for process in busy:
        process.start()
    try:
        time.sleep(0.5)
        begun = time.monotonic()
        for _ in range(20):
            store.jobs.create("ada", {"process_graph": {}})
        seconds = (time.monotonic() - begun) / 20
    finally:
        stop.set()
        for process in busy:
            process.join(30)
        store.close()
    assert seconds < 0.15  # 0.5 and more where each look is 100 ms after the last


def test_a_lock_that_is_never_free_is_an_error_of_the_database(
    tmp_path: Path, migrated_sqlite: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "BUSY_SECONDS", 0.2)
    file = tmp_path / "store.sqlite"
    file.write_bytes(migrated_sqlite.read_bytes())
    store = Store.open(f"sqlite:///{file}")
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(OperationalError, match="locked"):
        store.jobs.create("ada", {"process_graph": {}})
    assert store.jobs.list("ada").jobs == ()  # reading goes on
    holder.execute("ROLLBACK")
    store.jobs.create("ada", {"process_graph": {}})
    holder.close()
    store.close()
