"""Jobs keep the processes of other servers that they use"""

import sqlalchemy as sa
from alembic import op

from openeo_backend.store.types import Document

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("remote", Document(), nullable=True))
