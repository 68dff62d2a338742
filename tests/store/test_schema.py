"""The database's schema: migrations, versions, refusals."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from openeo_backend.store import database as databases
from openeo_backend.store.database import StoreError
from openeo_backend.store.schema import metadata
from openeo_backend.store.store import Store, upgrade


def test_migrations_make_the_tables_of_the_schema(database_url: str) -> None:
    upgrade(database_url)
    database = databases.connect(database_url)
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    database.close()


def test_upgrading_twice_changes_nothing(database_url: str) -> None:
    assert upgrade(database_url) == upgrade(database_url) == databases.head()


def test_sqlite_upgrades_itself_and_makes_its_folder(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'a' / 'b' / 'store.sqlite'}")
    assert databases.current(store.database) == databases.head()
    with store.database.read() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1
    store.close()


def _open(url: str) -> None:
    Store.open(url).close()


def test_processes_that_start_together_upgrade_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    context = multiprocessing.get_context("spawn")
    children = [context.Process(target=_open, args=(url,)) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0, 0]


def test_postgresql_without_schema_is_refused(postgresql: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=rf"schema none, this version needs {databases.head()}: run `openeo-"):
        Store.open(f"{postgresql}/postgres")


def test_a_newer_schema_is_refused(database_url: str) -> None:
    upgrade(database_url)
    database = databases.connect(database_url)
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    for opened in (Store.open, upgrade):
        with pytest.raises(StoreError, match="schema 9999, which this version is too old to know"):
            opened(database_url)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "not a database URL"),
        ("mysql://localhost/x", "mysql is not supported"),
        ("sqlite://", "SQLite needs a file"),
        ("postgresql://tests:secret@127.0.0.1:1/none", "cannot use the database"),
        ("sqlite:////proc/none/store.sqlite", "cannot create the folder"),
    ],
)
def test_unusable_databases_are_told_in_one_line(url: str, said: str) -> None:
    with pytest.raises(StoreError, match=said) as caught:
        Store.open(url)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_jobs_survive_the_upgrade_from_every_revision(database_url: str) -> None:
    columns = "id, user_id, process, log_level, options, status, progress, created, updated, priority, attempt, lost"
    values = "'j-1', 'ada', '{}', 'info', '{}', 'queued', 0, 1.5, 2.5, 0, 0, 0"
    revisions = [script.revision for script in ScriptDirectory.from_config(databases._config()).walk_revisions()]
    assert revisions[0] == databases.head()
    database = databases.connect(database_url)
    for revision in reversed(revisions):
        config = databases._config()
        with database.write() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
        with database.write() as connection:
            connection.execute(text("DELETE FROM jobs"))
            connection.execute(text(f"INSERT INTO jobs ({columns}, log_count) VALUES ({values}, 0)"))
        assert upgrade(database_url) == databases.head()
        store = Store.open(database_url)
        job = store.jobs.get("ada", "j-1")
        assert (job.status, job.process, job.limits, job.waiting_for) == ("queued", {}, None, None)
        assert job.created.timestamp() == 1.5
        store.close()
        with database.write() as connection:
            metadata.drop_all(connection)
            connection.execute(text("DROP TABLE alembic_version"))
    database.close()


def test_a_connection_that_is_used_while_the_store_closes_ends_with_its_transaction(migrated_url: str) -> None:
    store = Store.open(migrated_url)
    with store.database.read() as connection:
        late = connection.connection.dbapi_connection
        store.close()
        assert connection.execute(text("SELECT 1")).scalar() == 1
    with pytest.raises(Exception, match="closed"):
        late.execute("SELECT 1")
