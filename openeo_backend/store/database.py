"""Engines, transactions and the version of the schema."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

#: Numbers of PostgreSQL's advisory locks, taken where SQLite has its one writer.
MIGRATION_LOCK, QUEUE_LOCK = 7_340_001, 7_340_002

#: Seconds to wait for SQLite's write lock at most, and between two looks whether it is free.
BUSY_SECONDS, LOOK_SECONDS = 30, 0.002


class StoreError(Exception):
    """The database cannot be used, told to the operator in one line."""


class Database:
    """A database with the two kinds of transactions that are used.

    On SQLite a write takes the write lock at its start (BEGIN IMMEDIATE): a transaction that reads first and
    writes later could otherwise fail with "database is locked" after any wait.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._closed = False
        event.listen(engine, "checkin", self._end_late)

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads."""
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self, lock: int | None = None) -> Iterator[Connection]:
        """A transaction that writes; with `lock`, one at a time among those with the same number."""
        with self.engine.connect() as connection:
            connection = connection.execution_options(writes=True)
            with connection.begin():
                if lock is not None and not self.is_sqlite:
                    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": lock})
                yield connection

    def close(self) -> None:
        """End all connections; one that a thread still uses ends with its transaction."""
        self._closed = True
        self.engine.dispose()

    def _end_late(self, connection: Any, record: ConnectionPoolEntry) -> None:
        if self._closed:
            record.invalidate()


def connect(url: str) -> Database:
    """The database at a SQLAlchemy URL (sqlite:///file, postgresql://...), not looked at yet.

    :raises StoreError: for a URL that is none, or a kind of database that is not supported.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise StoreError("store.url is not a database URL (sqlite:///FILE or postgresql://USER@HOST/NAME)") from error
    if parsed.get_backend_name() == "sqlite":
        return Database(_sqlite(parsed.database))
    if parsed.get_backend_name() == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
        return Database(create_engine(parsed, pool_pre_ping=True, pool_size=10, max_overflow=20))
    raise StoreError(f"store.url: {parsed.get_backend_name()} is not supported; use sqlite or postgresql")


def _sqlite(file: str | None) -> Engine:
    if not file or file == ":memory:":
        raise StoreError("store.url: SQLite needs a file, since several processes share the store")
    engine = create_engine(f"sqlite:///{file}", connect_args={"timeout": BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, record: Any) -> None:
        connection.isolation_level = None  # the driver would otherwise begin transactions by its own rules
        # Whole microseconds, so that instants survive the way through datetime.
        connection.create_function("now_epoch", 0, lambda: round(time.time(), 6))
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("writes"):
            _begin_writing(connection)
        else:
            connection.exec_driver_sql("BEGIN")

    return engine


def _begin_writing(connection: Connection) -> None:
    """Take SQLite's write lock.

    SQLite's own way to wait looks again after up to 100 ms. Beside busy writers that is seldom at the right moment:
    requests would wait for seconds while workers, which have just finished writing, take the lock again.
    """
    raw: Any = connection.connection.dbapi_connection
    end = time.monotonic() + BUSY_SECONDS
    raw.execute("PRAGMA busy_timeout=0").close()
    try:
        while time.monotonic() < end:
            try:
                raw.execute("BEGIN IMMEDIATE").close()
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    break
            time.sleep(LOOK_SECONDS)
    finally:
        raw.execute(f"PRAGMA busy_timeout={int(BUSY_SECONDS * 1000)}").close()
    connection.exec_driver_sql("BEGIN IMMEDIATE")  # whose failure is an error of SQLAlchemy


def head() -> str:
    """The revision of the schema that this version of the software works with."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    if revision is None:
        raise StoreError("the package has no schema revisions: it is not installed completely")
    return revision


def current(database: Database) -> str | None:
    """The revision of the schema in the database; None when it is empty."""
    with database.read() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def upgrade(url: str) -> str:
    """Bring the schema to `head()`, whichever process comes first; returns the revision.

    :raises StoreError: when the database cannot be reached, or its schema is newer than this software.
    """
    database = connect(url)
    try:
        _create_folder(database)
        with reported(database):
            _refuse_newer(database)
            with database.write(MIGRATION_LOCK) as connection:
                config = _config()
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        return head()
    finally:
        database.close()


def open_current(url: str) -> Database:
    """The database with the current schema: SQLite is upgraded, PostgreSQL must have been.

    :raises StoreError: when it cannot be reached or has another schema.
    """
    database = connect(url)
    try:
        if database.is_sqlite:
            upgrade(url)
        else:
            with reported(database):
                _check(database)
    except BaseException:
        database.close()
        raise
    return database


def _check(database: Database) -> None:
    found = current(database)
    if found != head():
        _refuse_newer(database)
        raise StoreError(
            f"the database has schema {found or 'none'}, this version needs {head()}: run `openeo-backend db-upgrade`"
        )


@contextmanager
def reported(database: Database) -> Iterator[None]:
    """Tell failures of the database as StoreError, without the password of its URL."""
    try:
        yield
    except (OperationalError, NoSuchModuleError) as error:
        reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
        raise StoreError(f"cannot use the database {database.engine.url!r}: {reason}") from error


def _refuse_newer(database: Database) -> None:
    found = current(database)
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if found is not None and found not in known:
        raise StoreError(f"the database has schema {found}, which this version is too old to know")


def _create_folder(database: Database) -> None:
    if database.is_sqlite and database.engine.url.database:
        folder = Path(database.engine.url.database).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"cannot create the folder {folder} of the database: {error.strerror}") from error


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "openeo_backend.store:migrations")
    config.set_main_option("path_separator", "os")
    return config
