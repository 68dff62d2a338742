"""Jobs have limits by role, and wait for the results of others"""

import sqlalchemy as sa
from alembic import op

from openeo_backend.store.types import Document, Instant

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("per_user", sa.Integer(), nullable=True))
    op.add_column("jobs", sa.Column("limits", Document(), nullable=True))
    op.add_column("jobs", sa.Column("waiting_for", sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("waiting_since", Instant(), nullable=True))
    op.add_column("jobs", sa.Column("next_look", Instant(), nullable=True))
    op.create_index("ix_jobs_next_look", "jobs", ["next_look"])
