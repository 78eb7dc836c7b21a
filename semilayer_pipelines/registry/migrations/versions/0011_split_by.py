"""What cut the long texts of a generation."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sl_generations", sa.Column("split_by", sa.Text(), nullable=True))
