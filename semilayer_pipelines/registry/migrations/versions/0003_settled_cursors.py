"""What an incremental walk saw when, for tracked values that are no times."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sl_cursors", sa.Column("settled", sa.Text()))
    op.add_column("sl_cursors", sa.Column("seen", sa.Text()))
    op.add_column("sl_cursors", sa.Column("seen_at", sa.DateTime(timezone=True)))
    op.add_column("sl_generations", sa.Column("settled", sa.Text()))
    # They were texts without their type; without one the next walk reads every row, once.
    op.execute("UPDATE sl_cursors SET high_water = NULL")
    op.execute("UPDATE sl_generations SET high_water = NULL")
