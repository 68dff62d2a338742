"""Usage is reported to an accounting service"""

import sqlalchemy as sa
from alembic import op

from openeo_backend.store.types import Document, Instant

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("payer", sa.String(255), nullable=True))
    op.create_table(
        "usage_reports",
        sa.Column("key", sa.String(128), nullable=False),
        sa.Column("job_id", sa.String(64), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=True),
        sa.Column("report", Document(), nullable=False),
        sa.Column("created", Instant(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_try", Instant(), nullable=True),
        sa.Column("sent", Instant(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_usage_reports")),
    )
    op.create_index("ix_usage_reports_next_try", "usage_reports", ["next_try"])
    op.create_index("ix_usage_reports_sent", "usage_reports", ["sent"])
