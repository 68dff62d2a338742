"""Users store processes"""

import sqlalchemy as sa
from alembic import op

from openeo_backend.store.types import Document, Instant

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "processes",
        sa.Column("user_id", sa.String(255), nullable=False),
        sa.Column("id", sa.String(255), nullable=False),
        sa.Column("process", Document(), nullable=False),
        sa.Column("public", sa.String(64), nullable=True),
        sa.Column("created", Instant(), nullable=False),
        sa.Column("updated", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "id", name=op.f("pk_processes")),
        sa.UniqueConstraint("public", name=op.f("uq_processes_public")),
    )
