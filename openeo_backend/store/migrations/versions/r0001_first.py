"""Users, tokens, jobs with their queue and logs, synchronous requests"""

import sqlalchemy as sa
from alembic import op

from openeo_backend.store.types import Document, Instant

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_jobs()
    _create_requests()
    _create_trash()
    _create_turns()
    _create_users()
    _create_job_logs()
    _create_request_logs()
    _create_tokens()


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=255), nullable=False),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("process", Document(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=True),
        sa.Column("budget", sa.Double(), nullable=True),
        sa.Column("log_level", sa.String(length=8), nullable=False),
        sa.Column("options", Document(), nullable=False),
        sa.Column("status", sa.String(length=8), nullable=False),
        sa.Column("progress", sa.Double(), nullable=False),
        sa.Column("usage", Document(), nullable=True),
        sa.Column("costs", sa.Double(), nullable=True),
        sa.Column("created", Instant(), nullable=False),
        sa.Column("updated", Instant(), nullable=False),
        sa.Column("queued", Instant(), nullable=True),
        sa.Column("started", Instant(), nullable=True),
        sa.Column("finished", Instant(), nullable=True),
        sa.Column("unpublished", Instant(), nullable=True),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("lost", sa.Integer(), nullable=False),
        sa.Column("worker", sa.String(length=128), nullable=True),
        sa.Column("lease_until", Instant(), nullable=True),
        sa.Column("log_count", sa.Integer(), nullable=False),
        sa.Column("result_attempt", sa.Integer(), nullable=True),
        sa.Column("result", Document(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
    )
    op.create_index("ix_jobs_lease", "jobs", ["status", "lease_until"])
    op.create_index("ix_jobs_queue", "jobs", ["status", "user_id", "priority", "queued"])
    op.create_index("ix_jobs_unpublished", "jobs", ["unpublished"])
    op.create_index("ix_jobs_updated", "jobs", ["updated"])
    op.create_index("ix_jobs_user", "jobs", ["user_id", "created", "id"])


def _create_requests() -> None:
    op.create_table(
        "requests",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=255), nullable=False),
        sa.Column("log_level", sa.String(length=8), nullable=False),
        sa.Column("log_count", sa.Integer(), nullable=False),
        sa.Column("created", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_requests")),
    )
    op.create_index("ix_requests_created", "requests", ["created"])
    op.create_index("ix_requests_user_id", "requests", ["user_id"])


def _create_trash() -> None:
    op.create_table(
        "trash",
        sa.Column("prefix", sa.String(length=255), nullable=False),
        sa.Column("due", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("prefix", name=op.f("pk_trash")),
    )
    op.create_index("ix_trash_due", "trash", ["due"])


def _create_turns() -> None:
    op.create_table(
        "turns",
        sa.Column("user_id", sa.String(length=255), nullable=False),
        sa.Column("served", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_turns")),
    )


def _create_users() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.String(length=128), nullable=False),
        sa.Column("password", sa.Text(), nullable=False),
        sa.Column("roles", Document(), nullable=False),
        sa.Column("created", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
    )


def _create_job_logs() -> None:
    op.create_table(
        "job_logs",
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("entry", Document(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_job_logs_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "number", name=op.f("pk_job_logs")),
    )


def _create_request_logs() -> None:
    op.create_table(
        "request_logs",
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("entry", Document(), nullable=False),
        sa.ForeignKeyConstraint(
            ["request_id"], ["requests.id"], name=op.f("fk_request_logs_request_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("request_id", "number", name=op.f("pk_request_logs")),
    )


def _create_tokens() -> None:
    op.create_table(
        "tokens",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=128), nullable=False),
        sa.Column("created", Instant(), nullable=False),
        sa.Column("expires", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_tokens_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_tokens")),
    )
    op.create_index("ix_tokens_expires", "tokens", ["expires"])
    op.create_index("ix_tokens_user_id", "tokens", ["user_id"])
