"""The tables. A change here needs a revision in migrations/versions (a test compares them)."""

from __future__ import annotations

from sqlalchemy import Column, Double, ForeignKey, Index, Integer, MetaData, String, Table, Text

from openeo_backend.store.types import Document, Instant

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

users = Table(
    "users",
    metadata,
    Column("id", String(128), primary_key=True),
    Column("password", Text, nullable=False),
    Column("roles", Document, nullable=False),
    Column("created", Instant, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("user_id", String(128), ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("created", Instant, nullable=False),
    Column("expires", Instant, nullable=False, index=True),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("user_id", String(255), nullable=False),
    Column("title", Text),
    Column("description", Text),
    Column("process", Document, nullable=False),
    Column("plan", Text),
    Column("budget", Double),
    Column("log_level", String(8), nullable=False),
    Column("options", Document, nullable=False),
    Column("status", String(8), nullable=False),
    Column("progress", Double, nullable=False),
    Column("usage", Document),
    Column("costs", Double),
    Column("created", Instant, nullable=False),
    Column("updated", Instant, nullable=False),
    Column("queued", Instant),
    Column("started", Instant),
    Column("finished", Instant),
    Column("unpublished", Instant),
    # The queue: who works on the job until when. `attempt` never goes back: it is the fencing token of every write.
    Column("priority", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("lost", Integer, nullable=False),
    Column("worker", String(128)),
    Column("lease_until", Instant),
    # What the roles of its user allowed when it was queued: running jobs, and longest run and most memory.
    Column("per_user", Integer),
    Column("limits", Document),
    # Who pays for its runs: the name of its user at the accounting service; null where nobody does.
    Column("payer", String(255)),
    # Processes of other servers that the process uses, as they were when the job was made.
    Column("remote", Document),
    # The results that a queued job waits for, since when, and when to look for them again.
    Column("waiting_for", Text),
    Column("waiting_since", Instant),
    Column("next_look", Instant),
    # The number of log entries ever written: their ids go on after a restart.
    Column("log_count", Integer, nullable=False),
    # What was published: the attempt whose files count, and their description.
    Column("result_attempt", Integer),
    Column("result", Document),
    Index("ix_jobs_queue", "status", "user_id", "priority", "queued"),
    Index("ix_jobs_lease", "status", "lease_until"),
    Index("ix_jobs_user", "user_id", "created", "id"),
    Index("ix_jobs_unpublished", "unpublished"),
    Index("ix_jobs_updated", "updated"),
    Index("ix_jobs_next_look", "next_look"),
)

job_logs = Table(
    "job_logs",
    metadata,
    Column("job_id", String(64), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("level", Integer, nullable=False),
    Column("entry", Document, nullable=False),
)

turns = Table(
    "turns",
    metadata,
    Column("user_id", String(255), primary_key=True),
    Column("served", Instant, nullable=False),
)

requests = Table(
    "requests",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("user_id", String(255), nullable=False, index=True),
    Column("log_level", String(8), nullable=False),
    Column("log_count", Integer, nullable=False),
    Column("created", Instant, nullable=False, index=True),
)

request_logs = Table(
    "request_logs",
    metadata,
    Column("request_id", String(64), ForeignKey("requests.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("level", Integer, nullable=False),
    Column("entry", Document, nullable=False),
)

trash = Table(
    "trash",
    metadata,
    Column("prefix", String(255), primary_key=True),
    Column("due", Instant, nullable=False, index=True),
)

processes = Table(
    "processes",
    metadata,
    Column("user_id", String(255), primary_key=True),
    Column("id", String(255), primary_key=True),
    Column("process", Document, nullable=False),
    Column("public", String(64), nullable=True, unique=True),
    Column("created", Instant, nullable=False),
    Column("updated", Instant, nullable=False),
)

#: The outbox: what runs used, to be told to the accounting service. `next_try` is null once that was done.
usage_reports = Table(
    "usage_reports",
    metadata,
    Column("key", String(128), primary_key=True),
    Column("job_id", String(64)),
    Column("attempt", Integer),
    Column("report", Document, nullable=False),
    Column("created", Instant, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("next_try", Instant, index=True),
    Column("sent", Instant, index=True),
    Column("problem", Text),
)
