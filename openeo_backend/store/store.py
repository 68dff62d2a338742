"""The store: one object with a repository per table."""

from __future__ import annotations

from sqlalchemy import text

from openeo_backend.store.database import Database, open_current, upgrade
from openeo_backend.store.jobs import Jobs
from openeo_backend.store.processes import Processes
from openeo_backend.store.reports import Reports
from openeo_backend.store.requests import Requests
from openeo_backend.store.trash import Trash
from openeo_backend.store.users import Tokens, Users

__all__ = ["Store", "upgrade"]


class Store:
    """Repositories over one database. Functions about what users own take the user's id first."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.users = Users(database)
        self.tokens = Tokens(database)
        self.jobs = Jobs(database)
        self.requests = Requests(database)
        self.processes = Processes(database)
        self.reports = Reports(database)
        self.trash = Trash(database)

    @classmethod
    def open(cls, url: str) -> Store:
        """The store at a SQLAlchemy URL. SQLite is created and upgraded as needed.

        :raises StoreError: one line, when it cannot be reached, or a PostgreSQL schema is not this version's.
        """
        return cls(open_current(url))

    def ping(self) -> None:
        """Ask the database for a sign of life.

        :raises SQLAlchemyError: where there is none.
        """
        with self.database.read() as connection:
            connection.execute(text("SELECT 1"))

    def close(self) -> None:
        try:
            self.requests.flush()
        finally:
            self.database.close()
