"""What the last push of a file said of each lens, and the indexes of removed lenses."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sl_lenses", sa.Column("pushed_config", sa.JSON()))
    # What another one changed before now cannot be told from what was pushed.
    op.execute("UPDATE sl_lenses SET pushed_config = config")
    op.create_table(
        "sl_dropped_indexes",
        sa.Column("index_name", sa.Text(), nullable=False),
        sa.Column("env", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("index_name", name="sl_dropped_indexes_pk"),
    )
